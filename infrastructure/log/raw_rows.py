"""The log's rows for verification: exactly as the driver gives them, whatever stands in them."""

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
"""Condition for the first row of a command; ``{0}`` is the table's alias with a dot."""

_GRANT: Final = f"{{0}}type IN {OPENINGS} AND {{0}}command IS NOT NULL AND {{0}}allocation_id IS NOT NULL"
"""Condition for the first row of a grant, which carries the command."""


class SQLRows:
    """Reads the log's rows as they are, and finds ids that are used twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._page = page_statement(database, StoredRow._fields)

    def identity(self) -> tuple[str, int] | None:
        """Read the ledger's id and its epoch; None if `ledger_meta` is empty."""
        with self._database.reading() as connection:
            found = connection.execute(select(ledger_meta.c.ledger_id, ledger_meta.c.epoch)).first()
        return (found.ledger_id, found.epoch) if found else None

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar() or 0

    def page(self, after: int, limit: int, upto: int) -> Sequence[tuple[Any, ...]]:
        """Read at most ``limit`` rows after a position, none beyond ``upto``; the last command may be cut in two."""
        return read_page(self._database, self._page, (after, upto, limit))

    def commands_again(self, after: int, upto: int, limit: int) -> Sequence[tuple[int, str]]:
        """List the rows, as position and id, that begin a command whose id an earlier command has."""
        return self._again("command_id", _FIRST, after, upto, limit)

    def grants_again(self, after: int, upto: int, limit: int) -> Sequence[tuple[int, str]]:
        """List the rows, as position and id, that grant an allocation which an earlier command granted already."""
        return self._again("allocation_id", _GRANT, after, upto, limit, unlike="AND f.command_id <> e.command_id")

    def _again(  # noqa: PLR0913 - a column, a condition, and the range that both callers are given
        self, column: str, condition: str, after: int, upto: int, limit: int, *, unlike: str = ""
    ) -> Sequence[tuple[int, str]]:
        """List the rows whose value in a column an earlier row has too, among those that meet a condition."""
        here, there = condition.format("e."), condition.format("f.")
        # Look only at rows after a position; or, from the beginning, at values that an index finds to come twice.
        few = (
            f"e.position > {after}"
            if after > 0
            else f"e.{column} IN (SELECT f.{column} FROM events f WHERE {there} GROUP BY 1 HAVING count(*) > 1)"  # noqa: S608 - own names
        )
        statement = (
            f"SELECT e.position, e.{column} FROM events e WHERE {here} AND {few} AND e.position <= {upto} "  # noqa: S608 - own names and numbers
            f"AND EXISTS (SELECT 1 FROM events f WHERE f.{column} = e.{column} AND {there} "
            f"AND f.position < e.position {unlike}) ORDER BY e.position LIMIT {limit}"
        )
        with self._database.reading() as connection:
            return [(position, key) for position, key in connection.exec_driver_sql(statement)]

    def was_granted(self, allocation_id: str, before: int) -> bool:
        """Tell whether an allocation was granted before a position."""
        condition = (events.c.allocation_id == allocation_id, events.c.position < before, events.c.type.in_(OPENINGS))
        with self._database.reading() as connection:
            return connection.execute(select(events.c.position).where(*condition).limit(1)).first() is not None

    def version_at(self, stream_id: str, position: int) -> int:
        """Find the version of a stream's last event up to a position; 0 if there is none."""
        condition = (events.c.stream_id == stream_id, events.c.position <= position)
        last = select(events.c.version).where(*condition).order_by(events.c.version.desc()).limit(1)
        with self._database.reading() as connection:
            return connection.execute(last).scalar() or 0


def page_statement(database: Database, columns: Sequence[str]) -> str:
    """Write a statement that reads columns of rows; its parameters are ``after``, ``upto`` and ``limit``."""
    mark = "?" if database.is_sqlite else "%s"
    return (
        f"SELECT {', '.join(columns)} FROM events WHERE position > {mark} AND position <= {mark} "  # noqa: S608 - own names
        f"ORDER BY position LIMIT {mark}"
    )


def read_page(database: Database, statement: str, values: tuple[int, int, int]) -> Sequence[tuple[Any, ...]]:
    """Read a page of rows with a statement of `page_statement`."""
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
    except sqlite3.OperationalError as error:  # SQLite stores any bytes as text; Python decodes UTF-8 only
        if "UTF-8" not in str(error):
            raise
    before, driver.text_factory = driver.text_factory, lambda text: text.decode(errors="surrogateescape")
    try:
        return _fetch(driver, statement, values)
    finally:
        driver.text_factory = before
