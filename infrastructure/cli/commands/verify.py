"""Verification of the log and of what is computed from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Exit, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TrustedKeys
from holdbook.infrastructure.cli.terminal.output import emit, progress, say
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.seals.key_files import log_verifier, read_checkpoint
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.verification.start import start_at
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import VerifierKey
from holdbook.replay.verification.findings import Report, SealsChecked

top = Typer()


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(CommonOptions):
    """What a verification takes."""

    key: TrustedKeys = None
    checkpoint: Annotated[
        list[Path] | None,
        Option(metavar="FILE", help="A signed checkpoint that was kept outside the database; may be repeated."),
    ] = None
    since: Annotated[
        str | None,
        Option(metavar="CHECKPOINT", help="Check only what is new since a checkpoint, its number or a file with it."),
    ] = None
    repair_view: Annotated[
        str | None,
        Option(metavar="VIEW", help="If the log is sound and this view differs from it, rebuild the view."),
    ] = None

    @property
    def trusted(self) -> list[VerifierKey]:
        """Read the public keys; raises `Malformed`."""
        return [log_verifier("--key", one) for one in self.key or ()]

    @property
    def kept(self) -> list[Signed]:
        """Read the checkpoints; raises `Malformed`."""
        return [read_checkpoint("--checkpoint", one) for one in self.checkpoint or ()]


@command(
    top,
    "verify",
    "holdbook verify",
    "holdbook verify --json",
    "holdbook verify --key log.pub --checkpoint kept.txt",
    "holdbook verify --since 12",
    "holdbook verify --repair-view metrics",
)
def verify(options: VerifyOptions) -> None:
    """Check every promise on the whole log; exit code 1 if one is broken, with the kind of harm that was done.

    Checkpoints are checked with the public keys that are given; without any, with those that the database names itself,
    which somebody who forged all of it would have forged too.
    """
    trusted, kept, repair_view = options.trusted, options.kept, options.repair_view
    if repair_view is not None and options.since is not None:
        raise Malformed("repair_view", repair_view, "expected no --since beside it: that compares no view")
    with options.open() as ledger:
        if repair_view is not None:
            ledger.projector().view(repair_view)
        with progress("verifying", silent=options.json, unit="events") as tell:
            sealing = sealing_of(ledger, trusted, kept)
            start = None if options.since is None else start_at(ledger, sealing, options.since)
            report = verify_ledger(ledger, tell, sealing, since=start)
        repair = None if repair_view is None else _repair(ledger, repair_view, report, silent=options.json)
    if options.json:
        emit(report.as_dict() if repair is None else {**report.as_dict(), "repair": repair.as_dict()})
    else:
        _tell_report(report)
        if repair is not None:
            say(repair.told)
    if not (report.ok if repair is None else repair.all_is_well(report)):
        raise Exit(1)


@dataclass(frozen=True, slots=True)
class _Repair:
    """What became of a repair."""

    view: str
    generation: int | None
    """The generation that was built and published; None if none was."""
    told: str

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {"view": self.view, "repaired": self.generation is not None, "told": self.told}

    def all_is_well(self, report: Report) -> bool:
        """Tell whether nothing is wrong any more: the repaired view was compared with the log before it was shown."""
        return all(self.generation is not None and finding.view == self.view for finding in report.findings)


def _repair(ledger: Ledger, view: str, report: Report, *, silent: bool) -> _Repair:
    """Rebuild a view that differs from a log that is sound, and publish it; nothing else is changed."""
    if not report.log_is_sound:
        return _Repair(view, None, f"the view {view} was not touched: what is wrong with the log comes first")
    if view not in {one.name for one in report.views}:
        told = f"the view {view} was not compared, as other code built it: run `holdbook projections rebuild {view}`"
        return _Repair(view, None, told)
    if not report.more and not any(finding.view == view for finding in report.findings):
        return _Repair(view, None, f"the view {view} was not touched: it says what the log says")
    with progress(f"rebuilding {view}", silent=silent, unit="events") as tell:
        (built,) = ledger.projector().rebuild(view, accept_differences=True, progress=tell)
    if built.published:
        told = f"the view {view} was rebuilt: generation {built.generation} equals the log, and is shown now"
        return _Repair(view, built.generation, told)
    why = built.error or "; ".join(built.faults) or "another worker was first"
    return _Repair(view, None, f"the view {view} could not be rebuilt: {why}")


def _tell_report(report: Report) -> None:
    for finding in report.findings:
        place = f"position {finding.position}: " if finding.position is not None else ""
        say(Text.assemble((finding.harm.value, "red"), f" ({finding.check.value}): {place}{finding.message}"))
    if report.more:
        say(f"and {report.more:,} more")
    views = "".join(f", {view.name} ({view.rows:,} rows)" for view in report.views)
    read = f"{report.events:,} events{views} and {report.snapshots:,} snapshots"
    if report.since:
        read = f"{report.events:,} events after position {report.since:,} and {report.snapshots:,} snapshots"
    _tell_seals(report.seals)
    if report.ok:
        say(Text.assemble(("every promise holds", "green"), f": {read} checked"))
    else:
        count = len(report.findings) + report.more
        say(Text.assemble((f"{count:,} broken promise{'s' * (count != 1)}", "bold red"), f": {read} checked"))
    if report.since:
        say("what came before had been verified then, and was not read; views were not compared")


def _tell_seals(seals: SealsChecked | None) -> None:
    if seals is None:
        return
    many = f"{seals.checkpoints:,} checkpoint{'s' * (seals.checkpoints != 1)}"
    by = f"signed by {', '.join(seals.keys)}" if seals.keys else "signed by nobody that is known"
    doubt = "" if seals.trusted else ": keys that the database names itself; give those that you trust with --key"
    say(f"{many}, the last over {seals.size:,} events, {by}{doubt}")
