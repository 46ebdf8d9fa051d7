"""What the logs share: the library's recorder face, numbering and chaining of rows, subscriptions."""

from __future__ import annotations

from abc import abstractmethod
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from eventsourcing.persistence import (
    ApplicationRecorder,
    ListenNotifySubscription,
    Notification,
    ShutDown,
    StoredEvent,
)

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.records import StoredRow, chain_hash
from holdbook.domain.values import instant_text
from holdbook.infrastructure.clock import new_id, system_clock
from holdbook.infrastructure.log.mapper import NO_HASH, EventMapper, topic_of
from holdbook.infrastructure.log.snapshots import is_due, save_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from eventsourcing.persistence import AggregateRecorder

    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import LogReader
    from holdbook.domain.records import LogPosition, Recorded

_WATCH_SECONDS: Final = 0.1
"""How long a subscription's watcher waits before it looks whether it was stopped."""


class BaseEventLog(ApplicationRecorder):
    """A log with the face of the library's recorder. Domain code writes through `writing`, never here."""

    snapshots: AggregateRecorder
    """Where snapshots of pools are kept."""

    def __init__(self, mapper: EventMapper) -> None:
        self.mapper = mapper

    @abstractmethod
    def reading(self) -> AbstractContextManager[LogReader]:
        """Look at the log without locking it."""

    @abstractmethod
    def rows(self, after: int = 0, limit: int = 1000, *, upto: int | None = None) -> list[StoredRow]:
        """Read the rows from position ``after + 1``, about ``limit``, to the end of a command, or to ``upto``."""

    @abstractmethod
    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: call what this gives with seconds to wait; it tells whether there may be news."""

    @abstractmethod
    def _insert(self, numbered: Callable[[int], Sequence[StoredRow]]) -> Sequence[int]:
        """Append the rows that ``numbered`` makes for a head; the positions they got. Raises IntegrityError."""

    def decode(self, row: StoredRow) -> Recorded:
        """Read the event of a row, upcasting old versions; raises `UnknownEvent` or `LogCorrupt`."""
        return self.mapper.from_row(row)

    def _fields(self, row: StoredRow) -> dict[str, Any]:
        return self.mapper.fields(row.type, row.schema_version, row.data, row.position)

    def chain(self, records: Sequence[Recorded], end: LogPosition) -> list[StoredRow]:
        """Write events that follow a place as rows."""
        return chained(map(self.mapper.to_row, records), end.position, end.hash)

    def snapshot_if_due(self, pool: str, copy: Callable[[], Pool | None]) -> None:
        """Write a snapshot of a pool, off the commit path, if enough has happened since its last one.

        Called only then, ``copy`` gives a copy of the pool as it stands in the log, or None if there is none at hand.
        """
        with self.reading() as reader:
            due = is_due(self.snapshots, reader, pool)
        present = copy() if due else None
        if present is not None:
            save_pool(self.snapshots, present)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int]:
        """Append plain events as one command of their own; for the library's tools and tests."""
        return self._insert(lambda head: list(_plain_rows(stored_events, head))) if stored_events else []

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Follow the log after a position; never shows half of a command."""
        return LogSubscription(recorder=self, gt=gt, topics=topics)


def _plain_rows(stored_events: Sequence[StoredEvent], head: int) -> Iterator[StoredRow]:
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
    """Give each row its hash, from the hash before it; raises `LogCorrupt` unless they follow one another."""
    done = []
    for position, row in enumerate(rows, start=head + 1):
        if row.position != position:
            message = f"the event to append has position {row.position}; it belongs at {position}"
            raise LogCorrupt(message)
        head_hash = chain_hash(head_hash, row)
        done.append(StoredRow(*row[:-1], head_hash))
    return done


def one_event(found: Iterator[Recorded], stream_id: str, version: int) -> Recorded:
    """Take the event of a stream that was looked for; raises `LogCorrupt` if it is not there."""
    for recorded in found:
        return recorded
    message = f"stream {stream_id!r} has no event of version {version}"
    raise LogCorrupt(message)


def stored_event(row: StoredRow) -> StoredEvent:
    """Show a row as the library's stored event."""
    return StoredEvent(row.stream_id, row.version, topic_of(row.type, row.schema_version), row.data.encode())


def notification(row: StoredRow) -> Notification:
    """Show a row as the library's notification."""
    topic = topic_of(row.type, row.schema_version)
    return Notification(row.stream_id, row.version, topic, row.data.encode(), row.position)


class LogSubscription(ListenNotifySubscription[BaseEventLog]):
    """Follows a log in whole commands, woken by commits of this process and of others."""

    def __init__(self, recorder: BaseEventLog, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._watcher = Thread(target=self._watch, name="holdbook-subscription")
        self._watcher.start()

    def __exit__(self, *args: object, **kwargs: object) -> None:
        super().__exit__(*args, **kwargs)
        self._watcher.join()

    def _watch(self) -> None:
        try:
            with self._recorder.watching() as news:
                self._has_been_notified.set()  # what came before the watch began is read now
                while not self._has_been_stopped:
                    if news(_WATCH_SECONDS):
                        self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._thread_error = error
            self.stop()

    def _pull(self) -> None:
        while not self._has_been_stopped:
            self._has_been_notified.clear()
            rows = self._recorder.rows(self._last_notification_id or 0, self._select_limit)
            if not rows:
                return
            chosen = [one for row in rows if (one := notification(row)).topic in self._topics or not self._topics]
            self._last_notification_id = rows[-1].position
            try:
                if chosen:
                    self._notifications_queue.put(chosen)
            except ShutDown:
                return
