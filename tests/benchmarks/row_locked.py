"""Baseline: what people write by hand. A counter row that is locked, a row for the allocation, a row for the audit."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, LiteralString, Protocol

from uuid_utils import uuid7

from benchmarks.case import Case, for_clients
from benchmarks.measure import Sample, Span, in_threads
from benchmarks.places import connect_postgres, connect_sqlite

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    import psycopg

    from benchmarks.places import Place
    from benchmarks.plan import Plan

SYSTEM: Final = "row-locked SQL"
WORK: Final = "one hot pool"

_POOL: Final = "gpu"
_TOTAL: Final = 1_000_000

_TABLES: Final[tuple[LiteralString, ...]] = (
    "CREATE TABLE pools (name TEXT PRIMARY KEY, total BIGINT NOT NULL, free BIGINT NOT NULL CHECK (free >= 0))",
    """CREATE TABLE allocations (id TEXT PRIMARY KEY, pool TEXT NOT NULL, owner TEXT NOT NULL,
        quantity BIGINT NOT NULL, granted_at TEXT NOT NULL, released_at TEXT)""",
    """CREATE TABLE audit (id {number}, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
        allocation_id TEXT NOT NULL, details TEXT NOT NULL)""",
)
_NUMBER: Final[dict[str, LiteralString]] = {
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "sqlite": "INTEGER PRIMARY KEY",
}

_TAKE: Final = "UPDATE pools SET free = free - %s WHERE name = %s AND free >= %s"
_GIVE: Final = "UPDATE pools SET free = free + %s WHERE name = %s"
_GRANT: Final = "INSERT INTO allocations (id, pool, owner, quantity, granted_at) VALUES (%s, %s, %s, %s, %s)"
_END: Final = "UPDATE allocations SET released_at = %s WHERE id = %s AND released_at IS NULL"
_AUDIT: Final = "INSERT INTO audit (at, actor, action, allocation_id, details) VALUES (%s, %s, %s, %s, %s)"


class _Session(Protocol):
    """A connection with transactions by hand; `change` gives how many rows it changed."""

    def begin(self) -> None: ...
    def change(self, statement: LiteralString, values: tuple[object, ...]) -> int: ...
    def commit(self) -> None: ...


class _Postgres:
    """A session that psycopg begins by itself; it prepares what is repeated."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def begin(self) -> None:
        """Leave it to psycopg: the first statement begins."""

    def change(self, statement: LiteralString, values: tuple[object, ...]) -> int:
        return self._connection.execute(statement, values).rowcount

    def commit(self) -> None:
        self._connection.commit()


class _SQLite:
    """A session that takes the write lock when it begins, or it could fail in the middle."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def change(self, statement: LiteralString, values: tuple[object, ...]) -> int:
        return self._connection.execute(statement.replace("%s", "?"), values).rowcount

    def commit(self) -> None:
        self._connection.execute("COMMIT")


class Client:
    """Allocates one unit, then releases it, and so on."""

    def __init__(self, session: _Session, owner: str) -> None:
        self._session = session
        self._owner = owner
        self._held: str | None = None

    def step(self) -> None:
        """Run one transaction."""
        if self._held is None:
            self._held = self._allocate()
        else:
            self._release(self._held)
            self._held = None

    def _allocate(self) -> str:
        allocation_id, now, session = str(uuid7()), datetime.now(UTC).isoformat(), self._session
        session.begin()
        if not session.change(_TAKE, (1, _POOL, 1)):
            message = "the pool is empty"
            raise RuntimeError(message)
        session.change(_GRANT, (allocation_id, _POOL, self._owner, 1, now))
        session.change(_AUDIT, (now, self._owner, "allocate", allocation_id, json.dumps({"quantity": 1})))
        session.commit()
        return allocation_id

    def _release(self, allocation_id: str) -> None:
        now, session = datetime.now(UTC).isoformat(), self._session
        session.begin()
        if not session.change(_END, (now, allocation_id)):
            message = f"allocation {allocation_id} was released before"
            raise RuntimeError(message)
        session.change(_GIVE, (1, _POOL))
        session.change(_AUDIT, (now, self._owner, "release", allocation_id, json.dumps({"quantity": 1})))
        session.commit()


def _session(place: Place, url: str, stack: ExitStack) -> _Session:
    if place.name == "sqlite":
        return _SQLite(stack.enter_context(closing(connect_sqlite(url))))
    return _Postgres(stack.enter_context(closing(connect_postgres(url))))


def run(place: Place, clients: int, span: Span) -> Sample:
    """Measure one round of so many clients, each with a connection and a thread of its own."""
    with place.fresh(with_ledger=False) as url, ExitStack() as stack:
        first = _session(place, url, stack)
        first.begin()
        for table in _TABLES:
            first.change(table.replace("{number}", _NUMBER[place.name]), ())
        first.change("INSERT INTO pools (name, total, free) VALUES (%s, %s, %s)", (_POOL, _TOTAL, _TOTAL))
        first.commit()
        callers = [Client(_session(place, url, stack), f"owner-{number}") for number in range(clients)]
        return Sample.of([in_threads([caller.step for caller in callers], span)])


def cases(place: Place, plan: Plan) -> Iterator[Case]:
    """List the cases on one database."""
    return for_clients(
        system=SYSTEM, database=place.name, work=WORK, clients=plan.baseline_clients, run=partial(run, place)
    )
