"""Group commit: what all threads and tasks of a process ask for is decided and recorded together.

It owns what a single transaction does not: waiting for an answer, trying again while the database comes back, telling
callers, log lines about what was decided, and snapshots.
"""

from __future__ import annotations

import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

import structlog

from holdbook.domain.checks import given_seconds
from holdbook.domain.errors import HoldbookError, LogCorrupt, LogUnavailable, Malformed
from holdbook.domain.handling.commit_attempt import CommitAttempt, answers_of
from holdbook.domain.handling.handler import CommandHandler
from holdbook.domain.handling.outcome import PoolStatus
from holdbook.domain.handling.queue import SERVED_MAX, FreeCapacity, Undecided
from holdbook.infrastructure.commit.committer import BATCH_COMMANDS_MAX, SHARED_BATCH_COMMANDS_MAX, Committer
from holdbook.infrastructure.commit.promise import BlockingCaller, Promise
from holdbook.infrastructure.commit.waiting_room import Waiter, WaitingPromise, WaitingRoom
from holdbook.infrastructure.telemetry.context import about_batch, about_command, about_error
from holdbook.infrastructure.telemetry.counters import Commits
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import command_span, commit_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdbook.domain.handling.outcome import Outcome, PendingCommand
    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import Clock, EventLog, NewId
    from holdbook.infrastructure.commit.promise import CommandAnswer

PATIENCE_SECONDS: Final = 30.0
"""How long a commit may take before its callers are told that its outcome is not known. That includes reconnecting and
looking up what became of it."""

WAITING_MAX: Final = 10_000
"""The most commands that wait to be committed; one more is refused at once."""

_PAUSE_SECONDS: Final = 0.05
"""The first pause before a failed commit is tried again; each further one is twice as long."""

_PAUSE_SECONDS_MAX: Final = 1.0

logger = get_logger()


class GroupCommit:
    """Decides and records the commands of any number of threads and tasks, all that wait at a time in one transaction.

    Safe to use from several threads.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        log: EventLog,
        *,
        clock: Clock,
        new_id: NewId,
        actor: str | None = None,
        patience: float = PATIENCE_SECONDS,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """Commit to a log. ``patience`` is in seconds, ``waiting_max`` in commands. Raises `Malformed`."""
        self.patience = given_seconds("patience", patience)
        if type(waiting_max) is not int or waiting_max < 1:
            raise Malformed("waiting_max", waiting_max, "expected a whole number from 1")
        self.committer = Committer(waiting_max)
        self.handler = CommandHandler(
            log, clock=clock, new_id=new_id, actor=actor, check_process=self.committer.fork_guard.check
        )
        self.room = WaitingRoom(log, self.committer)
        self.commits = Commits()
        """What was committed so far, for metrics."""
        self._rules: Mapping[str, tuple[Limits, bool]] = {}
        """Limits of each pool that is waited for, and whether it is closed, as the last look found them."""
        self._snapshots = ThreadPoolExecutor(1, "holdbook-snapshots")
        weakref.finalize(self, self.committer.close)  # also at the interpreter's end: what waits is answered

    def close(self) -> None:
        """Answer every command that waits, and finish snapshots; nothing is decided afterwards."""
        self.room.close()
        self.committer.close()
        self.room.join()
        self._snapshots.shutdown()

    # Asking for decisions

    def execute(self, asked: PendingCommand, timeout: float | None) -> Outcome:
        """Have a command decided and wait for its outcome, at most ``timeout`` seconds.

        Raises what `LedgerInterface.execute` does, but gives refusals in the outcome.
        """
        if timeout is not None:
            given_seconds("timeout", timeout)
        with command_span(asked) as span:
            outcome = self._awaited(asked, timeout)
            span.answered(outcome)
        return outcome

    def _awaited(self, asked: PendingCommand, timeout: float | None) -> Outcome:
        caller = BlockingCaller()
        waiter = self._wait(asked, caller) if asked.waits else None
        if waiter is None:
            self.committer.ask(asked, caller, self.decide)
        try:
            answer = caller.wait(timeout)
        except BaseException:
            if waiter is not None:
                waiter.withdraw()
            raise
        if answer is None and waiter is not None and waiter.withdraw():
            message = f"the command waited for {timeout} s in vain, and waits no longer: nothing was decided"
            raise LogUnavailable(message, transient=True)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            message = f"the command was not answered within {timeout} s"
            raise LogUnavailable(message, transient=True).about(asked.command_id)
        return answer

    def submit(self, asked: PendingCommand) -> Promise:
        """Have a command decided, and go on meanwhile. Cancelled before its turn, it is never decided."""
        with command_span(asked) as span:
            promise = self._promised(asked)
            span.goes_on(promise)
        return promise

    def _promised(self, asked: PendingCommand) -> Promise:
        if asked.waits:
            waiting = WaitingPromise()
            waiting.waiter = self._wait(asked, waiting)
            return waiting
        promise = Promise()
        self.committer.ask(asked, promise, self.decide)
        return promise

    def _wait(self, asked: PendingCommand, caller: BlockingCaller | WaitingPromise) -> Waiter:
        """Have a command decided that may wait in the queue."""
        waiter = Waiter(asked, caller, self, self.room)
        self.room.ask(waiter)
        return waiter

    # Deciding, on the committer's thread

    def decide(
        self, asked: list[PendingCommand], more: Callable[[], Iterable[PendingCommand]]
    ) -> Sequence[CommandAnswer]:
        """Decide and record commands in one transaction, and give each its answer, whatever happens; never raises.

        ``more``, called once the log's lock is held, gives those that came meanwhile; they are added to ``asked``.
        """
        return answers_of(CommitAttempt(asked, more=more), self.commit)

    def commit(self, attempt: CommitAttempt) -> None:
        """Decide commands and record what was decided, trying again while the database comes back.

        Raises `LogUnavailable` once patience is over, and what is an error of the whole attempt.
        """
        began = monotonic()
        try:
            with commit_span(attempt):
                self._insist(attempt, began + self.patience)
        except (LogUnavailable, LogCorrupt) as error:
            self.commits.failed()
            logger.error("commit_failed", error=str(error), **about_batch(attempt.asked))  # noqa: TRY400 - callers get it with its traceback
            raise
        self.commits.done(monotonic() - began, len(attempt.asked), attempt.events)
        is_shared = self.handler.cache.behind is not None
        self.committer.batch_max = SHARED_BATCH_COMMANDS_MAX if is_shared else BATCH_COMMANDS_MAX
        with suppress(Exception):  # what was committed is answered, whatever becomes of log lines and snapshots
            self._committed(attempt)

    def _insist(self, attempt: CommitAttempt, until: float) -> None:
        """Try an attempt until it succeeds, or until a moment on the clock of `time.monotonic`."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                self.handler.try_commit(attempt, max(until - monotonic(), 0))
                break
            except LogUnavailable as error:
                if not error.transient or monotonic() + pause > until:
                    raise
                if pause == _PAUSE_SECONDS:
                    logger.warning("commit_tried_again", error=str(error), **about_batch(attempt.asked))
                sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    def _committed(self, attempt: CommitAttempt) -> None:
        """Report what was decided, and have the snapshots taken that are due."""
        if logger.isEnabledFor(logging.INFO):  # mostly nobody reads them
            for asked, answer in zip(attempt.asked, attempt.answers, strict=True):
                _report(asked, answer, self.handler.actor)
        milestones = self.handler.cache.milestones
        while milestones:
            self._snapshots.submit(self._snapshot, milestones.pop())

    def _snapshot(self, pool: str) -> None:
        def copy() -> Pool | None:
            with self.handler.own_cache() as cache:  # between two commits: nothing in it is ahead of the log
                return cache.copy_of(pool)

        try:
            self.handler.log.snapshot_if_due(pool, copy)
        except HoldbookError as error:
            logger.warning("snapshot_failed", pool=pool, error=str(error))

    # Choosing those who need not wait any longer, on the waiting room's thread

    def servable(self, waiting: Mapping[str, PendingCommand]) -> tuple[set[str], float | None]:
        """Choose those of the waiting commands, by id, that would be decided now, by a look without the log's lock.

        They are the first in the queues of all their pools that can be granted together. When limits have changed, any
        command that they now refuse for good is chosen too, wherever it is in the queue. Gives also in how many
        seconds the next hold in the pools lapses; None if none will.
        """
        handler = self.handler
        names = sorted({name for one in waiting.values() for name in vars(one.command)["quantities"]})
        with handler.look() as reader:
            pools = {name: pool for name in names if (pool := handler.cache.pool(name, reader))}
            rules = {name: (pool.limits, pool.closed) for name, pool in pools.items()}
            changed = rules != self._rules
            first = dict.fromkeys(chain.from_iterable(reader.queued(name, SERVED_MAX) for name in names))
            chosen = [waiting[key] for key in (waiting if changed else first) if key in waiting]
            batch = handler.batch(chosen, reader)
            now = handler.clock()
            free = FreeCapacity({name: PoolStatus.of(pool, now).free for name, pool in pools.items()})
            found = set()
            for one in chosen:
                quantities = vars(one.command)["quantities"]
                if (changed or free.has(quantities)) and batch.would_decide(one):
                    found.add(one.command_id)
                    free.take(quantities)
            self._rules = rules
            ends = [end for pool in pools.values() if (end := pool.next_deadline(now))]
        return found, (min(ends) - now).total_seconds() if ends else None


def _report(asked: PendingCommand, answer: Outcome | Exception, actor: str | None) -> None:
    """Write a log line about one decision."""
    command = asked.command
    context = {"correlation_id": command.correlation_id, "actor": command.actor or actor}
    with structlog.contextvars.bound_contextvars(command_id=asked.command_id, **context):
        about = {"command": command.verb, **about_command(command)}
        if isinstance(answer, Undecided):
            logger.debug("waits", **about)
        elif isinstance(answer, Exception):
            logger.info("not_decided", **{**about, **about_error(answer)}, error=str(answer))
        elif answer.refusal is not None:
            logger.info("refused", **{**about, **about_error(answer.refusal)}, data=answer.refusal.data)
        else:
            logger.debug("decided", **about, position=answer.position, repeated=answer.repeated)
