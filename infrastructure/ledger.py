"""The `Ledger` that programs open: commands and questions by name, over group commit on a log.

What speaks SQL is imported when a database is opened: a program that only builds commands does not wait for it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final, Self

from holdbook.domain.checks import given_seconds
from holdbook.domain.commands import Allocate, Release, Void
from holdbook.domain.errors import Malformed
from holdbook.domain.handling.interface import LedgerInterface
from holdbook.infrastructure.clock import new_id, system_clock
from holdbook.infrastructure.commit.group_commit import PATIENCE_SECONDS, WAITING_MAX, GroupCommit
from holdbook.infrastructure.leases.held import holding
from holdbook.infrastructure.leases.lease import Lease
from holdbook.infrastructure.leases.renewals import Leases
from holdbook.infrastructure.telemetry.counters import LEDGERS
from holdbook.projections.fold import no_collections
from holdbook.replay.history import stories
from holdbook.replay.history.as_of import state_at
from holdbook.replay.history.stories import EVERYTHING, STEPS_MAX
from holdbook.replay.simulation.explanation import explained
from holdbook.replay.simulation.what_if import FLIPS, what_if

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from holdbook.domain.commands import Command
    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.handling.outcome import Outcome, PendingCommand
    from holdbook.domain.ports import Clock, EventLog
    from holdbook.domain.values import Token
    from holdbook.infrastructure.commit.promise import Promise
    from holdbook.infrastructure.leases.lease import OnLost
    from holdbook.projections.projector import Projector, ViewStatus
    from holdbook.replay.history.stories import Page
    from holdbook.replay.simulation.explanation import Explanation
    from holdbook.replay.simulation.limit_changes import Changes
    from holdbook.replay.simulation.what_if import WhatIf

WAIT_SECONDS: Final = 10.0
"""How long `Ledger.wait_for` waits for a view, unless it is told."""


class Ledger(LedgerInterface):
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
        """Keep a ledger on a log. The other values are those of `open`; raises `Malformed`."""
        self._group = GroupCommit(
            log, clock=clock, new_id=new_id, actor=actor, patience=patience, waiting_max=waiting_max
        )
        self._handler = self._group.handler
        self._leases = Leases(clock)
        weakref.finalize(
            self, self._leases.stop
        )  # at the interpreter's end before the committer's: nothing is lost then
        LEDGERS.add(self, self._group.commits, self._group.committer)

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
        ``actor`` is recorded for commands that name none. ``patience`` is how long, in seconds, a commit may take
        before its callers are told that its outcome is not known; that includes finding out, after a broken
        connection, what became of it. No more than ``waiting_max`` commands wait at a time. Raises `Malformed` for an
        invalid address or another invalid value, `LogUnavailable` if the database cannot be used, and `SchemaMismatch`
        if it is at another schema, with the command that upgrades it.
        """
        from holdbook.infrastructure.database.database import Database  # noqa: PLC0415 - SQL is imported when it is needed
        from holdbook.infrastructure.opening import open_log  # noqa: PLC0415 - SQL is imported when it is needed

        database = Database(url, checks_clock=clock is system_clock, silence=patience)
        try:
            log = open_log(database, create=create)
            return cls(log, actor=actor, clock=clock, patience=patience, waiting_max=waiting_max)
        except BaseException:
            database.close()
            raise

    @classmethod
    def in_memory(cls, *, actor: str | None = None, clock: Clock = system_clock) -> Self:
        """Open a ledger that lasts as long as the process."""
        from holdbook.infrastructure.log.memory_log import MemoryEventLog  # noqa: PLC0415 - SQL is imported when it is needed

        return cls(MemoryEventLog(), actor=actor, clock=clock)

    def close(self) -> None:
        """Answer every command that waits, finish snapshots, and give the connections back; its leases are lost."""
        self._leases.close()
        self._group.close()
        LEDGERS.remove(self)
        super().close()

    # Commands

    def execute(self, command: Command, *, timeout: float | None = None) -> Outcome:
        """Decide a command and record what was decided; durable when this returns. See `LedgerInterface.execute`."""
        outcome = self._group.execute(self._settle(command), timeout)
        if outcome.refusal is not None:
            raise outcome.refusal
        return outcome

    def submit(self, command: Command) -> Promise:
        """Ask for a decision and go on; a command whose future is cancelled before its turn is never decided.

        It gives a future of `concurrent.futures` that tasks of asyncio can await as it is. It holds the outcome,
        refusals included, or raises as `execute` does.
        """
        return self._group.submit(self._settle(command))

    def _settle(self, command: Command) -> PendingCommand:
        if type(command) is Release or type(command) is Void:
            self._leases.ends_here(command.allocation_id)
        return self._handler.settle(command)

    def record(self, commands: Sequence[Command], *, accept: Accept | None = None) -> list[Outcome]:
        """Decide a batch that brings its own times in one transaction, all or nothing. See `LedgerInterface.record`."""
        attempt = self._handler.prepare_batch(commands, accept)
        self._group.commit(attempt)
        return attempt.answers  # type: ignore[return-value]  # all or nothing: an error is raised

    allocate = holding(LedgerInterface.allocate)
    reserve = holding(LedgerInterface.reserve)
    confirm = holding(LedgerInterface.confirm)
    renew = holding(LedgerInterface.renew)

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
        of its pools. With the ``token``, only the grant that is meant is renewed. The lease counts as lost
        ``grace`` before the deadline, a sixth of the time to live if None is given, by a monotonic clock that is read
        before each renewal is sent. A renewal that is refused ends it at once. ``on_lost`` is then called
        with the `LeaseLost`, once, in a thread of its own. Raises `Malformed`; the block's beginning raises what
        `Lease.start` does.
        """
        return Lease(self, self._leases, allocation_id, token=token, ttl=ttl, grace=grace, on_lost=on_lost)

    # Views

    def projector(self, tell: Callable[[str], object] = str) -> Projector:
        """Give the keeper of the published views. ``tell`` is called with a sentence about each step that takes long.

        Raises `LogUnavailable` in memory, where there are no views.
        """
        from holdbook.infrastructure.opening import projector_of  # noqa: PLC0415 - SQL is imported when it is needed

        return projector_of(self.log, self._handler.clock, tell)

    def wait_for(self, view: str, position: int, *, timeout: float = WAIT_SECONDS) -> ViewStatus:
        """Wait until a view has seen the event at a position, such as an `Outcome`'s: reading it then shows that event.

        It only waits; a worker moves the view. ``timeout`` is in seconds. Raises `ViewBehind` when it is over,
        `ViewStopped` if the view failed on an event before that, `NotFound` for a view that is not published,
        `LogUnavailable`.
        """
        if type(position) is not int or position < 0:
            raise Malformed("position", position, "expected a whole number from 0")
        return self.projector().wait_for(view, position, given_seconds("timeout", timeout))

    # Questions to the log

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
        """Say whether a request would be granted, now or at a moment in the past or to come, and record nothing.

        If not: why not, which holds are in the way, and when enough of that will have expired, going by what had
        happened by then. Raises `Malformed`, `LogUnavailable`.
        """
        command = Allocate(quantities=quantities, owner=owner, ttl=ttl, at=at)
        with self.log.reading() as reader:
            head = reader.head
        return explained(state_at(self.log, command.at or head), command, self.now())

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
