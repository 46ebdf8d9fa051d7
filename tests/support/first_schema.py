"""A database as the first release left it: schema 0001, everything in the log, views built by the code of then."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from holdbook import Ledger
from holdbook.infrastructure.database import tables
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.projections.definition import Table, View
from support.logs import execute, open_log, raw_connection
from support.story import Clock, tell
from support.viewing import Tables, facts_of_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.domain.records import StoredRow


def _view(table: Table) -> View:
    return View(name=table.name, version=1, tables=(table,), handlers={})


FIRST_VIEWS = {
    table.name: _view(table)
    for table in (
        Table(
            name="current_allocations",
            columns={
                "allocation_id": str, "pool": str, "owner": str, "quantity": int, "state": str, "deadline": str,
                "token": str, "tags": str, "opened_at": str, "opened_by": str, "position": int,
            },
            key=("allocation_id", "pool"),
            indexed=(("pool",), ("owner",)),
        ),
        Table(
            name="allocation_history",
            columns={
                "position": int, "allocation_id": str, "pool": str, "event": str, "owner": str, "quantity": int,
                "deadline": str, "reason": str, "code": str, "occurred_at": str, "recorded_at": str, "actor": str,
                "command_id": str, "correlation_id": str, "causation_id": str,
            },
            key=("position",),
            indexed=(("allocation_id", "position"), ("owner", "position")),
        ),
        Table(
            name="pool_usage",
            columns={
                "pool": str, "bucket": str, "used": int, "peak": int, "capacity": int, "allocations": int,
                "grants": int, "endings": int, "position": int,
            },
            key=("pool", "bucket"),
            indexed=(("bucket",),),
        ),
        Table(
            name="metrics",
            columns={
                "resource_type": str, "pool": str, "operation": str, "outcome": str, "code": str, "count": int,
            },
            key=("pool", "operation", "outcome", "code"),
        ),
        Table(
            name="validation_failures",
            columns={
                "position": int, "occurred_at": str, "recorded_at": str, "operation": str, "code": str, "pool": str,
                "owner": str, "allocation_id": str, "actor": str, "asked": str, "data": str, "command_id": str,
                "correlation_id": str, "causation_id": str,
            },
            key=("position",),
            indexed=(("occurred_at",), ("pool", "position"), ("owner", "position")),
        ),
    )
}  # fmt: skip
"""The views as the first release described them."""

LIVE = {
    "allocation_history": (1, 20), "current_allocations": (3, 36), "metrics": (2, 30), "pool_usage": (1, 36),
    "validation_failures": (1, 0),
}  # fmt: skip
"""The generation of each that is live, and how far it has come: one was never moved."""

UNFINISHED = "gen_pool_usage_2"
"""The table of a rebuild that was interrupted."""


def make_first_schema(url: str, views: Mapping[str, View]) -> None:
    """Make of a database that is empty what the first release would have; ``views`` are folded for the rows."""
    with closing(Database(url)) as database:
        if database.is_sqlite:
            database.make_file()
        migrating.upgrade(database, "0001")
        later = [tables.queue, tables.waiters]  # whoever writes to the log today looks at them
        with database.writing() as connection:
            tables.metadata.create_all(connection, later)
        clock = Clock()
        with Ledger(open_log(url), clock=clock, actor="teller") as ledger:
            tell(ledger, clock)
            log = ledger.log.rows(limit=1000)
        with database.writing() as connection:
            tables.metadata.drop_all(connection, later)
    for name, (number, position) in LIVE.items():
        _make(url, FIRST_VIEWS[name].published, number)
        rows = folded(views[name], [row for row in log if row.position <= position])
        _fill(url, FIRST_VIEWS[name].published, number, rows)
        columns = ", ".join(f"gen_{name}_{number}.{column}" for column in FIRST_VIEWS[name].published.columns)
        execute(url, f"CREATE VIEW {name} AS SELECT {columns} FROM gen_{name}_{number}")  # noqa: S608 - own names
        execute(url, f"INSERT INTO generations (view, generation) VALUES ('{name}', {number})")  # noqa: S608 - own names
        if position:
            execute(url, f"INSERT INTO tracking (name, position) VALUES ('gen_{name}_{number}', {position})")  # noqa: S608 - own names
    _make(url, FIRST_VIEWS["pool_usage"].published, 2)
    _fill(url, FIRST_VIEWS["pool_usage"].published, 2, folded(views["pool_usage"], log[:10]))
    execute(url, f"INSERT INTO tracking (name, position) VALUES ('{UNFINISHED}', 10)")  # noqa: S608 - own names
    execute(url, "INSERT INTO tracking (name, position) VALUES ('somebody else''s', 7)")


def folded(view: View, log: Sequence[StoredRow]) -> list[dict[str, Any]]:
    """Fold rows of a log into a view's published table."""
    tables = Tables(view)
    tables.fold(facts_of_rows(log))
    return list(tables.rows[view.published].values())


def _make(url: str, table: Table, number: int) -> None:
    text, name = "TEXT" if url.startswith("sqlite") else 'TEXT COLLATE "C"', f"gen_{table.name}_{number}"
    columns = [
        f"{column} {text if kind is str else 'BIGINT'}{' NOT NULL' if column in table.key else ''}"
        for column, kind in table.columns.items()
    ]
    execute(
        url,
        f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(table.key)}))",
        *(f"CREATE INDEX ix_{name}_{'_'.join(group)} ON {name} ({', '.join(group)})" for group in table.indexed),
    )


def _fill(url: str, table: Table, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    mark = "?" if url.startswith("sqlite") else "%s"
    marks = ", ".join(mark for _ in table.columns)
    with raw_connection(url) as connection:
        for row in rows:
            values = [row[column] for column in table.columns]
            connection.execute(f"INSERT INTO gen_{table.name}_{number} VALUES ({marks})", values)  # noqa: S608 - own names
