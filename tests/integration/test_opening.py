"""Opening a ledger: what is there, what is made, and what the errors say."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy.engine import make_url

from holdbook import Ledger, Limits, LogUnavailable, Malformed, SchemaMismatch
from holdbook.infrastructure.schema import revision as schema
from support.logs import execute, query
from support.processes import barrier, open_together, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A ledger that was closed, or could not be opened, keeps no file and no connection."""
    process = psutil.Process()
    before = {file.path for file in process.open_files()}
    yield
    assert {file.path for file in process.open_files()} - before == set()


@pytest.mark.parametrize("url", ["sqlite", "postgres"])
def test_a_new_database_is_made_ready(request: pytest.FixtureRequest, url: str) -> None:
    """Opening a database that holds nothing makes a ledger in it, which is there the next time."""
    address = request.getfixturevalue(f"empty_{url}_url")
    with Ledger.open(address) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        ledger_id = ledger.log.ledger_id
    with Ledger.open(address, create=False) as ledger:
        assert [pool.name for pool in ledger.pools()] == ["gpu"]
        assert ledger.log.ledger_id == ledger_id


@pytest.mark.untraced
def test_eight_processes_open_a_new_database_at_once(empty_database_url: str) -> None:
    """Processes that open a new database at the same moment all succeed, and have one ledger."""
    start = barrier(8)
    with running(open_together, [(start, empty_database_url)] * 8) as peers:
        assert len({peer.receive() for peer in peers}) == 1
    assert query(empty_database_url, "SELECT epoch, format FROM ledger_meta") == [(1, 1)]


def test_two_ledgers_are_two(empty_sqlite_url: str, empty_postgres_url: str) -> None:
    """Every ledger has an id of its own."""
    with Ledger.open(empty_sqlite_url) as one, Ledger.open(empty_postgres_url) as other, Ledger.in_memory() as third:
        assert len({ledger.log.ledger_id for ledger in (one, other, third)}) == 3


class TestNothingThere:
    """A mistyped name makes nothing."""

    def test_no_file(self, empty_sqlite_url: str) -> None:
        """A file that is not there is an error that names it, and is still not there."""
        with pytest.raises(LogUnavailable, match=r"there is no database sqlite:///.*empty\.db"):
            Ledger.open(empty_sqlite_url, create=False)
        assert not Path(make_url(empty_sqlite_url).database or "").exists()

    def test_no_folder(self, tmp_path: Path) -> None:
        """A file in a folder that is not there is an error that names it."""
        with pytest.raises(LogUnavailable, match=r"sqlite:///.*missing/holdbook\.db cannot be used: unable to open"):
            Ledger.open(f"sqlite:///{tmp_path}/missing/holdbook.db")

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        """A folder in the database's place is an error that names it."""
        with pytest.raises(LogUnavailable, match="cannot be used: unable to open"):
            Ledger.open(f"sqlite:///{tmp_path}")

    def test_no_ledger_in_a_file(self, empty_sqlite_url: str) -> None:
        """A database without a ledger is an error that says how to make one."""
        sqlite3.connect(make_url(empty_sqlite_url).database or "").close()
        with pytest.raises(SchemaMismatch, match=r"holds no ledger.*holdbook pool open"):
            Ledger.open(empty_sqlite_url, create=False)

    def test_no_ledger_on_a_server(self, empty_postgres_url: str) -> None:
        """A database without a ledger is an error that says how to make one, and stays as it was."""
        with pytest.raises(SchemaMismatch, match=r"holds no ledger.*holdbook pool open"):
            Ledger.open(empty_postgres_url, create=False)
        assert query(empty_postgres_url, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []

    def test_no_database_on_the_server(self, empty_postgres_url: str) -> None:
        """A database that the server does not have is an error that names it."""
        with pytest.raises(LogUnavailable, match=r"/mistyped cannot be used: .*does not exist"):
            Ledger.open(make_url(empty_postgres_url).set(database="mistyped").render_as_string(hide_password=False))

    def test_no_server(self) -> None:
        """A server that does not answer is an error that names it, and not its password."""
        with pytest.raises(LogUnavailable, match=r"//me:\*\*\*@127\.0\.0\.1:1/x cannot be used") as caught:
            Ledger.open("postgresql://me:s3cret@127.0.0.1:1/x")
        assert "s3cret" not in str(caught.value)

    def test_a_password_among_the_options(self) -> None:
        """A password among the address's options is not shown either."""
        with pytest.raises(LogUnavailable) as caught:
            Ledger.open("postgresql://127.0.0.1:1/x?password=s3cret&user=me")
        assert "s3cret" not in str(caught.value)
        assert "//127.0.0.1:1/x" in str(caught.value)


class TestSomethingElseThere:
    """What is there is not a ledger that this version works with."""

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        """A file of another kind is an error that names it, and stays as it is."""
        path = tmp_path / "notes.txt"
        path.write_text("these are no pages of a database " * 100)
        before = path.read_bytes()
        with pytest.raises(LogUnavailable, match=r"notes\.txt cannot be used: file is not a database"):
            Ledger.open(f"sqlite:///{path}")
        assert path.read_bytes() == before

    def test_a_file_that_cannot_be_written_ahead_of(self, empty_sqlite_url: str) -> None:
        """A file beside which no log can be written is an error, at once."""
        path = Path(make_url(empty_sqlite_url).database or "")
        path.with_name(f"{path.name}-wal").mkdir()
        with pytest.raises(LogUnavailable, match="cannot be used: disk I/O error"):
            Ledger.open(empty_sqlite_url)

    def test_a_busy_file(self, empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A new database that another program is writing to is waited for."""
        other = sqlite3.connect(make_url(empty_sqlite_url).database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("holdbook.infrastructure.database.sqlite.sleep", lambda _: other.rollback())
        Ledger.open(empty_sqlite_url).close()
        assert not other.in_transaction
        other.close()

    def test_a_file_that_stays_busy(self, empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A new database that another program does not let go of is an error, after a time."""
        other = sqlite3.connect(make_url(empty_sqlite_url).database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("holdbook.infrastructure.database.sqlite.BUSY_SECONDS", 0)
        with pytest.raises(LogUnavailable, match="cannot be used: database is locked"):
            Ledger.open(empty_sqlite_url)
        other.close()

    def test_an_older_schema(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database at an older schema is refused with the command that upgrades it, with or without ``create``."""
        monkeypatch.setattr(schema, "HEAD", "9999")  # as if a release had brought another revision
        for create in (True, False):
            with pytest.raises(SchemaMismatch, match="run `holdbook db upgrade`"):
                Ledger.open(database_url, create=create)

    def test_a_newer_schema(self, database_url: str) -> None:
        """A database that a newer Holdbook made is refused with the way out."""
        execute(database_url, "UPDATE holdbook_schema SET version_num = 'f00d'")
        with pytest.raises(SchemaMismatch, match="made by a newer Holdbook; upgrade Holdbook"):
            Ledger.open(database_url)

    def test_another_log_format(self, database_url: str) -> None:
        """A log in another row format is refused, naming both formats."""
        execute(database_url, "UPDATE ledger_meta SET format = 2")
        with pytest.raises(LogUnavailable, match="has format 2; this version of Holdbook reads 1"):
            Ledger.open(database_url)

    def test_a_ledger_without_its_id(self, database_url: str) -> None:
        """A log that does not say whose it is cannot be opened."""
        execute(database_url, "DELETE FROM ledger_meta")
        with pytest.raises(LogUnavailable, match="No row was found"):
            Ledger.open(database_url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "holdbook.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "mysql://me:s3cret@host/db",
        "postgresql+asyncpg://me:s3cret@host/db",
        "postgresql//me:s3cret@host/db",
        "postgresql://me:s3cret@host:port/db",
        "postgresql://me:s3@cret@host:port/db",
        "mysql://host/db?password=s3cret",
        None,
        5,
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    """What is no address of a database is malformed, shown without its password, with an example of one that is."""
    with pytest.raises(Malformed, match=r"database: expected a database URL, such as sqlite:///holdbook\.db") as caught:
        Ledger.open(url)
    for secret in ("s3cret", "cret@"):
        assert secret not in str(caught.value)
        assert secret not in str(caught.value.value)


def test_the_plain_name_of_postgresql_will_do(postgres_url: str) -> None:
    """An address that names no driver uses the one that Holdbook comes with."""
    Ledger.open(postgres_url.replace("postgresql+psycopg", "postgresql")).close()


@pytest.mark.parametrize("name", ["with blank.db", "with%percent.db", "with?mark#.db", "ünï.db"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    """A file may be named as it likes, as long as the address says so."""
    url = make_url("sqlite://").set(database=os.fspath(tmp_path / name)).render_as_string()
    Ledger.open(url).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_ledger_in_memory_has_no_views() -> None:
    """Views are published in a database: in memory there are none, and asking for them says so."""
    with Ledger.in_memory() as ledger, pytest.raises(LogUnavailable, match="in memory has no published views"):
        ledger.projector()
