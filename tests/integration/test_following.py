"""Views kept up to date as commands are recorded, whoever records them; and those who wait for what they wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from queue import Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Allocate, Ledger, Limits, LogUnavailable, Malformed, NotFound, ViewBehind, ViewStopped
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import METRICS
from support.logs import query
from support.processes import running, serve
from support.projecting import NAMES, check_right, failing, head_of, keeper, run_made_up, status_of
from support.workers import Halt, Moment, keep_views, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.projections.projector import Projector
    from support.postgres import PostgresServer

ENOUGH = 60.0
"""Seconds after which a test that waits fails."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool, its views up to date."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
        ledger.projector().catch_up()
        yield ledger


@contextmanager
def following(projector: Projector) -> Iterator[Queue[Any]]:
    """Follow the log in a thread; gives what the follower is told of."""
    stop, told = Event(), Queue[Any]()
    thread = Thread(target=projector.follow, args=(stop, told.put))
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(ENOUGH)
        assert not thread.is_alive()


def allocating(number: int) -> Allocate:
    """Ask for one unit."""
    return Allocate(quantities={"gpu": 1}, owner="zoe", allocation_id=f"a{number}")


def wait_for_all(ledger: Ledger, position: int) -> None:
    """Wait until every view has seen a position."""
    for name in NAMES:
        assert ledger.wait_for(name, position, timeout=ENOUGH).position >= position


class TestFollowing:
    """A follower."""

    def test_commits_of_this_process(self, ledger: Ledger, database_url: str) -> None:
        """It moves the views after each command, with nobody calling it."""
        with following(ledger.projector()) as told:
            for number in range(3):
                outcome = ledger.submit(allocating(number)).result()
                assert outcome.position is not None
                wait_for_all(ledger, outcome.position)
                shown = query(database_url, f"SELECT owner FROM current_allocations WHERE allocation_id = 'a{number}'")  # noqa: S608 - names of our own
                assert shown == [("zoe",)]
        assert told.empty()
        check_right(ledger, database_url)

    def test_commits_of_another(self, ledger: Ledger, database_url: str) -> None:
        """So it does after those of another process."""
        with following(ledger.projector()), running(serve, [(database_url,)]) as [peer]:
            assert peer.receive() == "ready"
            for number in range(2):
                command = {"command": "allocate", "quantities": {"gpu": 1}, "owner": f"o{number}"}
                wait_for_all(ledger, peer.ask(command)["position"])
        check_right(ledger, database_url)

    def test_two_followers(self, ledger: Ledger, database_url: str) -> None:
        """Two of them on one database share the work, and every event is in the views once."""
        with Ledger.open(database_url) as other, following(ledger.projector()), following(other.projector()) as told:
            for number in range(40):
                ledger.execute(allocating(number))
            wait_for_all(ledger, head_of(ledger))
        assert told.empty()
        check_right(ledger, database_url)

    def test_a_rebuild_meanwhile(self, ledger: Ledger, database_url: str) -> None:
        """When a rebuild publishes the next generation, it goes on with that."""
        with following(ledger.projector()):
            ledger.projector().rebuild()
            ledger.execute(allocating(1))
            wait_for_all(ledger, head_of(ledger))
        assert {status.generation for status in ledger.projector().status()} == {2}
        check_right(ledger, database_url)

    def test_stopped_views_are_told_once(self, ledger: Ledger) -> None:
        """A view that fails on an event is told of once, while the others go on; mended, it is followed again."""
        position = head_of(ledger) + 1
        with following(keeper(ledger, failing(METRICS, {position}), CURRENT_ALLOCATIONS)) as told:
            for number in range(3):
                ledger.execute(allocating(number))
                ledger.wait_for("current_allocations", head_of(ledger), timeout=ENOUGH)
            error = told.get(timeout=ENOUGH)
            assert (type(error), error.view, error.position) == (ViewStopped, "metrics", position)
        assert told.empty()
        with following(ledger.projector()) as told:
            assert isinstance(told.get(timeout=ENOUGH), ViewStopped)  # a new follower says it, too
            ledger.projector().retry("metrics")
            ledger.execute(allocating(4))
            ledger.wait_for("metrics", head_of(ledger), timeout=ENOUGH)
        assert told.empty()

    def test_already_told_to_stop(self, ledger: Ledger) -> None:
        """A follower that is told to stop before it begins does nothing."""
        ledger.execute(allocating(1))
        stop = Event()
        stop.set()
        ledger.projector().follow(stop)
        assert status_of(ledger, "metrics").behind == 1

    @pytest.mark.slow
    @pytest.mark.crash
    def test_a_server_that_goes_away(self, durable_postgres: PostgresServer) -> None:
        """While the server is away the follower says so and tries again; when it is back, it goes on by itself."""
        with Ledger.open(durable_postgres.url()) as ledger:
            ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
            with following(ledger.projector()) as told:
                wait_for_all(ledger, head_of(ledger))
                durable_postgres.stop("immediate")
                assert isinstance(told.get(timeout=ENOUGH), LogUnavailable)
                durable_postgres.start()
                ledger.execute(allocating(1))
                wait_for_all(ledger, head_of(ledger))
                durable_postgres.crash()
                while not isinstance(told.get(timeout=ENOUGH), LogUnavailable):
                    pass
                durable_postgres.start()
                ledger.execute(allocating(2))
                wait_for_all(ledger, head_of(ledger))
            check_right(ledger, durable_postgres.url())


class TestWaiting:
    """Whoever wrote a command waits for a view to show it."""

    def test_it_is_there(self, ledger: Ledger) -> None:
        """What a view has seen already is answered at once, with how far it is."""
        status = ledger.wait_for("metrics", 1, timeout=1e-6)
        assert (status.name, status.position, status.behind) == ("metrics", 1, 0)
        assert ledger.wait_for("metrics", 0).position == 1

    def test_it_comes(self, ledger: Ledger) -> None:
        """It waits as long as it takes a worker to come that far, and gives where the view is then."""
        outcome = ledger.submit(allocating(1)).result()
        assert outcome.position == 2
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(ledger.wait_for, "metrics", 2, timeout=ENOUGH)
            assert not waiting.done()
            ledger.projector().catch_up()
            assert waiting.result(ENOUGH).position == 2

    def test_it_does_not_come(self, ledger: Ledger) -> None:
        """When the time is over it says where the view is, where it was to come, and who moves it."""
        with pytest.raises(ViewBehind) as raised:
            ledger.wait_for("metrics", 7, timeout=0.01)
        assert (raised.value.view, raised.value.position, raised.value.wanted) == ("metrics", 1, 7)
        assert str(raised.value) == (
            "the view metrics is at position 1, and did not come to 7 in 0.01 s; a worker moves it: "
            "`holdbook projections follow`, or `ledger.projector().follow(…)` in a service"
        )

    def test_it_failed(self, ledger: Ledger) -> None:
        """A view that failed on an event before that is not waited for; up to there it is."""
        ledger.execute(allocating(1))
        keeper(ledger, failing(METRICS, {2})).catch_up()
        assert ledger.wait_for("metrics", 1, timeout=ENOUGH).stopped_at == 2
        with pytest.raises(ViewStopped, match="stopped at position 2, on Allocated"):
            ledger.wait_for("metrics", 2, timeout=ENOUGH)

    def test_it_is_not_there(self, ledger: Ledger) -> None:
        """A view that is not published is named."""
        with pytest.raises(NotFound, match="no view 'mistyped'"):
            ledger.wait_for("mistyped", 1)

    @pytest.mark.parametrize(
        ("position", "timeout", "parameter"),
        [
            (-1, 1.0, "position"),
            (True, 1.0, "position"),
            (1.5, 1.0, "position"),
            (1, 0, "timeout"),
            (1, "1", "timeout"),
        ],
    )
    def test_malformed(self, ledger: Ledger, position: Any, timeout: Any, parameter: str) -> None:  # noqa: ANN401 - wrong on purpose
        """A position or a time that is none is named."""
        with pytest.raises(Malformed, match=parameter):
            ledger.wait_for("metrics", position, timeout=timeout)

    def test_other_code_moves_it(self, ledger: Ledger) -> None:
        """It is the live generation that counts, whoever's code moves it."""
        other = replace(METRICS, version=77)
        keeper(ledger, other).rebuild()
        ledger.execute(allocating(1))
        keeper(ledger, other).catch_up()
        assert ledger.wait_for("metrics", 2, timeout=ENOUGH).outdated


@pytest.mark.slow
@pytest.mark.crash
class TestTwoWorkers:
    """Two processes on the same views."""

    @pytest.fixture
    def ledger(self, database_url: str) -> Iterator[Ledger]:
        """A ledger with a log of some length."""
        with Ledger.open(database_url) as ledger:
            run_made_up(ledger, 250)
            yield ledger

    @pytest.mark.parametrize("names", [None, ("metrics",)], ids=["catch up", "rebuild"])
    def test_one_waits(self, ledger: Ledger, database_url: str, names: tuple[str, ...] | None) -> None:
        """The one that finds the other at work says so and waits; killed, the other's work is taken over.

        In the end the views are right.
        """
        early, late = Halt(Moment.BATCH_DONE, 0.2), Halt(Moment.BATCH_DONE, 0.6)
        if names:
            ledger.projector().catch_up()
        with running(keep_views, [(database_url, names, 30, early)]) as [one]:
            until(one, "halted")
            with running(keep_views, [(database_url, names, 30, late)]) as [other]:
                until(other, "halted")  # further than the one believes the views to be
                one.send("go on")
                view = names[0] if names else NAMES[0]
                wanted = f"{view}: another worker moves generation {2 if names else 1}: waiting for it"
                while one.receive() != ("said", wanted):
                    pass
                other.kill()
            _, done = until(one, "done")
        if names:
            [built] = done
            assert (built.published, built.faults, built.differences) == (True, (), ())
        assert status_of(ledger, "metrics").generation == (2 if names else 1)
        check_right(ledger, database_url)
