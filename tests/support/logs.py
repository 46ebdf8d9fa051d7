"""Logs to test on, past the ledger: raw connections, events made by hand, a clock that stands still."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.engine import make_url

from holdbook import Limits, MemoryEventLog
from holdbook.domain.events import Allocated, Event, PoolOpened
from holdbook.domain.pool import Pool, evolve
from holdbook.domain.records import LogPosition, Recorded
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.snapshots import save_pool
from holdbook.infrastructure.log.sql_log import SQLEventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.domain.ports import LogReader
    from holdbook.domain.records import StoredRow

Log = MemoryEventLog | SQLEventLog
Row = tuple[Any, ...]

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = MOMENT

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def advance(self, **duration: float) -> datetime:
        """Go on by so much, and tell the time then."""
        self.now += timedelta(**duration)
        return self.now


def open_log(url: str) -> SQLEventLog:
    """Open the log in a database, without a ledger."""
    return SQLEventLog(Database(url), EventMapper())


def load_pool_at_head(reader: LogReader, name: str) -> Pool | None:
    """Load a pool from its latest snapshot and the events since; None if there is no such pool."""
    pool = reader.snapshot(name)
    for recorded in reader.stream(f"pool:{name}", pool.version if pool else 0):
        pool = evolve(pool, recorded)
    return pool


def take_snapshot(log: Log, name: str) -> None:
    """Write a snapshot of a pool as it stands, if there is such a pool."""
    with log.reading() as reader:
        pool = load_pool_at_head(reader, name)
    if pool is not None:
        save_pool(log.snapshots, pool)


@contextmanager
def raw_connection(url: str) -> Iterator[sqlite3.Connection | psycopg.Connection[Row]]:
    """Connect to a database as any other program may, with the driver's own defaults; each statement commits."""
    parsed = make_url(url)
    connection: sqlite3.Connection | psycopg.Connection[Row]
    if parsed.get_backend_name() == "sqlite":
        connection = sqlite3.connect(parsed.database or "", isolation_level=None)
    else:
        address = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(address, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def query(url: str, statement: str) -> list[Row]:
    """Ask a database as any other program may."""
    with raw_connection(url) as connection:
        found = connection.execute(statement)
        return [tuple(row) for row in found.fetchall()]


def execute(url: str, *statements: str) -> None:
    """Change a database as any other program may."""
    with raw_connection(url) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def account(url: str, privileges: str) -> Iterator[str]:
    """Give the address of a PostgreSQL database for an account that has only some privileges on its tables."""
    parsed = make_url(url)
    name = f"{parsed.database}_account"
    granted = f'GRANT {privileges} ON ALL TABLES IN SCHEMA public TO "{name}"'
    execute(url, f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'", granted)
    try:
        yield parsed.set(username=name, password="secret").render_as_string(hide_password=False)  # noqa: S106 - a test's
    finally:
        execute(url, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')


def raw_rows(url: str) -> list[Row]:
    """Read the log past all of our code."""
    return query(url, "SELECT * FROM events ORDER BY position")


def append(log: Log, records: Sequence[Recorded]) -> LogPosition:
    """Append in a transaction of its own; tell where the log ends then."""
    with log.writing() as writer:
        return writer.append(records)


def written(rows: Sequence[StoredRow]) -> MemoryEventLog:
    """Put rows into a log in memory as they are."""
    log = MemoryEventLog()
    with log.writing() as writer:
        writer.insert(rows)
    return log


def opened(position: int, *, pool: str = "gpu", total: int = 10) -> Recorded:
    """Make an event that opens a pool, wherever it is to stand."""
    event = PoolOpened(pool=pool, resource_type="thing", unit="unit", limits=Limits(total=total))
    return _recorded(event, position, 1, f"open-{pool}")


def granted(position: int, version: int, *, allocation_id: str, command_id: str, pool: str = "gpu") -> Recorded:
    """Make an event that grants one unit, wherever it is to stand."""
    event = Allocated(
        pool=pool,
        allocation_id=allocation_id,
        owner="a",
        quantity=1,
        pools=(pool,),
        epoch=1,
        tags={},
        deadline=None,
    )
    return _recorded(event, position, version, command_id)


def _recorded(event: Event, position: int, version: int, command_id: str) -> Recorded:
    return Recorded(
        position=position,
        version=version,
        command_id=command_id,
        ordinal=0,
        ordinals=1,
        occurred_at=MOMENT,
        recorded_at=MOMENT,
        actor=None,
        correlation_id=None,
        causation_id=None,
        command="{}",
        event=event,
    )
