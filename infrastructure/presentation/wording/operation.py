"""What operators see, in words: the state of the views, and what was exported, adopted or handed back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdbook.infrastructure.interchange.adoption import Adopted
    from holdbook.infrastructure.interchange.rollback import RolledBack
    from holdbook.infrastructure.views.dry_run import Failure
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import ViewStatus
    from holdbook.projections.rebuild import Rebuilt

_SKIPPED: Final = (
    "{view}, generation {generation}, leaves out position {position}, {type}: {reason} ({actor}, {skipped_at:.19})"
)
"""What is said of an event that a view leaves out, from the columns of ``skipped_events``."""


# Views


def status_lines(statuses: Sequence[ViewStatus], skipped: Sequence[Mapping[str, Any]]) -> Iterator[Sentence]:
    """Say which events views leave out, and where views have stopped, and why."""
    for skip in skipped:
        yield Sentence.of(_SKIPPED.format(**skip))
    for status in statuses:
        if status.error:
            yield Sentence.of((f"{status.name} stopped at position {status.stopped_at}: {status.error}", Tone.BAD))
        if status.building_error:
            stopped = f"{status.name}, generation {status.building}, stopped: {status.building_error}"
            yield Sentence.of((stopped, Tone.BAD))


def view_remarks(status: ViewStatus) -> str:
    """Say what is out of the ordinary about a view, and which generations of it there are beside the live one."""
    remarks = (
        "outdated: rebuild it" if status.outdated else "",
        f"stopped at {status.stopped_at:,}" if status.stopped_at is not None else "",
        f"{len(status.skipped)} skipped" if status.skipped else "",
        f"building {status.building}, at {status.building_position:,}" if status.building is not None else "",
        f"kept: {', '.join(map(str, status.kept))}" if status.kept else "",
    )
    return "; ".join(filter(None, remarks))


def rebuilt_lines(view: Rebuilt) -> Iterator[Sentence]:
    """Say how the rebuild of a view ended, after the rows in which it differs."""
    for line in view.differences:
        yield Sentence.of(("differs: ", Tone.CAUTION if view.published else Tone.BAD), line)
    for line in view.faults:
        yield Sentence.of(("not what the log says: ", Tone.BAD), line)
    name = f"{view.name}: generation {view.generation}"
    if view.published:
        yield Sentence.of(f"{name} is published, true up to position {view.position:,}")
    elif view.error is not None:
        yield Sentence.of((f"{name} stopped at position {view.stopped_at:,}: {view.error}", Tone.BAD))
    else:
        failed = f"generation {view.generation} did not pass the comparison"
        yield Sentence.of((f"{view.name}: nothing is published: {failed}", Tone.BAD))


def dry_run_lines(failures: Sequence[Failure], views: Sequence[str]) -> Iterator[Sentence]:
    """Say which events cannot be read, or be taken into which of the views, and how many of each type."""
    for failure in failures:
        yield Sentence.of((f"position {failure.position:,}, {failure.type}: ", Tone.BAD), failure.error)
    for kind, count in sorted(Counter(failure.type for failure in failures).items()):
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


def going_on_text(status: ViewStatus) -> str:
    """Say that a view that had stopped goes on."""
    return f"{status.name}: goes on, true up to position {status.position:,}"


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


# The version


def version_text(version: str, revision: str) -> str:
    """Say the version of Holdbook, and the revision of the schema that it works with."""
    return f"holdbook {version}, schema revision {revision}"
