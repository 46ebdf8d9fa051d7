"""The cases that the library ships for third-party recorders, with string ids, on every store.

Memory keeps its snapshots in the library's own recorder, which the library tests.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from eventsourcing.tests import persistence as library

from holdbook import MemoryEventLog
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.snapshots import SQLSnapshots
from holdbook.infrastructure.log.sql_log import SQLEventLog
from support.tracking import SQLTracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.infrastructure.log.recorder import BaseEventLog


@contextmanager
def used_by_threads(url: str) -> Iterator[Database]:
    """Open a database, and close it when the threads that a case leaves behind have ended."""
    before = set(threading.enumerate())
    database = Database(url)
    yield database
    for thread in set(threading.enumerate()) - before:
        thread.join()
    database.close()


class StringIds:
    """Aggregates are named by text."""

    def new_originator_id(self) -> str:
        """Name an aggregate."""
        return f"pool:{uuid4()}"


class InMemory:
    """The log in memory."""

    def create_recorder(self) -> BaseEventLog:
        """Make the recorder under test."""
        return MemoryEventLog()


class OnSQLite:
    """A database for each case, in SQLite."""

    database: Database

    @pytest.fixture(autouse=True)
    def _open_database(self, sqlite_url: str) -> Iterator[None]:
        with used_by_threads(sqlite_url) as self.database:
            yield


class OnPostgreSQL:
    """A database for each case, in PostgreSQL."""

    database: Database

    @pytest.fixture(autouse=True)
    def _open_database(self, postgres_url: str) -> Iterator[None]:
        with used_by_threads(postgres_url) as self.database:
            yield


class Snapshots(StringIds):
    """The recorder of snapshots in a database."""

    database: Database

    def create_recorder(self) -> SQLSnapshots:
        """Make the recorder under test."""
        return SQLSnapshots(self.database.changing)


class Log(StringIds):
    """The log in a database."""

    database: Database

    def create_recorder(self) -> SQLEventLog:
        """Make the recorder under test."""
        return SQLEventLog(self.database, EventMapper())


class Tracking:
    """The recorder of positions in a database."""

    database: Database

    def create_recorder(self) -> SQLTracking:
        """Make the recorder under test."""
        return SQLTracking(self.database)


class Subscribing:
    """The library's optional case for recorders that can be subscribed to."""

    def test_insert_subscribe(self) -> None:
        """A subscription gives what was recorded before it began and since, by position and by topic, until stopped."""
        self.optional_test_insert_subscribe()  # type: ignore[attr-defined]  # of the case that this is mixed into


class TestSnapshotsOnSQLite(Snapshots, OnSQLite, library.AggregateRecorderTestCase):
    """The aggregate recorder's cases."""


class TestSnapshotsOnPostgreSQL(Snapshots, OnPostgreSQL, library.AggregateRecorderTestCase):
    """The aggregate recorder's cases."""


class TestLogInMemory(Subscribing, StringIds, InMemory, library.ApplicationRecorderTestCase):
    """The application recorder's cases."""


class TestLogOnSQLite(Subscribing, Log, OnSQLite, library.ApplicationRecorderTestCase):
    """The application recorder's cases."""


class TestLogOnPostgreSQL(Subscribing, Log, OnPostgreSQL, library.ApplicationRecorderTestCase):
    """The application recorder's cases."""


class TestOrderInMemory(StringIds, InMemory, library.NonInterleavingNotificationIDsBaseCase):
    """What is recorded together has positions that follow one another."""


class TestOrderOnSQLite(Log, OnSQLite, library.NonInterleavingNotificationIDsBaseCase):
    """What is recorded together has positions that follow one another."""


class TestOrderOnPostgreSQL(Log, OnPostgreSQL, library.NonInterleavingNotificationIDsBaseCase):
    """What is recorded together has positions that follow one another."""


class TestTrackingOnSQLite(Tracking, OnSQLite, library.TrackingRecorderTestCase):
    """The tracking recorder's cases."""


class TestTrackingOnPostgreSQL(Tracking, OnPostgreSQL, library.TrackingRecorderTestCase):
    """The tracking recorder's cases."""
