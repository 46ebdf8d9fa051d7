"""What both logs share: the interface of the library's recorder, and how rows are numbered and chained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import ApplicationRecorder

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.records import StoredRow, chain_hash
from holdbook.domain.values import instant_text
from holdbook.infrastructure.clock import new_id, system_clock
from holdbook.infrastructure.log.mapper import NO_HASH, EventMapper
from holdbook.infrastructure.log.snapshots import is_due, save_pool
from holdbook.infrastructure.log.subscription import LogSubscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from eventsourcing.persistence import AggregateRecorder, StoredEvent

    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import LogReader
    from holdbook.domain.records import LogPosition, Recorded


class BaseEventLog(ApplicationRecorder):
    """A log that is also the library's application recorder, for its tools. Commands are recorded through `writing`."""

    snapshots: AggregateRecorder
    """The library's recorder that keeps snapshots of pools."""

    def __init__(self, mapper: EventMapper) -> None:
        self.mapper = mapper

    @abstractmethod
    def reading(self) -> AbstractContextManager[LogReader]:
        """Look at the log without locking it."""

    @abstractmethod
    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read about ``limit`` rows from position ``after + 1`` on, up to the end of a command, or to ``upto``."""

    @abstractmethod
    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""

    @abstractmethod
    def _insert(self, rows_after: Callable[[int], Sequence[StoredRow]]) -> Sequence[int]:
        """Append the rows that ``rows_after`` makes for the position of the last event; give their positions.

        Raises the library's IntegrityError if a stream's version is taken.
        """

    def decode(self, row: StoredRow) -> Recorded:
        """Make an event and its envelope of a row, upcasting old versions; raises `UnknownEvent` or `LogCorrupt`."""
        return self.mapper.from_row(row)

    def _fields(self, row: StoredRow) -> dict[str, Any]:
        return self.mapper.fields(row.type, row.schema_version, row.data, row.position)

    def chain(self, records: Sequence[Recorded], end: LogPosition) -> list[StoredRow]:
        """Make chained rows of events that follow the end of the log given."""
        return chained(map(self.mapper.to_row, records), end.position, end.hash)

    def snapshot_if_due(self, pool: str, copy: Callable[[], Pool | None]) -> None:
        """Save a snapshot of a pool if enough has happened since its last one. Not to be called while committing.

        ``copy`` gives a copy of the pool as it stands in the log, or None if there is none; it is called only if a
        snapshot is due.
        """
        with self.reading() as reader:
            due = is_due(self.snapshots, reader, pool)
        present = copy() if due else None
        if present is not None:
            save_pool(self.snapshots, present)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int]:
        """Append plain events of the library as one command; for its tools and its tests. Gives their positions."""
        return self._insert(lambda head: list(_plain_rows(stored_events, head))) if stored_events else []

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Follow the log after a position, in whole commands; of ``topics`` only, if any are given."""
        return LogSubscription(self, gt=gt, topics=topics)


def _plain_rows(stored_events: Sequence[StoredEvent], head: int) -> Iterator[StoredRow]:
    """Make rows of plain events, which have no envelope: they get one as a command of their own."""
    command_id, now = new_id(), instant_text(system_clock())
    for ordinal, stored in enumerate(stored_events):
        yield StoredRow(
            position=head + ordinal + 1,
            stream_id=str(stored.originator_id),
            version=stored.originator_version,
            type=stored.topic,
            schema_version=1,
            command_id=command_id,
            ordinal=ordinal,
            ordinals=len(stored_events),
            allocation_id=None,
            occurred_at=now,
            recorded_at=now,
            actor=None,
            correlation_id=None,
            causation_id=None,
            command=None,
            data=stored.state.decode(),
            hash=NO_HASH,
        )


def chained(rows: Iterable[StoredRow], head: int, head_hash: bytes) -> list[StoredRow]:
    """Give each row its hash, computed from the one before it.

    ``head`` and ``head_hash`` are the position and the hash of the log's last row. Raises `LogCorrupt` unless the
    rows have the positions that follow.
    """
    done = []
    for position, row in enumerate(rows, start=head + 1):
        if row.position != position:
            message = f"the event to append has position {row.position}; it belongs at {position}"
            raise LogCorrupt(message)
        head_hash = chain_hash(head_hash, row)
        done.append(StoredRow(*row[:-1], head_hash))
    return done


def one_event(found: Iterator[Recorded], stream_id: str, version: int) -> Recorded:
    """Take the first of the events found; raises `LogCorrupt`, naming the stream and the version, if there is none."""
    for recorded in found:
        return recorded
    message = f"stream {stream_id!r} has no event of version {version}"
    raise LogCorrupt(message)
