"""The ports: what the ledger needs of the world, a log, a clock and ids. `holdbook.infrastructure` has the adapters."""

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
    """Gives the present time, with its offset from UTC."""
    NewId = Callable[[], str]
    """Makes a fresh id. Later ids sort after earlier ones."""


class LogReader(Protocol):
    """A consistent view of the log, as it stood when `EventLog.reading` or `EventLog.writing` began."""

    @property
    def head(self) -> int:
        """Position of the last event; 0 in an empty log."""
        ...

    def stream(self, stream_id: str, after: int = 0) -> Iterator[Recorded]:
        """Read a stream's events whose version is above ``after``, in order."""
        ...

    def rows_since(self, position: int) -> Sequence[StoredRow]:
        """Read the rows after a position, up to the head, in order."""
        ...

    def decode(self, row: StoredRow) -> Recorded:
        """Make the event from a row, upcasting old versions; raises `UnknownEvent` or `LogCorrupt`."""
        ...

    def version(self, stream_id: str) -> int:
        """Find the version of a stream's last event; 0 if the stream has none."""
        ...

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find the events of those of the commands that are in the log, by command id."""
        ...

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Find the names of the pools, in order, of those of the allocations that were granted, by allocation id."""
        ...

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Read all events about each of the allocations, refusals too, in order, by allocation id."""
        ...

    def pool_names(self) -> list[str]:
        """List the names of all pools that were ever opened, in order."""
        ...

    def queued(self, pool: str, limit: int) -> list[str]:
        """List the ids of the first ``limit`` commands in the queue of a pool, in order."""
        ...

    def queue(self) -> list[Waiting]:
        """List all commands that wait, in order of their tickets."""
        ...

    def event(self, stream_id: str, version: int) -> Recorded:
        """Read one event of a stream; raises `LogCorrupt` if it is not there."""
        ...

    def snapshots(self, pool: str) -> Sequence[int]:
        """List the versions of a pool at which it has usable snapshots, in order."""
        ...

    def snapshot(self, pool: str) -> Pool | None:
        """Load a pool from its latest usable snapshot; None if there is none."""
        ...

    def snapshot_at(self, pool: str, version: int) -> Pool:
        """Load a pool from its snapshot at a version; raises `LogCorrupt` if that cannot be read."""
        ...


class LogWriter(LogReader, Protocol):
    """A view of the log that has the log's lock: until the block ends, nobody else appends."""

    def append(self, records: Sequence[Recorded]) -> LogPosition:
        """Append events, whose positions go on from ``head + 1``, and give the position of the last row then.

        They are durable when the block of `EventLog.writing` has ended without an error.
        """
        ...

    def holds(self, place: LogPosition) -> bool:
        """Tell whether the log has a row that an earlier commit may have appended, with that hash at that position.

        If it has, the row is durable when the block has ended.
        """
        ...

    def move_queue(self, entered: Sequence[Waiting], left: Collection[str]) -> None:
        """Add commands to the queue, and remove others by their ids. Those that are in it already keep their places."""
        ...


class EventLog(Protocol):
    """The log of all events: append-only, with positions from 1 without gaps, its rows chained by hashes."""

    @property
    def ledger_id(self) -> str:
        """Id of this ledger, made when the ledger was and never changed."""
        ...

    @property
    def epoch(self) -> int:
        """The ledger's epoch: how often the log was restored from a backup, counted from 1."""
        ...

    def reading(self) -> AbstractContextManager[LogReader]:
        """Read the log without locking it, for as long as the block lasts; raises `LogUnavailable`."""
        ...

    def writing(self, timeout: float | None = None, since: int | None = None) -> AbstractContextManager[LogWriter]:
        """Take the log's lock for as long as the block lasts; commit at its end, or roll back if it raises.

        If the writer's `rows_since` will be asked for a position, give it as ``since``: an adapter may then read those
        rows in the same request to the database that takes the lock.

        Raises `LogUnavailable`, also if the database takes longer than the timeout, in seconds, wherever the adapter
        can end the wait. If the error comes at the end of the block, the commit may have been done all the same: ask
        `LogWriter.holds`.
        """
        ...

    def chain(self, records: Sequence[Recorded], end: LogPosition) -> Sequence[StoredRow]:
        """Make the rows of events that follow the row at a position, chained by their hashes; appends nothing."""
        ...

    def append_if(self, end: LogPosition, rows: Sequence[StoredRow], timeout: float | None = None) -> bool:
        """Append rows if the log still ends at a position and nobody waits in the queue; tell whether it did.

        Appended rows are durable when this returns. Raises `LogUnavailable`, as `writing` does.
        """
        ...

    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read about ``limit`` rows from position ``after + 1``, in order, none beyond ``upto``.

        Unless ``upto`` comes first, the last row is the last of its command: there may be more rows than ``limit``.
        """
        ...

    def find(
        self, wanted: EventFilter, after: int = 0, limit: int = 1000, *, upto: int | None = None
    ) -> Sequence[StoredRow]:
        """Read the first ``limit`` rows after a position whose events pass a filter, in order, none beyond ``upto``."""
        ...

    def decode(self, row: StoredRow) -> Recorded:
        """Make the event from a row, as `LogReader.decode` does; raises `UnknownEvent` or `LogCorrupt`."""
        ...

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits while the block lasts.

        The block gets a function. It waits for up to so many seconds, and returns True as soon as there may be rows, or
        changes of the queue, that it did not tell of before.
        """
        ...

    def leave_queue(self, command_ids: Collection[str]) -> None:
        """Remove commands of this process from the queue, by their ids, undecided. Raises `LogUnavailable`."""
        ...

    def stay_queued(self) -> Collection[str]:
        """Tell the queue that this process is alive; give the ids of its commands that still have their places.

        A process with waiting commands calls this every `STAY_SECONDS`. If it has not for `GONE_SECONDS`, its commands
        are passed over, and the next commit removes them from the queue. Raises `LogUnavailable`.
        """
        ...

    def snapshot_if_due(self, pool: str, copy: Callable[[], Pool | None]) -> None:
        """Write a snapshot of a pool if it has had enough events since its last one. Never call it during a commit.

        ``copy`` is called only if a snapshot is due. It gives a copy of the pool as it stands in the log, or None if
        the caller has none at hand.
        """
        ...

    def close(self) -> None:
        """Give back every connection to the database."""
        ...
