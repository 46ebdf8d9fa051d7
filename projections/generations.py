"""Generations, the physical builds of views, and what the engine needs of the world: a source of events, a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from holdbook.domain.errors import HoldbookError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from holdbook.projections.definition import Key, Row, Table, View, ViewEvent
    from holdbook.projections.fold import TableChanges


class GenerationState(StrEnum):
    """What a generation is for."""

    BUILDING = "building"
    """It is being built beside the live one."""
    LIVE = "live"
    """The published name shows it."""
    KEPT = "kept"
    """It was live, and can be put back."""
    DISCARDED = "discarded"
    """It is of no use any more: `prune` removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One build of a view, as the database has it."""

    view: str
    number: int
    state: GenerationState
    version: int
    """Version of the view that builds it."""
    fingerprint: str
    """See `View.fingerprint`."""
    position: int
    """Position in the log up to which it is true."""
    moved_at: datetime | None
    """When it last moved."""
    rate: int | None
    """Events a second, when it last moved."""
    compared_at: int | None
    """Position at which it was found to equal the live one; None if it was not compared."""
    stopped_at: int | None
    """Position of the event on which it failed; None if it did not."""
    stopped_type: str | None
    error: str | None
    """What went wrong there."""
    skipped: frozenset[int] = field(default=frozenset())
    """Positions of the events that it was told to leave out."""

    @property
    def is_live(self) -> bool:
        """Tell whether the published name shows it."""
        return self.state is GenerationState.LIVE

    @property
    def is_open(self) -> bool:
        """Tell whether it may be moved on."""
        return self.state in {GenerationState.BUILDING, GenerationState.LIVE} and self.stopped_at is None


def live_generations(generations: Iterable[Generation]) -> dict[str, Generation]:
    """Find the live generation of each view that has one, by the view's name."""
    return {one.view: one for one in generations if one.is_live}


@dataclass(frozen=True, slots=True)
class GenerationComparison:
    """What a comparison of two generations found."""

    position: int
    """Position at which both were compared."""
    rows: int
    """Rows of the new one."""
    differences: tuple[str, ...]
    """The first rows that differ, said in words."""


class Moved(Exception):
    """A generation is not where it was: another worker has moved it."""


class RowsRefused(HoldbookError):
    """The database refused rows that a view's handlers made."""


class Source(Protocol):
    """Reads the log for views; raises `LogUnavailable`, and `LogCorrupt` or `UnknownEvent` for what cannot be read."""

    def head(self) -> int:
        """Find the position of the last event; 0 in an empty log."""
        ...

    def read_events(self, after: int, limit: int, upto: int) -> Sequence[ViewEvent]:
        """Read the events after a position, about ``limit``, to the end of a command, none after ``upto``."""
        ...

    def recorded_at(self, position: int) -> datetime | None:
        """Tell when an event was recorded; None if there is none there."""
        ...

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: call what this gives with seconds to wait; it tells whether there may be news."""
        ...


class Store(Protocol):
    """Keeps generations: their rows, and the books on them. Raises `LogUnavailable`."""

    batch_seconds_max: float
    """The longest that a transaction should take, in seconds: where it keeps the log's writers waiting, a blink."""

    def generations(self) -> list[Generation]:
        """List every generation, as at one moment."""
        ...

    def skips(self) -> list[dict[str, Any]]:
        """List the events that generations were told to leave out, those of generations that are gone too."""
        ...

    def begin(self, view: View) -> Generation:
        """Make the view's next generation, or find the unfinished one that the same code began."""
        ...

    def load(self, generation: Generation, table: Table, begins: Collection[Key]) -> Mapping[Key, Row]:
        """Read the last rows whose keys begin so; raises `Moved` if the generation is not where it was."""
        ...

    def advance(self, generation: Generation, changes: Sequence[TableChanges], position: int, rate: int) -> float:
        """Write rows and position in one transaction; the seconds that it took.

        Raises `Moved` if the generation is not where it was (compare and set), or is not open, and `RowsRefused`.
        """
        ...

    def stop(self, generation: Generation, position: int, event_type: str, error: str) -> None:
        """Record that a generation failed on an event."""
        ...

    def resume(self, generation: Generation) -> None:
        """Take that back."""
        ...

    def skip(self, generation: Generation, *, reason: str, actor: str) -> None:
        """Record that a generation leaves out the event on which it stopped, why, and by whose decision; resume it."""
        ...

    def finish(self, view: View, generation: Generation) -> None:
        """Make the indexes that were left out while rows were loaded in bulk."""
        ...

    def compare(self, view: View, live: Generation, building: Generation) -> GenerationComparison | None:
        """Compare two generations where their columns agree; None if they do not stand at the same position."""
        ...

    def note_compared(self, building: Generation, position: int) -> None:
        """Record that a generation equals the live one at a position, or that its differences were accepted."""
        ...

    def discard(self, generation: Generation) -> None:
        """Give a generation that is being built up."""
        ...

    def publish(self, view: View, building: Generation) -> bool:
        """Put a generation in the place of the live one, which is kept; False if that is ahead of it.

        One transaction. Raises `Moved` if it is not being built any more.
        """
        ...

    def put_back(self, view: str) -> Generation:
        """Put the kept generation in the place of the live one, which is kept; raises `NotFound` if there is none."""
        ...

    def prune(self, view: str) -> list[int]:
        """Remove the view's kept and discarded generations; their numbers."""
        ...
