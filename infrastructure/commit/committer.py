"""The committer: a queue of commands, and the one thread that commits what waits in it."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Final, NamedTuple

from holdbook.domain.errors import LogUnavailable, Overloaded
from holdbook.infrastructure.commit.promise import wake
from holdbook.infrastructure.fork_guard import ForkGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from holdbook.domain.handling.outcome import PendingCommand
    from holdbook.infrastructure.commit.promise import Caller, CommandAnswer

    Decide = Callable[[list[PendingCommand], Callable[[], Iterable[PendingCommand]]], Sequence[CommandAnswer]]
    """Decides and records commands in one transaction, and gives each its answer, whatever happens; never raises.

    The second argument, called once the log's lock is held, gives the commands that came meanwhile; they are added to
    the first argument.
    """

BATCH_COMMANDS_MAX: Final = 500
"""The most commands decided in one transaction."""

SHARED_BATCH_COMMANDS_MAX: Final = 64
"""The same while other processes write to the log too, so that none of them holds the log's lock for long."""


class _Request(NamedTuple):
    asked: PendingCommand
    caller: Caller
    decide: Decide


class Committer:
    """A queue of commands, and a thread that takes all that wait in it and commits them together.

    The thread starts with the first command. Between batches it refers to nothing but its committer, so that a ledger
    to which nobody refers any more can be collected.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._entering = Lock()
        self._closed = False
        self._thread: Thread | None = None
        self.fork_guard = ForkGuard()
        self.committing = 0
        """How many commands are being committed now."""
        self.batch_max = BATCH_COMMANDS_MAX
        """The most commands that the next batch takes."""

    def ask(self, asked: PendingCommand, caller: Caller, decide: Decide) -> None:
        """Put a command at the end of the queue. Its caller is given an answer in any case.

        ``decide`` decides the batch that begins with this command. Raises `Overloaded` if the queue is full, and
        `LogUnavailable` after `close` and in a process that was forked.
        """
        self.fork_guard.check()
        with self._entering:  # `close` happens before all of this or after all of it
            if self._closed:
                message = "the ledger was closed: open it again"
                raise LogUnavailable(message)
            if self._queue.qsize() >= self._waiting_max:
                message = f"{self._waiting_max} commands wait already; nothing was recorded, send it again later"
                raise Overloaded(message)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="holdbook-committer", daemon=True)
                self._thread.start()
            self._queue.put(_Request(asked, caller, decide))

    @property
    def waiting(self) -> int:
        """How many commands wait in the queue."""
        return self._queue.qsize()

    def close(self) -> None:
        """Take no more commands, and wait until those in the queue are answered."""
        with self._entering:
            if not self._closed and self._thread is not None:
                self._queue.put(None)
            self._closed = True
        if self._thread is not None and self.fork_guard.is_here() and self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended and (first := self._queue.get()) is not None:
            batch: list[_Request] = []
            ended = self._take(first, batch)
            if batch:
                ended = self._commit(batch) or ended
            del first, batch  # they refer to the ledger, which may be collected while this thread sleeps

    def _commit(self, batch: list[_Request]) -> bool:
        """Commit a batch with what comes meanwhile, and answer its callers; tell whether the queue's end was met."""
        ended = False

        def more() -> list[PendingCommand]:
            nonlocal ended
            known = len(batch)
            if not ended and known < self.batch_max and not self._queue.empty():
                ended = self._take(self._queue.get(), batch)
            self.committing = len(batch)
            return [request.asked for request in batch[known:]]

        self.committing = len(batch)
        answers = batch[0].decide([request.asked for request in batch], more)
        self.committing = 0
        for request, answer in zip(batch, answers, strict=True):
            request.caller.give(answer)
        wake([waiter for request in batch for waiter in request.caller.waiters])
        return ended

    def _take(self, request: _Request | None, batch: list[_Request]) -> bool:
        """Move requests from the queue into a batch until it is full; tell whether the queue's end was met."""
        while request is not None:
            if request.caller.begin():
                batch.append(request)
            if len(batch) >= self.batch_max or self._queue.empty():  # no other thread takes from the queue
                return False
            request = self._queue.get()
        return True
