"""The event log in memory: for tests, for tutorials, and for a resource manager without a database."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from threading import Condition, RLock
from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError
from eventsourcing.popo import POPOAggregateRecorder

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import Opening
from holdbook.domain.records import LogPosition, StoredRow, genesis
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.log.mapper import EventMapper, notification, stored_event
from holdbook.infrastructure.log.recorder import BaseEventLog, chained, one_event
from holdbook.infrastructure.log.search import chosen
from holdbook.infrastructure.log.snapshots import load_pool, load_pool_version, snapshot_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from uuid import UUID

    from eventsourcing.persistence import Notification, StoredEvent

    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.pool import Pool
    from holdbook.domain.records import Recorded
    from holdbook.domain.waiting import Waiting


class MemoryEventLog(BaseEventLog):
    """A log that lasts as long as the object. It refuses whatever a database's constraints would refuse."""

    def __init__(self, mapper: EventMapper | None = None) -> None:
        super().__init__(mapper or EventMapper())
        self.ledger_id = new_id()
        """Id of this ledger, made with it."""
        self.epoch = 1
        """How often the log was restored from a backup, from 1: this one never is."""
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._rows: list[StoredRow] = []
        self._streams: dict[str, dict[int, int]] = {}
        """Indexes into the rows, by stream and version."""
        self._commands: dict[str, list[int]] = {}
        """Indexes into the rows, by command id."""
        self._subjects: dict[str, list[int]] = {}
        """Indexes into the rows, by allocation id."""
        self._openings: dict[str, int] = {}
        """Index of the row that opened each allocation."""
        self.snapshots = POPOAggregateRecorder()
        self._queue: dict[str, Waiting] = {}
        """The commands that wait, by id, in the order they will be served in."""
        self._tickets = 0
        """The last ticket given to a command that waits."""
        self._moves = 0
        """How often commands left the queue: part of what watchers compare."""

    @contextmanager
    def reading(self) -> Iterator[MemoryReader]:
        """Read the log; nobody appends until the block ends."""
        with self._lock:
            yield MemoryReader(self)

    @contextmanager
    def writing(self, timeout: float | None = None, since: int | None = None) -> Iterator[MemoryWriter]:  # noqa: ARG002 - there is no database to wait for, or to read from
        """Take the log's lock; what the writer appends is kept unless the block raises."""
        with self._lock:
            writer = MemoryWriter(self)
            yield writer
            self._extend(writer.appended)
            self._move_queue(writer.entered, writer.left)

    def append_if(self, end: LogPosition, rows: Sequence[StoredRow], timeout: float | None = None) -> bool:
        """Append rows if the log still ends at ``end`` and the queue is empty; tell whether it was done."""
        with self.writing(timeout) as writer:
            if (writer.head, writer.head_hash) != end or self._queue:
                return False
            writer.insert(rows)
            return True

    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read about ``limit`` rows from position ``after + 1`` on, up to the end of a command, or to ``upto``."""
        with self._lock:
            stop = min(after + limit, len(self._rows))
            if after < stop:
                last = self._rows[stop - 1]
                stop += last.ordinals - 1 - last.ordinal
            return self._rows[after : stop if upto is None else min(stop, upto)]

    def find(
        self, wanted: EventFilter, after: int = 0, limit: int = 1000, *, upto: int | None = None
    ) -> list[StoredRow]:
        """Read the next rows after a position that match a filter, at most ``limit``, none beyond ``upto``."""
        with self._lock:
            return list(
                islice(chosen(self._rows[max(after, 0) : upto], wanted, self._fields, self._opening_rows), limit)
            )

    def _opening_rows(self, allocation_ids: Collection[str]) -> list[StoredRow]:
        return [self._rows[self._openings[key]] for key in allocation_ids if key in self._openings]

    def leave_queue(self, command_ids: Collection[str]) -> None:
        """Take commands out of the queue, undecided."""
        with self._lock:
            self._move_queue((), command_ids)

    def stay_queued(self) -> Collection[str]:
        """Give the ids of the commands that wait: their process lives as long as the log does."""
        with self._lock:
            return set(self._queue)

    def _move_queue(self, entered: Sequence[Waiting], left: Collection[str]) -> None:
        for one in entered:
            known = self._queue.get(one.command_id)
            if known is None:
                self._tickets += 1
                known = replace(one, ticket=self._tickets)
            self._queue[one.command_id] = replace(known, until=one.until)
        if [self._queue.pop(command_id) for command_id in left if command_id in self._queue]:
            self._moves += 1
            self._changed.notify_all()

    @contextmanager
    def watching(self) -> Iterator[Callable[[float], bool]]:
        """Watch for appends: gives a function that waits up to so many seconds, and tells whether there may be news."""
        seen = len(self._rows), self._moves

        def news(seconds: float) -> bool:
            nonlocal seen
            with self._changed:
                changed = self._changed.wait_for(lambda: (len(self._rows), self._moves) != seen, timeout=seconds)
                seen = len(self._rows), self._moves
                return changed

        yield news

    def close(self) -> None:
        """Do nothing: the log lasts as long as the object."""

    def _extend(self, rows: Sequence[StoredRow]) -> None:
        """Append rows, put them into the indexes, and wake watchers."""
        for row in rows:
            index = len(self._rows)
            self._rows.append(row)
            self._streams.setdefault(row.stream_id, {})[row.version] = index
            self._commands.setdefault(row.command_id, []).append(index)
            if row.allocation_id is not None:
                self._subjects.setdefault(row.allocation_id, []).append(index)
                if _is_opening(row):
                    self._openings[row.allocation_id] = index
        self._changed.notify_all()

    # The interface of the library's recorder

    def _insert(self, rows_after: Callable[[int], Sequence[StoredRow]]) -> Sequence[int]:
        try:
            with self.writing() as writer:
                writer.insert(chained(rows_after(writer.head), writer.head, writer.head_hash))
        except LogCorrupt as error:
            raise IntegrityError(str(error)) from error
        return [row.position for row in writer.appended]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Read a stream's events as the library's stored events."""
        with self._lock:
            versions = sorted(self._streams.get(str(originator_id), {}).items(), reverse=desc)
            chosen = [
                index for version, index in versions if (gt is None or version > gt) and (lte is None or version <= lte)
            ]
            return [stored_event(self._rows[index]) for index in chosen[:limit]]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Read the log as the library's notifications. The limit may cut a command in two."""
        first = max((start or 0) + (0 if inclusive_of_start else 1), 1)
        with self._lock:
            found = self._rows[first - 1 : stop]
        return [one for one in map(notification, found) if not topics or one.topic in topics][:limit]

    def max_notification_id(self) -> int | None:
        """Find the position of the last event; None in an empty log."""
        with self._lock:
            return len(self._rows) or None


class MemoryReader:
    """Reads the log at one moment; nobody appends until `MemoryEventLog.reading` ends."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log
        self.head = len(log._rows)  # noqa: SLF001 - the reader is part of the log; so below
        """Position of the last event; 0 in an empty log."""
        self.head_hash = log._rows[-1].hash if log._rows else genesis(log.ledger_id)  # noqa: SLF001

    def stream(self, stream_id: str, after: int = 0) -> Iterator[Recorded]:
        """Read the events of a stream whose version is above ``after``, in order."""
        stream = self._log._streams.get(stream_id, {})  # noqa: SLF001
        for version in range(after + 1, len(stream) + 1):
            yield self._event(stream[version])

    def rows_since(self, position: int) -> list[StoredRow]:
        """Read the rows after a position, up to the head."""
        return self._log._rows[position : self.head]  # noqa: SLF001

    def decode(self, row: StoredRow) -> Recorded:
        """Make an event and its envelope of a row; raises `UnknownEvent` or `LogCorrupt`."""
        return self._log.decode(row)

    def version(self, stream_id: str) -> int:
        """Find the version of a stream's last event; 0 if it has none."""
        return len(self._log._streams.get(stream_id, {}))  # noqa: SLF001

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find the commands that were decided already: their events by command id."""
        return self._by_key(self._log._commands, command_ids)  # noqa: SLF001

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Find the allocations that were ever granted: their pools by allocation id."""
        openings = self._log._openings  # noqa: SLF001
        found = {key: self._event(openings[key]).event for key in allocation_ids if key in openings}
        return {key: event.pools for key, event in found.items() if isinstance(event, Opening)}

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Read every event about the allocations, refusals too: in order, by allocation id."""
        return self._by_key(self._log._subjects, allocation_ids)  # noqa: SLF001

    def pool_names(self) -> list[str]:
        """List the names of all pools ever opened, sorted."""
        streams = sorted(self._log._streams)  # noqa: SLF001
        return [stream.removeprefix("pool:") for stream in streams if stream.startswith("pool:")]

    def queued(self, pool: str, limit: int) -> list[str]:
        """List the ids of the first ``limit`` commands that wait for a pool, in order."""
        waiting = self._log._queue.values()  # noqa: SLF001
        return list(islice((one.command_id for one in waiting if pool in one.quantities), limit))

    def queue(self) -> list[Waiting]:
        """List the commands that wait, in the order they will be served in."""
        return list(self._log._queue.values())  # noqa: SLF001

    def event(self, stream_id: str, version: int) -> Recorded:
        """Read one event of a stream; raises `LogCorrupt` if it is not there."""
        return one_event(self.stream(stream_id, version - 1), stream_id, version)

    def snapshots(self, pool: str) -> Sequence[int]:
        """List the versions of a pool at which there are usable snapshots, in order."""
        return snapshot_versions(self._log.snapshots, pool)

    def snapshot(self, pool: str) -> Pool | None:
        """Load a pool from its latest snapshot; None if it has no usable one."""
        return load_pool(self._log.snapshots, pool)

    def snapshot_at(self, pool: str, version: int) -> Pool:
        """Load a pool from its snapshot at a version; raises `LogCorrupt` if that cannot be read."""
        return load_pool_version(self._log.snapshots, pool, version)

    def _by_key(self, index: dict[str, list[int]], keys: Collection[str]) -> dict[str, list[Recorded]]:
        return {key: [self._event(at) for at in index[key]] for key in keys if key in index}

    def _event(self, index: int) -> Recorded:
        return self._log.decode(self._log._rows[index])  # noqa: SLF001


class MemoryWriter(MemoryReader):
    """Reads the log at one moment, and collects what to append."""

    def __init__(self, log: MemoryEventLog) -> None:
        super().__init__(log)
        self.appended: list[StoredRow] = []
        """Rows to append when the block of `MemoryEventLog.writing` ends."""
        self.entered: Sequence[Waiting] = ()
        """Commands to put into the queue then."""
        self.left: Collection[str] = ()
        """Ids of commands to take out of it then."""

    def append(self, records: Sequence[Recorded]) -> LogPosition:
        """Append events, numbered from ``head + 1``; give the position and the hash that the log ends with then."""
        rows = chained(map(self._log.mapper.to_row, records), self.head, self.head_hash)
        self.insert(rows)
        return LogPosition.of(rows[-1]) if rows else LogPosition(self.head, self.head_hash)

    def holds(self, place: LogPosition) -> bool:
        """Tell whether the log has the row with that position and hash."""
        return any(row.hash == place.hash for row in self._log._rows[place.position - 1 : place.position])  # noqa: SLF001

    def move_queue(self, entered: Sequence[Waiting], left: Collection[str]) -> None:
        """Put commands into the queue, where those that wait already keep their place, and take others out, by id."""
        self.entered, self.left = entered, left

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Append chained rows; raises `LogCorrupt` if a database's constraints would refuse them."""
        if rows and (self.appended or self._is_taken(rows)):
            message = "the log refused an event whose place, command id or allocation id is taken"
            raise LogCorrupt(message)
        self.appended += rows

    def _is_taken(self, rows: Sequence[StoredRow]) -> bool:
        """Tell whether rows would violate one of the unique constraints that a database has."""
        log = self._log
        places = {(row.stream_id, row.version) for row in rows}
        ordinals = {(row.command_id, row.ordinal) for row in rows}
        opened = [row.allocation_id for row in rows if _is_opening(row)]
        return (
            len(places) < len(rows)
            or len(ordinals) < len(rows)
            or len(set(opened)) < len(opened)
            or any(version in log._streams.get(stream_id, {}) for stream_id, version in places)  # noqa: SLF001
            or any(command_id in log._commands for command_id, _ in ordinals)  # noqa: SLF001
            or any(allocation_id in log._openings for allocation_id in opened)  # noqa: SLF001
        )


def _is_opening(row: StoredRow) -> bool:
    return row.type in {"Allocated", "Reserved"} and row.command is not None
