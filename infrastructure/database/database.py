"""One database, SQLite or PostgreSQL: its connections and transactions, and its errors in Holdbook's words."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from holdbook.domain.errors import LogCorrupt, LogUnavailable, Malformed
from holdbook.infrastructure.database import postgres, sqlite
from holdbook.infrastructure.database.postgres import (
    CHANNEL,
    CONNECT_SECONDS,
    LOCK,
    PatientConnection,
    PostgresConnector,
)
from holdbook.infrastructure.database.sqlite import SQLiteConnector
from holdbook.infrastructure.fork_guard import ForkGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

    from holdbook.domain.records import LogPosition, StoredRow
    from holdbook.infrastructure.database.transaction import Connector, Transaction

_CONNECT_OPTIONS: Final = {"connect_timeout": CONNECT_SECONDS, "application_name": "holdbook"}

_TRANSIENT: Final = frozenset(
    {
        *("57P01", "57P02", "57P03"),  # a server that stops or starts
        *("57014", "55P03", "57P05", "25P03", "25P04"),  # a statement, a lock, a session, a transaction took too long
        *("53300", "40001", "40P01"),  # too many connections, conflicts
    }
)
"""SQLSTATEs of errors after which another try, on a new connection, may succeed."""


class Database:
    """A database that holds a ledger: connections, transactions, and what differs between SQLite and PostgreSQL.

    ``url`` is an address as SQLAlchemy has them; `Malformed` is raised for any other kind of database. With
    ``checks_clock``, the log's transactions compare this process's clock with that of a PostgreSQL server. ``silence``
    is how long such a server may take to answer outside the log's transactions, in seconds; None: for ever.

    Every method that uses the database raises `LogUnavailable` if it cannot be used, and `LogCorrupt` if it refuses a
    change as inconsistent.
    """

    def __init__(self, url: str, *, checks_clock: bool = False, silence: float | None = None) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = self.url.set(query={}).render_as_string(hide_password=True)
        """The address for messages: without its password, and without its options, of which one may be a password."""
        self._silence = silence
        """How long a PostgreSQL server may take to answer outside the log's transactions; None: for ever."""
        self.engine = self._sqlite_engine() if self.is_sqlite else self._postgres_engine()
        self._connector: Connector = (
            SQLiteConnector(self.path)
            if self.is_sqlite
            else PostgresConnector(self._postgres_arguments(), checks_clock=checks_clock)
        )
        self._log_engine = create_engine(
            self.url.set(database=None, query={}) if self.is_sqlite else self.url,
            creator=self._connector.connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # the transactions are begun by hand
        )
        self._kept: Connection | None = None
        """The connection kept for the log's transactions; None: the next one connects."""
        self._turn = Lock()
        """Held by the thread that uses that connection."""
        self._fork_guard = ForkGuard()

    def _sqlite_engine(self) -> Engine:
        engine = create_engine("sqlite://", creator=partial(sqlite.connect, self.path), poolclass=QueuePool)
        event.listen(engine, "begin", sqlite.begin)
        return engine

    def _postgres_engine(self) -> Engine:
        return create_engine(self.url, creator=self._connect_postgres, pool_pre_ping=True)

    def _connect_postgres(self) -> PatientConnection:
        connection = PatientConnection.connect(**self._postgres_arguments())
        connection.silence = self._silence
        return connection

    def _postgres_arguments(self) -> dict[str, Any]:
        _, arguments = self.engine.dialect.create_connect_args(self.url)
        return {**arguments, **_CONNECT_OPTIONS}

    @property
    def path(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.url.database or "")

    def make_file(self) -> None:
        """Make an SQLite database's file if it is not there."""
        with self.translated():
            sqlite.make_file(self.path)

    def exists(self) -> bool:
        """Tell whether an SQLite file is there; always True for PostgreSQL, which tells once it is used."""
        return not self.is_sqlite or self.path.exists()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees the database as it is at one moment, and changes nothing."""
        self._fork_guard.check()
        with self.translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, *, takes_long: bool = True, wakes: bool = False) -> Iterator[Connection]:
        """Open a transaction as `changing` does that also holds the log's lock: nobody appends meanwhile.

        With ``wakes``, the commit wakes those who follow the log.
        """
        with self.changing(takes_long=takes_long) as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"{LOCK}; NOTIFY {CHANNEL}" if wakes else LOCK)
            yield connection

    @contextmanager
    def appending(self, timeout: float | None = None, since: int | None = None) -> Iterator[Transaction]:
        """Open a transaction that appends to the log, on the connection kept for it; commit at the block's end.

        ``timeout`` is how long to wait for the database, in seconds; None: as long as it takes, on SQLite up to
        `BUSY_SECONDS` for the lock. With ``since``, the rows after that position may be read with the lock.

        An exception ends the connection, and with it the transaction, unless the server had already committed. The next
        call makes a new connection.
        """
        with self._log_connection(timeout) as connection:
            transaction = self._connector.begin(connection, since)
            yield transaction
            transaction.commit()

    def append_if(self, end: LogPosition, rows: Sequence[StoredRow], timeout: float | None) -> bool:
        """Append rows and commit if the log ends at ``end`` and the queue is empty; tell whether it was done.

        ``timeout`` is how long to wait for the database, in seconds, as in `appending`.
        """
        with self._log_connection(timeout) as connection:
            return self._connector.append_if(connection, end, rows)

    @contextmanager
    def _log_connection(self, timeout: float | None) -> Iterator[Connection]:
        """Give the connection kept for the log's transactions, to one thread at a time; end it if the block raises."""
        self._fork_guard.check()
        with self.translated(), self._turn:
            self._connector.deadline = None if timeout is None else monotonic() + timeout
            try:
                if self._kept is None:
                    self._kept = self._log_engine.connect()
                yield self._kept
            except BaseException:
                self._end_kept()
                raise

    def _end_kept(self) -> None:
        """Close the connection kept for the log's transactions."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(SQLAlchemyError, psycopg.Error, sqlite3.Error):
                kept.invalidate()
                kept.close()

    @contextmanager
    def changing(self, *, takes_long: bool = True) -> Iterator[Connection]:
        """Open a transaction that changes other tables than the log; commit at the block's end.

        SQLite has one lock for all tables, so there it keeps the log's writers waiting too. With ``takes_long`` there
        is no limit on how long a statement may take.
        """
        self._fork_guard.check()
        with self.translated(), self.engine.connect() as connection:
            connection.execution_options(holdbook_writes=True)
            if not self.is_sqlite:  # the log's end must be read after the lock is taken, whatever the server's default
                connection.execution_options(isolation_level="READ COMMITTED")
            with self._without_limit(connection) if takes_long else nullcontext(), connection.begin():
                yield connection

    @contextmanager
    def _without_limit(self, connection: Connection) -> Iterator[None]:
        """Lift the limit on how long a statement may take: making an index on a large log takes its time."""
        driver: Any = connection.connection.dbapi_connection
        if self.is_sqlite:
            yield
            return
        driver.silence = None
        try:
            yield
        finally:
            driver.silence = self._silence

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the drivers' errors as `LogUnavailable`, or as `LogCorrupt` if a constraint is violated."""
        try:
            yield
        except (SQLAlchemyError, psycopg.Error, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            detail = str(cause).strip() or type(cause).__name__
            if isinstance(cause, sqlite3.IntegrityError | psycopg.IntegrityError):
                message = f"the database {self.name} refused what cannot be right: {detail}"
                raise LogCorrupt(message) from cause
            message = f"the database {self.name} cannot be used: {detail}"
            raise LogUnavailable(message, transient=_is_transient(cause)) from cause

    @contextmanager
    def watching(self) -> Iterator[Callable[[float], bool]]:
        """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""
        news = sqlite.watching(self.engine) if self.is_sqlite else postgres.watching(self._postgres_arguments())
        with self.translated(), news as wait:
            yield wait

    def close(self) -> None:
        """Close every connection. In a forked child do nothing: the connections belong to the parent."""
        if self._fork_guard.is_here():  # pragma: no branch - coverage gets no report from a forked child
            with self._turn:
                self._end_kept()
            self.engine.dispose()


def _is_transient(cause: BaseException) -> bool:
    """Tell whether another try, on a new connection, may succeed."""
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        return cause.sqlstate.startswith("08") or cause.sqlstate in _TRANSIENT
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


def _parsed(url: str) -> URL:
    """Parse an address of SQLAlchemy's; raises `Malformed` unless it is of a database that Holdbook works with."""
    parameter = "database"
    expected = "expected a database URL, such as sqlite:///holdbook.db or postgresql+psycopg://user@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise Malformed(parameter, _without_password(url), expected) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    file_missing = parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"} or file_missing:
        raise Malformed(parameter, _without_password(str(url)), expected)
    return parsed


def _without_password(url: object) -> object:
    """Blot out what may be a password in an address that cannot be parsed."""
    return re.sub(r"(?<=:)(?!//).*(?=@)|(?<=password=)[^&]*", "***", url) if isinstance(url, str) else url
