"""What auditors and operators ask: allocations, histories, exports, verification, views, the schema."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from holdbook import Ledger, Limits
from holdbook.domain.records import StoredRow, chain_hash, genesis
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from support.cli import Holdbook, call
from support.logs import execute, query

MORNING = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Clock:
    """A clock that is moved."""

    now = MORNING

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger where each state of an allocation occurs."""
    clock = Clock()
    with Ledger.open(database_url, actor="tester", clock=clock) as ledger:
        for pool in ("gpu", "cpu"):
            ledger.open_pool(pool, resource_type=pool, limits=Limits(total=8))
        ledger.allocate({"gpu": 1, "cpu": 2}, owner="ann", allocation_id="held", tags={"team": "a", "n": "1"})
        ledger.allocate({"cpu": 1}, owner="ann", allocation_id="lapsed", ttl=timedelta(minutes=10))
        ledger.reserve({"cpu": 1}, owner="bob", allocation_id="promised", ttl=timedelta(days=36500))
        ledger.reserve({"cpu": 1}, owner="bob", allocation_id="given-up", ttl=timedelta(hours=9))
        clock.now += timedelta(minutes=5)
        ledger.void("given-up", reason="no device")
        ledger.allocate({"gpu": 2}, owner="ann", allocation_id="done", tags={"team": "a"})
        clock.now += timedelta(minutes=25)
        ledger.release("done", reason="finished")
    return Holdbook(database_url)


def ids(holdbook: Holdbook, *words: str) -> list[str]:
    """List the ids of allocations."""
    return [one["id"] for one in holdbook.lines("allocations", *words)]


def test_allocations_are_those_open_now(holdbook: Holdbook) -> None:
    """What has ended, or lapsed without anybody noticing, is not among them."""
    assert ids(holdbook) == ["held", "promised"]
    assert holdbook("allocations").out.splitlines()[-1] == "2 allocations"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--owner", "ann"], ["held"]),
        (["--pool", "cpu"], ["held", "promised"]),
        (["--tag", "team=a", "--tag", "n=1"], ["held"]),
        (["--state", "reserved"], ["promised"]),
        (["--state", "active"], ["held"]),
        (["--state", "released"], ["done"]),
        (["--state", "voided"], ["given-up"]),
        (["--state", "expired"], ["lapsed"]),
        (["--state", "all", "--owner", "ann"], ["held", "lapsed", "done"]),
        (["--as-of", "2026-01-05T09:07:00Z"], ["held", "lapsed", "promised", "done"]),
        (["--as-of", "2026-01-05T10:10:00+01:00"], ["held", "promised", "done"]),
        (["--as-of", "2026-01-05T09:07:00Z", "--state", "reserved"], ["promised"]),
        (["--as-of", "2026-01-05T08:00:00Z"], []),
    ],
)
def test_allocations_are_chosen(holdbook: Holdbook, words: list[str], found: list[str]) -> None:
    """By owner, pool, tags, state, as of any moment."""
    assert ids(holdbook, *words) == found


def test_people_see_a_table_or_that_there_is_none(holdbook: Holdbook) -> None:
    """A table names what is found; nothing found is said."""
    assert "held" in holdbook("allocations", "--state", "active").out
    assert holdbook("allocations", "--state", "active").out.splitlines()[-1] == "1 allocation"
    assert holdbook("allocations", "--owner", "nobody").out == "no such allocations\n"


def test_show_tells_a_lapsed_hold_as_expired(holdbook: Holdbook) -> None:
    """Past its deadline an allocation is over, noticed or not."""
    shown = holdbook.json("show", "lapsed")
    assert (shown["state"], shown["ended_at"]) == ("expired", "2026-01-05T09:10:00.000000Z")
    assert "expired" in holdbook("show", "lapsed").out


def test_show_describes_one_allocation(holdbook: Holdbook) -> None:
    """Times are those of the log, the token is epoch:position."""
    shown = holdbook.json("show", "done")
    assert shown == {
        "id": "done",
        "owner": "ann",
        "state": "released",
        "quantities": {"gpu": 2},
        "deadline": None,
        "token": "1:9",
        "tags": {"team": "a"},
        "opened_at": "2026-01-05T09:05:00.000000Z",
        "ended_at": "2026-01-05T09:30:00.000000Z",
        "reason": "finished",
        "as_of_position": 10,
    }
    assert "2026-01-05 09:30:00Z" in holdbook("show", "done").out


def test_history_lists_refusals_too(holdbook: Holdbook) -> None:
    """Everything that happened to an allocation, in order, for people and for programs."""
    holdbook("release", "done", code=1)
    events = holdbook.lines("history", "done")
    assert [event["type"] for event in events] == ["Allocated", "Released", "ValidationFailed"]
    assert events[1]["data"]["reason"] == "finished"
    said = holdbook("history", "done").out
    assert "2 for ann, finished" in said
    assert "Refused" in said
    assert "has ended: released" in said


@pytest.mark.parametrize("command", ["show", "history"])
def test_what_is_not_there_is_exit_code_1(holdbook: Holdbook, command: str) -> None:
    """A reader that finds nothing says what it looked for."""
    error = holdbook.error(command, "nobody", code=1)
    assert (error["type"], error["kind"], error["name"]) == ("NotFound", "allocation", "nobody")
    assert holdbook.error("pool", "limits", "none", code=1)["kind"] == "pool"


# Export


def test_an_export_proves_the_chain(holdbook: Holdbook) -> None:
    """Whoever has the export can compute every hash anew."""
    with Ledger.open(holdbook.url, create=False) as ledger:
        previous = genesis(ledger.log.ledger_id)
    for line in holdbook("export").out.splitlines():
        columns = json.loads(line)
        data = line[line.index('"data":') + len('"data":') : -1]
        row = StoredRow(**{**columns, "data": data, "hash": bytes.fromhex(columns["hash"])})
        assert json.loads(data) == columns["data"]
        previous = chain_hash(previous, row)
        assert previous == row.hash


def test_a_part_is_exported(holdbook: Holdbook) -> None:
    """`--from` and `--to` are both among what is exported; past the end there is nothing."""
    assert [row["position"] for row in holdbook("export", "--from", "2", "--to", "4").lines] == [2, 3, 4]
    assert holdbook("export", "--from", "1000").out == ""


def test_an_export_to_a_file_is_whole(holdbook: Holdbook, tmp_path: Path) -> None:
    """The file has what the output would have had, and nothing is left beside it."""
    file = tmp_path / "out" / "events.jsonl"
    file.parent.mkdir()
    assert holdbook("export", "--output", str(file)).out == f"10 events written to {file}\n"
    assert file.read_text() == holdbook("export").out
    assert holdbook.json("export", "--output", str(file), "--from", "10") == {"events": 1, "file": str(file)}
    assert list(file.parent.iterdir()) == [file]


def test_an_export_to_no_place_names_it(holdbook: Holdbook, tmp_path: Path) -> None:
    """A file that cannot be written is wrong usage."""
    error = holdbook.error("export", "--output", str(tmp_path / "none" / "x"), code=2)
    assert (error["parameter"], error["value"]) == ("--output", str(tmp_path / "none" / "x"))


# Verification


# Views


@pytest.mark.parametrize("words", [("projections",), ("projections", "status")])
def test_views_tell_how_far_they_are(holdbook: Holdbook, words: tuple[str, ...]) -> None:
    """A view's position, how many events it has not seen and for how long, and that nothing else is to be said."""
    status = {view["name"]: view for view in holdbook.json(*words)["views"]}
    assert list(status) == [view.name for view in VIEWS]
    assert status["current_allocations"].pop("behind_seconds") > 0
    assert status["current_allocations"] == {
        "name": "current_allocations", "generation": 1, "version": CURRENT_ALLOCATIONS.version, "outdated": False,
        "position": 0, "behind": 10, "rate": None, "moved_at": None, "stopped_at": None, "error": None, "skipped": [],
        "building": None, "building_position": None, "building_error": None, "kept": [],
    }  # fmt: skip
    assert re.search(r"current_allocations +1 +0 +10 +[0-9,.]+ s", holdbook(*words).out)


def test_views_tell_when_and_how_fast_they_moved(holdbook: Holdbook) -> None:
    """Of a view that is up to date: how fast it last moved, and when; it is behind by nothing."""
    holdbook("metrics")
    for view in holdbook.json("projections")["views"]:
        assert (view["position"], view["behind"], view["behind_seconds"]) == (10, 0, 0)
        assert view["rate"] > 0
        assert datetime.fromisoformat(view["moved_at"]).tzinfo is not None


def test_a_view_is_rebuilt(holdbook: Holdbook) -> None:
    """The next generation is published, true up to the log's end; it equals the live one, which is kept."""
    (built,) = holdbook.json("projections", "rebuild", "current_allocations")["views"]
    assert built == {
        "name": "current_allocations", "generation": 2, "position": 10, "resumed_from": 0, "published": True,
        "compared_at": 10, "compared_rows": 4, "differences": [], "faults": [], "stopped_at": None, "error": None,
    }  # fmt: skip
    assert holdbook("projections", "rebuild", "current_allocations").out == (
        "current_allocations: generation 3 is published, true up to position 10\n"
    )
    assert {view["name"]: view["kept"] for view in holdbook.json("projections")["views"]} == {
        **{view.name: [] for view in VIEWS}, "current_allocations": [1, 2],
    }  # fmt: skip
    assert holdbook.error("projections", "rebuild", "nonsense", code=1)["kind"] == "view"


def test_every_view_is_rebuilt(holdbook: Holdbook) -> None:
    """`--all` rebuilds them together; one must be named, or all."""
    built = holdbook.json("projections", "rebuild", "--all")["views"]
    assert [(one["name"], one["generation"], one["published"]) for one in built] == [
        (view.name, 2, True) for view in VIEWS
    ]
    assert len(holdbook("projections", "rebuild", "--all").out.splitlines()) == len(VIEWS)
    for words in ([], ["metrics", "--all"]):
        assert holdbook.error("projections", "rebuild", *words)["parameter"] == "NAME"


def test_rows_that_differ_are_not_published(holdbook: Holdbook) -> None:
    """A rebuild that differs from the live view publishes nothing, names the row, and ends with exit code 1."""
    holdbook("metrics")
    execute(holdbook.url, "UPDATE gen_metrics_1 SET count = 77 WHERE pool = 'gpu' AND operation = 'open_pool'")
    words = ("projections", "rebuild", "metrics")
    difference = (
        "metrics at pool 'gpu', operation 'open_pool', outcome 'done', code '': "
        "count is 77 in the live generation, 1 in the new one"
    )
    (refused,) = holdbook.json(*words, code=1)["views"]
    assert (refused["published"], refused["differences"]) == (False, [difference])
    assert holdbook(*words, code=1).out.splitlines() == [
        f"differs: {difference}",
        "metrics: nothing is published: generation 2 did not pass the comparison",
    ]
    assert query(holdbook.url, "SELECT count FROM metrics WHERE operation = 'open_pool' AND pool = 'gpu'") == [(77,)]
    (accepted,) = holdbook.json(*words, "--accept-differences")["views"]
    assert (accepted["published"], accepted["differences"]) == (True, [difference])
    assert query(holdbook.url, "SELECT count FROM metrics WHERE operation = 'open_pool' AND pool = 'gpu'") == [(1,)]


# The schema


def test_the_schema_is_made_by_upgrade(empty_postgres_url: str) -> None:
    """An existing database without a ledger becomes one."""
    holdbook = Holdbook(empty_postgres_url)
    for words in (("current",), ("check",)):
        assert holdbook.error("db", *words, code=3)["type"] == "SchemaMismatch"
    assert holdbook("db", "upgrade").out == f"{schema.HEAD} (up to date)\n"
    assert holdbook.json("db", "current") == {"revision": schema.HEAD, "wanted": schema.HEAD}


def test_a_sound_schema_passes_the_check(holdbook: Holdbook) -> None:
    """Nothing to say but that."""
    assert holdbook("db", "check").out == "the schema is as it should be\n"
    assert holdbook.json("db", "check") == {"ok": True, "problems": []}


def test_a_schema_that_differs_fails_the_check(holdbook: Holdbook) -> None:
    """A view that is gone and an index that is gone are both named."""
    database = Database(holdbook.url)
    with database.changing() as connection:
        connection.execute(text("DROP VIEW current_allocations"))
        connection.execute(text("DROP INDEX ix_events_pool_opened"))
    database.close()
    problems = holdbook.json("db", "check", code=1)["problems"]
    assert problems[-1] == "the view current_allocations is missing"
    assert "ix_events_pool_opened" in problems[0]
    assert "the view current_allocations is missing" in holdbook("db", "check", code=1).out


def test_another_revision_fails_the_check(holdbook: Holdbook) -> None:
    """The check says which it is and what brings it up to date."""
    database = Database(holdbook.url)
    with database.changing() as connection:
        connection.execute(text("UPDATE holdbook_schema SET version_num = '0000'"))
    database.close()
    assert holdbook.json("db", "check", code=1)["problems"] == [
        f"the schema is at 0000; this version of Holdbook wants {schema.HEAD}: run `holdbook db upgrade`"
    ]
    assert holdbook("db", "current").out == f"0000; this version of Holdbook wants {schema.HEAD}\n"


@pytest.mark.parametrize("command", ["upgrade", "current", "check"])
def test_the_schema_of_no_database(empty_sqlite_url: str, command: str) -> None:
    """The schema's commands make no file."""
    assert call("db", command, "--database", empty_sqlite_url).ends(3).err.startswith("error: the")
