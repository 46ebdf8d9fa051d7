"""The event log in an SQLite or PostgreSQL database."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from eventsourcing.persistence import IntegrityError
from sqlalchemy import Text, case, cast, func, select

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.records import LogPosition, StoredRow, genesis
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.database.tables import events, ledger_meta, of_stream
from holdbook.infrastructure.log.mapper import notification, stored_event
from holdbook.infrastructure.log.recorder import BaseEventLog, chained, one_event
from holdbook.infrastructure.log.search import ROWS_TESTED, chosen, clauses, is_exact
from holdbook.infrastructure.log.snapshots import SQLSnapshots, load_pool, load_pool_version, snapshot_versions
from holdbook.infrastructure.log.sql_queue import SQLQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from eventsourcing.persistence import Notification, StoredEvent
    from sqlalchemy import Column, Connection, Select

    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.pool import Pool
    from holdbook.domain.records import Recorded
    from holdbook.domain.waiting import Waiting
    from holdbook.infrastructure.database.database import Database
    from holdbook.infrastructure.database.transaction import Transaction
    from holdbook.infrastructure.log.mapper import EventMapper

_IDS_PER_STATEMENT: Final = 1000
"""The most ids looked up in one statement: both databases limit the number of parameters."""

_PAGE_ROWS: Final = 5000
"""How many rows of a stream are read at a time."""

_LAST: Final = select(func.max(events.c.position))

_TOPIC: Final = case(
    (events.c.schema_version == 1, events.c.type),
    else_=events.c.type + "@" + cast(events.c.schema_version, Text),
)
"""The topic of a row, computed in SQL as `topic_of` does."""


class SQLReader:
    """Reads the log inside one transaction."""

    def __init__(self, connection: Connection, mapper: EventMapper, head: int) -> None:
        self._connection = connection
        self._mapper = mapper
        self._snapshots = SQLSnapshots(lambda: nullcontext(connection))
        self.head = head
        """Position of the last event; 0 in an empty log."""

    def stream(self, stream_id: str, after: int = 0) -> Iterator[Recorded]:
        """Read the events of a stream whose version is above ``after``, in order."""
        page = select(events).where(events.c.stream_id == stream_id).order_by(events.c.version).limit(_PAGE_ROWS)
        while rows := self._rows(page.where(events.c.version > after)):
            yield from map(self._mapper.from_row, rows)
            after = rows[-1].version
            if len(rows) < _PAGE_ROWS:
                return

    def rows_since(self, position: int) -> Sequence[StoredRow]:
        """Read the rows after a position, up to the head."""
        return self._rows(select(events).where(events.c.position > position).order_by(events.c.position))

    def decode(self, row: StoredRow) -> Recorded:
        """Make an event and its envelope of a row; raises `UnknownEvent` or `LogCorrupt`."""
        return self._mapper.from_row(row)

    def version(self, stream_id: str) -> int:
        """Find the version of a stream's last event; 0 if it has none."""
        last = select(func.max(events.c.version)).where(events.c.stream_id == stream_id)
        return self._connection.execute(last).scalar() or 0

    def commands(self, command_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Find the commands that were decided already: their events by command id."""
        return self._by_key(events.c.command_id, command_ids)

    def granted(self, allocation_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Find the allocations that were ever granted: their pools by allocation id."""
        found = {}
        for row in self.openings(allocation_ids):
            found[str(row.allocation_id)] = self._mapper.from_row(row).event.pools  # type: ignore[attr-defined]
        return found

    def openings(self, allocation_ids: Collection[str]) -> Iterator[StoredRow]:
        """Read the row that opened each allocation, for those that were ever granted."""
        for ids in _portions(allocation_ids):
            yield from self._rows(
                select(events).where(
                    events.c.allocation_id.in_(ids),
                    events.c.type.in_(("Allocated", "Reserved")),
                    events.c.command.is_not(None),
                )
            )

    def histories(self, allocation_ids: Collection[str]) -> dict[str, list[Recorded]]:
        """Read every event about the allocations, refusals too: in order, by allocation id."""
        return self._by_key(events.c.allocation_id, allocation_ids)

    def pool_names(self) -> list[str]:
        """List the names of all pools ever opened, sorted."""
        opened = select(events.c.stream_id).where(events.c.type == "PoolOpened").order_by(events.c.stream_id)
        return [stream_id.removeprefix("pool:") for stream_id in self._connection.execute(opened).scalars()]

    def queued(self, pool: str, limit: int) -> list[str]:
        """List the ids of the first ``limit`` commands that wait for a pool, in order."""
        return SQLQueue(self._connection).first(pool, limit)

    def queue(self) -> list[Waiting]:
        """List the commands that wait, in the order they will be served in."""
        return SQLQueue(self._connection).read()

    def event(self, stream_id: str, version: int) -> Recorded:
        """Read one event of a stream; raises `LogCorrupt` if it is not there."""
        found = select(events).where(events.c.stream_id == stream_id, events.c.version == version)
        return one_event(map(self._mapper.from_row, self._rows(found)), stream_id, version)

    def snapshots(self, pool: str) -> Sequence[int]:
        """List the versions of a pool at which there are usable snapshots, in order."""
        return snapshot_versions(self._snapshots, pool)

    def snapshot(self, pool: str) -> Pool | None:
        """Load a pool from its latest snapshot; None if it has no usable one."""
        return load_pool(self._snapshots, pool)

    def snapshot_at(self, pool: str, version: int) -> Pool:
        """Load a pool from its snapshot at a version; raises `LogCorrupt` if that cannot be read."""
        return load_pool_version(self._snapshots, pool, version)

    def _by_key(self, column: Column[Any], keys: Collection[str]) -> dict[str, list[Recorded]]:
        found: dict[str, list[Recorded]] = {}
        for some in _portions(keys):
            rows = self._rows(select(events).where(column.in_(some)))
            rows.sort()  # by position, and not in SQL: without statistics the planner may walk all of the table for it
            for row in rows:
                found.setdefault(getattr(row, column.name), []).append(self._mapper.from_row(row))
        return found

    def _rows(self, statement: Select[Any]) -> list[StoredRow]:
        return [StoredRow(*row) for row in self._connection.execute(statement)]


class SQLWriter(SQLReader):
    """Reads the log inside the transaction that holds the log's lock, and appends."""

    def __init__(self, transaction: Transaction, log: SQLEventLog, since: int | None) -> None:
        super().__init__(transaction.connection, log.mapper, transaction.head)
        self.head_hash = transaction.head_hash or genesis(log.ledger_id)
        self._waiter = log.waiter
        self._transaction = transaction
        self._since = since
        if transaction.has_queue:
            SQLQueue(transaction.connection).forget_the_gone()

    def queued(self, pool: str, limit: int) -> list[str]:
        """List the first commands that wait for a pool; whether any command waits at all was read with the lock."""
        return super().queued(pool, limit) if self._transaction.has_queue else []

    def rows_since(self, position: int) -> Sequence[StoredRow]:
        """Read the rows after a position, up to the head; those that were read with the lock are not read again."""
        news = self._transaction.news if position == self._since else None
        return super().rows_since(position) if news is None else news

    def append(self, records: Sequence[Recorded]) -> LogPosition:
        """Append events, numbered from ``head + 1``; give the position and the hash that the log ends with then."""
        rows = chained(map(self._mapper.to_row, records), self.head, self.head_hash)
        self.insert(rows)
        return LogPosition.of(rows[-1]) if rows else LogPosition(self.head, self.head_hash)

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Insert chained rows. The commit makes them durable, and wakes those who follow the log."""
        if rows:
            self._transaction.insert(rows)

    def holds(self, place: LogPosition) -> bool:
        """Tell whether the log has the row with that position and hash; if so, the commit waits until it is durable."""
        found = select(events.c.hash).where(events.c.position == place.position)
        if self._connection.execute(found).scalar() != place.hash:
            return False
        self._transaction.vouch()
        return True

    def move_queue(self, entered: Sequence[Waiting], left: Collection[str]) -> None:
        """Put commands into the queue, where those that wait already keep their place, and take others out, by id."""
        if left and self._transaction.has_queue:
            SQLQueue(self._connection).leave(left)
        if entered:
            SQLQueue(self._connection).enter(self._waiter, entered)


class SQLEventLog(BaseEventLog):
    """The log in a database: positions without gaps, rows chained by hashes, writers ordered by the log's lock."""

    def __init__(self, database: Database, mapper: EventMapper) -> None:
        super().__init__(mapper)
        self.database = database
        self.snapshots = SQLSnapshots(database.reading, database.changing)
        with database.reading() as connection:
            meta = connection.execute(select(ledger_meta)).one()
        self.ledger_id: str = meta.ledger_id
        """Id of this ledger, made with it."""
        self.format: int = meta.format
        """Version of the row format."""
        self.epoch: int = meta.epoch
        """How often the log was restored from a backup, from 1."""
        self.waiter = new_id()
        """The name under which this ledger's commands stand in the queue."""

    @contextmanager
    def reading(self) -> Iterator[SQLReader]:
        """Read the log at one moment, without locking it."""
        with self.database.reading() as connection:
            yield SQLReader(connection, self.mapper, connection.execute(_LAST).scalar() or 0)

    @contextmanager
    def writing(self, timeout: float | None = None, since: int | None = None) -> Iterator[SQLWriter]:
        """Take the log's lock; commit at the block's end, or roll back if it raises. See `Database.appending`."""
        with self.database.appending(timeout, since) as transaction:
            yield SQLWriter(transaction, self, since)

    def append_if(self, end: LogPosition, rows: Sequence[StoredRow], timeout: float | None = None) -> bool:
        """Append rows if the log still ends at ``end`` and the queue is empty; tell whether it was done."""
        return self.database.append_if(end, rows, timeout)

    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read about ``limit`` rows from position ``after + 1`` on, up to the end of a command, or to ``upto``."""
        page = select(events).where(events.c.position > after).order_by(events.c.position)
        if upto is not None:
            page = page.where(events.c.position <= upto)
        with self.database.reading() as connection:
            found = [StoredRow(*row) for row in connection.execute(page.limit(limit))]
            if found and len(found) == limit:
                # The smaller bound only: of two upper bounds SQLite uses one for the search, perhaps the greater.
                last = found[-1]
                end = last.position + last.ordinals - 1 - last.ordinal
                rest = select(events).where(
                    events.c.position > last.position,
                    events.c.position <= (end if upto is None else min(end, upto)),
                )
                found += [StoredRow(*row) for row in connection.execute(rest.order_by(events.c.position))]
        return found

    def find(
        self, wanted: EventFilter, after: int = 0, limit: int = 1000, *, upto: int | None = None
    ) -> list[StoredRow]:
        """Read the next rows after a position that match a filter, at most ``limit``, none beyond ``upto``."""
        size = limit if is_exact(wanted) else max(limit, ROWS_TESTED)
        page = select(events).where(*clauses(wanted)).order_by(events.c.position).limit(size)
        page = page if upto is None else page.where(events.c.position <= upto)
        found: list[StoredRow] = []
        while len(found) < limit:
            with self.database.reading() as connection:
                reader = SQLReader(connection, self.mapper, 0)
                rows = [StoredRow(*row) for row in connection.execute(page.where(events.c.position > after))]
                found += chosen(rows, wanted, self._fields, reader.openings)
            if len(rows) < size:
                break
            after = rows[-1].position
        return found[:limit]

    def leave_queue(self, command_ids: Collection[str]) -> None:
        """Take commands of this ledger out of the queue, undecided, and wake others, whose turn it may be."""
        # The lock has it wait for commits of this ledger that may still put commands into the queue.
        with self.database.writing(takes_long=False, wakes=True) as connection:
            SQLQueue(connection).leave(command_ids, self.waiter)

    def stay_queued(self) -> set[str]:
        """Record that this ledger is alive; give the ids of its commands that are still in the queue."""
        with self.database.changing(takes_long=False) as connection:
            queue = SQLQueue(connection)
            queue.say_alive(self.waiter)
            return queue.of(self.waiter)

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""
        return self.database.watching()

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()

    # The interface of the library's recorder

    def _insert(self, rows_after: Callable[[int], Sequence[StoredRow]]) -> Sequence[int]:
        try:
            with self.writing() as writer:
                rows = chained(rows_after(writer.head), writer.head, writer.head_hash)
                writer.insert(rows)
        except LogCorrupt as error:
            raise IntegrityError(str(error)) from error
        return [row.position for row in rows]

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
        found = of_stream(events, str(originator_id), gt=gt, lte=lte, desc=desc, limit=limit)
        with self.database.reading() as connection:
            return [stored_event(StoredRow(*row)) for row in connection.execute(found)]

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
        first = (start or 0) + (0 if inclusive_of_start else 1)
        found = select(events).where(events.c.position >= first).order_by(events.c.position).limit(limit)
        found = found if stop is None else found.where(events.c.position <= stop)
        found = found.where(_TOPIC.in_(topics)) if topics else found
        with self.database.reading() as connection:
            return [notification(StoredRow(*row)) for row in connection.execute(found)]

    def max_notification_id(self) -> int | None:
        """Find the position of the last event; None in an empty log."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar()


def _portions(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _IDS_PER_STATEMENT):
        yield ordered[start : start + _IDS_PER_STATEMENT]
