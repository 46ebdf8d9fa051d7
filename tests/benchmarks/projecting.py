"""Baseline: the `eventsourcing` library's own runner of projections, building one view on PostgreSQL.

The library's recorder for SQLite has no subscription, so its runner cannot read a log there. The view is written as the
library's manual has it: a tracking recorder with a table of its own, row and position in one transaction, statements
prepared. The table has the columns, the key and the indexes of `current_allocations`.
"""

from __future__ import annotations

import json
from array import array
from contextlib import closing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol
from eventsourcing.persistence import Tracking  # noqa: TC002 - the dispatch looks at it as the module is imported
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier
from uuid_utils import uuid7

from benchmarks.case import Case
from benchmarks.churn import POOLS, batches, open_at_end
from benchmarks.library import environment
from benchmarks.measure import PATIENCE_SECONDS, Sample, Span, Window
from benchmarks.places import connect_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.sql import Composed

    from benchmarks.churn import Turn
    from benchmarks.places import Place
    from benchmarks.plan import Plan

SYSTEM: Final = "ProjectionRunner"
WORK: Final = "rebuild of one view"
DATABASE: Final = "postgresql"

_TABLE: Final = "held"
_LOOK_SECONDS: Final = 0.01


class Pool(Aggregate):
    """A pool whose events say what Holdbook's say."""

    class Allocated(Aggregate.Event):
        """A quantity was granted."""

        allocation_id: str
        pool: str
        owner: str
        quantity: int
        pools: list[str]
        epoch: int
        tags: dict[str, str]
        deadline: str | None
        actor: str | None

    class Released(Aggregate.Event):
        """A hold ended."""

        allocation_id: str
        pool: str
        owner: str
        quantity: int
        reason: str | None
        actor: str | None

    def take(self, turn: Turn, allocation_id: str) -> None:
        """Record a turn, without rules: this is only to have been written."""
        known: dict[str, Any] = {
            "allocation_id": allocation_id,
            "pool": turn.pool,
            "owner": turn.owner,
            "quantity": turn.quantity,
            "actor": None,
        }
        if turn.allocates:
            opened = {"pools": [turn.pool], "epoch": 1, "tags": turn.tags, "deadline": None}
            self.trigger_event(self.Allocated, **known, **opened)
        else:
            self.trigger_event(self.Released, **known, reason=None)


class Pools(Application[UUID]):
    """The stock application."""


class Held(PostgresTrackingRecorder):
    """The view: what is held, one row an allocation and pool."""

    def __init__(self, datastore: PostgresDatastore, *, tracking_table_name: str = "held_tracking") -> None:
        super().__init__(datastore, tracking_table_name=tracking_table_name)
        self.position = 0
        """What it has come to; so that nobody has to keep asking the database."""
        self.sql_create_statements += [
            self._sql(
                "CREATE TABLE IF NOT EXISTS {} (allocation_id text, pool text, owner text, quantity bigint, "
                "state text, deadline text, token text, tags text, opened_at text, opened_by text, position bigint, "
                "PRIMARY KEY (allocation_id, pool))"
            ),
            self._sql("CREATE INDEX IF NOT EXISTS held_by_pool ON {} (pool)"),
            self._sql("CREATE INDEX IF NOT EXISTS held_by_owner ON {} (owner)"),
        ]
        self._grant = self._sql(
            "INSERT INTO {} VALUES (%(allocation_id)s, %(pool)s, %(owner)s, %(quantity)s, 'active', %(deadline)s, "
            "%(token)s, %(tags)s, %(opened_at)s, %(opened_by)s, %(position)s)"
        )
        self._end = self._sql("DELETE FROM {} WHERE allocation_id = %(allocation_id)s AND pool = %(pool)s")

    def grant(self, row: dict[str, Any], tracking: Tracking) -> None:
        """Add a row."""
        self._change(self._grant, row, tracking)

    def end(self, row: dict[str, Any], tracking: Tracking) -> None:
        """Remove a row."""
        self._change(self._end, row, tracking)

    def _change(self, statement: Composed, row: dict[str, Any], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, row, prepare=True)
        self.position = tracking.notification_id

    def _sql(self, statement: Any) -> Composed:  # noqa: ANN401 - psycopg takes literal strings, and these are
        return SQL(statement).format(Identifier(self.datastore.schema, _TABLE))


class Holds(Projection[Held]):
    """The handlers."""

    @singledispatchmethod
    def process_event(self, domain_event: DomainEventProtocol[UUID], tracking: Tracking) -> None:  # noqa: ARG002 - the library's name
        """Only move on: the opening of a pool changes no row."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: Pool.Allocated, tracking: Tracking) -> None:
        row = {
            "allocation_id": domain_event.allocation_id,
            "pool": domain_event.pool,
            "owner": domain_event.owner,
            "quantity": domain_event.quantity,
            "deadline": domain_event.deadline,
            "token": f"{domain_event.epoch}.{tracking.notification_id}",
            "tags": json.dumps(domain_event.tags),
            "opened_at": domain_event.timestamp.isoformat(),
            "opened_by": domain_event.actor,
            "position": tracking.notification_id,
        }
        self.view.grant(row, tracking)

    @process_event.register
    def _(self, domain_event: Pool.Released, tracking: Tracking) -> None:
        self.view.end({"allocation_id": domain_event.allocation_id, "pool": domain_event.pool}, tracking)


def fill(env: dict[str, str], events: int) -> int:
    """Write the log, many events at a time; the position of the last."""
    with closing(Pools(env=env)) as pools:
        opened = {f"pool-{number}": Pool() for number in range(POOLS)}
        ids: dict[int, str] = {}
        for batch in batches(events):
            for turn in batch:
                opened[turn.pool].take(turn, ids.setdefault(turn.number, str(uuid7())))
            pools.save(*opened.values())
        return pools.recorder.max_notification_id() or 0


def run(place: Place, events: int, span: Span) -> Sample:  # noqa: ARG001 - it takes as long as it takes
    """Measure one round: the whole view, from nothing."""
    with place.fresh(with_ledger=False) as url:
        env = environment(url, 4)
        last = fill(env, events)
        seconds = _build(env, last)
        with closing(connect_postgres(url)) as connection:
            rows = connection.execute(f"SELECT count(*) FROM {_TABLE}").fetchone()  # noqa: S608 - own name
        if rows != (open_at_end(events),):
            message = f"the view has {rows} rows, not {open_at_end(events)}"
            raise RuntimeError(message)
    return Sample.of([Window(seconds, array("d", [seconds]))], last, events=last)


def _build(env: dict[str, str], last: int) -> float:
    begun = perf_counter()
    with ProjectionRunner(application_class=Pools, projection_class=Holds, view_class=Held, env=env) as runner:
        end = begun + 10 * PATIENCE_SECONDS
        while runner.view.position < last and not runner.is_interrupted.wait(_LOOK_SECONDS) and perf_counter() < end:
            pass
        seconds = perf_counter() - begun
        if runner.view.position < last:
            runner.run_forever(0)  # raises what went wrong, if that is why
            message = f"the view came to position {runner.view.position} of {last} in {seconds:.0f} s"
            raise RuntimeError(message)
    return seconds


def cases(place: Place, plan: Plan) -> Iterator[Case]:
    """List the case, on PostgreSQL only."""
    if place.name == DATABASE:
        run_it = partial(run, place, plan.projected)
        yield Case(system=SYSTEM, database=place.name, work=WORK, callers="threads", clients=1, run=run_it)
