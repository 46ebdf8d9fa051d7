"""The views' physical tables, as the database makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from bursar.infrastructure.tables import PlainText

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bursar.projections.view import Table, View


def physical(table: Table, generation: int, *, bare: bool = False) -> sa.Table:
    """Describe the physical table of a generation; a bare one has neither its key nor its indexes."""
    name = table.physical(generation)
    described = sa.Table(
        name,
        sa.MetaData(),
        *(
            sa.Column(
                column,
                PlainText if kind is str else sa.BigInteger,
                primary_key=column in table.key and not bare,
                nullable=column not in table.key,
                autoincrement=False,
            )
            for column, kind in table.columns.items()
        ),
    )
    for group in () if bare else table.indexed:
        sa.Index(f"ix_{name}_{'_'.join(group)}", *(described.c[column] for column in group))
    return described


def create(connection: Connection, view: View, generation: int) -> None:
    """Make a generation's tables.

    On PostgreSQL one that only grows is made bare: its rows are loaded first, and its indexes then made at once. On
    SQLite that would keep the log's writers waiting.
    """
    for table in view.tables:
        bare = table.grows and connection.dialect.name != "sqlite"
        physical(table, generation, bare=bare).create(connection)


def finish(connection: Connection, view: View, generation: int) -> None:
    """Make what `create` left out, and have the planner know the tables."""
    if connection.dialect.name == "sqlite":
        return
    for table in view.tables:
        whole = physical(table, generation)
        if not sa.inspect(connection).get_pk_constraint(whole.name)["constrained_columns"]:
            connection.exec_driver_sql(f"ALTER TABLE {whole.name} ADD PRIMARY KEY ({', '.join(table.key)})")
            for index in whole.indexes:
                index.create(connection)
        connection.exec_driver_sql(f"ANALYZE {whole.name}")
