"""Operating the published views on the command line: going back, pruning, dry runs, following."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.views.store import SQLStore
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.metrics import METRICS
from support.cli import PROCESS_SECONDS_MAX, Holdbook, environment, program
from support.logs import execute, query
from support.projecting import failing, keeper
from support.story import Clock, tell
from support.tampering import tampering

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 36
"""Events that the story leaves."""

RENEWED = 13
"""Position of an event that renews an allocation."""


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger in which everything has happened; its views are up to date."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        renewed = next(row.position for row in ledger.log.rows() if row.type == "Renewed")
    assert renewed == RENEWED
    return Holdbook(database_url)


def generations(holdbook: Holdbook, name: str) -> list[Any]:
    """Read which generations of a view there are."""
    return query(
        holdbook.url,
        f"SELECT generation, state FROM generations WHERE view = '{name}' ORDER BY generation",  # noqa: S608 - own names
    )


# Going back, pruning


def test_the_generation_before_is_put_back(holdbook: Holdbook) -> None:
    """`rollback` publishes the generation before and keeps the other, there and back again; it says which is live."""
    holdbook("projections", "rebuild", "metrics")
    assert holdbook.json("projections", "rollback", "metrics") == {"name": "metrics", "generation": 1, "position": HEAD}
    assert generations(holdbook, "metrics") == [(1, "live"), (2, "kept")]
    assert holdbook("projections", "rollback", "metrics").out == (
        "metrics: generation 2 is published again, true up to position 36\n"
    )
    assert generations(holdbook, "metrics") == [(1, "kept"), (2, "live")]


def test_nothing_to_put_back(holdbook: Holdbook) -> None:
    """Where no generation is kept, or there is no such view, it is exit code 1, and nothing changes."""
    assert holdbook.error("projections", "rollback", "metrics", code=1)["kind"] == "kept generation of view"
    assert holdbook.error("projections", "rollback", "nonsense", code=1)["kind"] == "view"
    assert generations(holdbook, "metrics") == [(1, "live")]


def test_what_is_kept_is_pruned(holdbook: Holdbook) -> None:
    """`prune` removes what is kept, of one view or of all, and says what that was."""
    for name in ("metrics", "pool_usage"):
        holdbook("projections", "rebuild", name)
    assert holdbook("projections", "prune", "pool_usage").out == "pool_usage: removed generation 1\n"
    assert holdbook.json("projections", "prune", "--all") == {
        "removed": {**{view.name: [] for view in VIEWS}, "metrics": [1]}
    }
    assert holdbook("projections", "prune", "metrics").out == "metrics: nothing to remove\n"
    assert generations(holdbook, "metrics") == [(2, "live")]
    for words in ([], ["metrics", "--all"]):
        assert holdbook.error("projections", "prune", *words)["parameter"] == "NAME"


def test_what_is_there_beside_the_live_one(holdbook: Holdbook) -> None:
    """The status names the generation that is being built and how far it is, and those that are kept."""
    holdbook("projections", "rebuild", "metrics")
    with Ledger.open(holdbook.url) as ledger:
        log = ledger.log
        assert isinstance(log, SQLEventLog)
        SQLStore(log.database).begin(METRICS)  # a rebuild that goes no further
    (found,) = (one for one in holdbook.json("projections")["views"] if one["name"] == "metrics")
    assert (found["generation"], found["building"], found["building_position"], found["kept"]) == (2, 3, 0, [1])
    assert "building 3, at 0; kept: 1" in holdbook("projections").out
    (built,) = holdbook.json("projections", "rebuild", "metrics")["views"]
    assert (built["generation"], built["published"]) == (3, True)


def test_a_rebuild_that_fails_on_an_event(holdbook: Holdbook) -> None:
    """It says on which and why, ends with exit code 1, is told by the status, and goes on once the event is mended."""
    with tampering(holdbook.url) as tamperer:
        data = tamperer.row(RENEWED).data
        tamperer.set_data(RENEWED, allocation_id="nobody's")
    words = ("projections", "rebuild", "current_allocations")
    error = (
        f"view current_allocations failed on Renewed at position {RENEWED}: "
        "LookupError: allocation \"nobody's\" holds nothing of pool 'cpu'"
    )
    said = f"current_allocations: generation 2 stopped at position {RENEWED}: {error}\n"
    assert holdbook(*words, code=1).out == said
    (failed,) = holdbook.json(*words, code=1)["views"]
    assert (failed["published"], failed["stopped_at"], failed["error"]) == (False, RENEWED, error)
    assert f"current_allocations, generation 2, stopped: {error}\n" in holdbook("projections").out
    with tampering(holdbook.url) as tamperer:
        tamperer.set(RENEWED, data=data)
    assert holdbook("projections", "retry", "current_allocations").out == (
        "current_allocations: goes on, true up to position 36\n"
    )
    (built,) = holdbook.json(*words)["views"]
    assert (built["published"], built["generation"], built["resumed_from"]) == (True, 2, RENEWED - 1)


def test_rows_that_are_not_what_the_log_says(holdbook: Holdbook) -> None:
    """Rows that are wrong in both generations alike are found by the fold: nothing is published, and they are named."""
    with Ledger.open(holdbook.url) as ledger:  # a rebuild that is interrupted in the middle
        keeper(ledger, failing(ALLOCATION_HISTORY, {RENEWED})).rebuild()
    for number in (1, 2):
        execute(holdbook.url, f"UPDATE gen_allocation_history_{number} SET actor = 'eve' WHERE position = 9")  # noqa: S608 - own names
    said = holdbook("projections", "rebuild", "allocation_history", code=1).out.splitlines()
    assert said == [
        "not what the log says: view allocation_history differs at position 9: actor is 'eve', the log says 'teller'",
        "allocation_history: nothing is published: generation 2 did not pass the comparison",
    ]
    assert generations(holdbook, "allocation_history") == [(1, "live"), (2, "discarded")]


# Dry runs


def test_a_dry_run_of_a_sound_log(holdbook: Holdbook) -> None:
    """Every event can be read and every handler takes it; nothing is written, and exit code 0 says so."""
    before = query(holdbook.url, "SELECT * FROM generations ORDER BY view")
    words = ("projections", "rebuild")
    assert holdbook.json(*words, "--all", "--dry-run") == {"ok": True, "failures": []}
    assert holdbook(*words, "metrics", "--dry-run").out == "every event can be read, and metrics can be built from it\n"
    assert holdbook("events", "check").out == "every event can be read\n"
    assert holdbook.json("events", "check") == {"ok": True, "failures": []}
    assert query(holdbook.url, "SELECT * FROM generations ORDER BY view") == before


def test_a_dry_run_lists_every_failure(holdbook: Holdbook) -> None:
    """What cannot be read and what a handler fails on are listed by position and type, all of them; exit code 1."""
    with tampering(holdbook.url) as tamperer:
        tamperer.set_data(RENEWED, allocation_id="nobody's")
        tamperer.set(20, type="Conjured")
        tamperer.set(HEAD, data="{")
    listed = holdbook.json("projections", "rebuild", "--all", "--dry-run", code=1)
    assert listed["ok"] is False
    assert [(one["position"], one["type"], one["view"]) for one in listed["failures"]] == [
        (RENEWED, "Renewed", "current_allocations"), (20, "Conjured", None), (HEAD, "Reserved", None),
    ]  # fmt: skip
    said = holdbook("projections", "rebuild", "current_allocations", "--dry-run", code=1).out.splitlines()
    assert said[0] == (
        f"position {RENEWED}, Renewed: view current_allocations failed on Renewed at position {RENEWED}: "
        "LookupError: allocation \"nobody's\" holds nothing of pool 'cpu'"
    )
    assert said[-3:] == ["Conjured: 1 failure", "Renewed: 1 failure", "Reserved: 1 failure"]
    assert generations(holdbook, "current_allocations") == [(1, "live")]


def test_events_that_cannot_be_read_are_listed(holdbook: Holdbook) -> None:
    """`events check` reads every event, and lists by type and position those that it cannot; exit code 1."""
    with tampering(holdbook.url) as tamperer:
        for position in (9, 11):
            tamperer.set(position, type="Conjured")
        tamperer.set(25, schema_version=7)
    kind = query(holdbook.url, "SELECT type FROM events WHERE position = 25")[0][0]
    listed = holdbook.json("events", "check", code=1)
    assert listed["ok"] is False
    assert [(one["position"], one["type"], one["view"]) for one in listed["failures"]] == [
        (9, "Conjured", None), (11, "Conjured", None), (25, kind, None),
    ]  # fmt: skip
    said = holdbook("events", "check", code=1).out.splitlines()
    assert [line.partition(":")[0] for line in said[:3]] == [
        "position 9, Conjured", "position 11, Conjured", f"position 25, {kind}",
    ]  # fmt: skip
    assert said[3:] == sorted(["Conjured: 2 failures", f"{kind}: 1 failure"])


# Following


@contextmanager
def following(holdbook: Holdbook, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Have a process follow the log; interrupted in the end, it ends as an interrupted command does."""
    with subprocess.Popen(
        program("projections", "follow", "--database", holdbook.url, *words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - this process has no other thread that could hold a lock
    ) as process:
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(PROCESS_SECONDS_MAX) == 130
        finally:
            process.kill()


def hear_interrupts() -> None:
    """Undo what a shell does to what it runs in the background: it has the interrupt ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_follower_keeps_the_views_up_to_date(holdbook: Holdbook) -> None:
    """What others record is in every view soon, until the follower is interrupted; it says what it follows."""
    with Ledger.open(holdbook.url) as ledger, following(holdbook) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "following 5 views; interrupt to stop\n"
        ledger.allocate({"cpu": 5}, owner="zoe", allocation_id="z1")
        position = ledger.log.rows(HEAD)[-1].position
        for view in VIEWS:
            assert ledger.wait_for(view.name, position, timeout=60).behind == 0
    assert ("z1",) in query(holdbook.url, "SELECT allocation_id FROM current_allocations")


def test_a_follower_tells_what_stopped(holdbook: Holdbook) -> None:
    """A view that fails on an event is told once, with the ways out; the others are moved on."""
    with tampering(holdbook.url) as tamperer:
        tamperer.run("UPDATE generations SET position = 0 WHERE view = 'current_allocations'")
        tamperer.run("DELETE FROM gen_current_allocations_1")
        tamperer.set_data(RENEWED, allocation_id="nobody's")
    with Ledger.open(holdbook.url) as ledger, following(holdbook, "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        views = json.loads(process.stdout.readline())["views"]
        assert [(one["name"], one["behind"]) for one in views] == [
            (view.name, HEAD if view.name == "current_allocations" else 0) for view in VIEWS
        ]
        error = json.loads(process.stderr.readline())["error"]
        assert error["type"] == "ViewStopped"
        assert f"current_allocations stopped at position {RENEWED}, on Renewed: " in error["message"]
        assert "holdbook projections retry current_allocations" in error["message"]
        ledger.open_pool("fresh", resource_type="cpu", limits=Limits(total=1))
        position = ledger.log.rows(HEAD)[-1].position
        for view in VIEWS[1:]:
            assert ledger.wait_for(view.name, position, timeout=60).position == position
    (found,) = (one for one in holdbook.json("projections")["views"] if one["stopped_at"])
    assert (found["name"], found["stopped_at"], found["position"]) == ("current_allocations", RENEWED, RENEWED - 1)
    with following(holdbook) as process:  # one that comes later is told, at opening and again as it follows
        assert process.stderr is not None
        assert "view_stopped" in process.stderr.readline()
        assert process.stderr.readline().startswith("following")
        assert process.stderr.readline().startswith(f"the view current_allocations stopped at position {RENEWED}, on ")
    said = holdbook("projections").out
    assert f"stopped at {RENEWED}" in said
    assert f"\ncurrent_allocations stopped at position {RENEWED}: view current_allocations failed on Renewed" in said
