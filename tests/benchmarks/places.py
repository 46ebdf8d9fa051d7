"""Fresh databases for the cases, durable as in production: PostgreSQL with fsync, SQLite in one folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg
from sqlalchemy.engine import make_url

from holdbook import Ledger
from support.postgres import DURABLE, Databases, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVER_SETTINGS: Final = {**DURABLE, "shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "200"}
"""What is not the default: room, so that no checkpoint falls into one case's window and not into another's."""

BUSY_SECONDS: Final = 60
"""How long a hand-written SQLite client waits for the write lock, as long as Holdbook does."""


class Place(Protocol):
    """A database system that makes fresh databases."""

    name: str

    def fresh(self, *, with_ledger: bool = True, like: str | None = None) -> Any:  # noqa: ANN401 - a context manager: mypy cannot match it
        """Make a database for the time of a block, or copy one to which nobody is connected, and give its URL."""
        ...

    def settings(self) -> Mapping[str, str]:
        """Say how durable it is, as the database itself tells it."""
        ...


@dataclass
class SQLitePlace:
    """Files in one folder."""

    folder: Path
    name: str = "sqlite"

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._template = self.folder / "template.db"
        Ledger.open(f"sqlite:///{self._template}").close()

    @contextmanager
    def fresh(self, *, with_ledger: bool = True, like: str | None = None) -> Iterator[str]:
        """Make a folder with a database for the time of a block, or a copy of one, and give its URL."""
        folder = self.folder / str(next(self._numbers))
        folder.mkdir()
        try:
            path = folder / "bench.db"
            if like:
                _copy(like.removeprefix("sqlite:///"), path)
            elif with_ledger:
                shutil.copy(self._template, path)
            yield f"sqlite:///{path}"
        finally:
            shutil.rmtree(folder)

    def settings(self) -> dict[str, str]:
        """Say how durable a connection of the baselines is, as SQLite tells it."""
        with self.fresh() as url:
            connection = connect_sqlite(url)
            try:
                names = ("journal_mode", "synchronous")
                return {name: str(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names}
            finally:
                connection.close()


class PostgresPlace:
    """Databases on a server of the benchmark's own."""

    name = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        self._url = server.url()
        self._databases = Databases(self._url)
        self._template = self._databases.create()
        Ledger.open(self._databases.url(self._template)).close()

    @contextmanager
    def fresh(self, *, with_ledger: bool = True, like: str | None = None) -> Iterator[str]:
        """Make a database for the time of a block, or copy one to which nobody is connected, and give its URL."""
        template = make_url(like).database if like else self._template if with_ledger else None
        with self._databases.database(template) as name:
            yield self._databases.url(name)

    def settings(self) -> dict[str, str]:
        """Say how durable the server is, as it tells itself."""
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", *SERVER_SETTINGS)
        with connect_postgres(self._url) as connection:
            found = ((name, connection.execute("SELECT current_setting(%s)", (name,)).fetchone()) for name in names)
            return {name: str(row[0]) for name, row in found if row}


def _copy(source: str, target: Path) -> None:
    """Copy a file to the disk, so that no commit has to wait for that."""
    shutil.copy(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def places(names: tuple[str, ...]) -> Iterator[dict[str, Place]]:
    """Prepare the databases that were asked for, by name."""
    with ExitStack() as stack:
        found: dict[str, Place] = {}
        if "postgresql" in names:
            found["postgresql"] = PostgresPlace(stack.enter_context(PostgresServer(SERVER_SETTINGS)))
        if "sqlite" in names:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdbook-bench-"))
            found["sqlite"] = SQLitePlace(Path(folder))
        yield found


def connect_sqlite(url: str) -> sqlite3.Connection:
    """Connect as Holdbook does: write-ahead log, every commit on the disk, transactions begun by hand."""
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def connect_postgres(url: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Connect with psycopg, by a URL as SQLAlchemy has it."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=autocommit)
