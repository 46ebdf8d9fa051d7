"""The callers of group commit: who asked for a command's decision, and how each is told its outcome."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from holdbook.domain.handling.outcome import allocation_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.outcome import Outcome

    CommandAnswer = Outcome | BaseException
    """What the caller of a command is told: its outcome, refusals included, or the error to raise."""


class Caller(Protocol):
    """Somebody who is told the outcome of a command."""

    @property
    def waiters(self) -> Sequence[asyncio.Future[None]]:
        """The futures that tasks wait for while they await the outcome."""
        ...

    def begin(self) -> bool:
        """Tell whether the command is still asked for, now that its turn has come."""
        ...

    def give(self, answer: CommandAnswer) -> None:
        """Take the answer."""
        ...


class BlockingCaller:
    """A caller whose thread sleeps until its command is answered. It costs a third of what a future costs."""

    __slots__ = ("_answered", "answer")

    waiters: Final = ()
    """Always empty: no task awaits it."""

    def __init__(self) -> None:
        self._answered = Lock()
        self._answered.acquire()
        self.answer: CommandAnswer | None = None

    def begin(self) -> bool:
        """Tell that the command is asked for: it is decided even if its thread has given up waiting."""
        return True

    def give(self, answer: CommandAnswer) -> None:
        """Wake the thread with the answer."""
        self.answer = answer
        self._answered.release()

    def drop(self) -> None:
        """Do nothing: the command was withdrawn, and its thread has gone on."""

    def wait(self, seconds: float | None) -> CommandAnswer | None:
        """Sleep until there is an answer, at most so many seconds; None if there is none by then."""
        self._answered.acquire(timeout=-1 if seconds is None else max(seconds, 0))
        return self.answer


class Promise(Future["Outcome"]):
    """The outcome of a command to come, for a caller that goes on meanwhile.

    Cancelled before the command's turn comes, the command is never decided. Tasks of asyncio can await it as it is;
    `asyncio.wrap_future` works too, but wakes the event loop once for each command instead of once for each batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiters: list[asyncio.Future[None]] = []
        """The futures that tasks wait for while they await the outcome."""

    def cancel(self) -> bool:
        """Withdraw the command, and wake the tasks that await it; False if its turn has come."""
        cancelled = super().cancel()
        if cancelled:
            wake(self.waiters)
        return cancelled

    def __await__(self) -> Generator[object, None, Outcome]:
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        if not self.done():  # if it is done only from here on, the thread that gives the answer finds the waiter
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()

    def begin(self) -> bool:
        """Tell whether the command is still asked for; it cannot be cancelled from now on."""
        return self.set_running_or_notify_cancel()

    def give(self, answer: CommandAnswer) -> None:
        """Set the result, or the error, of the future."""
        if isinstance(answer, BaseException):
            self.set_exception(answer)
        else:
            self.set_result(answer)


def wake(waiters: Sequence[asyncio.Future[None]]) -> None:
    """Wake the tasks that wait for these futures, with one call into each event loop. Callable from any thread."""
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


async def decided(promise: Promise) -> Outcome:
    """Await a decision; raises `Refused` for a refusal.

    A task that is cancelled stops waiting; the command is decided all the same.
    """
    await _done(promise)
    outcome = promise.result()
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome


async def granted(promise: Promise) -> Allocation:
    """Await a decision about an allocation, as `decided` does, and give the allocation."""
    return allocation_of(await decided(promise))


async def withdrawn(promise: Promise) -> bool:
    """Withdraw a command if its turn has not come, else wait until it is decided; tell whether it changed nothing."""
    if not promise.cancel():
        await _done(promise)
    return promise.cancelled() or (promise.exception() is None and promise.result().refusal is not None)


async def _done(promise: Promise) -> None:
    waiter = asyncio.get_running_loop().create_future()
    promise.waiters.append(waiter)
    if not promise.done():  # if it is done only from here on, the thread that gives the answer finds the waiter
        await waiter
