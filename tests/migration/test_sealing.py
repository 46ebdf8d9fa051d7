"""From generations to sealing: tables are added, nothing else is touched, and there is a way back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bursar import Ledger, SchemaMismatch
from bursar.infrastructure import migrating, schema
from bursar.infrastructure.database import Database
from bursar.infrastructure.proofs import sealing_of
from bursar.infrastructure.sealing import Sealer
from bursar.infrastructure.verification import verify_ledger
from support.logs import MOMENT, query, raw_rows
from support.sealing import OLD

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parents[1] / "samples" / "ledger_0002.sql"
TABLES = {"seal_tiles", "checkpoints", "cosignatures", "seal_keys"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database as the version before left it."""
    with closing(sqlite3.connect(tmp_path / "bursar.db")) as connection:
        connection.executescript(SAMPLE.read_text())
    return f"sqlite:///{tmp_path / 'bursar.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same."""
    with closing(Database(url)) as database:
        yield database


def tables_in(url: str) -> set[str]:
    """List the tables for sealing that there are."""
    found = {name for (name,) in query(url, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return found & TABLES


def test_up_and_down(url: str, database: Database) -> None:
    """An upgrade adds the tables, empty, and leaves the log as it is; the way back takes them away, sealed or not."""
    with pytest.raises(SchemaMismatch, match=r"is at schema 0002; .* run `bursar db upgrade`"):
        Ledger.open(url)
    log = raw_rows(url)
    for _ in range(2):
        migrating.upgrade(database)
        assert migrating.differences(database) == []
        assert tables_in(url) == TABLES
        with Ledger.open(url, create=False) as ledger:
            signed = Sealer(ledger).seal(OLD, MOMENT)
            assert signed is not None
            assert (signed.checkpoint.number, signed.checkpoint.size) == (1, len(log))
            assert verify_ledger(ledger, None, sealing_of(ledger, [OLD.verifier])).ok
        migrating.downgrade(database, "0002")
        assert (tables_in(url), raw_rows(url), schema.current_revision(database)) == (set(), log, "0002")
