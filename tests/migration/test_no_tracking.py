"""From waiting to no tracking: one table that nothing uses goes, nothing else is touched, and there is a way back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, SchemaMismatch
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import execute, query, raw_rows
from support.old_schemas import restored, tables_in
from support.sealing import OLD
from support.story import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = {"tracking"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database as the version before left it."""
    return restored(tmp_path, "0004")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same."""
    with closing(Database(url)) as database:
        yield database


def contents(url: str) -> dict[str, list[Any]]:
    """Read every table but `tracking` and the revision's own."""
    names = [name for (name,) in query(url, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    kept = [name for name in names if name not in TABLES | {schema.VERSION_TABLE}]
    return {name: query(url, f"SELECT * FROM {name}") for name in kept}  # noqa: S608 - names of our own


def test_up_and_down(url: str, database: Database) -> None:
    """An upgrade drops the table and changes no other, the log least of all; the way back makes it again, empty."""
    with pytest.raises(SchemaMismatch, match=r"is at schema 0004; .* run `holdbook db upgrade`"):
        Ledger.open(url)
    before, made = contents(url), query(url, "SELECT sql FROM sqlite_master WHERE name = 'tracking'")
    assert query(url, "SELECT * FROM tracking") == [("billing", 21)]
    for _ in range(2):
        migrating.upgrade(database)
        assert migrating.differences(database) == []
        assert (tables_in(url, TABLES), contents(url)) == (set(), before)
        migrating.downgrade(database, "0004")
        assert (tables_in(url, TABLES), contents(url)) == (TABLES, before)
        assert schema.current_revision(database) == "0004"
        assert query(url, "SELECT sql FROM sqlite_master WHERE name = 'tracking'") == made
        assert query(url, "SELECT * FROM tracking") == []


def test_the_ledger_goes_on(url: str, database: Database) -> None:
    """After the upgrade the ledger is written to, its views move on, and every promise holds, what is sealed too."""
    migrating.upgrade(database)
    log = raw_rows(url)
    clock = Clock()
    clock.set(500)
    with Ledger.open(url, clock=clock, create=False) as ledger:
        ledger.allocate({"cpu": 5}, owner="hal", allocation_id="a5")
        ledger.projector().catch_up()
        report = verify_ledger(ledger, None, sealing_of(ledger, [OLD.verifier]))
    assert report.findings == ()
    assert {view.position for view in report.views} == {len(log) + 1}
    assert raw_rows(url)[:-1] == log


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_down_is_what_the_revisions_before_had_made(request: pytest.FixtureRequest, kind: str) -> None:
    """The table that the way back makes takes and gives what the one before did, and goes with the next upgrade."""
    url: str = request.getfixturevalue(f"{kind}_url")
    with closing(Database(url)) as database:
        migrating.downgrade(database, "0004")
        execute(url, "INSERT INTO tracking (name, position) VALUES ('é', 2), ('z', 1)")
        assert query(url, "SELECT name, position FROM tracking ORDER BY name") == [("z", 1), ("é", 2)]
        migrating.upgrade(database)
        assert migrating.differences(database) == []
