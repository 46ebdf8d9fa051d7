"""Live generations that were built by other code: read as they are, told of, met by a rebuild where they stand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, ViewBehind
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import METRICS
from support.cli import Holdbook
from support.logs import execute, query
from support.projecting import (
    NAMES,
    check_right,
    contents,
    generations,
    head_of,
    keeper,
    reckoning,
    status_of,
    with_columns,
)
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.projections.definition import View, ViewEvent
    from integration.conftest import Messages

ROWS = 36
"""Events that the story leaves."""

HISTORY = "allocation_history"
COLUMNS = dict(ALLOCATION_HISTORY.published.columns)


def ordinal(fact: ViewEvent) -> dict[str, Any]:
    """Give what the column that is added shows."""
    return {"ordinal": fact.ordinal}


ADDED = with_columns(ALLOCATION_HISTORY, {**COLUMNS, "ordinal": int}, ordinal)
REMOVED = with_columns(ALLOCATION_HISTORY, {name: kind for name, kind in COLUMNS.items() if name != "actor"})
REORDERED = with_columns(ALLOCATION_HISTORY, dict(reversed(COLUMNS.items())))
NEWER = replace(ALLOCATION_HISTORY, version=9)
CHANGED = {"added": ADDED, "removed": REMOVED, "reordered": REORDERED, "newer": NEWER}


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views up to date."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        yield ledger


def names_of(url: str, name: str) -> list[str]:
    """List the columns of a published name."""
    if url.startswith("sqlite"):
        return [row[1] for row in query(url, f"PRAGMA table_info({name})")]
    asked = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{name}' ORDER BY ordinal_position"  # noqa: S608 - names of our own
    return [column for (column,) in query(url, asked)]


@pytest.fixture(params=CHANGED)
def other(request: pytest.FixtureRequest, ledger: Ledger) -> View:
    """Other code for a view; what is live was built by it, as after a step back to an earlier version of Holdbook."""
    view = CHANGED[request.param]
    [built] = keeper(ledger, view).rebuild()
    assert built.published
    assert built.differences == built.faults == ()
    return view


class TestUntilItIsRebuilt:
    """Nothing changes for those who read."""

    def test_reading_goes_on(self, ledger: Ledger, database_url: str, other: View) -> None:
        """It is read as it was built, and not moved; the other views are."""
        before = contents(database_url, [HISTORY])
        assert names_of(database_url, HISTORY) == list(other.published.columns)
        ledger.allocate({"cpu": 5}, owner="zoe")
        ledger.projector().catch_up()
        assert contents(database_url, [HISTORY]) == before
        status = status_of(ledger, HISTORY)
        assert (status.outdated, status.version, status.position, status.behind) == (True, other.version, ROWS, 1)
        assert [one.name for one in ledger.projector().status() if one.outdated] == [HISTORY]
        assert {one.behind for one in ledger.projector().status() if not one.outdated} == {0}

    def test_who_waits_is_told(self, ledger: Ledger) -> None:
        """Whoever waits for it is told that only a rebuild moves it."""
        keeper(ledger, NEWER).rebuild()
        ledger.allocate({"cpu": 5}, owner="zoe")
        ledger.projector().catch_up()
        with pytest.raises(ViewBehind, match=rf"other code.*holdbook projections rebuild {HISTORY}"):
            ledger.wait_for(HISTORY, head_of(ledger), timeout=0.001)

    def test_it_is_told_at_opening(self, ledger: Ledger, database_url: str, messages: Messages) -> None:
        """Whoever opens the ledger is warned, with the way out; after the rebuild nobody is."""
        Ledger.open(database_url).close()
        assert messages.of("views_outdated") == []
        keeper(ledger, NEWER).rebuild()
        Ledger.open(database_url).close()
        [message] = messages.of("views_outdated")
        assert message["views"] == [HISTORY]
        assert "holdbook projections rebuild" in message["way_out"]
        ledger.projector().rebuild(HISTORY)
        Ledger.open(database_url).close()
        assert len(messages.of("views_outdated")) == 1

    def test_it_is_told_by_the_command_line(self, ledger: Ledger, database_url: str) -> None:
        """`db check` fails and says what to run, `projections status` marks it; after the rebuild all is well."""
        holdbook = Holdbook(database_url)
        keeper(ledger, ADDED).rebuild()
        checked = holdbook("db", "check", code=1)
        assert f"the view {HISTORY} was built by other code" in checked.out.replace("\n", " ")
        assert holdbook.json("db", "check", code=1)["problems"] == [
            f"the view {HISTORY} was built by other code than this: run `holdbook projections rebuild {HISTORY}`"
        ]
        shown = {one["name"]: one["outdated"] for one in holdbook.json("projections", "status")["views"]}
        assert shown == dict.fromkeys(NAMES, False) | {HISTORY: True}
        holdbook("projections", "rebuild", HISTORY)
        holdbook("db", "check")


class TestRebuilt:
    """The new generation meets the live one where that stands, and goes on to the head."""

    def test_compared_where_it_stands(self, ledger: Ledger, database_url: str, other: View) -> None:
        """It is compared at the live one's position where columns agree, and published at the log's end."""
        for number in range(3):
            ledger.allocate({"cpu": 5}, owner="zoe", allocation_id=f"z{number}")
        ledger.projector().catch_up()
        [built] = keeper(ledger, batch_events=10).rebuild(HISTORY)
        assert (built.published, built.compared_at, built.position) == (True, ROWS, ROWS + 3)
        assert (built.differences, built.faults) == ((), ())
        assert names_of(database_url, HISTORY) == list(COLUMNS)
        live = next(one for one in generations(ledger, HISTORY) if one.state is GenerationState.LIVE)
        assert (live.fingerprint, live.number) == (ALLOCATION_HISTORY.fingerprint, 3)
        assert live.fingerprint != other.fingerprint
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_put_back(self, ledger: Ledger, database_url: str, other: View) -> None:
        """The one that was built by other code can be put back, under the columns that it has, and forward again."""
        ledger.projector().rebuild(HISTORY)
        assert ledger.projector().roll_back(HISTORY).number == 2
        assert names_of(database_url, HISTORY) == list(other.published.columns)
        assert status_of(ledger, HISTORY).outdated
        assert ledger.projector().roll_back(HISTORY).number == 3
        assert names_of(database_url, HISTORY) == list(COLUMNS)
        check_right(ledger, database_url)

    def test_interrupted_after_the_comparison(self, ledger: Ledger, database_url: str) -> None:
        """Once compared, a generation goes past the live one, and is not compared again when it is taken up."""
        keeper(ledger, NEWER).rebuild()
        for number in range(30):
            ledger.release(ledger.allocate({"cpu": 5}, owner="zoe", allocation_id=f"z{number}").id)

        def interrupt(done: int, _total: int) -> None:
            if done > ROWS:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            keeper(ledger, batch_events=10).rebuild(HISTORY, progress=interrupt)
        [*_, building] = generations(ledger, HISTORY)
        assert (building.state, building.compared_at) == (GenerationState.BUILDING, ROWS)
        assert ROWS < building.position < head_of(ledger)
        said: list[str] = []
        [built] = keeper(ledger, tell=said.append).rebuild(HISTORY)
        assert (built.published, built.compared_at, built.resumed_from) == (True, ROWS, building.position)
        assert said == [
            f"{HISTORY}: going on from position {building.position} with generation 3",
            "comparing with a fold of the whole log",
        ]
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_past_each_other(self, ledger: Ledger, database_url: str) -> None:
        """A generation that is past a live one which stands still, uncompared, is given up and built once more."""
        keeper(ledger, NEWER).rebuild()
        for number in range(20):
            ledger.release(ledger.allocate({"cpu": 5}, owner="zoe", allocation_id=f"z{number}").id)
        ledger.projector().rebuild(HISTORY)
        with pytest.raises(InterruptedError):
            keeper(ledger, batch_events=5).rebuild(HISTORY, progress=_interrupt_in_the_end)
        assert generations(ledger, HISTORY)[-1].position > ROWS
        assert ledger.projector().roll_back(HISTORY).position == ROWS
        said: list[str] = []
        [built] = keeper(ledger, tell=said.append).rebuild(HISTORY)
        assert said[:2] == [
            f"{HISTORY}: generation 4 went past the live one uncompared: once more",
            f"{HISTORY}: beginning with generation 4",
        ]
        assert (built.published, built.compared_at, built.position) == (True, ROWS, head_of(ledger))
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_a_column_of_rows_that_are_found(self, ledger: Ledger, database_url: str) -> None:
        """A column added to a view whose handlers find rows is filled from rows found and rows new."""
        columns = {**CURRENT_ALLOCATIONS.published.columns, "last_event": str}
        view = with_columns(CURRENT_ALLOCATIONS, columns, lambda fact: {"last_event": fact.type})
        [built] = keeper(ledger, view, batch_events=5).rebuild()
        assert built.published
        shown = query(database_url, "SELECT allocation_id, pool, last_event FROM current_allocations ORDER BY 1, 2")
        last: dict[tuple[str, str], str] = {}
        for allocation_id, pool, event in query(
            database_url,
            "SELECT allocation_id, pool, event FROM allocation_history WHERE code IS NULL ORDER BY position",
        ):
            last[allocation_id, pool] = event
        assert shown == [(*key, last[key]) for key in sorted(key for key in last if last[key] in HOLDING)]

    def test_a_table_more(self, ledger: Ledger, database_url: str) -> None:
        """Where only the new code has a table of its own, the tables that both have are compared."""
        execute(database_url, "DROP TABLE gen_metrics_holds_1")
        [built] = keeper(ledger, replace(METRICS, version=3)).rebuild()
        assert built.published
        assert built.compared_rows == len(contents(database_url, ["metrics"])["metrics"])

    def test_another_meaning(self, ledger: Ledger, database_url: str) -> None:
        """A change of what a column says differs from the live one by design: it is published once that is accepted."""
        view = reckoning(METRICS, lambda _fact, row: {**row, "resource_type": row["resource_type"].upper()}, version=3)
        before = contents(database_url, ["metrics"])
        [built] = keeper(ledger, view).rebuild()
        assert (built.published, bool(built.differences)) == (False, True)
        assert contents(database_url, ["metrics"]) == before
        [built] = keeper(ledger, view).rebuild(accept_differences=True)
        assert built.published
        assert query(database_url, "SELECT DISTINCT resource_type FROM metrics WHERE pool = 'cpu'") == [("CPU",)]


HOLDING = {"Allocated", "Reserved", "Confirmed", "Renewed", "Resized", "Transferred"}


def _interrupt_in_the_end(done: int, total: int) -> None:
    if done > 0.9 * total:
        raise InterruptedError
