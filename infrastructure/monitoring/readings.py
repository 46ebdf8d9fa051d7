"""The state of a ledger at one moment, for its metrics.

It is read with small queries on the live generations of the views; the log is not folded.
"""

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
from holdbook.projections.generations import live_generations
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
"""What the ids of the streams of pools begin with."""


@dataclass(slots=True, kw_only=True)
class PoolReading:
    """A pool at one moment. Quantities are in its unit, and what has lapsed counts as not held."""

    name: str
    resource_type: str
    capacity: int
    used: int = 0
    allocations: int = 0
    closed: bool = False
    lapsed: int = 0
    """How many allocations are past their deadline while no event says so yet."""
    oldest: datetime | None = None
    """When the oldest allocation that is open was granted; None if there is none."""
    waiting: int = 0
    """How many commands in the queue ask for something of the pool."""
    waiting_since: datetime | None = None
    """When the first of them entered the queue; None if there is none."""

    @property
    def free(self) -> int:
        """How much can still be granted."""
        return 0 if self.closed else max(self.capacity - self.used, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationReading:
    """How often an operation was done or refused in a pool, and how long the holds had lasted that it was done to."""

    pool: str
    operation: str
    code: str
    """The code of the refusal; empty if the operation was done."""
    count: int
    seconds: float | None = None
    """The sum of the durations of those holds; None for a refusal, and for an operation that has no such hold."""
    lasted: tuple[tuple[float, int], ...] = ()
    """The histogram of those durations: the upper bound of each bucket, in seconds, and how many holds it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewReading:
    """How far a view is behind the log."""

    name: str
    behind: int
    """How many events of the log it has not seen."""
    behind_seconds: float
    """How long ago the first of these events was recorded."""
    stopped: bool
    """Whether it failed on an event and stands still."""
    outdated: bool
    """Whether there is no live generation of it, or one that was built by other code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A ledger at one moment."""

    head: int
    """The position of the log's last event."""
    pools: list[PoolReading]
    operations: list[OperationReading] = field(default_factory=list)
    views: list[ViewReading] = field(default_factory=list)


def read_ledger(ledger: MeasuredLedger, now: datetime) -> Reading:
    """Read the state of a ledger; raises `LogUnavailable`.

    In a database, one transaction reads everything. What comes from a view is true at the position of that view, and
    the reading says how far it is behind. A ledger in memory has no views, so it has no operations either.
    """
    if not isinstance(ledger.log, SQLEventLog):
        return _read_memory(ledger)
    with ledger.log.database.reading() as connection:
        return _DatabaseReading(connection, now).read()


def _read_memory(ledger: MeasuredLedger) -> Reading:
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
        _add_queue(pools, reader.queue())
    return Reading(head=found.position, pools=list(pools.values()))


def _add_queue(pools: Mapping[str, PoolReading], queue: Iterable[Waiting]) -> None:
    """Add to each pool the commands that wait for it."""
    for one in queue:
        for pool in (pools[name] for name in one.quantities if name in pools):
            pool.waiting += 1
            pool.waiting_since = min(pool.waiting_since or one.since, one.since)


class _DatabaseReading:
    """Reads the state of a ledger from a database, in one transaction."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._head: int = connection.execute(select(func.max(events.c.position))).scalar() or 0
        self._live = live_generations(list_generations(connection))

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
        _add_queue(pools, SQLQueue(self._connection).read())
        return Reading(
            head=self._head,
            pools=list(pools.values()),
            operations=[_operation(row) for row in counted],
            views=[self._view(view) for view in VIEWS],
        )

    def _counted(self) -> list[Mapping[str, Any]]:
        """Read the rows of the view `metrics`, with the histogram if its live generation was built by this code."""
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
        """Read the capacity of each pool from its last row in the view `pool_usage`, found by its key."""
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
            if name in pools:  # if not, the view `metrics`, which named the pools, is behind this one
                pools[name].capacity = capacity

    def _read_allocations(self, pools: Mapping[str, PoolReading]) -> None:
        """Add up what is held of each pool, in one pass over the view `current_allocations`."""
        live = self._live.get(CURRENT_ALLOCATIONS.name)
        if live is None:
            return
        source = _source(CURRENT_ALLOCATIONS, live, ["pool", "quantity", "deadline", "opened_at"])
        due = source.c.deadline <= literal(instant_text(self._now))
        pool_name = source.c.pool.concat("")  # by the index, SQLite would jump back and forth in its file
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
        """Give how long ago the event after a position was recorded, in seconds; 0 if there is none."""
        if position >= self._head:
            return 0.0
        missed = select(events.c.recorded_at).where(events.c.position == position + 1)
        recorded_at = instant(self._connection.execute(missed).scalar_one())
        return max((self._now - recorded_at).total_seconds(), 0.0)


def _source(view: View, live: Generation, columns: list[str]) -> FromClause:
    """Name the physical table of a view's live generation, with some of its columns, for a query."""
    return table_clause(view.published.physical(live.number), *map(column, columns))


def _operation(row: Mapping[str, Any]) -> OperationReading:
    """Read a row of the view `metrics`."""
    timed = row["outcome"] == DONE and row["operation"] in TIMED and "milliseconds" in row
    return OperationReading(
        pool=row["pool"],
        operation=row["operation"],
        code=row["code"],
        count=row["count"],
        seconds=row["milliseconds"] / 1000 if timed else None,
        lasted=tuple((bound.total_seconds(), row[name]) for name, bound in LASTED.items()) if timed else (),
    )
