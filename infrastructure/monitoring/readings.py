"""A ledger read at one moment, for those who watch it: small queries on the live views, the log is not folded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, column, func, literal, select
from sqlalchemy import table as table_clause

from holdbook.domain.values import instant, instant_text
from holdbook.infrastructure.database.tables import events
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.log.sql_queue import SQLQueue
from holdbook.infrastructure.views.store import list_generations
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import DONE, LASTED, METRICS, TIMED
from holdbook.projections.views.pool_usage import POOL_USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, FromClause

    from holdbook.domain.waiting import Waiting
    from holdbook.infrastructure.telemetry.counters import MeasuredLedger
    from holdbook.projections.definition import View
    from holdbook.projections.generations import Generation

_POOL_STREAM: Final = "pool:"


@dataclass(slots=True, kw_only=True)
class PoolReading:
    """A pool, in its unit, less what has lapsed."""

    name: str
    resource_type: str
    capacity: int
    used: int = 0
    allocations: int = 0
    closed: bool = False
    lapsed: int = 0
    """Allocations past their deadline whose expiry nobody has recorded."""
    oldest: datetime | None = None
    """When the oldest allocation that is open was granted."""
    waiting: int = 0
    """Commands in the queue that ask for something of it."""
    waiting_since: datetime | None = None
    """When the first of them came."""

    @property
    def free(self) -> int:
        """What can still be granted."""
        return 0 if self.closed else max(self.capacity - self.used, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationReading:
    """How often something was done in a pool, or refused; and how long the holds lasted that it was done to."""

    pool: str
    operation: str
    code: str
    """Of a refusal; otherwise empty."""
    count: int
    seconds: float | None = None
    """How long they lasted in all; None of what has no duration."""
    lasted: tuple[tuple[float, int], ...] = ()
    """The greatest seconds that each bucket counts, and its count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewReading:
    """How far a view has come."""

    name: str
    behind: int
    behind_seconds: float
    """How long ago the first event was recorded that it has not seen."""
    stopped: bool
    outdated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A ledger at one moment."""

    head: int
    pools: list[PoolReading]
    operations: list[OperationReading] = field(default_factory=list)
    views: list[ViewReading] = field(default_factory=list)


def read_ledger(ledger: MeasuredLedger, now: datetime) -> Reading:
    """Read a ledger; one in memory has no views, so its operations are not known. Raises `LogUnavailable`.

    In a database, one transaction reads all. What views say is true as of their positions, which the reading tells.
    """
    if not isinstance(ledger.log, SQLEventLog):
        return _in_memory(ledger)
    with ledger.log.database.reading() as connection:
        return _InDatabase(connection, now).read()


def _in_memory(ledger: MeasuredLedger) -> Reading:
    found = ledger.pools()
    pools = {
        one.name: PoolReading(
            name=one.name,
            resource_type=one.resource_type,
            capacity=one.capacity,
            used=one.used,
            allocations=one.allocations,
            closed=one.closed,
        )
        for one in found
    }
    for one in ledger.allocations():  # oldest first
        for name in one.quantities:
            pools[name].oldest = pools[name].oldest or one.opened_at
    with ledger.log.reading() as reader:
        _queue(pools, reader.queue())
    return Reading(head=found.position, pools=list(pools.values()))


def _queue(pools: Mapping[str, PoolReading], queue: Iterable[Waiting]) -> None:
    """Count who waits for which pool."""
    for one in queue:
        for pool in (pools[name] for name in one.quantities if name in pools):
            pool.waiting += 1
            pool.waiting_since = min(pool.waiting_since or one.since, one.since)


class _InDatabase:
    """Reads a database in one transaction."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._head: int = connection.execute(select(func.max(events.c.position))).scalar() or 0
        self._live = {one.view: one for one in list_generations(connection) if one.state is GenerationState.LIVE}

    def read(self) -> Reading:
        counted = list(self._counted())
        pools = {}
        for row in counted:
            if row["operation"] == "open_pool" and row["outcome"] == DONE:
                pools[row["pool"]] = PoolReading(name=row["pool"], resource_type=row["resource_type"], capacity=0)
        for row in counted:
            if row["operation"] == "close_pool" and row["outcome"] == DONE:
                pools[row["pool"]].closed = True
        self._read_capacities(pools)
        self._read_allocations(pools)
        _queue(pools, SQLQueue(self._connection).read())
        return Reading(
            head=self._head,
            pools=list(pools.values()),
            operations=[_operation(row) for row in counted],
            views=[self._view(view) for view in VIEWS],
        )

    def _counted(self) -> list[Mapping[str, Any]]:
        """Read the counters, with their histogram if the generation has one."""
        live = self._live.get(METRICS.name)
        if live is None:
            return []
        names = ["pool", "operation", "outcome", "code", "resource_type", "count"]
        if live.fingerprint == METRICS.fingerprint:
            names += ["milliseconds", *LASTED]
        source = _source(METRICS, live, names)
        asked = select(source).order_by(source.c.pool, source.c.operation, source.c.outcome, source.c.code)
        return [{str(name): value for name, value in row.items()} for row in self._connection.execute(asked).mappings()]

    def _read_capacities(self, pools: Mapping[str, PoolReading]) -> None:
        """Read the last row of each pool, by its key."""
        live = self._live.get(POOL_USAGE.name)
        if live is None:
            return
        source = _source(POOL_USAGE, live, ["pool", "bucket", "capacity"])
        other = source.alias("other")
        names = select(func.substr(events.c.stream_id, len(_POOL_STREAM) + 1).label("pool"))
        opened = names.where(events.c.type == "PoolOpened").subquery()
        last = select(func.max(other.c.bucket)).where(other.c.pool == opened.c.pool).scalar_subquery()
        found = select(source.c.pool, source.c.capacity).join(
            opened, (source.c.pool == opened.c.pool) & (source.c.bucket == last)
        )
        for name, capacity in self._connection.execute(found):
            if name in pools:  # else the view that counts is behind this one
                pools[name].capacity = capacity

    def _read_allocations(self, pools: Mapping[str, PoolReading]) -> None:
        """Add up what is held, in one walk through what is open."""
        live = self._live.get(CURRENT_ALLOCATIONS.name)
        if live is None:
            return
        source = _source(CURRENT_ALLOCATIONS, live, ["pool", "quantity", "deadline", "opened_at"])
        due = source.c.deadline <= literal(instant_text(self._now))
        pool_name = source.c.pool.concat("")  # by its index SQLite would walk in an order that jumps about in the file
        asked = select(
            pool_name,
            func.sum(case((due, 0), else_=source.c.quantity)),
            func.sum(case((due, 0), else_=1)),
            func.sum(case((due, 1), else_=0)),
            func.min(case((due, None), else_=source.c.opened_at)),
        ).group_by(pool_name)
        for name, used, allocations, lapsed, oldest in self._connection.execute(asked):
            if name in pools:
                pool = pools[name]
                pool.used, pool.allocations, pool.lapsed = int(used), int(allocations), int(lapsed)
                pool.oldest = None if oldest is None else instant(oldest)

    def _view(self, view: View) -> ViewReading:
        live = self._live.get(view.name)
        position = live.position if live else 0
        return ViewReading(
            name=view.name,
            behind=max(self._head - position, 0),
            behind_seconds=self._seconds_behind(position),
            stopped=live is not None and live.stopped_at is not None,
            outdated=live is None or live.fingerprint != view.fingerprint,
        )

    def _seconds_behind(self, position: int) -> float:
        if position >= self._head:
            return 0.0
        missed = select(events.c.recorded_at).where(events.c.position == position + 1)
        recorded_at = instant(self._connection.execute(missed).scalar_one())
        return max((self._now - recorded_at).total_seconds(), 0.0)


def _source(view: View, live: Generation, columns: list[str]) -> FromClause:
    return table_clause(view.published.physical(live.number), *map(column, columns))


def _operation(row: Mapping[str, Any]) -> OperationReading:
    timed = row["outcome"] == DONE and row["operation"] in TIMED and "milliseconds" in row
    return OperationReading(
        pool=row["pool"],
        operation=row["operation"],
        code=row["code"],
        count=row["count"],
        seconds=row["milliseconds"] / 1000 if timed else None,
        lasted=tuple((most.total_seconds(), row[name]) for name, most in LASTED.items()) if timed else (),
    )
