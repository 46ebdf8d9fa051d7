"""An event loop in which nothing depends on how fast anything is: time moves when it is told to, threads take turns."""

from __future__ import annotations

import asyncio
import selectors
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdbook import Ledger
from holdbook.domain.errors import LogUnavailable
from holdbook.infrastructure.commit.promise import Promise, wake
from holdbook.infrastructure.commit.waiting_room import WaitingPromise, _State

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdbook import Command, Outcome
    from holdbook.domain.allocation import Allocation

_ROUNDING_SECONDS: Final = 1e-6
"""A timer that is nearer than this is due: what is left is an error of rounding."""

_LOOK_SECONDS: Final = 0.005
"""How long to let the threads of a queue go on before looking again whether they have come to rest."""


@dataclass
class Time:
    """What loops take for `time.monotonic`, in seconds; it never goes back."""

    now: float = 0.0


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs until there is nothing to do but wait, and then stops.

    What is given to a thread is done in the loop's next turn, to its end, even if whoever asked was cancelled.
    """

    def __init__(self, time: Time) -> None:
        self._time = time
        self.pause: float | None = None
        """How long there is nothing to do, when it has stopped; None: for ever."""
        self.ahead = 0.0
        """How much later than for others it is in this loop."""
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Tell the time that was set."""
        return self._time.now + self.ahead

    def run_in_executor(  # type: ignore[override]  # whatever the function gives
        self,
        executor: Any,  # noqa: ANN401, ARG002 - the loop's own turns are taken
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - the function's
    ) -> asyncio.Future[Any]:
        """Do it in the next turn."""
        future: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - given to whoever asked
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(work)
        return future

    def run(self) -> None:
        """Run until there is nothing to do."""
        self.run_forever()
        while self._ready:  # type: ignore[attr-defined]  # a thread gave it something just when it stopped
            self.run_forever()

    def rest(self, timeout: float | None) -> None:
        """Stop, for there is nothing to do for so long; called by the selector."""
        if timeout is not None and timeout <= _ROUNDING_SECONDS:
            self.ahead += timeout
            return
        self.pause = timeout
        self.stop()


class _Selector(selectors.PollSelector):
    """Looks at the sockets, and never waits."""

    def __init__(self, loop: SteppedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if timeout != 0 and not found:
            self._loop.rest(timeout)
        return found


class SteppedLedger(Ledger):
    """A ledger that decides what a task submits two turns of the loop later: one in which it can still be withdrawn.

    Commands that may wait are asked as ever; `is_settled` tells whether all of them are where they will stay.
    """

    is_dead = False
    """True once its process has died: nobody gets an answer any more."""

    def submit(self, command: Command) -> Promise:
        """Have a command decided."""
        self._live()
        if getattr(command, "wait", None) is not None:
            promise = super().submit(command)
            self._waiting.append(promise)
            return promise
        promise = Promise()
        asyncio.get_running_loop().call_soon(self._begin, command, promise)
        return promise

    def allocation(self, allocation_id: str) -> Allocation:
        """Describe an allocation."""
        self._live()
        return super().allocation(allocation_id)

    def die(self) -> None:
        """Answer nobody any more, and give back what the system would."""
        self.is_dead = True
        self.close()

    def is_settled(self, observer: Ledger) -> bool:
        """Tell whether none of the commands that wait is about to be decided; if not, wait a little for it.

        The observer is another ledger of the same log: looking at what can be decided takes note of the rules seen.
        """
        self._waiting = [one for one in self._waiting if not _has_answered(one)]
        room = self._group.room
        if not self._waiting and not room._leaving:  # noqa: SLF001 - nothing public tells
            return True
        room._nudge.set()  # noqa: SLF001 - its clock moved without anything happening
        if self._all_wait():
            observer._group._rules = {}  # noqa: SLF001 - the rules may have changed since the room's last look
            waiting = {one.asked.command_id: one.asked for one in room._waiting()}  # noqa: SLF001 - as above
            if (not waiting or not observer._group.servable(waiting)[0]) and self._all_wait():  # noqa: SLF001 - as above
                return True
        thread = room._thread  # noqa: SLF001 - as above
        if asked := [one for one in self._waiting if not one.done()]:
            wait(asked, _LOOK_SECONDS, FIRST_COMPLETED)
        elif thread is not None:
            thread.join(_LOOK_SECONDS)  # it ends when nobody waits any more
        return False

    def _all_wait(self) -> bool:
        """Tell whether no command that may wait is being decided, and none is leaving the queue."""
        with self._group.room.lock:
            states = [one.waiter.state for one in self._waiting if isinstance(one, WaitingPromise)]
            return all(state is _State.WAITING for state in states) and not self._group.room._leaving  # noqa: SLF001 - as above

    @property
    def _waiting(self) -> list[Promise]:
        found: list[Promise] = self.__dict__.setdefault("_those_that_wait", [])
        return found

    @_waiting.setter
    def _waiting(self, waiting: list[Promise]) -> None:
        self.__dict__["_those_that_wait"] = waiting

    def _live(self) -> None:
        if self.is_dead:
            raise LogUnavailable("this process has died")

    def _begin(self, command: Command, promise: Promise) -> None:
        if promise.begin():
            asyncio.get_running_loop().call_soon(self._decide, command, promise)

    def _decide(self, command: Command, promise: Promise) -> None:
        promise.give(self._decided(command))
        wake(promise.waiters)

    def _decided(self, command: Command) -> Outcome | BaseException:
        try:
            return super().submit(command).result()
        except Exception as error:  # noqa: BLE001 - it is the answer
            return error


def _has_answered(promise: Promise) -> bool:
    """Tell whether whoever waits has been told."""
    return promise.done() and all(waiter.done() or not waiter._callbacks for waiter in promise.waiters)  # noqa: SLF001 - who came later waits for nothing
