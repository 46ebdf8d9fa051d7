"""The command handler: load what a command reaches, decide it, and record what was decided."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

from holdbook.domain.checks import given_name
from holdbook.domain.commands import Command
from holdbook.domain.errors import Malformed
from holdbook.domain.handling.batch import Batch
from holdbook.domain.handling.commit_attempt import CommitAttempt
from holdbook.domain.handling.known_end import KnownEnd, NotKnown
from holdbook.domain.handling.outcome import Outcome, PendingCommand
from holdbook.domain.handling.pool_cache import PoolCache
from holdbook.domain.handling.queue import Undecided
from holdbook.domain.records import LogPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.ports import Clock, EventLog, LogReader, NewId


def _nothing() -> None:
    pass


class CommandHandler:
    """Handles commands on a log, one transaction at a time, with its pools in memory. Safe to use from several threads.

    It tries a transaction once. Trying again, waiting and telling callers is for those who use it.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        clock: Clock,
        new_id: NewId,
        actor: str | None = None,
        check_process: Callable[[], object] = _nothing,
    ) -> None:
        """Handle commands on a log.

        ``actor`` is recorded for commands that name none. ``check_process`` is called before the handler's lock is
        taken, and raises if this is not the process that the handler was made in.
        """
        self.log = log
        self.clock = clock
        self._new_id = new_id
        self.actor = None if actor is None else given_name("actor", actor)
        self.cache = PoolCache()
        """The pools in memory. Only those who hold it by `own_cache` or `look` may use it."""
        self._lock = RLock()
        self._check_process = check_process

    # Accepting commands

    def settle(self, command: Command) -> PendingCommand:
        """Give a command of a live caller its id. Raises `Malformed` for one that brings a time of its own."""
        pending = self._pending(command)
        if command.at is not None:
            raise Malformed("at", command.at, "expected no time: a live command takes the ledger's clock")
        return pending

    def prepare_batch(self, commands: Sequence[Command], accept: Accept | None = None) -> CommitAttempt:
        """Prepare a batch that is recorded as a whole or not at all, whose commands may bring their own times.

        Raises `Malformed` if one is not a command, or would wait.
        """
        asked = []
        for command in commands:
            pending = self._pending(command)
            if pending.waits:
                raise Malformed("wait", vars(command)["wait"], "expected none: a batch is decided at once")
            asked.append(pending)
        return CommitAttempt(asked, atomic=True, accept=accept)

    def check(self, command: Command) -> Outcome:
        """Say what would become of a command now, refusals included, and record nothing.

        Raises `Malformed`, and `CommandIdReused` and `PoolAlreadyOpen` as deciding it would.
        """
        pending = self._pending(command)
        with self.look() as reader:
            return self.batch([pending], reader).run(pending, dry=True)

    def _pending(self, command: Command) -> PendingCommand:
        """Give a command its id. Raises `Malformed` unless it is a command."""
        if not isinstance(command, Command):
            raise Malformed("command", command, "expected one of Holdbook's command objects")
        return PendingCommand.settle(command, self._new_id)

    # Committing

    def try_commit(self, attempt: CommitAttempt, timeout: float | None = None) -> None:
        """Decide commands and record them in one transaction, unless an earlier try of the same attempt did so.

        The answers are in the attempt afterwards. The log is waited for ``timeout`` seconds at most. Raises
        `LogUnavailable`: then the same attempt may be tried again.
        """
        with self.own_cache() as cache:
            if self._try_alone(attempt, cache, timeout):
                return
            with self.log.writing(timeout, cache.behind) as writer:
                if attempt.end is not None:
                    if writer.holds(attempt.end):
                        return
                    # What was sent may still be on its way, and land after this: ids that were fresh no longer are.
                    attempt.asked[:] = [one._replace(fresh=False) for one in attempt.asked]
                if attempt.more is not None:
                    attempt.asked.extend(attempt.more())
                batch = self.batch(attempt.asked, writer)
                answers = [attempt.answer(one, batch) for one in attempt.asked]
                end = writer.append(batch.records)
                if batch.queue.entered or batch.queue.left:
                    writer.move_queue(list(batch.queue.entered.values()), batch.queue.left)
                attempt.answers, attempt.end = answers, end if batch.records else None
                attempt.events = len(batch.records)
                cache.appended(end)

    def _try_alone(self, attempt: CommitAttempt, cache: PoolCache, timeout: float | None) -> bool:
        """Record one command in one trip to the log, if all that it takes to decide it is in memory.

        The command is decided before the log's lock is taken, and recorded only if the log still ends where this
        handler left it. False if it has to be decided under the lock.
        """
        if cache.end is None or attempt.end is not None or len(attempt.asked) > 1 or attempt.atomic:
            return False
        (one,) = attempt.asked
        if "pool" in vars(one.command):  # its outcome tells how the pool stands then
            return False
        try:
            batch = self.batch(attempt.asked, KnownEnd(cache.end))
            answer = batch.run(one, dry=True)
        except (NotKnown, Undecided):
            return False
        rows = self.log.chain(answer.records, cache.end)
        attempt.answers, attempt.end, attempt.events = [answer], LogPosition.of(rows[-1]), len(rows)
        if not self.log.append_if(cache.end, rows, timeout):
            attempt.end = None
            return False
        batch.take(one, answer.records)
        cache.appended(attempt.end)
        return True

    def batch(self, pending: Sequence[PendingCommand], reader: LogReader) -> Batch:
        """Begin a batch of commands on a look at the log. The caller holds the cache."""
        return Batch(
            pending,
            reader=reader,
            cache=self.cache,
            epoch=self.log.epoch,
            now=self.clock(),
            actor=self.actor,
            new_id=self._new_id,
        )

    # Reading

    @contextmanager
    def own_cache(self) -> Iterator[PoolCache]:
        """Hold the cache. If the block raises, the cache is forgotten, as it may be ahead of the log."""
        self._check_process()  # before the lock, which a fork may have left locked
        with self._lock:
            try:
                yield self.cache
            except BaseException:
                self.cache = self.cache.renewed()
                raise

    @contextmanager
    def look(self) -> Iterator[LogReader]:
        """Hold the cache and look at the log, with the cache brought up to date. Raises `LogUnavailable`."""
        with self.own_cache() as cache, self.log.reading() as reader:
            cache.look(reader)
            yield reader
