"""The `Ledger` that programs open: the domain's, put together with a log, a clock, a queue and the views."""

from __future__ import annotations

import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Self

import structlog

from holdbook.domain.answers import Answer
from holdbook.domain.checks import given_seconds
from holdbook.domain.commands import Allocate, Release, Void
from holdbook.domain.errors import HoldbookError, LogCorrupt, LogUnavailable, Malformed
from holdbook.domain.handling import named_commands as domain
from holdbook.domain.handling.batch import PoolStatus
from holdbook.domain.handling.queue import SERVED_MAX, FreeCapacity, Undecided
from holdbook.domain.records import LOG_FORMAT
from holdbook.infrastructure.clock import new_id, system_clock
from holdbook.infrastructure.commit.committer import (
    BATCH_COMMANDS_MAX,
    SHARED_BATCH_COMMANDS_MAX,
    BlockingCaller,
    Committer,
    Promise,
)
from holdbook.infrastructure.commit.waiting_room import Waiter, WaitingPromise, WaitingRoom
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.leases.held import holding
from holdbook.infrastructure.leases.lease import Lease, Leases
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.memory_log import MemoryEventLog
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.telemetry.context import about_batch, about_command, about_error
from holdbook.infrastructure.telemetry.counters import LEDGERS, Commits
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import command_span, commit_span
from holdbook.infrastructure.verification.fold_check import FoldCheck
from holdbook.infrastructure.views.facts import SQLViewEvents
from holdbook.infrastructure.views.store import SQLStore
from holdbook.projections.fold import no_collections
from holdbook.projections.generations import GenerationState
from holdbook.projections.projector import Projector
from holdbook.projections.views.catalogue import VIEWS
from holdbook.replay.history import stories
from holdbook.replay.history.as_of import state_at
from holdbook.replay.history.stories import EVERYTHING, STEPS_MAX
from holdbook.replay.simulation.explanation import explained
from holdbook.replay.simulation.what_if import FLIPS, what_if

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from holdbook.domain.commands import Command
    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.handling.batch import Outcome, PendingCommand
    from holdbook.domain.handling.commit_attempt import CommitAttempt
    from holdbook.domain.handling.pool_cache import PoolCache
    from holdbook.domain.handling.queue import Waiting
    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import Clock, EventLog
    from holdbook.domain.values import Token
    from holdbook.infrastructure.leases.lease import OnLost
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import ViewStatus
    from holdbook.replay.history.stories import Page
    from holdbook.replay.simulation.explanation import Explanation
    from holdbook.replay.simulation.what_if import Changes, WhatIf

PATIENCE_SECONDS: Final = 30.0
"""How long a commit may take, with reconnecting and looking up what became of it, before its callers are told."""

WAITING_MAX: Final = 10_000
"""The most commands that wait to be committed; one more is refused at once."""

WAIT_SECONDS: Final = 10.0
"""How long whoever waits for a view does, unless told."""

_PAUSE_SECONDS: Final = 0.05
_PAUSE_SECONDS_MAX: Final = 1.0
"""How long to wait before trying again, at first and at last."""

logger = get_logger()


class Ledger(domain.Ledger):
    """A ledger of finite resources in a database, or in memory.

    Commands of any number of threads and tasks wait in one queue, and one thread commits all that wait at a time.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        actor: str | None = None,
        clock: Clock = system_clock,
        patience: float = PATIENCE_SECONDS,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        super().__init__(log, clock=clock, new_id=new_id, actor=actor)
        self._patience = given_seconds("patience", patience)
        if type(waiting_max) is not int or waiting_max < 1:
            raise Malformed("waiting_max", waiting_max, "expected a whole number from 1")
        self._committer = Committer(waiting_max)
        self._room = WaitingRoom(log, self._committer)
        self._rules: Mapping[str, tuple[Limits, bool]] = {}
        """Limits, and whether it is closed, of each pool that is waited for, as those who wait were last held to."""
        self._snapshots = ThreadPoolExecutor(1, "holdbook-snapshots")
        self._leases = Leases(clock)
        weakref.finalize(self, self._leases.stop)
        self._commits = Commits()
        LEDGERS.add(self, self._commits, self._committer)
        weakref.finalize(self, self._committer.close)  # also at the interpreter's end: what waits is answered

    @classmethod
    def open(  # noqa: PLR0913 - each by name, each with a default
        cls,
        url: str,
        *,
        create: bool = True,
        actor: str | None = None,
        clock: Clock = system_clock,
        patience: float = PATIENCE_SECONDS,
        waiting_max: int = WAITING_MAX,
    ) -> Self:
        """Open the ledger in a database, such as ``sqlite:///holdbook.db`` or ``postgresql+psycopg://user@host/name``.

        With ``create``, a database that holds no ledger is made ready; any number of processes may do so at once.
        ``patience`` is how long, in seconds, a commit may take, finding out after a broken connection what became of
        it included, before its callers are told that it is not known. No more than ``waiting_max`` commands wait at
        a time. Raises `Malformed` for an address or another value that is none, `LogUnavailable` if the database cannot
        be used, and `SchemaMismatch` if it is at another schema, with the command that upgrades it.
        """
        database = Database(url, checks_clock=clock is system_clock, silence=patience)
        try:
            log = _open_log(database, create=create)
            return cls(log, actor=actor, clock=clock, patience=patience, waiting_max=waiting_max)
        except BaseException:
            database.close()
            raise

    @classmethod
    def in_memory(cls, *, actor: str | None = None, clock: Clock = system_clock) -> Self:
        """Open a ledger that lasts as long as the process."""
        return cls(MemoryEventLog(), actor=actor, clock=clock)

    def close(self) -> None:
        """Answer every command that waits, finish snapshots, and give the connections back; its leases are lost."""
        self._leases.close()
        self._room.close()
        self._committer.close()
        self._room.join()
        self._snapshots.shutdown()
        LEDGERS.remove(self)
        super().close()

    def projector(self, tell: Callable[[str], object] = str) -> Projector:
        """Give the keeper of the published views, which tells in words what it does when that takes long.

        Raises `LogUnavailable` in memory, where there are no views.
        """
        log = self.log
        if not isinstance(log, SQLEventLog):
            message = "a ledger in memory has no published views"
            raise LogUnavailable(message)
        return Projector(SQLViewEvents(log), SQLStore(log.database), FoldCheck(log), clock=self._clock, tell=tell)

    def wait_for(self, view: str, position: int, *, timeout: float = WAIT_SECONDS) -> ViewStatus:
        """Wait until a view has seen the event at a position, such as an `Outcome`'s: whoever wrote it then reads it.

        It only waits; a worker moves the view. ``timeout`` is in seconds. Raises `ViewBehind` when it is over,
        `ViewStopped` if the view failed on an event before that, `NotFound` for a view that is not published,
        `LogUnavailable`.
        """
        if type(position) is not int or position < 0:
            raise Malformed("position", position, "expected a whole number from 0")
        return self.projector().wait_for(view, position, given_seconds("timeout", timeout))

    allocate = holding(domain.Ledger.allocate)
    reserve = holding(domain.Ledger.reserve)
    confirm = holding(domain.Ledger.confirm)
    renew = holding(domain.Ledger.renew)

    def keep_alive(
        self,
        allocation_id: str,
        *,
        token: Token | None = None,
        ttl: timedelta | None = None,
        grace: timedelta | None = None,
        on_lost: OnLost | None = None,
    ) -> Lease:
        """Keep an allocation from lapsing: renew it in the background from a ``with`` block's beginning to its end.

        It is renewed at once, and then whenever a third of the time to live is over: ``ttl``, else the shortest default
        of its pools. With the ``token``, only the grant that is meant is renewed. The holder takes the lease for lost
        ``grace`` before the deadline, a sixth of the time to live if None is given: by a clock that nobody sets, from
        before the last renewal was sent. A renewal that is refused is the end of it at once. ``on_lost`` is then called
        with the `LeaseLost`, once, in a thread of its own. Raises `Malformed`; the block's beginning raises what
        `Lease.start` does.
        """
        return Lease(self, self._leases, allocation_id, token=token, ttl=ttl, grace=grace, on_lost=on_lost)

    def now(self) -> datetime:
        """Tell the present instant by the ledger's clock (UTC)."""
        return self._clock()

    def time_to_deadline(self) -> timedelta | None:
        """Tell how long it is to the next deadline, in all pools, of what no event has ended; None if there is none.

        Less than nothing if it has passed and that is not recorded. Raises `LogUnavailable`.
        """
        with self._look() as reader:
            pools = (self._cache.pool(name, reader) for name in reader.pool_names())
            deadline = min((pool.deadlines[0][0] for pool in pools if pool and pool.deadlines), default=None)
        return None if deadline is None else deadline - self._clock()

    def find(
        self, wanted: EventFilter = EVERYTHING, *, after: int = 0, limit: int = STEPS_MAX, upto: int | None = None
    ) -> Page:
        """Find events by what they are about, a page at a time, each with what it changed.

        To go on: the same, ``after`` the page's ``next``, ``upto`` the ``position`` of the first page. So each event is
        seen once, though the log grows meanwhile. Raises `Malformed`, `LogUnavailable`.
        """
        return stories.find(self.log, wanted, after=after, limit=limit, upto=upto)

    def explain(
        self,
        quantities: Mapping[str, int],
        *,
        owner: str,
        ttl: timedelta | None = None,
        at: datetime | None = None,
    ) -> Explanation:
        """Say whether a request would be granted, now or at a moment past or to come, and record nothing.

        If not: why not, who holds what stands in the way, and when enough of that will have expired, going by what had
        happened by then. Raises `Malformed`, `LogUnavailable`.
        """
        command = Allocate(quantities=quantities, owner=owner, ttl=ttl, at=at)
        with self.log.reading() as reader:
            head = reader.head
        return explained(state_at(self.log, command.at or head), command, self._clock())

    def what_if(
        self,
        limits: Changes,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        flips: int = FLIPS,
        progress: Callable[[int, int], object] = lambda _done, _total: None,
    ) -> WhatIf:
        """Decide every command that was decided in [since, until) again, refused ones too, under other limits.

        ``limits`` has the values of some limits by name, by pool: ``{"gpu": {"total": 12, "max_size": None}}``. They
        hold from ``since`` on. At most so many ``flips`` are listed; all are counted. Nothing is recorded. Raises
        `Malformed`, naming pool and limit.
        """
        with no_collections():
            return what_if(self.log, limits, since=since, until=until, flips=flips, progress=progress)

    def queue(self, pool: str | None = None) -> Answer[Waiting]:
        """List the commands that wait, of one pool or of all, in the order that they are served in."""
        if pool is not None:
            self.pool(pool)
        with self.log.reading() as reader:
            found = reader.queue()
            return Answer([one for one in found if pool is None or pool in one.quantities], reader.head)

    def servable(self, waiting: Mapping[str, PendingCommand]) -> tuple[set[str], float | None]:
        """Choose of commands that wait, by id, those that would be decided now, going by a look without the lock.

        Those are the first in the queue of all their pools that can be granted together, and, as soon as rules have
        changed, whoever is refused for good by them, at whatever place. Tells too in how many seconds the next hold in
        the pools lapses; None if none will.
        """
        names = sorted({name for one in waiting.values() for name in vars(one.command)["quantities"]})
        with self._look() as reader:
            pools = {name: pool for name in names if (pool := self._cache.pool(name, reader))}
            rules = {name: (pool.limits, pool.closed) for name, pool in pools.items()}
            changed = rules != self._rules
            first = dict.fromkeys(chain.from_iterable(reader.queued(name, SERVED_MAX) for name in names))
            chosen = [waiting[key] for key in (waiting if changed else first) if key in waiting]
            batch = self._batch(chosen, reader)
            now = self._clock()
            room = FreeCapacity({name: PoolStatus.of(pool, now).free for name, pool in pools.items()})
            found = set()
            for one in chosen:
                quantities = vars(one.command)["quantities"]
                if (changed or room.has(quantities)) and batch.would_decide(one):
                    found.add(one.command_id)
                    room.take(quantities)
            self._rules = rules
            ends = [end for pool in pools.values() if (end := pool.next_deadline(now))]
        return found, (min(ends) - now).total_seconds() if ends else None

    @contextmanager
    def _own_cache(self) -> Iterator[PoolCache]:
        self._committer.birthplace.check()  # before the lock, which a fork may have left locked
        with super()._own_cache() as cache:
            yield cache

    # Group commit

    def _settle(self, command: Command) -> PendingCommand:
        if type(command) is Release or type(command) is Void:
            self._leases.ends_here(command.allocation_id)
        return super()._settle(command)

    def _answer(self, asked: PendingCommand, timeout: float | None) -> Outcome:
        if timeout is not None:
            given_seconds("timeout", timeout)
        with command_span(asked) as span:
            outcome = self._awaited(asked, timeout)
            span.answered(outcome)
        return outcome

    def _awaited(self, asked: PendingCommand, timeout: float | None) -> Outcome:
        sleeper = BlockingCaller()
        waiter = self._wait(asked, sleeper) if asked.waits else None
        if waiter is None:
            self._committer.ask(asked, sleeper, self._answers)
        try:
            answer = sleeper.wait(timeout)
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

    def submit(self, command: Command) -> Promise:
        """Ask for a decision and go on; a command whose future is cancelled before its turn is never decided.

        What it gives is a future of `concurrent.futures`, and tasks of asyncio can await it as it is.
        """
        asked = self._settle(command)
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
        self._committer.ask(asked, promise, self._answers)
        return promise

    def _wait(self, asked: PendingCommand, caller: BlockingCaller | WaitingPromise) -> Waiter:
        """Have a command decided that may wait."""
        waiter = Waiter(asked, caller, self, self._room)
        self._room.ask(waiter)
        return waiter

    def _commit(self, attempt: CommitAttempt) -> Sequence[Outcome | Exception]:
        """Decide commands and record what was decided, trying again while the database comes back."""
        began = monotonic()
        try:
            with commit_span(attempt):
                self._insist(attempt, began + self._patience)
        except (LogUnavailable, LogCorrupt) as error:
            self._commits.failed()
            logger.error("commit_failed", error=str(error), **about_batch(attempt.asked))  # noqa: TRY400 - callers get it with its traceback
            raise
        self._commits.done(monotonic() - began, len(attempt.asked), attempt.events)
        is_shared = self._cache.behind is not None
        self._committer.batch_max = SHARED_BATCH_COMMANDS_MAX if is_shared else BATCH_COMMANDS_MAX
        with suppress(Exception):  # what was committed is answered, whatever becomes of reports and snapshots
            self._committed(attempt)
        return attempt.answers

    def _insist(self, attempt: CommitAttempt, until: float) -> None:
        pause = _PAUSE_SECONDS
        while True:
            try:
                self._try(attempt, max(until - monotonic(), 0))
                break
            except LogUnavailable as error:
                if not error.transient or monotonic() + pause > until:
                    raise
                if pause == _PAUSE_SECONDS:
                    logger.warning("commit_tried_again", error=str(error), **about_batch(attempt.asked))
                sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    # After the commit

    def _committed(self, attempt: CommitAttempt) -> None:
        if logger.isEnabledFor(logging.INFO):  # the common case is that nobody reads them
            for asked, answer in zip(attempt.asked, attempt.answers, strict=True):
                _report(asked, answer, self._actor)
        while self._cache.milestones:
            self._snapshots.submit(self._snapshot, self._cache.milestones.pop())

    def _snapshot(self, pool: str) -> None:
        def copy() -> Pool | None:
            with self._own_cache() as cache:  # between two commits: nothing in it is ahead of the log
                return cache.copy_of(pool)

        try:
            self.log.snapshot_if_due(pool, copy)
        except HoldbookError as error:
            logger.warning("snapshot_failed", pool=pool, error=str(error))


def _open_log(database: Database, *, create: bool) -> SQLEventLog:
    if not database.exists():
        if not create:
            message = f"there is no database {database.name}"
            raise LogUnavailable(message)
        database.make_file()
    if create and schema.current_revision(database) is None:
        from holdbook.infrastructure.schema import upgrade as migrating  # noqa: PLC0415 - Alembic takes long to import, and most commands need none

        migrating.upgrade(database)
    schema.require_current(database)
    log = SQLEventLog(database, EventMapper())
    if log.format != LOG_FORMAT:
        message = f"the log in {database.name} has format {log.format}; this version of Holdbook reads {LOG_FORMAT}"
        raise LogUnavailable(message)
    _warn_of_views(database)
    return log


def holds_ledger(url: str) -> bool:
    """Tell whether there is a ledger in a database, at whatever schema; raises `Malformed`, `LogUnavailable`."""
    database = Database(url)
    try:
        return database.exists() and schema.current_revision(database) is not None
    finally:
        database.close()


def _warn_of_views(database: Database) -> None:
    """Say which views are read as they are, and not moved on: those that other code built, and those that failed."""
    found = SQLStore(database).generations()
    outdated = outdated_views(found)
    if outdated:
        logger.warning("views_outdated", views=outdated, way_out="run `holdbook projections rebuild --all`")
    for one in found:
        if one.state is GenerationState.LIVE and one.stopped_at is not None:
            logger.warning("view_stopped", view=one.view, position=one.stopped_at, error=one.error)


def outdated_views(found: Iterable[Generation]) -> list[str]:
    """List the views whose live generation was built by other code than this, or that have none."""
    live = {one.view: one.fingerprint for one in found if one.state is GenerationState.LIVE}
    return [view.name for view in VIEWS if live.get(view.name) != view.fingerprint]


def _report(asked: PendingCommand, answer: Outcome | Exception, actor: str | None) -> None:
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
