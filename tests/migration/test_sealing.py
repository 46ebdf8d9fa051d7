"""From generations to sealing: tables are added, nothing else is touched, and there is a way back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, SchemaMismatch
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import MOMENT, raw_rows
from support.old_schemas import restored, tables_in
from support.sealing import OLD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = {"seal_tiles", "checkpoints", "cosignatures", "seal_keys"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database as the version before left it."""
    return restored(tmp_path, "0002")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same."""
    with closing(Database(url)) as database:
        yield database


def test_up_and_down(url: str, database: Database) -> None:
    """An upgrade adds the tables, empty, and leaves the log as it is; the way back takes them away, sealed or not."""
    with pytest.raises(SchemaMismatch, match=r"is at schema 0002; .* run `holdbook db upgrade`"):
        Ledger.open(url)
    log = raw_rows(url)
    for _ in range(2):
        migrating.upgrade(database)
        assert migrating.differences(database) == []
        assert tables_in(url, TABLES) == TABLES
        with Ledger.open(url, create=False) as ledger:
            signed = Sealer(ledger).seal(OLD, MOMENT)
            assert signed is not None
            assert (signed.checkpoint.number, signed.checkpoint.size) == (1, len(log))
            assert verify_ledger(ledger, None, sealing_of(ledger, [OLD.verifier])).ok
        migrating.downgrade(database, "0002")
        assert (tables_in(url, TABLES), raw_rows(url), schema.current_revision(database)) == (set(), log, "0002")
