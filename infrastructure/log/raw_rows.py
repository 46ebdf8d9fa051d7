"""The log's rows as the driver gives them, for verification: whatever is in them, and whether ids come twice."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from holdbook.domain.records import StoredRow
from holdbook.infrastructure.database.tables import events, ledger_meta
from holdbook.replay.verification.raw_log import OPENINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine.interfaces import DBAPIConnection

    from holdbook.infrastructure.database.database import Database

_FIRST: Final = "{0}ordinal = 0"
"""The first rows of commands."""

_GRANT: Final = f"{{0}}type IN {OPENINGS} AND {{0}}command IS NOT NULL AND {{0}}allocation_id IS NOT NULL"
"""Grants, by the row that carries the command."""


class SQLRows:
    """Reads the log's rows as they are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._page = page_statement(database, StoredRow._fields)

    def identity(self) -> tuple[str, int] | None:
        """Read the ledger's id and its epoch; None if the ledger's own row is not there."""
        with self._database.reading() as connection:
            found = connection.execute(select(ledger_meta.c.ledger_id, ledger_meta.c.epoch)).first()
        return (found.ledger_id, found.epoch) if found else None

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar() or 0

    def page(self, after: int, limit: int, upto: int) -> Sequence[tuple[Any, ...]]:
        """Read the next rows after a position, at most ``limit`` of them, up to a position, command or not."""
        return read_page(self._database, self._page, (after, upto, limit))

    def commands_again(self, after: int, upto: int, limit: int) -> Sequence[tuple[int, str]]:
        """List rows whose command was decided before."""
        return self._again("command_id", _FIRST, after, upto, limit)

    def grants_again(self, after: int, upto: int, limit: int) -> Sequence[tuple[int, str]]:
        """List grants of what another command granted before."""
        return self._again("allocation_id", _GRANT, after, upto, limit, unlike="AND f.command_id <> e.command_id")

    def _again(  # noqa: PLR0913 - what is asked, and where
        self, column: str, those: str, after: int, upto: int, limit: int, *, unlike: str = ""
    ) -> Sequence[tuple[int, str]]:
        """List rows whose value in a column an earlier row has."""
        here, there = those.format("e."), those.format("f.")
        # Few rows are new, or few values come twice, which an index in their order tells: the rest is not looked at.
        few = (
            f"e.position > {after}"
            if after > 0
            else f"e.{column} IN (SELECT f.{column} FROM events f WHERE {there} GROUP BY 1 HAVING count(*) > 1)"  # noqa: S608 - own names
        )
        wanted = (
            f"SELECT e.position, e.{column} FROM events e WHERE {here} AND {few} AND e.position <= {upto} "  # noqa: S608 - own names and numbers
            f"AND EXISTS (SELECT 1 FROM events f WHERE f.{column} = e.{column} AND {there} "
            f"AND f.position < e.position {unlike}) ORDER BY e.position LIMIT {limit}"
        )
        with self._database.reading() as connection:
            return [(position, key) for position, key in connection.exec_driver_sql(wanted)]

    def was_granted(self, allocation_id: str, before: int) -> bool:
        """Tell whether a hold of an allocation began before a position."""
        condition = (events.c.allocation_id == allocation_id, events.c.position < before, events.c.type.in_(OPENINGS))
        with self._database.reading() as connection:
            return connection.execute(select(events.c.position).where(*condition).limit(1)).first() is not None

    def version_at(self, stream_id: str, position: int) -> int:
        """Find the version of a stream's last event up to a position; 0 if it has none."""
        condition = (events.c.stream_id == stream_id, events.c.position <= position)
        last = select(events.c.version).where(*condition).order_by(events.c.version.desc()).limit(1)
        with self._database.reading() as connection:
            return connection.execute(last).scalar() or 0


def page_statement(database: Database, columns: Sequence[str]) -> str:
    """Write the statement that reads columns of the rows after a position, up to another, so many at most."""
    mark = "?" if database.is_sqlite else "%s"
    return (
        f"SELECT {', '.join(columns)} FROM events WHERE position > {mark} AND position <= {mark} "  # noqa: S608 - own names
        f"ORDER BY position LIMIT {mark}"
    )


def read_page(database: Database, statement: str, values: tuple[int, int, int]) -> Sequence[tuple[Any, ...]]:
    """Read a page of rows with such a statement."""
    with database.reading() as connection:
        driver: Any = connection.connection.dbapi_connection
        fetch = _fetch_sqlite if database.is_sqlite else _fetch
        return fetch(driver, statement, values)


def _fetch(driver: DBAPIConnection, statement: str, values: tuple[int, ...]) -> Sequence[tuple[Any, ...]]:
    cursor = driver.cursor()
    cursor.execute(statement, values)
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    cursor.close()
    return found


def _fetch_sqlite(driver: DBAPIConnection, statement: str, values: tuple[int, ...]) -> Sequence[tuple[Any, ...]]:
    try:
        return _fetch(driver, statement, values)
    except sqlite3.OperationalError as error:  # SQLite takes any bytes for text, Python does not
        if "UTF-8" not in str(error):
            raise
    before, driver.text_factory = driver.text_factory, lambda text: text.decode(errors="surrogateescape")
    try:
        return _fetch(driver, statement, values)
    finally:
        driver.text_factory = before
