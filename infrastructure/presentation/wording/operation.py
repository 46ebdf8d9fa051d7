"""What operators see, in words: the state of the views, and what was imported, exported, adopted or handed back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdbook.infrastructure.interchange.adoption import Adopted
    from holdbook.infrastructure.interchange.rollback import RolledBack
    from holdbook.infrastructure.views.dry_run import Failure
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import ViewStatus
    from holdbook.projections.rebuild import Rebuilt


# Views


def status_lines(found: Sequence[ViewStatus], skipped: Sequence[Mapping[str, Any]]) -> Iterator[Sentence]:
    """Say which events views leave out, and where views have stopped, and why."""
    for skip in skipped:
        left_out = (
            "{view}, generation {generation}, leaves out position {position}, {type}: {reason} "
            "({actor}, {skipped_at:.19})"
        )
        yield Sentence.of(left_out.format(**skip))
    for one in found:
        if one.error:
            yield Sentence.of((f"{one.name} stopped at position {one.stopped_at}: {one.error}", Tone.BAD))
        if one.building_error:
            stopped = f"{one.name}, generation {one.building}, stopped: {one.building_error}"
            yield Sentence.of((stopped, Tone.BAD))


def view_remarks(one: ViewStatus) -> str:
    """Say what is out of the ordinary about a view, and which generations of it there are beside the live one."""
    remarks = (
        "outdated: rebuild it" if one.outdated else "",
        f"stopped at {one.stopped_at:,}" if one.stopped_at is not None else "",
        f"{len(one.skipped)} skipped" if one.skipped else "",
        f"building {one.building}, at {one.building_position:,}" if one.building is not None else "",
        f"kept: {', '.join(map(str, one.kept))}" if one.kept else "",
    )
    return "; ".join(filter(None, remarks))


def rebuilt_lines(one: Rebuilt) -> Iterator[Sentence]:
    """Say how the rebuild of a view ended, after the rows in which it differs."""
    for line in one.differences:
        yield Sentence.of(("differs: ", Tone.CAUTION if one.published else Tone.BAD), line)
    for line in one.faults:
        yield Sentence.of(("not what the log says: ", Tone.BAD), line)
    name = f"{one.name}: generation {one.generation}"
    if one.published:
        yield Sentence.of(f"{name} is published, true up to position {one.position:,}")
    elif one.error is not None:
        yield Sentence.of((f"{name} stopped at position {one.stopped_at:,}: {one.error}", Tone.BAD))
    else:
        failed = f"generation {one.generation} did not pass the comparison"
        yield Sentence.of((f"{one.name}: nothing is published: {failed}", Tone.BAD))


def dry_run_lines(failures: Sequence[Failure], views: Sequence[str]) -> Iterator[Sentence]:
    """Say which events cannot be read, or be taken into which of the views, and how many of each type."""
    for one in failures:
        yield Sentence.of((f"position {one.position:,}, {one.type}: ", Tone.BAD), one.error)
    for kind, count in sorted(Counter(one.type for one in failures).items()):
        yield Sentence.of(f"{kind}: {count:,} failure{'s' * (count != 1)}")
    if not failures:
        into = f", and {', '.join(views)} can be built from it" if views else ""
        yield Sentence.of(("every event can be read", Tone.GOOD), into)


def republished_text(live: Generation) -> str:
    """Say which generation of a view was put back."""
    return f"{live.view}: generation {live.number} is published again, true up to position {live.position:,}"


def pruned_lines(removed: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Say which generations of which views were removed."""
    for view, numbers in removed.items():
        said = f"removed generation {', '.join(map(str, numbers))}" if numbers else "nothing to remove"
        yield f"{view}: {said}"


def going_on_text(now: ViewStatus) -> str:
    """Say that a view that had stopped goes on."""
    return f"{now.name}: goes on, true up to position {now.position:,}"


# In and out


def exported_text(events: int, file: str) -> str:
    """Say how many events were written to which file."""
    return f"{events:,} events written to {file}"


def bundle_text(events: int, file: str) -> str:
    """Say how many events were written to which file as a bundle."""
    return f"{events:,} events with their proof written to {file}"


def adopted_text(adopted: Adopted, *, dry_run: bool) -> str:
    """Say what was taken over from an old manager, or in a dry run what would be."""
    said = f"{adopted.adopted:,} allocations adopted, {adopted.pools:,} pools opened"
    before = f"; {adopted.repeated:,} lines were taken over before" if adopted.repeated else ""
    return f"{'would be ' if dry_run else ''}{said}{before}"


def rolled_back_lines(done: RolledBack, file: str) -> Iterator[str]:
    """Say what was written for an old manager, and which limits it will not enforce."""
    yield f"the ledger is closed to new grants; {done.allocations:,} allocations written to {file}"
    if done.other_limits:
        yield f"limits in the file that old managers do not enforce: {', '.join(done.other_limits)}"
