"""Generations, which are the builds of a view in a database, and the two ports of the engine: a source and a store."""

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
    """What a generation is used for."""

    BUILDING = "building"
    """It is being built beside the live generation."""
    LIVE = "live"
    """The view's published name points to it."""
    KEPT = "kept"
    """It was live before, and can be put back."""
    DISCARDED = "discarded"
    """It is of no use any more; `Store.prune` removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One build of a view, as the database had it when it was read."""

    view: str
    number: int
    state: GenerationState
    version: int
    """The version of the view whose code builds it."""
    fingerprint: str
    """What `View.fingerprint` gave for that code."""
    position: int
    """The position in the log up to which its rows are true."""
    moved_at: datetime | None
    """When its position last changed; None if it never did."""
    rate: int | None
    """How many events a second were folded when it last moved; None if it never did."""
    compared_at: int | None
    """The position at which it was found equal to the live one, or differences were accepted; None before that."""
    stopped_at: int | None
    """The position of the event on which it failed; None if it did not fail."""
    stopped_type: str | None
    error: str | None
    """The error on that event."""
    skipped: frozenset[int] = field(default=frozenset())
    """The positions of the events that an operator told it to leave out."""

    @property
    def is_live(self) -> bool:
        """Tell whether the view's published name points to it."""
        return self.state is GenerationState.LIVE

    @property
    def is_open(self) -> bool:
        """Tell whether it may be moved on: it is being built or live, and has not failed."""
        return self.state in {GenerationState.BUILDING, GenerationState.LIVE} and self.stopped_at is None


def live_generations(generations: Iterable[Generation]) -> dict[str, Generation]:
    """Find the live generation of each view that has one, by the view's name."""
    return {one.view: one for one in generations if one.is_live}


@dataclass(frozen=True, slots=True)
class GenerationComparison:
    """What a comparison of two generations found."""

    position: int
    """The position in the log of both generations when they were compared."""
    rows: int
    """How many rows the new generation had."""
    differences: tuple[str, ...]
    """The first rows that differ, each described in words."""


class Moved(Exception):
    """Another worker has moved or changed the generation, so the work on it was not written."""


class RowsRefused(HoldbookError):
    """The database refused rows that a view's handlers made."""


class Source(Protocol):
    """Reads the log for views; raises `LogUnavailable`, and `LogCorrupt` or `UnknownEvent` for what cannot be read."""

    def head(self) -> int:
        """Find the position of the last event; 0 in an empty log."""
        ...

    def read_events(self, after: int, limit: int, upto: int) -> Sequence[ViewEvent]:
        """Read about ``limit`` events after a position, none beyond ``upto``; the last one ends its command."""
        ...

    def recorded_at(self, position: int) -> datetime | None:
        """Tell when the event at a position was recorded; None if there is no such event."""
        ...

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits. Call what this gives with seconds to wait; it tells whether there may be new events."""
        ...


class Store(Protocol):
    """Keeps the generations of views: their rows and positions. Its methods raise `LogUnavailable`."""

    batch_seconds_max: float
    """How many seconds a transaction should take at most; little where it makes the log's writers wait."""

    def generations(self) -> list[Generation]:
        """List every generation as of one moment, by view and number."""
        ...

    def skips(self) -> list[dict[str, Any]]:
        """List the events that generations were told to leave out, also of generations that have been removed.

        Each is a row of the table ``skipped_events``: view, generation, position, type, error, reason, actor, time.
        """
        ...

    def begin(self, view: View) -> Generation:
        """Create the view's next generation, or find the unfinished one that code with the same fingerprint began."""
        ...

    def load(self, generation: Generation, table: Table, begins: Collection[Key]) -> Mapping[Key, Row]:
        """Read the last row for each beginning of a key that has one; raises `Moved` if the generation has moved."""
        ...

    def advance(self, generation: Generation, changes: Sequence[TableChanges], position: int, rate: int) -> float:
        """Write rows and the new position in one transaction; gives the seconds that it took.

        Raises `Moved` if the generation is not at the position that is given with it (compare-and-set) or is not open,
        and `RowsRefused`.
        """
        ...

    def stop(self, generation: Generation, position: int, event_type: str, error: str) -> None:
        """Record that a generation failed on the event at a position, and with which error."""
        ...

    def resume(self, generation: Generation) -> None:
        """Remove the record of a failure, so that the generation may be moved again."""
        ...

    def skip(self, generation: Generation, *, reason: str, actor: str) -> None:
        """Record that a generation leaves out the event on which it failed, why, and who decided so; then resume it."""
        ...

    def finish(self, view: View, generation: Generation) -> None:
        """Create the indexes that are left out while rows are loaded in bulk."""
        ...

    def compare(self, view: View, live: Generation, building: Generation) -> GenerationComparison | None:
        """Compare the rows of two generations in the columns that both have; None if their positions differ."""
        ...

    def note_compared(self, building: Generation, position: int) -> None:
        """Record that a generation equals the live one at a position, or that its differences were accepted."""
        ...

    def discard(self, generation: Generation) -> None:
        """Give up a generation that is being built."""
        ...

    def publish(self, view: View, building: Generation) -> bool:
        """Make a generation the live one in place of the present one, which is kept, in one transaction.

        Gives False, and changes nothing, if the live generation is further on. Raises `Moved` if the generation is not
        being built any more.
        """
        ...

    def put_back(self, view: str) -> Generation:
        """Make the kept generation the live one, and keep the present one; raises `NotFound` if none is kept."""
        ...

    def prune(self, view: str) -> list[int]:
        """Remove a view's kept and discarded generations; gives their numbers."""
        ...
