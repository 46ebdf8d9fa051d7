"""Group commit: one thread of a process commits what all its other threads and tasks ask for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from holdbook.domain.errors import LogUnavailable, Overloaded
from holdbook.infrastructure.fork_guard import ForkGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from holdbook.domain.handling.batch import Outcome, PendingCommand

    Answer = Outcome | BaseException
    Commit = Callable[[list[PendingCommand], Callable[[], Iterable[PendingCommand]]], Sequence[Answer]]
    """Decides and records commands in one transaction, and gives each its answer, whatever happens.

    Called once the log's lock is had, the second argument gives those that came meanwhile, for the first to grow by.
    """

BATCH_COMMANDS_MAX: Final = 500
"""The most commands decided in one transaction."""

SHARED_BATCH_COMMANDS_MAX: Final = 64
"""The same while other processes write to the log too: a storm in one of them keeps the others waiting no longer."""


class Caller(Protocol):
    """Whoever is told the outcome of a command."""

    @property
    def waiters(self) -> Sequence[asyncio.Future[None]]:
        """What the tasks wait for that await the outcome."""
        ...

    def begin(self) -> bool:
        """Tell whether the command is still wanted, now that its turn has come."""
        ...

    def give(self, answer: Answer) -> None:
        """Take the answer."""
        ...


class BlockingCaller:
    """A caller whose thread sleeps until its command is answered: a third of what a future costs."""

    __slots__ = ("_answered", "answer")

    waiters: Final = ()
    """No task awaits it."""

    def __init__(self) -> None:
        self._answered = Lock()
        self._answered.acquire()
        self.answer: Answer | None = None

    def begin(self) -> bool:
        """Tell that the command is wanted: a thread that gave up waiting leaves it to be decided all the same."""
        return True

    def give(self, answer: Answer) -> None:
        """Wake the caller."""
        self.answer = answer
        self._answered.release()

    def drop(self) -> None:
        """Note that the command was withdrawn: the caller has gone."""

    def wait(self, seconds: float | None) -> Answer | None:
        """Sleep until there is an answer, or for so long at most: then None."""
        self._answered.acquire(timeout=-1 if seconds is None else max(seconds, 0))
        return self.answer


class Promise(Future["Outcome"]):
    """A caller that goes on meanwhile. Cancelled before its turn, its command is never decided.

    Tasks of asyncio await it as it is; `asyncio.wrap_future` works too, and costs a wake-up of the loop for each
    command instead of one for each batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiters: list[asyncio.Future[None]] = []
        """What the tasks that await it wait for."""

    def cancel(self) -> bool:
        """Withdraw the command, and wake the tasks that await it; False if its turn has come."""
        cancelled = super().cancel()
        if cancelled:
            wake(self.waiters)
        return cancelled

    def __await__(self) -> Generator[object, None, Outcome]:
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        if not self.done():  # if it is done only from here on, whoever gives the answer finds the waiter
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()

    def begin(self) -> bool:
        """Tell whether the command is still wanted; it cannot be cancelled from now on."""
        return self.set_running_or_notify_cancel()

    def give(self, answer: Answer) -> None:
        """Keep the promise."""
        if isinstance(answer, BaseException):
            self.set_exception(answer)
        else:
            self.set_result(answer)


def wake(waiters: Sequence[asyncio.Future[None]]) -> None:
    """Wake tasks, each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        loops.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, some in loops.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_go_on, some)


def _go_on(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():  # else its task was cancelled
            waiter.set_result(None)


class _Request(NamedTuple):
    asked: PendingCommand
    caller: Caller
    commit: Commit


class Committer:
    """A queue of commands, and the thread that commits all that wait in it at a time.

    The thread starts with the first command. It holds nothing between batches, so that a ledger which nobody holds
    any more can go, and its committer with it.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._entering = Lock()
        self._closed = False
        self._thread: Thread | None = None
        self.birthplace = ForkGuard()
        self.committing = 0
        """How many commands are being committed."""
        self.batch_max = BATCH_COMMANDS_MAX
        """The most commands that the next batch takes."""

    def ask(self, asked: PendingCommand, caller: Caller, commit: Commit) -> None:
        """Put a command at the queue's end; its caller is given an answer, for sure.

        Raises `Overloaded` if the queue is full, and `LogUnavailable` after `close` and in a process that was forked.
        """
        self.birthplace.check()
        with self._entering:  # `close` comes before all of it or after all of it
            if self._closed:
                message = "the ledger was closed: open it again"
                raise LogUnavailable(message)
            if self._queue.qsize() >= self._waiting_max:
                message = f"{self._waiting_max} commands wait already; nothing was recorded, send it again later"
                raise Overloaded(message)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="holdbook-committer", daemon=True)
                self._thread.start()
            self._queue.put(_Request(asked, caller, commit))

    @property
    def waiting(self) -> int:
        """How many commands wait to be taken."""
        return self._queue.qsize()

    def close(self) -> None:
        """Take no more commands, and wait until those that wait are answered."""
        with self._entering:
            if not self._closed and self._thread is not None:
                self._queue.put(None)
            self._closed = True
        if self._thread is not None and self.birthplace.is_here() and self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended and (first := self._queue.get()) is not None:
            batch: list[_Request] = []
            ended = self._take(first, batch)
            if batch:
                ended = self._commit(batch) or ended
            del first, batch  # a ledger is not held while its committer sleeps

    def _commit(self, batch: list[_Request]) -> bool:
        """Have a batch committed, with what comes meanwhile, and answer; tell whether the end was among that."""
        ended = False

        def more() -> list[PendingCommand]:
            nonlocal ended
            known = len(batch)
            if not ended and known < self.batch_max and not self._queue.empty():
                ended = self._take(self._queue.get(), batch)
            self.committing = len(batch)
            return [request.asked for request in batch[known:]]

        self.committing = len(batch)
        answers = batch[0].commit([request.asked for request in batch], more)
        self.committing = 0
        for request, answer in zip(batch, answers, strict=True):
            request.caller.give(answer)
        wake([waiter for request in batch for waiter in request.caller.waiters])
        return ended

    def _take(self, request: _Request | None, batch: list[_Request]) -> bool:
        """Put what waits into a batch, until it is full; tell whether the end was met."""
        while request is not None:
            if request.caller.begin():
                batch.append(request)
            if len(batch) >= self.batch_max or self._queue.empty():  # nobody else takes from the queue
                return False
            request = self._queue.get()
        return True
