"""The physical tables of views: described, made, and read at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from holdbook.infrastructure.database.tables import PlainText

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from holdbook.projections.definition import Table, View


def physical(table: Table, generation: int, *, with_key: bool = True, with_indexes: bool = True) -> sa.Table:
    """Describe the table of a generation for SQLAlchemy, on request without its primary key or its other indexes."""
    name = table.physical(generation)
    described = sa.Table(
        name,
        sa.MetaData(),
        *(
            sa.Column(
                column,
                PlainText if kind is str else sa.BigInteger,
                primary_key=column in table.key and with_key,
                nullable=column not in table.key,
                autoincrement=False,
            )
            for column, kind in table.columns.items()
        ),
    )
    for group in table.indexed if with_indexes else ():
        sa.Index(f"ix_{name}_{'_'.join(group)}", *(described.c[column] for column in group))
    return described


def create(connection: Connection, view: View, generation: int) -> None:
    """Make a generation's tables.

    On PostgreSQL they have no indexes yet, and those that only grow no primary key: rows load faster so, and `finish`
    makes both. On SQLite it would keep the log's writers waiting, so there the tables are complete at once.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    for table in view.tables:
        with_key = is_sqlite or not table.grows
        physical(table, generation, with_key=with_key, with_indexes=is_sqlite).create(connection)


def finish(connection: Connection, view: View, generation: int) -> None:
    """Make the keys and indexes that `create` left out, and update the planner's statistics."""
    if connection.dialect.name == "sqlite":
        return
    for table in view.tables:
        whole = physical(table, generation)
        if not sa.inspect(connection).get_pk_constraint(whole.name)["constrained_columns"]:
            connection.exec_driver_sql(f"ALTER TABLE {whole.name} ADD PRIMARY KEY ({', '.join(table.key)})")
        for index in whole.indexes:
            index.create(connection, checkfirst=True)
        connection.exec_driver_sql(f"ANALYZE {whole.name}")


@dataclass(frozen=True, slots=True)
class SQLLook:
    """A generation's rows and its position, in one transaction: what verification compares with the log."""

    connection: Connection
    number: int
    position: int

    def rows(self, table: Table, after: int | None, upto: int | None) -> Iterable[Sequence[Any]]:
        """Read a table's rows; of one that only grows, those after and up to a position, if given."""
        if after is not None and upto is not None:  # a page: read at once, by the driver itself, which is faster
            driver: Any = self.connection.connection.dbapi_connection
            statement = (
                f"SELECT {', '.join(table.columns)} FROM {table.physical(self.number)} "  # noqa: S608 - own names and numbers
                f"WHERE position > {after} AND position <= {upto} ORDER BY position"
            )
            found: list[Sequence[Any]] = driver.execute(statement).fetchall()
            return found
        source = physical(table, self.number)
        query = sa.select(source)
        if after is not None:
            query = query.where(source.c.position > after)
        if upto is not None:
            query = query.where(source.c.position <= upto)
        return self.connection.execute(query, execution_options={"yield_per": 2000})
