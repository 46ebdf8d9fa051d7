"""The waiting room: the commands of this process that wait in the log's queue, and the thread that retries them.

A command gets its place in the queue when it first has to wait. It is given to the committer again when it is the first
in the queue of each of its pools and would be granted, or when its time is up. Under the log's lock it is then decided,
or goes on waiting.
"""

from __future__ import annotations

from enum import Enum, auto
from threading import Event, RLock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdbook.domain.errors import LogUnavailable, Overloaded
from holdbook.domain.handling.queue import Undecided
from holdbook.domain.waiting import STAY_SECONDS
from holdbook.infrastructure.commit.promise import Promise, wake
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdbook.domain.handling.outcome import PendingCommand
    from holdbook.domain.ports import EventLog
    from holdbook.infrastructure.commit.committer import Committer
    from holdbook.infrastructure.commit.promise import BlockingCaller, CommandAnswer

_LOOK_SECONDS: Final = 1.0
"""How often to look again without any news: a clock may have moved, or another process may be gone."""

_LOOK_SECONDS_MIN: Final = 0.01
"""The shortest pause between two looks, unless there is news."""

_SLICE_SECONDS: Final = 0.1
"""How often a wait for news of the log also looks for what happened in this process."""

_NEWS_MAX: Final = 32
"""How many notifications are taken in, at most, before looking again."""

logger = get_logger()


class Decider(Protocol):
    """Decides commands for the waiting room: group commit does."""

    def decide(
        self, asked: list[PendingCommand], more: Callable[[], Iterable[PendingCommand]]
    ) -> Sequence[CommandAnswer]:
        """Decide and record commands in one transaction, and give each its answer, as the committer asks for it."""
        ...

    def servable(self, waiting: Mapping[str, PendingCommand]) -> tuple[set[str], float | None]:
        """Choose those of the waiting commands, by id, that would be decided now.

        Tells too in how many seconds the next hold in their pools lapses; None if none will.
        """
        ...


class _State(Enum):
    ASKED = auto()  # in the committer's queue
    BEGUN = auto()  # being decided
    WAITING = auto()
    DONE = auto()


class Waiter:
    """A command that may wait, and the caller who is told its outcome. To the committer, it is the caller."""

    waiters: Final = ()
    """Always empty: the committer wakes no task, as its answer may be that the command has to wait."""

    def __init__(
        self, asked: PendingCommand, caller: BlockingCaller | WaitingPromise, decider: Decider, room: WaitingRoom
    ) -> None:
        command: Any = asked.command
        self.asked = asked._replace(may_wait=True)
        self.until = monotonic() + command.wait.total_seconds()
        """When its time is up, on the clock of `time.monotonic`."""
        self.decider = decider
        self.state = _State.ASKED
        self._caller = caller
        self._room = room
        self._withdrawn = False

    def begin(self) -> bool:
        """Tell whether the command is still asked for; it cannot be withdrawn until it is answered."""
        with self._room.lock:
            if self.state is _State.DONE:
                return False
            self.state = _State.BEGUN
            return True

    def give(self, answer: CommandAnswer) -> None:
        """Take the committer's answer: the outcome, or that the command has to wait."""
        if not isinstance(answer, Undecided):
            self._room.forget(self, leaves=isinstance(answer, BaseException))
            self._tell(answer)
        elif not self._room.keep(self):
            self._room.forget(self)
            if self._withdrawn:
                self._caller.drop()
            else:
                self._tell(closed())

    def _tell(self, answer: CommandAnswer) -> None:
        self._caller.begin()
        self._caller.give(answer)
        wake(self._caller.waiters)

    def turn_away(self, error: BaseException) -> None:
        """Take the command out of the queue undecided, and tell its caller why; nothing if it is being decided."""
        if self._leave():  # pragma: no branch - else there is nothing to do
            self._tell(error)

    def withdraw(self) -> bool:
        """Take the command out of the queue undecided; False if it is decided, or is being decided.

        If it is being decided and turns out to have to wait, it leaves the queue then.
        """
        self._withdrawn = True
        return self._leave()

    def _leave(self) -> bool:
        with self._room.lock:
            return self.state is not _State.BEGUN and self._room.forget(self)

    def wait(self) -> bool:
        """Begin to wait; False if the command was withdrawn. Called with the room's lock held."""
        if self._withdrawn:
            return False
        self.state = _State.WAITING
        self.asked = self.asked._replace(fresh=False)  # its id is in the queue by now, for others to see
        return True


class WaitingPromise(Promise):
    """The promise of a command that may wait. If it is cancelled, the command leaves the queue."""

    waiter: Waiter

    def cancel(self) -> bool:
        """Withdraw the command; False if it is decided, or is being decided."""
        return (self.cancelled() or self.waiter.withdraw()) and super().cancel()

    def drop(self) -> None:
        """Become cancelled: the command was withdrawn while it was being decided, and had to wait."""
        super().cancel()


def closed() -> LogUnavailable:
    """Make the error for the callers that still wait when the ledger is closed."""
    return LogUnavailable("the ledger was closed while the command waited: nothing was decided")


class WaitingRoom:
    """The waiting commands of one ledger. Its thread runs as long as there are any."""

    def __init__(self, log: EventLog, committer: Committer) -> None:
        self.lock = RLock()
        """Held while anything here is changed. While it is held, no caller is told anything and the log is not used."""
        self._closed = False
        self._log = log
        self._committer = committer
        self._waiters: dict[str, list[Waiter]] = {}
        """The waiters by command id; there are several where the same command was sent more than once."""
        self._leaving: set[str] = set()
        """Ids of the commands that are to be taken out of the queue undecided."""
        self._nudge = Event()
        self._thread: Thread | None = None
        self._stays_until = 0.0
        """When this process has to say again that it is alive, on the clock of `time.monotonic`."""

    def ask(self, waiter: Waiter) -> None:
        """Give a command to the committer, to be decided or to wait. Raises as `Committer.ask` does."""
        self._committer.ask(waiter.asked, waiter, waiter.decider.decide)

    def keep(self, waiter: Waiter) -> bool:
        """Let a command wait; False if it was withdrawn, or the ledger closed."""
        with self.lock:
            if self._closed or not waiter.wait():
                return False
            same = self._waiters.setdefault(waiter.asked.command_id, [])
            if waiter not in same:
                same.append(waiter)
            self._start()
            return True

    def forget(self, waiter: Waiter, *, leaves: bool = True) -> bool:
        """Forget a command that waits no longer, and take it out of the queue where it may still be in it.

        False if it was forgotten before.
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
        """Tell all callers that wait that the ledger was closed, and let no command in any more."""
        if not self._committer.fork_guard.is_here():  # pragma: no cover - in a forked child
            return
        with self.lock:
            self._closed = True
        for one in self._all():
            one.turn_away(closed())

    def join(self) -> None:
        """Wait until every command has left the queue."""
        thread = self._thread
        if thread is not None and thread is not current_thread() and self._committer.fork_guard.is_here():
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
        """Pause while the log cannot be used; have the committer answer the commands whose time is up."""
        logger.warning("queue_not_watched", error=str(error))
        if self._closed:
            self._leaving.clear()  # their places lapse by themselves
        for one in self._late():
            self._ask_again(one)
        self._nudge.wait(_LOOK_SECONDS)
        self._nudge.clear()

    def _fail(self, error: BaseException) -> None:
        """Tell all callers of an unexpected error: they would wait for ever otherwise."""
        logger.error("queue_not_served", error=str(error))
        self._leaving.clear()  # their places lapse by themselves
        for one in self._all():
            one.turn_away(error)

    def _rest(self, news: Callable[[float], bool], seconds: float) -> None:
        until = monotonic() + seconds
        while self._has_any() and not self._nudge.is_set():
            left = until - monotonic()
            if left <= 0 or news(min(left, _SLICE_SECONDS)):
                break
        self._nudge.clear()
        for _ in range(_NEWS_MAX):  # pragma: no branch - one look answers all notifications that came meanwhile
            if not news(0):
                break

    def _serve(self) -> float:
        """Do what is due; tell for how many seconds nothing will be due unless there is news."""
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
        return waiting[0].decider.servable({one.asked.command_id: one.asked for one in waiting})

    def _let_leave(self) -> None:
        with self.lock:
            leaving = self._leaving - self._waiters.keys()  # those with a waiter were sent again
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
            self._stays_until = 0.0  # sent again just now: find out at once whether they lost their places

    def _find_lost(self) -> set[Waiter]:
        """Say that this process is alive, when that is due; find the commands that lost their places all the same."""
        if monotonic() < self._stays_until:
            return set()
        waiting = self._waiting()
        places = self._log.stay_queued()
        self._stays_until = monotonic() + STAY_SECONDS
        return {one for one in waiting if one.asked.command_id not in places}

    def _late(self) -> set[Waiter]:
        """Find the commands whose time is up, which may wait no longer."""
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
