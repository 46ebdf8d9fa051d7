"""Views built anew beside the live ones: compared, published, put back, pruned; and faults that are not published."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, NotFound
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.pool_usage import POOL_USAGE
from support.logs import execute, query
from support.projecting import (
    NAMES,
    check_right,
    contents,
    generations,
    head_of,
    keeper,
    reckoning,
    run_made_up,
    status_of,
)
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdbook.projections.definition import ViewEvent

ROWS = 36
"""Events that the story leaves."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views up to date."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        yield ledger


def tables(url: str) -> set[str]:
    """List the views' physical tables."""
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if url.startswith("sqlite")
        else "SELECT relname FROM pg_class WHERE relkind = 'r'"
    )
    return {name for (name,) in query(url, catalogue) if name.startswith("gen_")}


def interrupt_at(share: float, told: list[int] | None = None) -> Callable[[int, int], None]:
    """Give a listener to progress that interrupts the work once so much of it is done."""

    def interrupt(done: int, total: int) -> None:
        if told is not None:
            told.append(done)
        if done >= share * total:
            raise InterruptedError

    return interrupt


class TestPublished:
    """A generation that passed every comparison."""

    def test_one_view(self, ledger: Ledger, database_url: str) -> None:
        """The rows are the same, compared where the log ended; the one before is kept; the log goes on from there."""
        before, told = contents(database_url), []
        [built] = keeper(ledger, batch_events=10).rebuild("metrics", progress=lambda *one: told.append(one))
        assert (built.name, built.generation, built.position, built.published) == ("metrics", 2, ROWS, True)
        assert (built.compared_at, built.compared_rows > len(before["metrics"])) == (ROWS, True)
        assert (built.differences, built.faults, built.stopped_at, built.error) == ((), (), None, None)
        assert built.resumed_from == 0
        assert told[0][0] <= 12, "progress is that of the new generation"
        assert told[-1] == (ROWS, ROWS)
        assert contents(database_url) == before
        assert [(one.number, one.state) for one in generations(ledger, "metrics")] == [
            (1, GenerationState.KEPT),
            (2, GenerationState.LIVE),
        ]
        ledger.allocate({"cpu": 5}, owner="zoe")
        ledger.projector().catch_up()
        assert [one.position for one in generations(ledger, "metrics")] == [ROWS, ROWS + 1]
        check_right(ledger, database_url)

    def test_all_views(self, ledger: Ledger, database_url: str) -> None:
        """Without a name all are rebuilt, in the order of the catalogue."""
        said: list[str] = []
        before = contents(database_url)
        built = keeper(ledger, tell=said.append).rebuild()
        assert [(one.name, one.generation, one.published) for one in built] == [(name, 2, True) for name in NAMES]
        assert contents(database_url) == before
        assert said == [
            *(f"{name}: beginning with generation 2" for name in NAMES),
            *(f"{name}: comparing with generation 1" for name in NAMES),
            "comparing with a fold of the whole log",
        ]

    def test_an_empty_log(self, empty_database_url: str) -> None:
        """Of a log with nothing in it views can be rebuilt too."""
        with Ledger.open(empty_database_url) as ledger:
            assert [(one.position, one.published) for one in ledger.projector().rebuild()] == [(0, True)] * len(NAMES)
            assert not any(contents(empty_database_url).values())

    def test_again_and_again(self, ledger: Ledger, database_url: str) -> None:
        """Each rebuild is the next generation, and the log's end is what it is true at."""
        for number in range(2, 5):
            ledger.allocate({"cpu": 5}, owner="zoe")
            [built] = ledger.projector().rebuild("pool_usage")
            assert (built.generation, built.position) == (number, head_of(ledger))
        ledger.projector().catch_up()
        check_right(ledger, database_url)


class TestInterrupted:
    """A rebuild that was stopped goes on."""

    def test_where_it_stopped(self, ledger: Ledger, database_url: str) -> None:
        """Nothing is built twice, what readers see stays, and what it gives says from where it went on."""
        told: list[int] = []
        before = contents(database_url)
        with pytest.raises(InterruptedError):
            keeper(ledger, batch_events=5).rebuild("allocation_history", progress=interrupt_at(0.3, told))
        assert contents(database_url) == before
        [_, building] = generations(ledger, "allocation_history")
        status = status_of(ledger, "allocation_history")
        assert (status.generation, status.building, status.building_position) == (1, 2, building.position)
        [built] = keeper(ledger, batch_events=5).rebuild(
            "allocation_history", progress=lambda done, _: told.append(done)
        )
        assert (built.generation, built.resumed_from) == (2, building.position)
        assert 0 < building.position < ROWS
        building_done = told[: told.index(ROWS) + 1]
        assert all(earlier < later for earlier, later in pairwise(building_done))
        check_right(ledger, database_url)

    def test_by_other_code(self, ledger: Ledger, database_url: str) -> None:
        """What other code began is given up and removed: nobody knows how the rest would fit it."""
        with pytest.raises(InterruptedError):
            keeper(ledger, replace(POOL_USAGE, version=7), batch_events=5).rebuild(progress=interrupt_at(0.3))
        [built] = ledger.projector().rebuild("pool_usage")
        assert (built.generation, built.resumed_from, built.published) == (3, 0, True)
        assert [one.number for one in generations(ledger, "pool_usage")] == [1, 2, 3]
        assert ledger.projector().prune("pool_usage") == {"pool_usage": [1, 2]}
        check_right(ledger, database_url)


def doubled(_fact: ViewEvent, row: dict[str, Any]) -> dict[str, Any]:
    """Reckon wrongly."""
    return {**row, "used": 2 * row["used"]}


FAULTY = reckoning(POOL_USAGE, doubled, "Allocated", version=2)
"""A new version of a view, with a fault in its arithmetic."""


class TestFaults:
    """What is not right is not published."""

    def test_a_wrong_handler(self, ledger: Ledger, database_url: str) -> None:
        """A fault in a new version is stopped by the comparison: readers, the live rows and the name see nothing."""
        before = contents(database_url)
        live = query(database_url, "SELECT * FROM gen_pool_usage_1 ORDER BY pool, bucket")
        [built] = keeper(ledger, FAULTY).rebuild("pool_usage")
        assert (built.published, built.compared_at, built.error) == (False, ROWS, None)
        assert built.differences[0].startswith(
            "pool_usage at pool 'cpu', bucket '2026-01-01T00:00:00.000000Z': used is "
        )
        assert (
            built.differences[0].endswith(" in the live generation, 60 in the new one")
            or "new one" in built.differences[0]
        )
        assert contents(database_url) == before
        assert query(database_url, "SELECT * FROM gen_pool_usage_1 ORDER BY pool, bucket") == live
        assert [(one.number, one.state) for one in generations(ledger, "pool_usage")] == [
            (1, GenerationState.LIVE),
            (2, GenerationState.DISCARDED),
        ]
        ledger.allocate({"cpu": 5}, owner="zoe")
        ledger.projector().catch_up()  # the old code goes on, as nothing was published
        check_right(ledger, database_url)

    def test_tried_again(self, ledger: Ledger, database_url: str) -> None:
        """What did not pass is removed when the next rebuild begins, mended or not; `prune` removes it too."""
        for _ in range(2):
            [built] = keeper(ledger, FAULTY).rebuild("pool_usage")
            assert (built.generation, built.published) == (2, False)
        assert "gen_pool_usage_2" in tables(database_url)
        assert ledger.projector().prune("pool_usage") == {"pool_usage": [2]}
        assert "gen_pool_usage_2" not in tables(database_url)
        [built] = keeper(ledger, replace(POOL_USAGE, version=2)).rebuild("pool_usage")
        assert (built.published, built.differences) == (True, ())

    def test_only_so_many_differences(self, ledger: Ledger, database_url: str) -> None:
        """A few differing rows are named, in order: of values, rows that are new, and rows that are lost."""
        execute(
            database_url,
            "UPDATE gen_allocation_history_1 SET owner = 'eve' WHERE position = 4",
            "DELETE FROM gen_allocation_history_1 WHERE position = 5",
            "INSERT INTO gen_allocation_history_1 (position, allocation_id) VALUES (1, 'ghost')",
        )
        before = contents(database_url)
        [built] = ledger.projector().rebuild("allocation_history")
        assert built.differences == (
            "allocation_history at position 4: owner is 'eve' in the live generation, 'ann' in the new one",
            "allocation_history at position 5 is not in the live generation",
            "allocation_history at position 1 is in the live generation only",
        )
        execute(database_url, "UPDATE gen_allocation_history_1 SET actor = 'eve'")
        [built] = ledger.projector().rebuild("allocation_history")
        assert len(built.differences) == 10
        assert contents(database_url, ["metrics"]) == {"metrics": before["metrics"]}

    def test_where_the_live_one_is_wrong(self, ledger: Ledger, database_url: str) -> None:
        """With differences accepted the new generation is published all the same: it equals the fold."""
        execute(database_url, "UPDATE gen_current_allocations_1 SET quantity = quantity + 1")
        [built] = ledger.projector().rebuild("current_allocations")
        assert (built.published, bool(built.differences)) == (False, True)
        [built] = ledger.projector().rebuild("current_allocations", accept_differences=True)
        assert (built.published, bool(built.differences), built.faults) == (True, True, ())
        check_right(ledger, database_url)

    def test_others_are_published(self, ledger: Ledger, database_url: str) -> None:
        """A view that does not pass keeps none of the others back."""
        execute(database_url, "UPDATE gen_pool_usage_1 SET peak = 0")
        built = {one.name: one.published for one in ledger.projector().rebuild()}
        assert built == dict.fromkeys(NAMES, True) | {"pool_usage": False}
        assert {one.name: one.generation for one in ledger.projector().status()} == dict.fromkeys(NAMES, 2) | {
            "pool_usage": 1
        }
        assert {peak for (peak,) in query(database_url, "SELECT peak FROM pool_usage")} == {0}

    @pytest.mark.parametrize("generations_altered", [(2,), (1, 2)])
    def test_a_fault_in_writing(self, ledger: Ledger, database_url: str, generations_altered: tuple[int, ...]) -> None:
        """Rows that are not what the handlers said are found by the fold, even where the live ones are wrong alike."""
        is_first_comparison = generations_altered == (1, 2)

        def alter(text: str) -> None:
            if "comparing with" in text and ("fold" in text) is not is_first_comparison:
                for number in generations_altered:
                    change = f"UPDATE gen_current_allocations_{number} SET owner = 'eve' WHERE allocation_id = 'a4'"  # noqa: S608 - names of our own
                    execute(database_url, change)

        before = query(database_url, "SELECT * FROM current_allocations WHERE allocation_id <> 'a4'")
        [built] = keeper(ledger, tell=alter).rebuild("current_allocations", accept_differences=True)
        assert (built.published, built.differences) == (False, ())
        assert built.faults == (
            "view current_allocations differs at allocation_id 'a4', pool 'cpu': owner is 'eve', the log says 'gil'",
        )
        assert status_of(ledger, "current_allocations").generation == 1
        assert query(database_url, "SELECT * FROM current_allocations WHERE allocation_id <> 'a4'") == before


class TestPutBack:
    """The generation before."""

    def test_and_forward_again(self, ledger: Ledger, database_url: str) -> None:
        """The one that was kept is published again, the other is kept instead; it goes on from where it stood."""
        ledger.projector().rebuild("metrics")
        ledger.allocate({"cpu": 5}, owner="zoe")
        ledger.projector().catch_up()
        back = ledger.projector().roll_back("metrics")
        assert (back.number, back.position, back.state) == (1, ROWS, GenerationState.LIVE)
        assert status_of(ledger, "metrics").kept == (2,)
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(ROWS,)]
        ledger.projector().catch_up()
        check_right(ledger, database_url)
        assert ledger.projector().roll_back("metrics").number == 2
        ledger.projector().catch_up()
        check_right(ledger, database_url)
        assert status_of(ledger, "metrics").kept == (1,)

    def test_one_transaction(self, ledger: Ledger, database_url: str) -> None:
        """If the switch cannot be made, the books are as they were: the two are changed together."""
        ledger.projector().rebuild("metrics")
        name = "gen_metrics_1"
        execute(database_url, f"ALTER TABLE {name} RENAME TO away")
        with pytest.raises(Exception, match=name):
            ledger.projector().roll_back("metrics")
        assert [(one.number, one.state) for one in generations(ledger, "metrics")] == [
            (1, GenerationState.KEPT),
            (2, GenerationState.LIVE),
        ]
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(ROWS,)]
        execute(database_url, f"ALTER TABLE away RENAME TO {name}")
        assert ledger.projector().roll_back("metrics").number == 1
        check_right(ledger, database_url)

    def test_nothing_kept(self, ledger: Ledger) -> None:
        """Where no generation is kept, that is said."""
        with pytest.raises(NotFound, match="no kept generation of view 'metrics'"):
            ledger.projector().roll_back("metrics")


class TestPruned:
    """Generations that are not needed any more."""

    def test_tables_and_books(self, ledger: Ledger, database_url: str) -> None:
        """Kept generations go, with their tables; the live one, one being built, and other views stay."""
        before = tables(database_url)
        ledger.projector().rebuild()
        with pytest.raises(InterruptedError):
            keeper(ledger, batch_events=5).rebuild("metrics", progress=interrupt_at(0.3))
        assert ledger.projector().prune("metrics", "pool_usage") == {"metrics": [1], "pool_usage": [1]}
        assert status_of(ledger, "metrics").building == 3
        assert status_of(ledger, "allocation_history").kept == (1,)
        gone = {"gen_metrics_1", "gen_metrics_holds_1", "gen_pool_usage_1"}
        made = {f"{name.removesuffix('_1')}_{number}" for name in before for number in (1, 2)}
        assert tables(database_url) == (made - gone) | {"gen_metrics_3", "gen_metrics_holds_3"}
        assert ledger.projector().prune() == {name: [1] for name in NAMES} | {"metrics": [], "pool_usage": []}
        with pytest.raises(NotFound):
            ledger.projector().roll_back("allocation_history")
        check_right(ledger, database_url)

    def test_in_pieces(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """On SQLite rows go a piece at a time, so that commands come in between; what was interrupted is done later."""
        monkeypatch.setattr("holdbook.infrastructure.views.store._PIECE_ROWS", 5)
        with Ledger.open(sqlite_url) as ledger:
            run_made_up(ledger, 40)
            ledger.projector().catch_up()
            ledger.projector().rebuild("allocation_history")
            [(rows,)] = query(sqlite_url, "SELECT count(*) FROM gen_allocation_history_1")
            execute(
                sqlite_url,
                """CREATE TRIGGER broken BEFORE DELETE ON gen_allocation_history_1 WHEN
                (SELECT count(*) FROM gen_allocation_history_1) <= 20
                BEGIN SELECT json_extract('planted', '$'); END""",
            )
            with pytest.raises(Exception, match="malformed JSON"):
                ledger.projector().prune("allocation_history")
            [(left,)] = query(sqlite_url, "SELECT count(*) FROM gen_allocation_history_1")
            assert 20 < left <= 25 < rows
            with pytest.raises(NotFound):
                ledger.projector().roll_back("allocation_history")
            execute(sqlite_url, "DROP TRIGGER broken")
            assert ledger.projector().prune("allocation_history") == {"allocation_history": [1]}
            assert "gen_allocation_history_1" not in tables(sqlite_url)
            check_right(ledger, sqlite_url)


def test_history_is_compared_piece_by_piece(ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that only grow are compared in pieces: what differs in any of them is found, up to the number told."""
    monkeypatch.setattr("holdbook.infrastructure.views.comparison.PIECE_ROWS", 4)
    execute(database_url, "UPDATE gen_allocation_history_1 SET owner = 'eve' WHERE position IN (4, 36)")
    [built] = keeper(ledger, ALLOCATION_HISTORY).rebuild()
    assert [line.partition(":")[0] for line in built.differences] == [
        "allocation_history at position 4",
        "allocation_history at position 36",
    ]
    execute(database_url, "UPDATE gen_allocation_history_1 SET owner = 'eve'")
    [built] = keeper(ledger, ALLOCATION_HISTORY).rebuild()
    assert len(built.differences) == 10
