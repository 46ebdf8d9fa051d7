"""The waiting room: this process's commands that wait in the queue, and the thread that has them asked again.

A command has its place in the queue from when it first had to wait. It is asked again when it is the first in the
queue of each of its pools and would be granted, or when its time is up; under the log's lock it is decided, or goes on
waiting.
"""

from __future__ import annotations

from enum import Enum, auto
from threading import Event, RLock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from bursar.domain.errors import LogUnavailable, Overloaded
from bursar.domain.queueing import STAY_SECONDS, Undecided
from bursar.infrastructure.committer import Promise, wake
from bursar.infrastructure.logging import get_logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from bursar.domain.batch import Asked
    from bursar.domain.ports import EventLog
    from bursar.infrastructure.committer import Answer, Committer, Sleeper
    from bursar.infrastructure.ledger import Ledger

ASKED_AGAIN_MAX: Final = 32
"""The most commands that are asked again at a time, for each pool."""

_LOOK_SECONDS: Final = 1.0
"""How often to look again though nothing was heard of: a clock may have moved."""

_SLICE_SECONDS: Final = 0.1
"""How often a wait for news looks for what happened in this process."""

logger = get_logger()


class _State(Enum):
    ASKED = auto()  # in the committer's queue
    BEGUN = auto()  # being decided
    WAITING = auto()
    DONE = auto()


class Waiter:
    """A command that may wait, for the caller who is told its outcome."""

    def __init__(self, asked: Asked, caller: Sleeper | WaitingPromise, ledger: Ledger, room: WaitingRoom) -> None:
        command: Any = asked.command
        self.asked = asked._replace(may_wait=True)
        self.until = monotonic() + command.wait.total_seconds()
        """When its time is up, on the clock of `time.monotonic`."""
        self.ledger = ledger
        self.state = _State.ASKED
        self._caller = caller
        self._room = room
        self._withdrawn = False

    @property
    def waiters(self) -> Sequence[asyncio.Future[None]]:
        """What the tasks wait for that await the outcome, once it is there."""
        return self._caller.waiters if self.state is _State.DONE else ()

    def begin(self) -> bool:
        """Tell whether the command is still wanted; until it is answered it cannot be withdrawn."""
        with self._room.lock:
            if self.state is _State.DONE:
                return False
            self.state = _State.BEGUN
            return True

    def give(self, answer: Answer) -> None:
        """Take the committer's answer: the outcome, or that it has to wait."""
        with self._room.lock:
            is_undecided = isinstance(answer, Undecided)
            if is_undecided and not self._withdrawn and not self._room.closed:
                self.state = _State.WAITING
                self._room.keep(self)
                return
        if not is_undecided:
            self.end(answer)
        elif self._withdrawn:
            self._room.forget(self)
            self._caller.drop()
        else:
            self.end(closed())

    def end(self, answer: Answer) -> None:
        """Tell the caller."""
        self._room.forget(self, leaves=isinstance(answer, BaseException))
        if self._caller.begin():
            self._caller.give(answer)

    def withdraw(self) -> bool:
        """Have it leave the queue undecided; False if it is decided, or just being decided.

        What is being decided just then leaves as soon as it turns out that it has to wait on.
        """
        with self._room.lock:
            self._withdrawn = True
            if self.state in {_State.BEGUN, _State.DONE}:
                return False
            self._room.forget(self)
            return True


class WaitingPromise(Promise):
    """A promise of the outcome of a command that may wait: cancelled, the command leaves the queue."""

    waiter: Waiter

    def cancel(self) -> bool:
        """Withdraw the command; False if it is decided, or just being decided."""
        return self.waiter.withdraw() and super().cancel()

    def drop(self) -> None:
        """Note that it was withdrawn while it was being decided, and had to wait."""
        super().cancel()
        wake(self.waiters)


def closed() -> LogUnavailable:
    """Make the error for who still waits when the ledger is closed."""
    return LogUnavailable("the ledger was closed while the command waited: nothing was decided")


class WaitingRoom:
    """Those of one ledger who wait. Its thread runs as long as there are any."""

    def __init__(self, log: EventLog, committer: Committer) -> None:
        self.lock = RLock()
        """Held while anything here is changed."""
        self.closed = False
        self._log = log
        self._committer = committer
        self._waiters: dict[str, Waiter] = {}
        """By command id, in the order of their places."""
        self._leaving: list[str] = []
        """Ids of commands that are to leave the queue undecided."""
        self._nudge = Event()
        self._thread: Thread | None = None
        self._stays_until = 0.0
        """When those who wait have to say that they are alive."""
        self._pause = 0.0
        """How long nothing has to be done unless something happens."""

    def ask(self, waiter: Waiter) -> None:
        """Have a command decided, or wait. Raises as `Committer.ask`."""
        self._committer.ask(waiter.asked, waiter, waiter.ledger._answers)  # noqa: SLF001 - what the ledger has its commands decided by

    def keep(self, waiter: Waiter) -> None:
        """Take in whoever has to wait; called with the lock."""
        self._waiters.setdefault(waiter.asked.command_id, waiter)
        self._start()

    def forget(self, waiter: Waiter, *, leaves: bool = True) -> None:
        """Let go whoever does not wait any more, and have it leave the queue if it may be there still."""
        with self.lock:
            has_place = self._waiters.get(waiter.asked.command_id) is waiter or waiter.state is _State.BEGUN
            waiter.state = _State.DONE
            if self._waiters.get(waiter.asked.command_id) is waiter:
                del self._waiters[waiter.asked.command_id]
            if leaves and has_place:
                self._leaving.append(waiter.asked.command_id)
                self._start()

    def close(self) -> None:
        """Tell whoever waits that the ledger was closed, and let nobody in any more."""
        with self.lock:
            self.closed = True
            waiting = [one for one in self._waiters.values() if one.state is _State.WAITING]
        for one in waiting:
            one.end(closed())

    def join(self) -> None:
        """Wait until everybody has left."""
        thread = self._thread
        if thread is not None and thread is not current_thread() and self._committer.birthplace.is_here():
            self._nudge.set()
            thread.join()

    def _start(self) -> None:
        self._nudge.set()
        if self._thread is None:
            self._stays_until = monotonic() + STAY_SECONDS
            self._thread = Thread(target=self._run, name="bursar-waiting-room", daemon=True)
            self._thread.start()

    def _goes_on(self) -> bool:
        with self.lock:
            if self._waiters or self._leaving:
                return True
            self._thread = None
            return False

    def _run(self) -> None:
        while self._goes_on():
            try:
                with self._log.watching() as news:
                    while self._goes_on():
                        self._serve()
                        self._rest(news)
            except LogUnavailable as error:
                logger.warning("queue_not_watched", error=str(error))
                if self.closed:
                    self._leaving.clear()  # they are gone before long
                for one in self._late():
                    self._ask_again(one)
                self._nudge.wait(_LOOK_SECONDS)
                self._nudge.clear()

    def _rest(self, news: Callable[[float], bool]) -> None:
        until = monotonic() + self._pause
        while not self._nudge.is_set():
            left = until - monotonic()
            if left <= 0 or news(min(left, _SLICE_SECONDS)):
                break
        self._nudge.clear()
        for _ in range(ASKED_AGAIN_MAX):  # what was heard of meanwhile is all looked at at once
            if not news(0):
                break

    def _serve(self) -> None:
        """Do what there is to do, and find out how long there will be nothing."""
        self._let_leave()
        lost = self._say_alive()
        late = self._late()
        first = self._first()
        able, deadline = first[0].ledger.servable([one.asked for one in first]) if first else ((), None)
        again = {one.command_id for one in [*able, *(one.asked for one in [*late, *lost])]}
        with self.lock:
            waiting = [one for one in self._waiters.values() if one.state is _State.WAITING]
        for one in waiting:
            if one.asked.command_id in again:
                self._ask_again(one)
        next_late = min((one.until - monotonic() for one in waiting), default=_LOOK_SECONDS)
        next_word = self._stays_until - monotonic()
        self._pause = min(_LOOK_SECONDS, next_late, next_word, _LOOK_SECONDS if deadline is None else deadline)

    def _let_leave(self) -> None:
        with self.lock:
            leaving = self._leaving[:]
        if leaving:
            self._log.leave_queue(leaving)
            with self.lock:
                del self._leaving[: len(leaving)]

    def _say_alive(self) -> list[Waiter]:
        """Say now and then that those here are alive; give those who lost their place all the same."""
        if monotonic() < self._stays_until:
            return []
        with self.lock:
            waiting = [one for one in self._waiters.values() if one.state is _State.WAITING]
        places = self._log.stay_queued()
        self._stays_until = monotonic() + STAY_SECONDS
        return [one for one in waiting if one.asked.command_id not in places]

    def _late(self) -> list[Waiter]:
        """List those whose time is up; they do not wait any longer."""
        now = monotonic()
        with self.lock:
            late = [one for one in self._waiters.values() if one.state is _State.WAITING and one.until <= now]
            for one in late:
                one.asked = one.asked._replace(may_wait=False)
        return late

    def _first(self) -> list[Waiter]:
        """List those who may be the next, in order: a few of each pool."""
        found: list[Waiter] = []
        counts: dict[str, int] = {}
        with self.lock:
            for one in self._waiters.values():
                pools = vars(one.asked.command)["quantities"]
                if max(counts.get(pool, 0) for pool in pools) < ASKED_AGAIN_MAX and one.state is _State.WAITING:
                    found.append(one)
                for pool in pools:
                    counts[pool] = counts.get(pool, 0) + 1
        return found

    def _ask_again(self, waiter: Waiter) -> None:
        with self.lock:
            if waiter.state is not _State.WAITING:
                return
            waiter.state = _State.ASKED
        try:
            self.ask(waiter)
        except Overloaded:
            waiter.state = _State.WAITING  # and again, before long
        except LogUnavailable as error:
            waiter.end(error)
