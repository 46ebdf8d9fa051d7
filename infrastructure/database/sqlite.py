"""SQLite: connections to a file, watching it for commits, and the log's transaction."""

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
"""How long to wait for the file's one lock for writers, unless the caller sets a deadline."""

_POLL_SECONDS: Final = 0.02
"""How long to wait before looking again whether another process changed the file, or let go of it."""

_INSERT: Final = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * len(StoredRow._fields))})"  # noqa: S608 - own names

_END_AND_QUEUE: Final = f"SELECT position, hash, {HAS_QUEUE} FROM (SELECT 1) LEFT JOIN ({LAST}) ON true"  # noqa: S608 - own text
"""Reads where the log ends, and whether the queue has entries."""


def make_file(path: Path) -> None:
    """Make an empty file for a database if it is not there."""
    sqlite3.connect(_address(path, "rwc"), uri=True).close()


def connect(path: Path) -> sqlite3.Connection:
    """Connect to a database whose file is there, so that a commit waits for the disk."""
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
    connection.execute("PRAGMA recursive_triggers = ON")  # INSERT OR REPLACE fires triggers on DELETE only with it


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not apply the busy timeout to the change of the journal's mode: try until it is done.
    deadline = monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_POLL_SECONDS)


def begin(connection: Connection) -> None:
    """Begin a transaction; take the lock for writers at once if the connection's options say that it writes."""
    writes = connection.get_execution_options().get("holdbook_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def watching(engine: Engine) -> Iterator[Callable[[float], bool]]:
    """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""
    with engine.connect() as connection:
        yield lambda seconds: _has_news(connection, seconds)


def _has_news(connection: Connection, seconds: float) -> bool:
    """Poll the counter that SQLite raises when another connection has changed the file."""
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
