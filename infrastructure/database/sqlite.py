"""SQLite: connections to a file, and the log's own transaction on one that is kept for it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from holdbook.domain.records import StoredRow
from holdbook.infrastructure.database.transaction import COLUMNS, HAS_QUEUE, LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from holdbook.domain.records import LogPosition

BUSY_SECONDS: Final = 60
"""How long a writer waits for SQLite's only write lock before it gives up, unless it is told."""

_POLL_SECONDS: Final = 0.02
"""How often a subscriber looks whether another process has changed an SQLite database."""

_INSERT: Final = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * len(StoredRow._fields))})"  # noqa: S608 - own names

_END_AND_QUEUE: Final = f"SELECT position, hash, {HAS_QUEUE} FROM (SELECT 1) LEFT JOIN ({LAST}) ON true"  # noqa: S608 - own text
"""Where the log ends, and whether anybody waits."""


def make_file(path: Path) -> None:
    """Make a database's file if it is not there."""
    sqlite3.connect(_address(path, "rwc"), uri=True).close()


def connect(path: Path) -> sqlite3.Connection:
    """Connect to a database whose file is there."""
    connection = sqlite3.connect(
        _address(path, "rw"), uri=True, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
    )
    try:
        _configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _address(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA recursive_triggers = ON")  # so that INSERT OR REPLACE meets the triggers on DELETE


def _use_wal(connection: sqlite3.Connection) -> None:
    # The change to WAL does not wait for other processes that change it too, busy timeout or not.
    deadline = monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_POLL_SECONDS)


def begin(connection: Connection) -> None:
    """Begin a transaction, one that writes with the lock for writers."""
    writes = connection.get_execution_options().get("holdbook_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def watching(engine: Engine) -> Iterator[Callable[[float], bool]]:
    """Watch for commits: call what this gives with seconds to wait; it tells whether there may be news."""
    with engine.connect() as connection:
        yield lambda seconds: _has_news(connection, seconds)


def _has_news(connection: Connection, seconds: float) -> bool:
    driver: Any = connection.connection.dbapi_connection
    seen = connection.info.get("data_version")
    deadline = monotonic() + seconds
    while True:
        present = driver.execute("PRAGMA data_version").fetchone()[0]
        if present != seen:
            connection.info["data_version"] = present
            return True
        if monotonic() >= deadline:
            return False
        sleep(_POLL_SECONDS)


@dataclass(slots=True)
class SQLiteTransaction:
    """A `Transaction` on SQLite, whose file has one lock for all writers."""

    connection: Connection
    driver: sqlite3.Connection
    head: int
    head_hash: bytes | None
    has_queue: bool
    news: Sequence[StoredRow] | None = None

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Insert rows in bulk."""
        self.driver.executemany(_INSERT, rows)

    def vouch(self) -> None:
        """Do nothing: the commit that wrote what is in the file synced it to the disk."""

    def commit(self) -> None:
        """Commit, and wait for the disk."""
        self.driver.execute("COMMIT")


class SQLiteConnector:
    """A `Connector` to an SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.deadline: float | None = None
        """When to stop waiting for the lock, on the clock of `time.monotonic`; None: after `BUSY_SECONDS`."""

    def connect(self) -> sqlite3.Connection:
        """Connect to the file."""
        return connect(self._path)

    def begin(self, connection: Connection, since: int | None = None) -> SQLiteTransaction:  # noqa: ARG002 - reading a file takes no trip that could be shared
        """Take the lock, waiting for it if need be, and look where the log ends."""
        driver: Any = connection.connection.dbapi_connection
        wait = BUSY_SECONDS if self.deadline is None else max(self.deadline - monotonic(), 0)
        driver.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        driver.execute("BEGIN IMMEDIATE")
        head, head_hash, has_queue = driver.execute(_END_AND_QUEUE).fetchone()
        return SQLiteTransaction(connection, driver, head or 0, head_hash, bool(has_queue))

    def append_if(self, connection: Connection, end: LogPosition, rows: Sequence[StoredRow]) -> bool:
        """Append rows and commit if the log ends at ``end`` and the queue is empty; tell whether it was done."""
        transaction = self.begin(connection)
        is_end = (transaction.head, transaction.head_hash) == end and not transaction.has_queue
        if is_end:
            transaction.insert(rows)
        transaction.commit()
        return is_end
