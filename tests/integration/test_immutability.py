"""The log in the database: nothing in it is changed, whatever program tries, and what is in it is on the disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from holdbook import Ledger, Limits, LogCorrupt
from holdbook.domain.records import StoredRow
from holdbook.infrastructure.database.database import Database
from support.logs import append, execute, granted, open_log, query, raw_rows


def again(verb: str, **other: str) -> str:
    """Say how to insert the second event once more, other values in some columns."""
    columns = ", ".join(other.get(name, name) for name in StoredRow._fields)
    return f"{verb} INTO events SELECT {columns} FROM events WHERE position = 2"  # noqa: S608 - words of our own


UPSERT = "DO UPDATE SET actor = 'somebody else'"

ANYWHERE = (
    "UPDATE events SET actor = 'somebody else'",
    "UPDATE events SET data = replace(data, '2', '1') WHERE position = 2",
    "DELETE FROM events",
    "DELETE FROM events WHERE position = 3",
    f"{again('INSERT')} ON CONFLICT (position) {UPSERT}",
    f"{again('INSERT', position='4')} ON CONFLICT (stream_id, version) {UPSERT}",
    f"{again('INSERT', position='4', version='9')} ON CONFLICT (command_id, ordinal) {UPSERT}",
)

ONLY_SQLITE = (
    "UPDATE OR REPLACE events SET position = 1 WHERE position = 3",
    again("REPLACE"),
    again("INSERT OR REPLACE", position="4"),
    again("INSERT OR REPLACE", position="4", version="9"),
    again("INSERT OR REPLACE", position="4", version="9", command_id="'another'"),
    again("INSERT", position="9", version="9", command_id="'another'", allocation_id="'another'"),
)
"""A row that meets another by position, by its place in the stream, by command id, by allocation id; past the end."""


@pytest.fixture
def written(database_url: str) -> str:
    """A database whose log has three events: a pool, a grant, a release."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.release(ledger.allocate({"gpu": 2}, owner="a").id)
    return database_url


def refuse(url: str, statement: str) -> None:
    """Try a statement as any program may, and find the log as it was before."""
    before = raw_rows(url)
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.Error)):
        execute(url, statement)
    assert raw_rows(url) == before
    assert len(before) == 3


@pytest.mark.parametrize("statement", ANYWHERE)
def test_events_cannot_be_changed(written: str, statement: str) -> None:
    """The database itself refuses to update, delete or upsert events, from any connection."""
    refuse(written, statement)


@pytest.mark.parametrize("statement", ONLY_SQLITE)
def test_events_cannot_be_replaced(sqlite_url: str, statement: str) -> None:
    """SQLite's own ways to put a row in the place of another are refused as well, by whichever key they meet it."""
    with Ledger.open(sqlite_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.release(ledger.allocate({"gpu": 2}, owner="a").id)
    refuse(sqlite_url, statement)


@pytest.mark.parametrize("statement", ["TRUNCATE events", "TRUNCATE events CASCADE"])
def test_events_cannot_be_truncated(postgres_url: str, statement: str) -> None:
    """PostgreSQL refuses to truncate the log."""
    with Ledger.open(postgres_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.release(ledger.allocate({"gpu": 2}, owner="a").id)
    refuse(postgres_url, statement)


def test_the_refusal_says_what_was_refused(written: str) -> None:
    """Whoever tries is told that events are immutable, and what was refused."""
    for statement, word in (("UPDATE events SET actor = 'x'", "UPDATE"), ("DELETE FROM events", "DELETE")):
        with pytest.raises((sqlite3.Error, psycopg.Error), match=f"events are immutable: {word} is refused"):
            execute(written, statement)


def test_our_own_connections_are_refused_too(written: str) -> None:
    """What the database refuses us is an error that says so, with the log as it was."""
    before = raw_rows(written)
    with closing(open_log(written)) as log, pytest.raises(LogCorrupt, match="refused what cannot be right"):
        append(log, [granted(4, 2, allocation_id="z", command_id="z")])
    assert raw_rows(written) == before


def test_sqlite_waits_for_the_disk(sqlite_url: str) -> None:
    """Every connection to SQLite writes ahead to a log, as the file remembers, and waits until that is on the disk."""
    with closing(Database(sqlite_url)) as database, database.reading() as one, database.reading() as another:
        for connection in (one, another):
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert query(sqlite_url, "PRAGMA journal_mode") == [("wal",)]


def test_postgresql_waits_for_the_disk(postgres_url: str) -> None:
    """Where the server's default is not to wait for the disk, a commit of ours waits all the same."""
    execute(
        postgres_url,
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$",
    )
    with closing(Database(postgres_url)) as database:
        with database.reading() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
        with database.appending() as transaction:
            assert transaction.connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
