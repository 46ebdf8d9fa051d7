"""Workers on views that meet others in the middle of their own work: writers, followers, other workers, other code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from holdbook import Ledger, LogCorrupt, Refused
from holdbook.infrastructure.views.store import SQLStore
from holdbook.projections.generations import GenerationState
from holdbook.projections.views.metrics import METRICS
from holdbook.projections.views.pool_usage import POOL_USAGE
from support.logs import execute, query
from support.projecting import (
    check_right,
    generations,
    head_of,
    keeper,
    log_of,
    run_made_up,
    status_of,
    store_of,
)
from support.story import Clock, tell
from support.tampering import tampering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from holdbook.projections.fold import TableChanges
    from holdbook.projections.generations import Generation
    from support.logs import Row

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


class TestRebuilding:
    """While others write, follow and rebuild."""

    def test_writing_and_following(self, ledger: Ledger, database_url: str) -> None:
        """While a view is rebuilt again and again, commands go on and others catch up; in the end all is right."""
        stop = Event()

        def write() -> None:
            while not stop.is_set():
                ledger.release(ledger.allocate({"cpu": 5}, owner="w").id)

        def follow() -> None:
            projector = keeper(ledger, batch_events=3)
            while not stop.is_set():
                projector.catch_up()

        with ThreadPoolExecutor(2) as threads:
            working: list[Future[Any]] = [threads.submit(write), threads.submit(follow)]
            try:
                for generation in range(2, 4):
                    [built] = keeper(ledger, batch_events=20).rebuild("current_allocations")
                    assert (built.generation, built.published, built.differences) == (generation, True, ())
            finally:
                stop.set()
            for one in working:
                one.result()
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_two_at_once(self, ledger: Ledger, database_url: str) -> None:
        """Two rebuilds of one view share the work: one generation more, published once, both say so."""
        start = Barrier(2)

        def work() -> tuple[int, bool]:
            waiting = [start]

            def together(_done: int, _events: int) -> None:
                if waiting:
                    waiting.pop().wait(60)

            [built] = keeper(ledger, batch_events=2).rebuild("allocation_history", progress=together)
            return built.generation, built.published

        with ThreadPoolExecutor(2) as threads:
            assert [one.result() for one in [threads.submit(work) for _ in range(2)]] == [(2, True)] * 2
        check_right(ledger, database_url)

    def test_finished_by_another(self, ledger: Ledger, database_url: str) -> None:
        """Where another worker finishes the same build meanwhile, that is the one that is told of."""
        others = [keeper(ledger)]

        def overtake(*_: int) -> None:
            if others:
                others.pop().rebuild("pool_usage")

        [built] = keeper(ledger, batch_events=10).rebuild("pool_usage", progress=overtake)
        assert (built.generation, built.published) == (2, True)
        check_right(ledger, database_url)

    def test_overtaken_by_the_live_one(self, ledger: Ledger, database_url: str) -> None:
        """It is never published behind what readers see already."""
        overtaken = 0

        def overtake(_done: int, _events: int) -> None:
            nonlocal overtaken
            overtaken += 1
            ledger.allocate({"cpu": 5}, owner="zoe", allocation_id=f"late{overtaken}")
            keeper(ledger).catch_up()

        seen: list[list[Row]] = []

        def look(text: str) -> None:
            if "fold" in text:
                with suppress(Refused):
                    ledger.release("late1")
                keeper(ledger).catch_up()
            seen.append(query(database_url, "SELECT sum(count) FROM metrics"))

        [built] = keeper(ledger, tell=look).rebuild("metrics", progress=overtake)
        assert overtaken > 1
        assert built.published
        assert built.position >= seen[-1][0][0]
        seen.append(query(database_url, "SELECT sum(count) FROM metrics"))
        assert seen == sorted(seen)
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_a_follower_of_what_was_replaced(self, ledger: Ledger, database_url: str) -> None:
        """Whoever was filling the generation that was replaced goes on with the one in its place."""
        for number in range(30):
            ledger.release(ledger.allocate({"cpu": 5}, owner=f"o{number}").id)
        others = [keeper(ledger)]

        def replace_it(*_: int) -> None:
            if others:
                others.pop().rebuild("current_allocations")

        projector = keeper(ledger, batch_events=5)
        projector.catch_up(replace_it)
        projector.catch_up()
        assert status_of(ledger, "current_allocations").generation == 2
        check_right(ledger, database_url)

    def test_given_up_by_other_code(self, ledger: Ledger, database_url: str) -> None:
        """A generation that other code gives up before it is compared is not published, and that is no error."""

        def give_up(text: str) -> None:
            if text.startswith("comparing") or ": comparing" in text:
                ledger.allocate({"cpu": 5}, owner="zoe")
                store_of(ledger).discard(generations(ledger, "metrics")[-1])
                ledger.projector().catch_up()

        [built] = keeper(ledger, tell=give_up).rebuild("metrics")
        assert (built.published, built.compared_at, built.differences, built.faults) == (False, None, (), ())
        assert status_of(ledger, "metrics").generation == 1
        check_right(ledger, database_url)

    def test_removed_by_other_code(self, ledger: Ledger, database_url: str) -> None:
        """The same of a generation that is gone, with its tables, before it is finished."""

        def remove(done: int, total: int) -> None:
            if done == total and len(generations(ledger, "metrics")) == 2:
                store_of(ledger).discard(generations(ledger, "metrics")[-1])
                assert ledger.projector().prune("metrics") == {"metrics": [2]}

        [built] = keeper(ledger).rebuild("metrics", progress=remove)
        assert (built.published, built.compared_at, built.differences, built.faults) == (False, None, (), ())
        check_right(ledger, database_url)

    def test_begun_by_two(self, postgres_url: str) -> None:
        """Two that begin the first generation of a view at the same moment share one."""
        with Ledger.open(postgres_url) as ledger, Ledger.open(postgres_url) as other:
            execute(
                postgres_url,
                "DROP VIEW pool_usage",
                "DROP TABLE gen_pool_usage_1",
                "DELETE FROM generations WHERE view = 'pool_usage'",
            )
            begun: list[Generation] = []

            def overtake(*context: Any) -> None:  # noqa: ANN401 - as SQLAlchemy tells it
                if context[2].startswith("INSERT INTO generations") and not begun:
                    begun.append(store_of(other).begin(POOL_USAGE))

            event.listen(log_of(ledger).database.engine, "before_cursor_execute", overtake)
            assert store_of(ledger).begin(POOL_USAGE) == begun[0]
            assert [one.state for one in generations(ledger, "pool_usage")] == [GenerationState.BUILDING]


class TestMoving:
    """While others move the same views."""

    def test_a_log_with_a_hole(self, ledger: Ledger, database_url: str) -> None:
        """If events are gone which a view has not seen, that is said, and the view stays where it is."""
        for number in range(9):
            ledger.allocate({"cpu": 5}, owner="zoe", allocation_id=f"z{number}")
        with tampering(database_url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position > 36 AND position < 45")
            tamperer.run("UPDATE generations SET position = 40 WHERE view = 'metrics'")
        with pytest.raises(LogCorrupt, match="no event after position 36, and a view wants to go to 40"):
            ledger.projector().catch_up()
        assert status_of(ledger, "pool_usage").position == ROWS

    @pytest.mark.parametrize(
        ("seconds", "batches"),
        [(0.9, [400, 400, 200, 100, 50, 50]), (0.6, [400, 400, 400]), (0.1, [400, 400, 400])],
        ids=["too long", "long enough", "short"],
    )
    def test_batches_take_as_long_as_they_may(
        self, empty_database_url: str, seconds: float, batches: list[int]
    ) -> None:
        """Where a transaction takes long, those after the next get smaller, down to some size."""

        class Timed(SQLStore):
            def advance(self, generation: Generation, nets: Sequence[TableChanges], position: int, rate: int) -> float:
                super().advance(generation, nets, position, rate)
                return seconds * self.batch_seconds_max

        with Ledger.open(empty_database_url) as ledger:
            run_made_up(ledger, 1200)
            told = [0]
            store = Timed(log_of(ledger).database)
            keeper(ledger, METRICS, batch_events=400, store=store).catch_up(lambda done, _: told.append(done))
            sizes = [after - before for before, after in pairwise(told)]
            assert [size // 10 * 10 for size in sizes[: len(batches)]] == batches
            assert told[-1] == head_of(ledger)
