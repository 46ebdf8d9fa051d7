"""From the first schema to generations side by side: live views are taken over, and there is a way back."""

from __future__ import annotations

import json
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, SchemaMismatch
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.views.queries import Published
from holdbook.projections.views.catalogue import VIEWS
from support.cli import Holdbook, run
from support.first_schema import FIRST_VIEWS, LIVE, UNFINISHED, make_first_schema
from support.logs import execute, query, raw_rows
from support.story import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 36
"""Events that the story leaves."""

FINGERPRINTS: dict[str, str] = import_module("holdbook.migrations.versions.0002_generations").FINGERPRINTS

LAST_WITH_TRACKING = "0004"
"""The last revision that keeps the positions which others had put into `tracking`."""

TODAY = {view.name: view for view in VIEWS}


@pytest.fixture
def url(empty_database_url: str) -> str:
    """A database as the first release left it."""
    make_first_schema(empty_database_url, TODAY)
    return empty_database_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The same."""
    with closing(Database(url)) as database:
        yield database


def published(url: str) -> dict[str, list[Any]]:
    """Read every published view, the columns that it has had from the first, by SQL."""
    found = {}
    for name, view in FIRST_VIEWS.items():
        columns = ", ".join(view.published.columns)
        found[name] = sorted(query(url, f"SELECT {columns} FROM {name}"), key=str)  # noqa: S608 - names of our own
    return found


def tables_in(url: str) -> list[str]:
    """List the physical tables of views."""
    listed = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if url.startswith("sqlite")
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    return sorted(name for (name,) in query(url, listed) if name.startswith("gen_"))


def books(url: str) -> list[Any]:
    """Read what the first schema knows of views."""
    return [
        query(url, "SELECT view, generation FROM generations ORDER BY view"),
        query(url, "SELECT name, position FROM tracking ORDER BY name"),
    ]


def test_the_fingerprints_are_those_of_the_first_views() -> None:
    """A live view is taken over as built by the code that has its fingerprint: that of the tables it had then."""
    assert {name: view.fingerprint for name, view in FIRST_VIEWS.items()} == FINGERPRINTS


def test_what_has_changed_since_the_first_views() -> None:
    """Of today's views, those that did not change have the fingerprints of then, and go on after an upgrade."""
    changed = {view.name for view in VIEWS if view.fingerprint != FINGERPRINTS.get(view.name)}
    assert changed == {"metrics"}


def test_a_first_schema_is_not_opened(url: str) -> None:
    """It is refused with the command that upgrades it, and that command upgrades it."""
    with pytest.raises(SchemaMismatch, match=r"is at schema 0001; .* run `holdbook db upgrade`"):
        Ledger.open(url)
    assert Holdbook(url)("db", "upgrade").out == f"{schema.HEAD} (up to date)\n"
    Ledger.open(url, create=False).close()


def test_live_generations_are_taken_over(url: str, database: Database) -> None:
    """Each live generation keeps its number, its position and its rows; what was unfinished is gone; the log stays."""
    before, log = published(url), raw_rows(url)
    migrating.upgrade(database, LAST_WITH_TRACKING)
    assert query(url, "SELECT name, position FROM tracking") == [("somebody else's", 7)]
    migrating.upgrade(database)
    assert migrating.differences(database) == []
    columns = "view, generation, state, version, fingerprint, tables, position"
    assert query(url, f"SELECT {columns} FROM generations ORDER BY view") == [  # noqa: S608 - names of our own
        (name, number, "live", 1, FINGERPRINTS[name], f"gen_{name}_{number}", position)
        for name, (number, position) in LIVE.items()
    ]
    nothing = "moved_at, rate, compared_at, stopped_at, stopped_type, error"
    assert set(query(url, f"SELECT {nothing} FROM generations")) == {(None,) * 6}  # noqa: S608 - names of our own
    assert tables_in(url) == [f"gen_{name}_{number}" for name, (number, _) in LIVE.items()]
    assert (published(url), raw_rows(url)) == (before, log)


def test_four_of_five_views_go_on(url: str, database: Database) -> None:
    """After the upgrade the views that did not change move on; one is outdated, read as it is, and stays."""
    before = published(url)["metrics"]
    migrating.upgrade(database)
    with Ledger.open(url, clock=Clock(), create=False) as ledger:
        projector = ledger.projector()
        projector.catch_up()
        status = {one.name: one for one in projector.status()}
        assert [name for name, one in status.items() if one.outdated] == ["metrics"]
        assert {name: (one.generation, one.position) for name, one in status.items()} == {
            name: (number, 30 if name == "metrics" else HEAD) for name, (number, _) in LIVE.items()
        }
        answer = Published(ledger).metrics(by_pool=True)
        assert (sorted((tuple(row.values()) for row in answer.rows), key=str), answer.position) == (before, 30)
        report = verify_ledger(ledger)
    assert (report.findings, [view.name for view in report.views]) == (
        (),
        [view.name for view in VIEWS if view.name != "metrics"],
    )


def test_an_outdated_view_is_told(url: str, database: Database) -> None:
    """Whoever opens the ledger is warned, `projections` and `db check` say so, and it is read as it is."""
    migrating.upgrade(database)
    opened = run("pools", "--json", "--database", url, env={"HOLDBOOK_LOG_FORMAT": "json"}).ends(0)
    (warning,) = map(json.loads, opened.err.splitlines())
    assert (warning["event"], warning["views"]) == ("views_outdated", ["metrics"])
    assert "`holdbook projections rebuild --all`" in warning["way_out"]
    holdbook = Holdbook(url)
    assert {one["name"] for one in holdbook.json("projections")["views"] if one["outdated"]} == {"metrics"}
    assert "outdated: rebuild it" in holdbook("projections").out
    (problem,) = holdbook.json("db", "check", code=1)["problems"]
    assert "metrics" in problem
    printed = holdbook.json("metrics", "--by-pool")
    assert printed["position"] == 30
    assert {tuple(row) for row in printed["metrics"]} == {tuple(FIRST_VIEWS["metrics"].published.columns)}
    assert "milliseconds" in holdbook("metrics", "--csv").out.splitlines()[0]
    assert "allocate" in holdbook("metrics").out


def test_a_rebuild_makes_it_current(url: str, database: Database) -> None:
    """The rebuilt view equals the old one where that stands, has the new columns, and is up to date; all verifies."""
    migrating.upgrade(database)
    with Ledger.open(url, clock=Clock(), create=False) as ledger:
        projector = ledger.projector()
        (built,) = projector.rebuild("metrics")
        assert (built.published, built.generation, built.compared_at, built.position) == (True, 3, 30, HEAD)
        assert (built.differences, built.faults) == ((), ())
        projector.catch_up()
        assert not any(one.outdated for one in projector.status())
        report = verify_ledger(ledger)
    assert [(view.name, view.position) for view in report.views] == [(view.name, HEAD) for view in VIEWS]
    assert report.findings == ()
    released = "operation = 'release' AND pool = 'gpu'"
    assert query(url, f"SELECT count, milliseconds FROM metrics WHERE {released}") == [(1, 10_000)]  # noqa: S608 - names of our own
    assert Holdbook(url).json("db", "check") == {"ok": True, "problems": []}


def test_down_and_up_again(url: str, database: Database) -> None:
    """Down to the first schema its books are as they were, rows and positions too; and up again they are taken over."""
    before, first = published(url), books(url)
    migrating.upgrade(database, LAST_WITH_TRACKING)
    up = query(url, "SELECT * FROM generations ORDER BY view")
    migrating.downgrade(database, "0001")
    assert schema.current_revision(database) == "0001"
    assert books(url) == [first[0], sorted([*_tracked(first[1]), ("gen_validation_failures_1", 0)])]
    assert published(url) == before
    migrating.upgrade(database)
    assert query(url, "SELECT * FROM generations ORDER BY view") == up
    assert migrating.differences(database) == []
    assert published(url) == before


def _tracked(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [one for one in found if one[0] != UNFINISHED]


def test_down_with_what_the_first_schema_does_not_know(url: str, database: Database) -> None:
    """Kept, unfinished and given-up generations go, and a live one that is new; up again it is built from the log."""
    migrating.upgrade(database)
    with Ledger.open(url, clock=Clock(), create=False) as ledger:
        projector = ledger.projector()
        projector.rebuild("metrics", "current_allocations")
        projector.catch_up()
        execute(url, "UPDATE gen_pool_usage_1 SET peak = 77")
        assert [one.published for one in projector.rebuild("pool_usage")] == [False]
    assert tables_in(url) == [
        "gen_allocation_history_1", "gen_current_allocations_3", "gen_current_allocations_4", "gen_metrics_2",
        "gen_metrics_3", "gen_metrics_holds_3", "gen_pool_usage_1", "gen_pool_usage_2", "gen_validation_failures_1",
    ]  # fmt: skip
    migrating.downgrade(database, "0001")
    live = {"allocation_history": 1, "current_allocations": 4, "pool_usage": 1, "validation_failures": 1}
    assert tables_in(url) == [f"gen_{name}_{number}" for name, number in live.items()]
    assert books(url) == [
        list(live.items()),
        [(f"gen_{name}_{number}", HEAD) for name, number in live.items()],
    ]
    migrating.upgrade(database)
    assert migrating.differences(database) == []
    with Ledger.open(url, clock=Clock(), create=False) as ledger:
        ledger.projector().catch_up()
        assert {one.name: (one.generation, one.position) for one in ledger.projector().status()} == {
            **{name: (number, HEAD) for name, number in live.items()}, "metrics": (1, HEAD),
        }  # fmt: skip
        (built,) = ledger.projector().rebuild("pool_usage", accept_differences=True)  # wrong, as it was before
        assert built.published
        assert verify_ledger(ledger).findings == ()


def test_down_to_nothing(url: str, database: Database) -> None:
    """From the first schema, and from this one, everything of ours goes."""
    migrating.downgrade(database, "base")
    assert tables_in(url) == []
    migrating.upgrade(database)
    migrating.downgrade(database, "base")
    assert tables_in(url) == []
