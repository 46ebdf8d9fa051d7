"""From sealing to waiting: two tables are added, nothing else is touched, and there is a way back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, SchemaMismatch
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.schema import upgrade as migrating
from support.logs import raw_rows
from support.old_schemas import restored, tables_in
from support.queueing import ask, line_up, open_pools, waiting_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = {"queue", "waiters"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database as the version before left it."""
    return restored(tmp_path, "0003")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same."""
    with closing(Database(url)) as database:
        yield database


def test_up_and_down(url: str, database: Database) -> None:
    """An upgrade adds the tables, empty, and leaves the log as it is; the way back takes them away, with who waits."""
    with pytest.raises(SchemaMismatch, match=r"is at schema 0003; .* run `holdbook db upgrade`"):
        Ledger.open(url)
    log = raw_rows(url)
    for number in range(2):
        migrating.upgrade(database)
        assert migrating.differences(database) == []
        assert tables_in(url, TABLES) == TABLES
        assert raw_rows(url) == log
        with Ledger.open(url, create=False) as ledger:
            assert waiting_in(ledger) == []
            open_pools(ledger, waited=1)
            line_up(ledger, ask(f"early {number}", waited=1), ask(f"late {number}", waited=1))
            assert waiting_in(ledger)[-1] == f"late {number}"
        log = raw_rows(url)
        migrating.downgrade(database, "0003")
        assert (tables_in(url, TABLES), raw_rows(url), schema.current_revision(database)) == (set(), log, "0003")
