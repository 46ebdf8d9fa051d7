"""Verification of a ledger: the checks of `bursar.replay.verify`, given the database's rows, views and snapshots."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from bursar.domain.records import StoredRow
from bursar.infrastructure.snapshots import SQLSnapshots, list_snapshots, load_pool_version
from bursar.infrastructure.sql_log import SQLEventLog
from bursar.infrastructure.tables import events, ledger_meta
from bursar.infrastructure.tracking import SQLStore
from bursar.projections.engine import VIEWS
from bursar.projections.view import Known, Net
from bursar.replay.verify import Report, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from bursar.domain.ledger import Ledger
    from bursar.domain.pool import Pool
    from bursar.domain.records import Recorded
    from bursar.infrastructure.database import Database
    from bursar.projections.engine import Store
    from bursar.projections.view import Key, Row, View

_COLUMNS: Final = ", ".join(StoredRow._fields)


def verify_ledger(ledger: Ledger, progress: Callable[[int, int], None] | None = None) -> Report:
    """Check every promise on a ledger; ``progress`` is told rows read and rows in all. Raises `LogUnavailable`."""
    log = ledger.log
    if not isinstance(log, SQLEventLog):
        return verify(log, progress=progress)
    store = SQLStore(log.database)
    return verify(
        log,
        stored=SQLRows(log.database),
        views=[SQLView(store, view) for view in VIEWS],
        snapshots=SQLPools(log.database),
        progress=progress,
    )


class SQLRows:
    """The log's rows as the driver gives them, whatever is in them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        mark = "?" if database.is_sqlite else "%s"
        self._page = (
            f"SELECT {_COLUMNS} FROM events WHERE position > {mark} AND position <= {mark} "  # noqa: S608 - own names
            f"ORDER BY position LIMIT {mark}"
        )

    def identity(self) -> tuple[str, int] | None:
        """Read the ledger's id and its epoch; None if the ledger's own row is not there."""
        with self._database.reading() as connection:
            found = connection.execute(select(ledger_meta.c.ledger_id, ledger_meta.c.epoch)).first()
        return (found.ledger_id, found.epoch) if found else None

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar() or 0

    def page(self, after: int, limit: int, upto: int) -> Sequence[StoredRow]:
        """Read the next rows after a position, at most ``limit`` of them, up to a position, command or not."""
        with self._database.reading() as connection:
            driver: Any = connection.connection.dbapi_connection
            fetch = _fetch_sqlite if self._database.is_sqlite else _fetch
            return list(map(StoredRow._make, fetch(driver, self._page, (after, upto, limit))))


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


class SQLPools:
    """The pools' snapshots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self) -> Iterable[tuple[str, int]]:
        """List every snapshot: its pool and its version."""
        with self._database.reading() as connection:
            return list_snapshots(connection)

    def load(self, pool: str, version: int) -> Pool:
        """Load one; raises `LogCorrupt` if it cannot be read."""
        return load_pool_version(SQLSnapshots(self._database.reading), pool, version)


class SQLView:
    """A published view, and the fold of the log that it should equal."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view
        self._net = Net(view, Known(view))
        self.name = view.name
        self.columns = tuple(view.columns)
        self.key = view.key

    @contextmanager
    def look(self) -> Iterator[SQLLook]:
        """Look at the live generation as it is at one moment."""
        with self._store.reading() as connection:
            generation = self._store.generation(connection, self.name)
            table = self._view.table(generation)
            position = self._store.position(connection, table.name)
            yield SQLLook(connection, table if generation else None, position)

    def fold(self, recorded: Recorded) -> None:
        """Fold one more event."""
        self._net.add(recorded)

    def folded(self) -> Mapping[Key, Row]:
        """Show the rows that there should be, by key, since the fold was last cleared."""
        return self._net.puts

    def clear(self) -> None:
        """Forget the rows that there should be."""
        self._net = Net(self._view, Known(self._view))


@dataclass(frozen=True, slots=True)
class SQLLook:
    """A view's rows and position at one moment."""

    connection: Connection
    table: Table | None
    """None if the view was not made yet."""
    position: int

    def rows(self, after: int | None, upto: int | None) -> Iterable[Sequence[Any]]:
        """Read the rows; of a view that only grows, of a range of positions."""
        if self.table is None:
            return ()
        found = select(self.table)
        if after is not None:
            found = found.where(self.table.c.position > after)
        if upto is not None:
            found = found.where(self.table.c.position <= upto)
        return self.connection.execute(found, execution_options={"yield_per": 2000})
