"""PostgreSQL: connections, watching for commits, and the log's transaction in few trips to the server.

A trip is one request and its answer; several statements in one string take one trip.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.pq import Escaping

from holdbook.domain.errors import LogUnavailable
from holdbook.domain.records import StoredRow
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.database.transaction import COLUMNS, HAS_QUEUE, LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn
    from sqlalchemy import Connection

    from holdbook.domain.records import LogPosition

_Result = TypeVar("_Result")

CONNECT_SECONDS: Final = 10
"""How long to wait for a connection to the server."""

CHANNEL: Final = "holdbook_events"
"""The notification channel that wakes subscribers."""

CLOCK_SKEW_SECONDS_MAX: Final = 60
"""How far the clocks of this process and of the server may be apart."""

NEWS_ROWS_MAX: Final = 1000
"""The most rows appended by other processes that are read in the trip that takes the lock."""

PENDING_ROWS_MAX: Final = 16
"""The most rows that are inserted in the trip of the commit; for more, COPY is faster."""

_WAIT_SECONDS: Final = 0.1
"""How often a wait checks whether it was interrupted."""

_END: Final = "SELECT position FROM events ORDER BY position DESC LIMIT 1"

_COPY: Final = f"COPY events ({COLUMNS}) FROM STDIN"

_LOCK_KEY: Final = 0x686F6C64626F6F6B
"""Key of the advisory lock that orders writers: "holdbook" in ASCII."""

LOCK: Final = f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"
"""Takes the log's lock until the transaction ends."""

_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK}; EXECUTE holdbook_end"
"""Begins a transaction. Each statement in the string sees what was committed before that statement began."""

_INSERT_ALL: Final = f"INSERT INTO events ({COLUMNS}) SELECT {COLUMNS} FROM unnest($1::events[])"  # noqa: S608 - own names

_PREPARE: Final = (
    f"PREPARE holdbook_end AS SELECT extract(epoch FROM clock_timestamp())::float8, {HAS_QUEUE}, l.* FROM (SELECT) o "  # noqa: S608 - own text
    f"LEFT JOIN ({LAST}) l ON true; "
    f"PREPARE holdbook_news AS SELECT {COLUMNS} FROM events WHERE position > $1::bigint "
    f"ORDER BY position LIMIT {NEWS_ROWS_MAX + 1}; "
    f"PREPARE holdbook_insert AS {_INSERT_ALL}; PREPARE holdbook_append AS {_INSERT_ALL} WHERE $2::bigint = ({_END}) "
    f"AND NOT {HAS_QUEUE}"
)
"""Prepares what every transaction runs, once per connection, so that it is not planned again each time."""

_INSERT_PENDING: Final = f"EXECUTE holdbook_insert ({{rows}}); NOTIFY {CHANNEL}; COMMIT"
"""Inserts rows and commits."""

_BEGIN_AND_APPEND: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK}; EXECUTE holdbook_append ({{rows}}, {{end}}); "
    f"NOTIFY {CHANNEL}; COMMIT"
)
"""Appends rows if the log ends at a position and the queue is empty, and commits."""

_BEGIN_AND_READ: Final = f"{_BEGIN}; EXECUTE holdbook_news ({{position}})"

_CLOCK_CHECK_SECONDS: Final = 1.0
"""How long after a comparison of the clocks the next one is due."""

_BY_INDEX: Final = "SET enable_seqscan = off"
"""Has every statement under the lock use an index. A plan made while the log was short reads the whole table, and would
be kept while the log grows, until the server analyses the table."""

_VOUCH: Final = "SELECT pg_logical_emit_message(true, 'holdbook', '')"
"""Writes to the write-ahead log, but no row: a commit with nothing in that log does not wait for a standby."""

_GREETING: Final = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END"
"""Reads the name of the present file of the write-ahead log, which begins with the timeline; NULL from a standby."""

_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)"
)
"""Has commits wait for the disk even if the server's default is not to; a default that waits for more stays."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that waits for the server for a limited time, and never cancels a statement.

    A paused server keeps its clients waiting for ever, as the kernel acknowledges their packets. And a commit that is
    cancelled while it waits for a standby is reported as done. So a wait that takes too long or is interrupted closes
    the connection; whether the transaction was committed has to be looked up in the log.
    """

    deadline: float | None = None
    """When to stop waiting, on the clock of `time.monotonic`; None: `silence` decides."""
    silence: float | None = None
    """How long to wait for an answer if there is no deadline, in seconds; None: for ever."""

    def wait(self, gen: PQGen[_Result], interval: float = _WAIT_SECONDS, timeout: float | None = None) -> _Result:
        """Wait for an answer until the deadline; raises psycopg's OperationalError then, and closes the connection."""
        limit = timeout or self.silence
        end = self.deadline if self.deadline is not None or limit is None else monotonic() + limit
        try:
            left = None if end is None else max(end - monotonic(), 0.0)
            return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=left)
        except BaseException as error:
            is_late = end is not None and monotonic() >= end
            if is_late or not isinstance(error, Exception):
                self.pgconn.finish()
            if is_late:
                message = "the server did not answer in time"
                raise psycopg.OperationalError(message) from error
            raise


class LogConnection(PatientConnection):
    """The connection kept for the log's transactions. A commit that the server warns about is not taken for done.

    A server whose wait for a synchronous standby was cancelled reports the commit as done, with a warning.
    """

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.warnings: list[str] = []
        """What the server has warned of since this was cleared."""
        self.add_notice_handler(partial(_note_warning, self.warnings))

    def commit_with(self, statements: str) -> int:
        """Run statements that end with COMMIT, in one trip; give how many rows were inserted.

        Raises psycopg's OperationalError if the server does not vouch for the commit.
        """
        cursor = self.cursor()
        cursor.execute(statements)
        inserted = _inserted(cursor)
        while cursor.nextset():
            inserted = max(inserted, _inserted(cursor))
        if self.warnings or cursor.statusmessage != "COMMIT":
            message = f"the server does not vouch for the commit: {'; '.join(self.warnings) or cursor.statusmessage}"
            raise psycopg.OperationalError(message)
        return inserted


def _note_warning(warnings: list[str], notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        warnings.append(f"{notice.message_primary}")


def _inserted(cursor: psycopg.Cursor[Any]) -> int:
    return cursor.rowcount if (cursor.statusmessage or "").startswith("INSERT") else 0


@contextmanager
def watching(arguments: Mapping[str, Any]) -> Iterator[Callable[[float], bool]]:
    """Watch for commits: gives a function that waits up to so many seconds, and tells whether there may be news."""
    with psycopg.connect(**arguments, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        yield lambda seconds: any(True for _ in listener.notifies(timeout=seconds, stop_after=1))


@dataclass(slots=True)
class PostgresTransaction:
    """A `Transaction` on PostgreSQL."""

    connection: Connection
    driver: LogConnection
    head: int
    head_hash: bytes | None
    has_queue: bool
    news: Sequence[StoredRow] | None
    pending: Sequence[StoredRow] = ()
    """Rows that are few enough to be inserted in the same trip as the commit."""
    has_copied: bool = False
    """Whether rows were inserted already, so that subscribers are to be woken."""

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Keep a few rows for the commit to send; COPY more of them at once, which takes two trips."""
        if len(rows) <= PENDING_ROWS_MAX and not self.pending:
            self.pending = rows
            return
        with self.driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                copy.write_row(row)
        self.has_copied = True

    def vouch(self) -> None:
        """Write something that is no row: a commit that wrote nothing waits for no standby."""
        self.driver.execute(_VOUCH)

    def commit(self) -> None:
        """Commit, in one trip. Raises psycopg's OperationalError if the server does not vouch for it."""
        if self.pending:
            self.driver.commit_with(_INSERT_PENDING.format(rows=_literal(self.driver, self.pending)))
        else:
            self.driver.commit_with(f"NOTIFY {CHANNEL}; COMMIT" if self.has_copied else "COMMIT")


class PostgresConnector:
    """A `Connector` to a PostgreSQL server that may be written to."""

    def __init__(self, arguments: Mapping[str, Any], *, checks_clock: bool) -> None:
        self._arguments = arguments
        """What psycopg connects with."""
        self._checks_clock = checks_clock
        self.deadline: float | None = None
        """When to stop waiting for the server, on the clock of `time.monotonic`; None: never."""
        self._timeline = 0
        """The latest timeline seen: a failover left a server behind that is on an earlier one."""
        self._clock_check_due = 0.0
        """When the clocks have to be compared again, on the clock of `time.monotonic`."""

    def connect(self) -> LogConnection:
        """Connect, and prepare statements; raises psycopg's OperationalError for a standby or a server left behind."""
        left = CONNECT_SECONDS if self.deadline is None else self.deadline - monotonic()
        limit = max(1, min(CONNECT_SECONDS, ceil(left)))  # libpq takes whole seconds
        connection = LogConnection.connect(**{**self._arguments, "connect_timeout": limit}, autocommit=True)
        connection.deadline = monotonic() + limit  # until a transaction begins
        try:
            self._check_timeline(connection)
            connection.execute(f"{_DURABLE}; {_BY_INDEX}; {_PREPARE}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_timeline(self, connection: LogConnection) -> None:
        """Raise OperationalError if the server is a standby, or was a primary that another one has replaced."""
        (file,) = connection.execute(_GREETING).fetchone() or (None,)
        if file is None:
            message = "the server is a standby, which takes no commands"
            raise psycopg.OperationalError(message)
        timeline = int(file[:8], 16)
        if timeline < self._timeline:
            message = f"the server is on timeline {timeline}, and timeline {self._timeline} has begun elsewhere"
            raise psycopg.OperationalError(message)
        self._timeline = timeline

    def begin(self, connection: Connection, since: int | None = None) -> PostgresTransaction:
        """Take the log's lock, look where the log ends, and read what came after a position: one trip."""
        driver = self._driver(connection)
        cursor = driver.cursor()
        cursor.execute(_BEGIN if since is None else _BEGIN_AND_READ.format(position=since))
        cursor.nextset()
        cursor.nextset()
        clock, has_queue, head, head_hash = cursor.fetchone() or (0.0, False, None, None)
        self._check_clock(clock)
        self._clock_check_due = monotonic() + _CLOCK_CHECK_SECONDS
        news = [StoredRow(*row) for row in cursor] if cursor.nextset() else None
        if news is not None and len(news) > NEWS_ROWS_MAX:
            news = None
        return PostgresTransaction(connection, driver, head or 0, head_hash, has_queue, news)

    def append_if(self, connection: Connection, end: LogPosition, rows: Sequence[StoredRow]) -> bool:
        """Append rows and commit, in one trip, if the log ends at ``end`` and the queue is empty; tell if it was done.

        Once a second nothing is done, so that the caller comes by `begin`, which compares the clocks.
        """
        if monotonic() > self._clock_check_due:
            return False
        driver = self._driver(connection)
        statements = _BEGIN_AND_APPEND.format(end=end.position, rows=_literal(driver, rows))
        return driver.commit_with(statements) == len(rows)

    def _driver(self, connection: Connection) -> LogConnection:
        """Give psycopg's connection, ready for a new transaction."""
        driver: Any = connection.connection.dbapi_connection
        driver.deadline = self.deadline
        driver.warnings.clear()
        return driver  # type: ignore[no-any-return]  # it is what `connect` made

    def _check_clock(self, server_time: float) -> None:
        """Raise `LogUnavailable` if this process's clock and the server's, in seconds since 1970, are too far apart."""
        skew = system_clock().timestamp() - server_time
        if self._checks_clock and abs(skew) > CLOCK_SKEW_SECONDS_MAX:
            side = "ahead of" if skew > 0 else "behind"
            raise LogUnavailable(
                f"the clock of this process is {abs(skew):.0f} s {side} the database server's; "
                f"more than {CLOCK_SKEW_SECONDS_MAX} s would put wrong times into the log: set the clocks right"
            )


def _literal(driver: LogConnection, rows: Sequence[StoredRow]) -> str:
    """Write rows as a literal of SQL: an array of the composite type ``events``."""
    return Escaping(driver.pgconn).escape_literal(_array(rows).encode()).decode()


def _array(rows: Sequence[StoredRow]) -> str:
    """Write rows in the form that PostgreSQL has for an array of a composite type."""
    return "{" + ",".join([_quoted("(" + ",".join(map(_component, row)) + ")") for row in rows]) + "}"


def _component(value: int | str | bytes | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return _quoted(value if isinstance(value, str) else f"\\x{value.hex()}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
