"""What can be checked, in words: verification, repairs, sealed checkpoints, bundles, and the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.projections.rebuild import Rebuilt
    from holdbook.replay.evidence.bundle import Proven
    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.verification.findings import Finding, Report, SealsChecked


# Verification


def report_lines(report: Report) -> Iterator[Sentence]:
    """Say what a verification found, who signed the checkpoints, whether every promise holds, and what was checked."""
    for finding in report.findings:
        yield _finding_text(finding)
    if report.more:
        yield Sentence.of(f"and {report.more:,} more")
    if report.seals is not None:
        yield Sentence.of(_seals_text(report.seals))
    if report.ok:
        yield Sentence.of(("every promise holds", Tone.GOOD), f": {_checked_text(report)}")
    else:
        count = len(report.findings) + report.more
        broken = f"{count:,} broken promise{'s' * (count != 1)}"
        yield Sentence.of((broken, Tone.ALARM), f": {_checked_text(report)}")
    if report.since:
        yield Sentence.of("what came before had been verified then, and was not read; views were not compared")


def _finding_text(finding: Finding) -> Sentence:
    place = f"position {finding.position}: " if finding.position is not None else ""
    return Sentence.of((finding.harm.value, Tone.BAD), f" ({finding.check.value}): {place}{finding.message}")


def _checked_text(report: Report) -> str:
    if report.since:
        return f"{report.events:,} events after position {report.since:,} and {report.snapshots:,} snapshots checked"
    views = "".join(f", {view.name} ({view.rows:,} rows)" for view in report.views)
    return f"{report.events:,} events{views} and {report.snapshots:,} snapshots checked"


def _seals_text(seals: SealsChecked) -> str:
    many = f"{seals.checkpoints:,} checkpoint{'s' * (seals.checkpoints != 1)}"
    by = f"signed by {', '.join(seals.keys)}" if seals.keys else "signed by nobody that is known"
    doubt = "" if seals.trusted else ": keys that the database names itself; give those that you trust with --key"
    return f"{many}, the last over {seals.size:,} events, {by}{doubt}"


def repair_text(view: str, report: Report, built: Rebuilt | None) -> str:
    """Say what became of the repair of a view: why it was not touched, or how its rebuild ended."""
    if built is not None and built.published:
        return f"the view {view} was rebuilt: generation {built.generation} equals the log, and is shown now"
    if built is not None:
        why = built.error or "; ".join(built.faults) or "another worker was first"
        return f"the view {view} could not be rebuilt: {why}"
    if not report.log_is_sound:
        return f"the view {view} was not touched: what is wrong with the log comes first"
    if view not in {one.name for one in report.views}:
        return f"the view {view} was not compared, as other code built it: run `holdbook projections rebuild {view}`"
    return f"the view {view} was not touched: it says what the log says"


# Sealing

NOTHING_NEW: Final = "nothing new to seal"
"""Said of a log that has not grown since the last checkpoint."""


def sealed_text(signed: Signed) -> Sentence:
    """Say which checkpoint was signed, over how many events."""
    checkpoint = signed.checkpoint
    return Sentence.of(("sealed", Tone.GOOD), f": checkpoint {checkpoint.number} over {checkpoint.size:,} events")


def cosigned_text(signed: Signed) -> Sentence:
    """Say which checkpoint a witness has cosigned."""
    return Sentence.of(("cosigned", Tone.GOOD), f": checkpoint {signed.checkpoint.number}")


def signers_text(signed: Signed) -> str:
    """Name the keys that signed a checkpoint, each with its id in hexadecimal digits."""
    return ", ".join(f"{signature.name}+{signature.key_id.hex()}" for signature in signed.note.signatures)


def handover_text(signed: Signed) -> str:
    """Say which key a checkpoint hands over to; nothing if to none."""
    key = signed.checkpoint.key
    return f"hands over to {key.short}" if key else ""


def proven_lines(proven: Proven) -> Iterator[Sentence]:
    """Say which events a bundle proves to be in which ledger, and who signed for it."""
    checkpoint = proven.checkpoint
    events = f"{proven.events:,} event{'s' * (proven.events != 1)}"
    covered = f"{events}, positions {proven.first:,} to {proven.last:,}, are in ledger {checkpoint.ledger_id}"
    yield Sentence.of(("proven", Tone.GOOD), f": {covered}")
    signed_by = ", ".join(proven.signed_by)
    yield Sentence.of(f"by checkpoint {checkpoint.number} over {checkpoint.size:,} events, signed by {signed_by}")
    if proven.others:
        yield Sentence.of(f"also signed by {', '.join(proven.others)}, which you have not named")


# The schema

SCHEMA_IS_RIGHT: Final = "the schema is as it should be"
"""Said of a database in which no problem was found."""


def revision_text(found: str, expected: str) -> str:
    """Say which revision the schema is at, and whether this version of Holdbook works with it."""
    return f"{found} (up to date)" if found == expected else f"{found}; this version of Holdbook wants {expected}"


def other_revision_text(found: str, expected: str) -> str:
    """Say that the schema is at another revision than this version of Holdbook works with, and the way out."""
    return f"the schema is at {found}; this version of Holdbook wants {expected}: run `holdbook db upgrade`"


def schema_difference_text(difference: object) -> str:
    """Say one difference between the schema and the one that is expected."""
    return f"the schema differs: {difference}"


def missing_view_text(view: str) -> str:
    """Say that a view is not there."""
    return f"the view {view} is missing"


def outdated_view_text(view: str) -> str:
    """Say that a view was built by other code, and the way out."""
    return f"the view {view} was built by other code than this: run `holdbook projections rebuild {view}`"
