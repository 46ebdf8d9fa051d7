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

from holdbook.domain.errors import LogUnavailable, Overloaded
from holdbook.domain.handling.queue import STAY_SECONDS, Undecided
from holdbook.infrastructure.commit.committer import Promise, wake
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdbook.domain.handling.batch import PendingCommand
    from holdbook.domain.ports import EventLog
    from holdbook.infrastructure.commit.committer import Answer, BlockingCaller, Committer
    from holdbook.infrastructure.ledger import Ledger

_LOOK_SECONDS: Final = 1.0
"""How often to look again though nothing was heard of: a clock may have moved, or somebody may be gone."""

_LOOK_SECONDS_MIN: Final = 0.01
"""How often at most, unless something was heard of."""

_SLICE_SECONDS: Final = 0.1
"""How often a wait for news looks for what happened in this process."""

_NEWS_MAX: Final = 32
"""The most news that are taken in before looking again."""

logger = get_logger()


class _State(Enum):
    ASKED = auto()  # in the committer's queue
    BEGUN = auto()  # being decided
    WAITING = auto()
    DONE = auto()


class Waiter:
    """A command that may wait, for the caller who is told its outcome."""

    waiters: Final = ()
    """Whom the committer has to wake: nobody. The tasks that await the outcome are woken when it is there."""

    def __init__(
        self, asked: PendingCommand, caller: BlockingCaller | WaitingPromise, ledger: Ledger, room: WaitingRoom
    ) -> None:
        command: Any = asked.command
        self.asked = asked._replace(may_wait=True)
        self.until = monotonic() + command.wait.total_seconds()
        """When its time is up, on the clock of `time.monotonic`."""
        self.ledger = ledger
        self.state = _State.ASKED
        self._caller = caller
        self._room = room
        self._withdrawn = False

    def begin(self) -> bool:
        """Tell whether the command is still wanted; until it is answered it cannot be withdrawn."""
        with self._room.lock:
            if self.state is _State.DONE:
                return False
            self.state = _State.BEGUN
            return True

    def give(self, answer: Answer) -> None:
        """Take the committer's answer: the outcome, or that it has to wait."""
        if not isinstance(answer, Undecided):
            self._room.forget(self, leaves=isinstance(answer, BaseException))
            self._tell(answer)
        elif not self._room.keep(self):
            self._room.forget(self)
            if self._withdrawn:
                self._caller.drop()
            else:
                self._tell(closed())

    def _tell(self, answer: Answer) -> None:
        self._caller.begin()
        self._caller.give(answer)
        wake(self._caller.waiters)

    def turn_away(self, error: BaseException) -> None:
        """Have it leave the queue undecided and tell the caller why, unless it is decided, or just being decided."""
        if self._leave():  # pragma: no branch - else there is nothing to do
            self._tell(error)

    def withdraw(self) -> bool:
        """Have it leave the queue undecided; False if it is decided, or just being decided.

        What is being decided just then leaves as soon as it turns out that it has to wait on.
        """
        self._withdrawn = True
        return self._leave()

    def _leave(self) -> bool:
        with self._room.lock:
            return self.state is not _State.BEGUN and self._room.forget(self)

    def wait(self) -> bool:
        """Begin to wait, unless it was withdrawn; called with the room's lock."""
        if self._withdrawn:
            return False
        self.state = _State.WAITING
        self.asked = self.asked._replace(fresh=False)  # others have seen its id by now
        return True


class WaitingPromise(Promise):
    """A promise of the outcome of a command that may wait: cancelled, the command leaves the queue."""

    waiter: Waiter

    def cancel(self) -> bool:
        """Withdraw the command; False if it is decided, or just being decided."""
        return (self.cancelled() or self.waiter.withdraw()) and super().cancel()

    def drop(self) -> None:
        """Note that it was withdrawn while it was being decided, and had to wait."""
        super().cancel()


def closed() -> LogUnavailable:
    """Make the error for who still waits when the ledger is closed."""
    return LogUnavailable("the ledger was closed while the command waited: nothing was decided")


class WaitingRoom:
    """Those of one ledger who wait. Its thread runs as long as there are any."""

    def __init__(self, log: EventLog, committer: Committer) -> None:
        self.lock = RLock()
        """Held while anything here is changed; nobody is told anything, and nothing is asked of the log, with it."""
        self._closed = False
        self._log = log
        self._committer = committer
        self._waiters: dict[str, list[Waiter]] = {}
        """By command id: the same command may have been sent more than once."""
        self._leaving: set[str] = set()
        """Ids of commands that are to leave the queue undecided."""
        self._nudge = Event()
        self._thread: Thread | None = None
        self._stays_until = 0.0
        """When those who wait have to say that they are alive."""

    def ask(self, waiter: Waiter) -> None:
        """Have a command decided, or wait. Raises as `Committer.ask`."""
        self._committer.ask(waiter.asked, waiter, waiter.ledger._answers)  # noqa: SLF001 - what the ledger has its commands decided by

    def keep(self, waiter: Waiter) -> bool:
        """Take in whoever has to wait; False if it was withdrawn, or the ledger closed."""
        with self.lock:
            if self._closed or not waiter.wait():
                return False
            same = self._waiters.setdefault(waiter.asked.command_id, [])
            if waiter not in same:
                same.append(waiter)
            self._start()
            return True

    def forget(self, waiter: Waiter, *, leaves: bool = True) -> bool:
        """Let go whoever does not wait any more, and have it leave the queue if it may be there still.

        False if that was done before.
        """
        command_id = waiter.asked.command_id
        with self.lock:
            before, waiter.state = waiter.state, _State.DONE
            same = self._waiters.get(command_id, [])
            may_have_place = before is _State.BEGUN or waiter in same
            if waiter in same:
                same.remove(waiter)
            if not same:
                self._waiters.pop(command_id, None)
                if leaves and may_have_place:
                    self._leaving.add(command_id)
                    self._start()
            return before is not _State.DONE

    def close(self) -> None:
        """Tell whoever waits that the ledger was closed, and let nobody in any more."""
        if not self._committer.birthplace.is_here():  # pragma: no cover - in a forked child
            return
        with self.lock:
            self._closed = True
        for one in self._all():
            one.turn_away(closed())

    def join(self) -> None:
        """Wait until everybody has left."""
        thread = self._thread
        if thread is not None and thread is not current_thread() and self._committer.birthplace.is_here():
            self._nudge.set()
            thread.join()

    def _all(self) -> list[Waiter]:
        with self.lock:
            return [one for same in self._waiters.values() for one in same]

    def _waiting(self) -> list[Waiter]:
        return [one for one in self._all() if one.state is _State.WAITING]

    def _start(self) -> None:
        self._nudge.set()
        if self._thread is None:
            self._stays_until = monotonic() + STAY_SECONDS
            self._thread = Thread(target=self._run, name="holdbook-waiting-room", daemon=True)
            self._thread.start()

    def _has_any(self) -> bool:
        return bool(self._waiters or self._leaving)

    def _goes_on(self) -> bool:
        with self.lock:
            if not self._has_any():
                self._thread = None
            return self._thread is not None

    def _run(self) -> None:
        while self._goes_on():
            try:
                with self._log.watching() as news:
                    while self._has_any():
                        self._rest(news, self._serve())
            except LogUnavailable as error:
                self._do_without(error)
            except BaseException as error:  # noqa: BLE001 - every caller that waits is told, whatever it was
                self._fail(error)

    def _do_without(self, error: LogUnavailable) -> None:
        """Let time pass while the log cannot be used; whose time is up meanwhile is told what the committer finds."""
        logger.warning("queue_not_watched", error=str(error))
        if self._closed:
            self._leaving.clear()  # they are gone before long
        for one in self._late():
            self._ask_again(one)
        self._nudge.wait(_LOOK_SECONDS)
        self._nudge.clear()

    def _fail(self, error: BaseException) -> None:
        """Tell everybody of an error that is none of the log's own: they would wait for ever."""
        logger.error("queue_not_served", error=str(error))
        self._leaving.clear()  # they are gone before long
        for one in self._all():
            one.turn_away(error)

    def _rest(self, news: Callable[[float], bool], seconds: float) -> None:
        until = monotonic() + seconds
        while self._has_any() and not self._nudge.is_set():
            left = until - monotonic()
            if left <= 0 or news(min(left, _SLICE_SECONDS)):
                break
        self._nudge.clear()
        for _ in range(_NEWS_MAX):  # pragma: no branch - what was heard of meanwhile is all looked at at once
            if not news(0):
                break

    def _serve(self) -> float:
        """Do what there is to do; tell for how many seconds there will be nothing unless something is heard of."""
        late = self._late()
        lost = self._find_lost()
        self._let_leave()
        waiting = self._waiting()
        able, deadline = self._look([one for one in waiting if one not in late])
        for one in waiting:
            if one.asked.command_id in able or one in late or one in lost:
                self._ask_again(one)
        next_late = min((one.until - monotonic() for one in waiting), default=_LOOK_SECONDS)
        next_word = self._stays_until - monotonic()
        next_lapse = _LOOK_SECONDS if deadline is None else deadline
        return max(min(_LOOK_SECONDS, next_late, next_word, next_lapse), _LOOK_SECONDS_MIN)

    def _look(self, waiting: list[Waiter]) -> tuple[set[str], float | None]:
        if not waiting:
            return set(), None
        return waiting[0].ledger.servable({one.asked.command_id: one.asked for one in waiting})

    def _let_leave(self) -> None:
        with self.lock:
            leaving = self._leaving - self._waiters.keys()  # the others were sent again
            self._leaving = set()
        if not leaving:
            return
        try:
            self._log.leave_queue(leaving)
        except BaseException:
            with self.lock:
                self._leaving |= leaving
            raise
        if not leaving.isdisjoint(self._waiters):
            self._stays_until = 0.0  # sent again just now: it is to be found out whether they lost their places

    def _find_lost(self) -> set[Waiter]:
        """Say now and then that those here are alive; find those who lost their place all the same."""
        if monotonic() < self._stays_until:
            return set()
        waiting = self._waiting()
        places = self._log.stay_queued()
        self._stays_until = monotonic() + STAY_SECONDS
        return {one for one in waiting if one.asked.command_id not in places}

    def _late(self) -> set[Waiter]:
        """Find those whose time is up; they do not wait any longer."""
        now = monotonic()
        late = {one for one in self._waiting() if one.until <= now}
        for one in late:
            one.asked = one.asked._replace(may_wait=False)
        return late

    def _ask_again(self, waiter: Waiter) -> None:
        with self.lock:
            if waiter.state is not _State.WAITING:
                return  # pragma: no cover - it was withdrawn just now
            waiter.state = _State.ASKED
        try:
            self.ask(waiter)
        except Overloaded:
            with self.lock:
                if waiter.state is _State.ASKED:  # pragma: no branch - else it was withdrawn just now
                    waiter.state = _State.WAITING  # and again, before long
        except LogUnavailable as error:  # pragma: no cover - closed just now, of which it was told
            waiter.turn_away(error)
