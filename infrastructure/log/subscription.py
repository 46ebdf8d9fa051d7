"""Follow a log: a subscription of the library that never shows half of a command."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from eventsourcing.persistence import ListenNotifySubscription, ShutDown

from holdbook.infrastructure.log.mapper import notification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from holdbook.domain.records import StoredRow

_WATCH_SECONDS: Final = 0.1
"""How long a watcher waits for a commit before it checks whether the subscription was stopped."""


class Followed(Protocol):
    """What a subscription needs of a log."""

    def rows(self, after: int = 0, limit: int = 1000) -> list[StoredRow]:
        """Read about ``limit`` rows from position ``after + 1`` on, up to the end of a command."""
        ...

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""
        ...


class LogSubscription(ListenNotifySubscription[Any]):
    """Follows a log in whole commands, woken by commits of this process and of others.

    It begins after position ``gt``, and gives only events of ``topics`` if there are any. Of the library's recorder it
    needs no more than `Followed` has.
    """

    def __init__(self, log: Followed, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        self._log = log  # first: the base class starts a thread that reads it
        super().__init__(recorder=log, gt=gt, topics=topics)
        self._watcher = Thread(target=self._watch, name="holdbook-subscription")
        self._watcher.start()

    def __exit__(self, *args: object, **kwargs: object) -> None:
        super().__exit__(*args, **kwargs)
        self._watcher.join()

    def _watch(self) -> None:
        try:
            with self._log.watching() as news:
                self._has_been_notified.set()  # to read what was committed before the watch began
                while not self._has_been_stopped:
                    if news(_WATCH_SECONDS):
                        self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._thread_error = error
            self.stop()

    def _pull(self) -> None:
        while not self._has_been_stopped:
            self._has_been_notified.clear()
            rows = self._log.rows(self._last_notification_id or 0, self._select_limit)
            if not rows:
                return
            chosen = [one for row in rows if (one := notification(row)).topic in self._topics or not self._topics]
            self._last_notification_id = rows[-1].position
            try:
                if chosen:
                    self._notifications_queue.put(chosen)
            except ShutDown:
                return
