"""The `Ledger` that programs open: the domain's, put together with a log, a clock, a queue and the views."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final, Self

import structlog

from bursar.domain import ledger as domain
from bursar.domain.errors import BursarError, LogUnavailable
from bursar.domain.records import LOG_FORMAT
from bursar.infrastructure import schema
from bursar.infrastructure.clock import new_id, system_clock
from bursar.infrastructure.database import Database
from bursar.infrastructure.logging import get_logger
from bursar.infrastructure.mapper import EventMapper
from bursar.infrastructure.memory import MemoryEventLog
from bursar.infrastructure.sql_log import SQLEventLog
from bursar.infrastructure.tracking import SQLStore
from bursar.projections.engine import Projector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bursar.domain.batch import Outcome
    from bursar.domain.commands import Command
    from bursar.domain.ports import Clock, EventLog

BATCH_COMMANDS_MAX: Final = 500
"""The most commands decided in one transaction."""

SNAPSHOT_CHECK_EVENTS: Final = 1000
"""How many of a pool's events go by before it is looked at again whether a snapshot is due."""

logger = get_logger()


class Ledger(domain.Ledger):
    """A ledger of finite resources in a database, or in memory.

    Commands of any number of threads wait in one queue; whoever gets the lock commits all that wait.
    """

    def __init__(self, log: EventLog, *, actor: str | None = None, clock: Clock = system_clock) -> None:
        super().__init__(log, clock=clock, new_id=new_id, actor=actor)
        self._waiting: deque[tuple[Command, Future[Outcome]]] = deque()
        self._entering = Lock()
        self._closed = False
        self._turn = Condition()
        self._led = False
        """Whether somebody is committing just now."""
        self._helper = ThreadPoolExecutor(1, "bursar-commit")
        self._snapshots = ThreadPoolExecutor(1, "bursar-snapshots")
        self._looked_at: dict[str, int] = {}
        """The version at which each pool was last looked at whether it is due for a snapshot."""

    @classmethod
    def open(cls, url: str, *, create: bool = True, actor: str | None = None, clock: Clock = system_clock) -> Self:
        """Open the ledger in a database, such as ``sqlite:///bursar.db`` or ``postgresql+psycopg://user@host/name``.

        With ``create``, a database that holds no ledger is made ready; any number of processes may do so at once.
        Raises `Malformed` for an address that is none, `LogUnavailable` if the database cannot be used, and
        `SchemaMismatch` if it is at another schema, with the command that upgrades it.
        """
        database = Database(url)
        try:
            log = _open_log(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(log, actor=actor, clock=clock)

    @classmethod
    def in_memory(cls, *, actor: str | None = None, clock: Clock = system_clock) -> Self:
        """Open a ledger that lasts as long as the process."""
        return cls(MemoryEventLog(), actor=actor, clock=clock)

    def close(self) -> None:
        """Answer every command that waits, finish snapshots, and give the connections back."""
        with self._entering:
            self._closed = True
        self._helper.shutdown()
        self._snapshots.shutdown()
        super().close()

    def projector(self) -> Projector:
        """Give the keeper of the published views; raises `LogUnavailable` in memory, where there are none."""
        if not isinstance(self.log, SQLEventLog):
            message = "a ledger in memory has no published views"
            raise LogUnavailable(message)
        return Projector(self.log, SQLStore(self.log.database))

    # Group commit: the first caller that finds nobody leading commits for all that wait

    def _answer(self, command: Command) -> Outcome:
        future = self._enqueue(command)
        self._see_through(future)
        return future.result()

    def submit(self, command: Command) -> Future[Outcome]:
        """Ask for a decision and go on; a command whose future is cancelled before its turn is never decided."""
        with self._entering:  # `close` comes before both or after both
            future = self._enqueue(command)
            self._helper.submit(self._see_through, future)
        return future

    def _enqueue(self, command: Command) -> Future[Outcome]:
        domain.check_live(command)
        if self._closed:
            message = "the ledger was closed: open it again"
            raise LogUnavailable(message)
        future: Future[Outcome] = Future()
        self._waiting.append((command, future))
        return future

    def _see_through(self, future: Future[Outcome]) -> None:
        """Wait until a command is answered, leading whenever nobody else does."""
        while not future.done():
            with self._turn:
                self._turn.wait_for(lambda: future.done() or not self._led)
                if future.done():
                    return
                self._led = True
            try:
                self._lead()
            finally:
                with self._turn:
                    self._led = False
                    self._turn.notify_all()

    def _lead(self) -> None:
        """Commit a batch of what waits."""
        batch: list[tuple[Command, Future[Outcome]]] = []
        while self._waiting and len(batch) < BATCH_COMMANDS_MAX:
            command, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                batch.append((command, future))
        self._settle(batch)

    # After the commit

    def _committed(self, commands: Sequence[Command], answers: Sequence[Outcome | BursarError]) -> None:
        reports = logger.isEnabledFor(logging.INFO)  # the common case is that nobody reads them
        for command, answer in zip(commands, answers, strict=True):
            if reports:
                _report(command, answer, self._actor)
            if not isinstance(answer, BursarError) and not answer.repeated:
                for recorded in answer.records:
                    self._look_at(recorded.event.stream_id, recorded.version)

    def _look_at(self, stream_id: str, version: int) -> None:
        kind, _, name = stream_id.partition(":")
        if kind == "pool" and version - self._looked_at.get(name, 0) >= SNAPSHOT_CHECK_EVENTS:
            self._looked_at[name] = version
            self._snapshots.submit(self._snapshot, name)

    def _snapshot(self, pool: str) -> None:
        try:
            self.log.snapshot_if_due(pool)
        except BursarError as error:
            logger.warning("snapshot_failed", pool=pool, error=str(error))


def _open_log(database: Database, *, create: bool) -> SQLEventLog:
    if not database.exists():
        if not create:
            message = f"there is no database {database.name}"
            raise LogUnavailable(message)
        database.make_file()
    if create and schema.current_revision(database) is None:
        schema.upgrade(database)
    schema.require_current(database)
    log = SQLEventLog(database, EventMapper())
    if log.format != LOG_FORMAT:
        message = f"the log in {database.name} has format {log.format}; this version of Bursar reads {LOG_FORMAT}"
        raise LogUnavailable(message)
    return log


def _report(command: Command, answer: Outcome | BursarError, actor: str | None) -> None:
    context = {"correlation_id": command.correlation_id, "actor": command.actor or actor}
    if isinstance(answer, BursarError):
        with structlog.contextvars.bound_contextvars(command_id=command.command_id, **context):
            logger.info("not_decided", command=command.verb, error=str(answer))
        return
    with structlog.contextvars.bound_contextvars(command_id=answer.command_id, **context):
        if answer.refusal is not None:
            logger.info("refused", command=command.verb, code=answer.refusal.code.value, data=answer.refusal.data)
        else:
            logger.debug("decided", command=command.verb, position=answer.position, repeated=answer.repeated)
