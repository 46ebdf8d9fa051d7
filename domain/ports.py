"""What the ledger needs of the world: a log, a clock, ids. Adapters are in `holdbook.infrastructure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.pool import Pool
    from holdbook.domain.records import LogPosition, Recorded, StoredRow
    from holdbook.domain.waiting import Waiting

    Clock = Callable[[], datetime]
    """Tells the present instant, in UTC."""
    NewId = Callable[[], str]
    """Makes a fresh id, later ones sorting after earlier ones."""


class LogReader(Protocol):
    """A look at the log as it stood when the look began."""

    @property
    def head(self) -> int:
        """Position of the last event; 0 in an empty log."""
        ...

    def stream(self, stream_id: str, after: int = 0) -> Iterator[Recorded]:
        """Read a stream's events whose version is above ``after``, in order."""
        ...

    def rows_since(self, position: int) -> Sequence[StoredRow]:
        """Read the rows after a position, up to the head."""
        ...

    def decode(self, row: StoredRow) -> Recorded:
        """Read the event of a row; raises `UnknownEvent` or `LogCorrupt`."""
        ...

    def version(self, stream_id: str) -> int:
        """Find the version of a stream's last event; 0 if it has none."""
        ...

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find the events of the commands that were decided before, by command id."""
        ...

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Find the pools of each allocation that was ever granted, by allocation id."""
        ...

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Read every event about the allocations, refusals too, by allocation id, in order."""
        ...

    def pool_names(self) -> list[str]:
        """List every pool ever opened, by name."""
        ...

    def queued(self, pool: str, limit: int) -> list[str]:
        """List the ids of the first commands that wait for a pool, in order, at most ``limit``."""
        ...

    def queue(self) -> list[Waiting]:
        """List the commands that wait, in order."""
        ...

    def event(self, stream_id: str, version: int) -> Recorded:
        """Read one event of a stream; raises `LogCorrupt` if it is not there."""
        ...

    def snapshots(self, pool: str) -> Sequence[int]:
        """List the versions that a pool has usable snapshots at, in order."""
        ...

    def snapshot(self, pool: str) -> Pool | None:
        """Load a pool from its latest usable snapshot, if there is one."""
        ...

    def snapshot_at(self, pool: str, version: int) -> Pool:
        """Load a pool from its snapshot at a version; raises `LogCorrupt` if that cannot be read."""
        ...


class LogWriter(LogReader, Protocol):
    """A look at the log that holds the log's lock: what it sees stays the last until it appends."""

    def append(self, records: Sequence[Recorded]) -> LogPosition:
        """Append events numbered from ``head + 1``; they are durable when the block that opened the writer ends.

        Gives the place of the last row that there is then.
        """
        ...

    def holds(self, place: LogPosition) -> bool:
        """Tell whether a row that was appended earlier is there; if so it is durable when the block ends."""
        ...

    def move_queue(self, entered: Sequence[Waiting], left: Collection[str]) -> None:
        """Let commands enter the queue, those that are in it keeping their place, and others leave it, by id."""
        ...


class EventLog(Protocol):
    """The log: append-only, its positions dense, its rows chained by hashes."""

    @property
    def ledger_id(self) -> str:
        """Id of this ledger, made with it."""
        ...

    @property
    def epoch(self) -> int:
        """How often the log was restored from a backup, from 1."""
        ...

    def reading(self) -> AbstractContextManager[LogReader]:
        """Look at the log without locking it; raises `LogUnavailable`."""
        ...

    def writing(self, timeout: float | None = None, since: int | None = None) -> AbstractContextManager[LogWriter]:
        """Take the log's lock; commit at the block's end, or roll back if it raises.

        With ``since``, the writer's `rows_since` that position may be read in the same trip as the lock is taken.

        Raises `LogUnavailable`, also if the database takes longer than the timeout (seconds) and waiting can be ended.
        If that comes from the block's end, the commit may have been done all the same: `holds` tells.
        """
        ...

    def chain(self, records: Sequence[Recorded], end: LogPosition) -> Sequence[StoredRow]:
        """Write events that follow a place as rows."""
        ...

    def append_if(self, end: LogPosition, rows: Sequence[StoredRow], timeout: float | None = None) -> bool:
        """Append rows if the log still ends at a place and nobody waits in the queue, and tell whether that was so.

        They are durable when this returns. Raises `LogUnavailable`, as `writing` does.
        """
        ...

    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read the rows from position ``after + 1``, about ``limit``, to the end of a command, or to ``upto``."""
        ...

    def find(
        self, wanted: EventFilter, after: int = 0, limit: int = 1000, *, upto: int | None = None
    ) -> Sequence[StoredRow]:
        """Read the next rows that are wanted after a position, in order, at most ``limit``, none beyond ``upto``."""
        ...

    def decode(self, row: StoredRow) -> Recorded:
        """Read the event of a row, upcasting old versions; raises `UnknownEvent` or `LogCorrupt`."""
        ...

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: call what this gives with seconds to wait; it tells whether there may be news."""
        ...

    def leave_queue(self, command_ids: Collection[str]) -> None:
        """Let commands that wait here leave the queue undecided. Raises `LogUnavailable`."""
        ...

    def stay_queued(self) -> Collection[str]:
        """Say that those who wait here are alive; give the ids of their commands that still have their place.

        To be said every `STAY_SECONDS` by whoever waits; the commands of those that said nothing for `GONE_SECONDS`
        are passed over, and leave the queue with what is decided next. Raises `LogUnavailable`.
        """
        ...

    def snapshot_if_due(self, pool: str, copy: Callable[[], Pool | None]) -> None:
        """Write a snapshot of a pool if enough has happened since its last one; not to be called while committing.

        Called only then, ``copy`` gives a copy of the pool as it stands in the log, or None if there is none at hand.
        """
        ...

    def close(self) -> None:
        """Give every connection back."""
        ...
