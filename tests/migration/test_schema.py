"""The schema's history: what the migrations reach is what the code expects, and there is a way back."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from holdbook import Ledger, Limits, LogUnavailable, SchemaMismatch
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.database.tables import metadata
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.projections.views.catalogue import VIEWS
from support.logs import execute, query, raw_rows, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the ledger's schema."""
    with closing(Database(database_url)) as database:
        yield database


@pytest.fixture
def empty_database(empty_database_url: str) -> Iterator[Database]:
    """A database without a schema."""
    with closing(Database(empty_database_url)) as database:
        if database.is_sqlite:
            database.make_file()
        yield database


def everything_in(url: str) -> set[str]:
    """List every table, index, view, trigger and function of ours or of anybody else's."""
    if url.startswith("sqlite"):
        return {name for (name,) in query(url, "SELECT name FROM sqlite_master")}
    return {
        name
        for statement in (
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
            "SELECT tgname FROM pg_trigger",
            "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace",
        )
        for (name,) in query(url, statement)
    }


def use(url: str) -> None:
    """Leave allocations, views that are caught up, and a view that was rebuilt."""
    with Ledger.open(url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        for number in range(3):
            ledger.allocate({"gpu": 1}, owner="a", allocation_id=f"a{number}")
        ledger.projector().catch_up()
        ledger.projector().rebuild("current_allocations")
        take_snapshot(ledger.log, "gpu")  # type: ignore[arg-type]  # the log in a database


def shape_of(url: str) -> dict[str, Any]:
    """Describe every table as the database itself does, quotes aside."""

    def plain(found: Any) -> Any:  # noqa: ANN401 - whatever the inspector gives
        if isinstance(found, dict):
            return {key: plain(value) for key, value in found.items()}
        if isinstance(found, list):
            return sorted((plain(one) for one in found), key=str)
        return str(found).replace('"', "")

    engine = create_engine(url)
    with closing(engine.connect()) as connection:
        found = inspect(connection)
        shape = {
            table: [
                [column["name"] for column in found.get_columns(table)],
                plain(found.get_columns(table)),
                plain(found.get_pk_constraint(table)),
                plain(found.get_unique_constraints(table)),
                plain(found.get_indexes(table)),
                plain(found.get_check_constraints(table)),
            ]
            for table in metadata.tables
        }
    engine.dispose()
    return shape


def test_migrations_reach_the_metadata(database: Database) -> None:
    """The schema that the migrations make is the one that the tables in the code describe."""
    assert migrating.differences(database) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_metadata_make_the_same_tables(request: pytest.FixtureRequest, kind: str) -> None:
    """Tables made from the code's description are those of the migrations: columns, keys, indexes, checks."""
    migrated, made = (request.getfixturevalue(f"{prefix}{kind}_url") for prefix in ("", "empty_"))
    engine = create_engine(made)
    metadata.create_all(engine)
    engine.dispose()
    assert shape_of(migrated) == shape_of(made)


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX uq_events_opening",
        "ALTER TABLE waiters ADD COLUMN surprise TEXT",
        "ALTER TABLE ledger_meta DROP COLUMN epoch",
        "DROP TABLE snapshots",
    ],
)
def test_a_difference_is_found(database: Database, database_url: str, change: str) -> None:
    """An index, a column or a table too few or too many is reported."""
    execute(database_url, change)
    assert len(migrating.differences(database)) == 1


def test_what_others_keep_there_is_no_difference(database: Database, database_url: str) -> None:
    """Tables of other programs in the same database are none of our business."""
    execute(database_url, "CREATE TABLE somebody_elses (id INTEGER)")
    assert migrating.differences(database) == []


def test_up_down_up_with_data(database: Database, database_url: str) -> None:
    """With events, snapshots and views in it, the schema goes down to nothing and up again to a ledger that works."""
    use(database_url)
    first = query(database_url, "SELECT ledger_id FROM ledger_meta")
    migrating.downgrade(database, "base")
    assert schema.current_revision(database) is None
    migrating.upgrade(database)
    assert migrating.differences(database) == []
    assert raw_rows(database_url) == []
    assert query(database_url, "SELECT ledger_id FROM ledger_meta") != first
    use(database_url)
    assert len(query(database_url, "SELECT * FROM current_allocations")) == 3


def test_down_removes_everything(empty_database: Database, empty_database_url: str) -> None:
    """Down to the base nothing of ours is left but Alembic's own table, and what others keep there is."""
    execute(
        empty_database_url,
        "CREATE TABLE gen_erators (id INTEGER)",
        "CREATE TABLE gen_current_allocations_old (id INTEGER)",
    )
    before = everything_in(empty_database_url)
    migrating.upgrade(empty_database)
    use(empty_database_url)
    migrating.downgrade(empty_database, "base")
    ours = everything_in(empty_database_url) - before
    assert {name for name in ours if schema.VERSION_TABLE not in name} == set()
    assert before <= everything_in(empty_database_url)


def test_base_to_head_is_head(empty_database: Database, empty_database_url: str) -> None:
    """Every revision from the first to the last leads to the one that this version works with."""
    assert sorted(_revisions()) == list(schema.REVISIONS)
    for revision in schema.REVISIONS:
        migrating.upgrade(empty_database, revision)
        assert schema.current_revision(empty_database) == revision
    assert schema.current_revision(empty_database) == schema.HEAD
    schema.require_current(empty_database)
    migrating.upgrade(empty_database)  # nothing is left to do, and nothing is done
    use(empty_database_url)


def _revisions() -> list[str]:
    return [script.revision for script in ScriptDirectory.from_config(migrating.alembic_config()).walk_revisions()]


def test_up_publishes_every_view(database_url: str) -> None:
    """A database that was just made has every published view, empty."""
    for view in VIEWS:
        assert query(database_url, f"SELECT {', '.join(view.published.columns)} FROM {view.name}") == []  # noqa: S608 - names of our own


def test_an_upgrade_keeps_the_log(database: Database, database_url: str) -> None:
    """Upgrading a database that is up to date changes no row of the log and no view."""
    use(database_url)
    before = raw_rows(database_url), query(database_url, "SELECT * FROM current_allocations")
    migrating.upgrade(database)
    assert (raw_rows(database_url), query(database_url, "SELECT * FROM current_allocations")) == before


def test_a_failed_upgrade_leaves_nothing(empty_database: Database, empty_database_url: str) -> None:
    """If a step fails, the database is as it was before."""
    execute(empty_database_url, "CREATE TABLE tracking (mine INTEGER)")
    before = everything_in(empty_database_url)
    with pytest.raises(LogUnavailable, match=r"tracking.*already exists"):
        migrating.upgrade(empty_database)
    assert everything_in(empty_database_url) == before


def test_migrating_needs_a_database(empty_sqlite_url: str) -> None:
    """Migrating makes no file: a mistyped name is an error."""
    database = Database(empty_sqlite_url)
    with pytest.raises(LogUnavailable, match="is not there"):
        migrating.upgrade(database)
    with pytest.raises(LogUnavailable, match="is not there"):
        migrating.downgrade(database, "base")
    assert not database.path.exists()


def test_an_older_schema(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database at an older revision is refused with the command that upgrades it."""
    monkeypatch.setattr(schema, "HEAD", "9999")  # as if a release had brought another revision
    with pytest.raises(SchemaMismatch, match=r"is at schema 0005; .* wants 9999: run `holdbook db upgrade`"):
        schema.require_current(database)


def test_a_schema_that_is_not_ours(database: Database, database_url: str) -> None:
    """A database at another revision is refused with the way out: upgrade it, or upgrade Holdbook."""
    execute(database_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = 'f00d'")  # noqa: S608 - a name of our own
    with pytest.raises(
        SchemaMismatch, match=r"is at schema f00d.*made by a newer Holdbook; upgrade Holdbook"
    ) as caught:
        schema.require_current(database)
    assert (caught.value.found, caught.value.wanted) == ("f00d", schema.HEAD)


def test_alembic_works_from_the_installed_package(empty_sqlite_url: str, tmp_path: str) -> None:
    """The migrations are found in the package, wherever the program runs."""
    program = (
        "import sys; from holdbook.infrastructure.schema import revision as schema, upgrade as migrating;"
        "from holdbook.infrastructure.database.database import Database;"
        "database = Database(sys.argv[1]); database.make_file(); migrating.upgrade(database);"
        "print(schema.current_revision(database)); database.close()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, empty_sqlite_url],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == schema.HEAD
    assert done.stderr == ""
