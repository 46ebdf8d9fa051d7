"""Events on which a handler fails, or whose rows the database refuses: they stop their own view, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Malformed, NotFound, ViewStopped
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.projections.definition import Add
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import METRICS
from holdbook.projections.views.pool_usage import POOL_USAGE
from support.cli import Holdbook
from support.logs import query
from support.projecting import (
    check_right,
    contents,
    failing,
    generations,
    handled_by,
    head_of,
    keeper,
    run_made_up,
    status_of,
    store_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.projections.definition import Find, Handler, View, ViewEvent

COMMANDS = 150


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a log of some length, nobody having looked after its views."""
    with Ledger.open(database_url) as ledger:
        run_made_up(ledger, COMMANDS)
        yield ledger


def poisonous(ledger: Ledger, *types: str, after: int = 0) -> int:
    """Find an event in the second half of the log, or after a position, the only one of its command; its position."""
    rows = ledger.log.rows(max(after, head_of(ledger) // 2), 1000)
    return next(row.position for row in rows if row.type in types and row.ordinals == 1)


GRANTS = ("Allocated",)


def refused(view: View, position: int, **values: Any) -> View:  # noqa: ANN401 - values of columns
    """Give a view that makes a row of one event which the database does not take."""

    def around(handler: Handler) -> Handler:
        def handled(fact: ViewEvent, find: Find) -> Any:  # noqa: ANN401 - changes
            changes = handler(fact, find)
            if fact.position != position:
                return changes
            return [one._replace(row={**one.row, **values}) if isinstance(one, Add) else one for one in changes]

        return handled

    return handled_by(view, around)


class TestStopped:
    """A view that failed on an event."""

    @pytest.mark.parametrize("batch_events", [20, 10_000])
    def test_in_the_right_place(self, ledger: Ledger, database_url: str, batch_events: int) -> None:
        """It holds all that is before the command at fault, names its position and type, and the others go on."""
        position = poisonous(ledger, *GRANTS)
        views = [failing(CURRENT_ALLOCATIONS, {position}), POOL_USAGE, METRICS]
        projector = keeper(ledger, *views, batch_events=batch_events)
        projector.catch_up()
        stopped, *others = projector.status()
        assert (stopped.position, stopped.stopped_at) == (position - 1, position)
        assert stopped.error == (
            f"view current_allocations failed on Allocated at position {position}: ValueError: planted"
        )
        assert stopped.behind == head_of(ledger) - position + 1
        assert [(one.behind, one.stopped_at) for one in others] == [(0, None)] * 2
        report = verify_ledger(ledger)
        assert report.findings == ()
        assert {view.name: view.position for view in report.views}["current_allocations"] == position - 1
        before = query(database_url, "SELECT * FROM generations ORDER BY view")
        keeper(ledger, *views).catch_up()  # whoever comes next leaves it where it is
        assert query(database_url, "SELECT * FROM generations ORDER BY view") == before

    @pytest.mark.parametrize("values", [{"quantity": 2**63}, {"allocation_id": None}], ids=["number", "key"])
    def test_by_the_database(self, ledger: Ledger, values: dict[str, Any]) -> None:
        """Rows that the database refuses stop it in the same way, found in the middle of a large batch."""
        position = poisonous(ledger, *GRANTS)
        projector = keeper(ledger, refused(CURRENT_ALLOCATIONS, position, **values), METRICS)
        projector.catch_up()
        stopped, other = projector.status()
        assert (stopped.position, stopped.stopped_at, other.behind) == (position - 1, position, 0)
        assert stopped.error is not None
        assert "the database refused a row of current_allocations" in stopped.error

    def test_inside_a_command(self, ledger: Ledger) -> None:
        """If a later event of a command is at fault, the view stops before all of the command, and names the event."""
        row = next(row for row in ledger.log.rows(60, 1000) if row.ordinal == 1)
        projector = keeper(ledger, failing(CURRENT_ALLOCATIONS, {row.position}))
        projector.catch_up()
        [status] = projector.status()
        assert (status.position, status.stopped_at) == (row.position - 2, row.position)

    def test_the_first_event(self, ledger: Ledger) -> None:
        """The very first event may be the one."""
        projector = keeper(ledger, failing(METRICS, {1}))
        projector.catch_up()
        [status] = projector.status()
        assert (status.position, status.stopped_at) == (0, 1)

    def test_what_the_handler_may_not_find(self, ledger: Ledger) -> None:
        """A handler that looks for rows which its view does not name stops it, saying so, rather than guess."""

        def interrupt(done: int, total: int) -> None:
            if done > total / 2:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            keeper(ledger, CURRENT_ALLOCATIONS, batch_events=20).catch_up(interrupt)
        projector = keeper(ledger, replace(CURRENT_ALLOCATIONS, needs=lambda _fact: ()))
        projector.catch_up()
        [status] = projector.status()
        assert status.error is not None
        assert "the view's `needs` does not name" in status.error


class TestRetried:
    """A view that is to try again."""

    def test_mended(self, ledger: Ledger, database_url: str) -> None:
        """With a mended handler it goes on to the log's end, and nothing says any more that it failed."""
        position = poisonous(ledger, *GRANTS)
        keeper(ledger, failing(METRICS, {position})).catch_up()
        ledger.projector().catch_up()
        assert status_of(ledger, "metrics").stopped_at == position
        status = ledger.projector().retry("metrics")
        assert (status.behind, status.stopped_at, status.error) == (0, None, None)
        check_right(ledger, database_url)

    def test_not_mended(self, ledger: Ledger) -> None:
        """If it fails again that is raised, with the ways out."""
        position = poisonous(ledger, *GRANTS)
        projector = keeper(ledger, failing(METRICS, {position}))
        projector.catch_up()
        before = generations(ledger, "metrics")
        with pytest.raises(ViewStopped) as raised:
            projector.retry("metrics")
        assert (raised.value.view, raised.value.position, raised.value.event_type) == ("metrics", position, "Allocated")
        assert f"holdbook projections skip metrics {position} --reason" in str(raised.value)
        assert "holdbook projections retry metrics" in str(raised.value)
        assert [(one.position, one.error) for one in generations(ledger, "metrics")] == [
            (one.position, one.error) for one in before
        ]

    def test_what_did_not_fail(self, ledger: Ledger) -> None:
        """A view that did not fail is brought up to date."""
        assert ledger.projector().retry("metrics").behind == 0


class TestSkipped:
    """Events that a view is told to leave out."""

    def test_recorded_and_honoured(self, ledger: Ledger, database_url: str) -> None:
        """What was left out, why, and by whom is recorded, and verification honours it."""
        position = poisonous(ledger, "ValidationFailed")
        projector = keeper(ledger, failing(METRICS, {position}))
        projector.catch_up()
        status = projector.skip("metrics", position, reason="ticket 77", actor="ann")
        assert (status.behind, status.skipped, status.stopped_at) == (0, (position,), None)
        [record] = store_of(ledger).skips()
        assert record.pop("skipped_at") > "2026"
        assert record == {
            "view": "metrics",
            "generation": 1,
            "position": position,
            "type": "ValidationFailed",
            "error": f"view metrics failed on ValidationFailed at position {position}: ValueError: planted",
            "reason": "ticket 77",
            "actor": "ann",
        }
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(head_of(ledger) - 1,)]
        assert verify_ledger(ledger).findings == ()

    def test_one_after_another(self, ledger: Ledger) -> None:
        """A second event on which it fails stops it there: each is skipped for itself."""
        first = poisonous(ledger, "ValidationFailed")
        second = poisonous(ledger, "ValidationFailed", after=first)
        projector = keeper(ledger, failing(METRICS, {first, second}))
        projector.catch_up()
        with pytest.raises(ViewStopped, match=f"stopped at position {second}"):
            projector.skip("metrics", first, reason="ticket 77", actor="ann")
        status = projector.skip("metrics", second, reason="ticket 78", actor="bob")
        assert (status.behind, status.skipped) == (0, (first, second))
        assert [(one["position"], one["reason"]) for one in store_of(ledger).skips()] == [
            (first, "ticket 77"),
            (second, "ticket 78"),
        ]
        assert verify_ledger(ledger).findings == ()

    def test_only_where_it_failed(self, ledger: Ledger) -> None:
        """No other position can be skipped, and no reason is none; nothing is recorded."""
        position = poisonous(ledger, *GRANTS)
        projector = keeper(ledger, failing(METRICS, {position}), POOL_USAGE)
        projector.catch_up()
        for name, asked in (("metrics", position - 1), ("pool_usage", position)):
            with pytest.raises(NotFound, match=f"stopped at position {asked}"):
                projector.skip(name, asked, reason="why", actor="ann")
        with pytest.raises(Malformed, match="reason"):
            projector.skip("metrics", position, reason=" ", actor="ann")
        assert store_of(ledger).skips() == []

    def test_a_rebuild_skips_nothing(self, ledger: Ledger, database_url: str) -> None:
        """The next generation is built from every event; what differs by what was skipped is shown and accepted."""
        position = poisonous(ledger, "ValidationFailed")
        projector = keeper(ledger, failing(METRICS, {position}))
        projector.catch_up()
        projector.skip("metrics", position, reason="ticket 77", actor="ann")
        [built] = ledger.projector().rebuild("metrics")
        assert (built.published, len(built.differences) > 0) == (False, True)
        [built] = ledger.projector().rebuild("metrics", accept_differences=True)
        assert built.published
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(head_of(ledger),)]
        ledger.projector().prune("metrics")
        assert [one["generation"] for one in ledger.projector().skips()] == [1]  # for ever, and for that one only

    def test_a_number_is_not_used_again(self, ledger: Ledger, database_url: str) -> None:
        """What a generation left out is never what another one of its number leaves out."""
        position = poisonous(ledger, "ValidationFailed")
        projector = keeper(ledger, failing(METRICS, {position}))
        projector.rebuild()
        projector.skip("metrics", position, reason="ticket 77", actor="ann")
        store = store_of(ledger)
        store.discard(next(one for one in store.generations() if one.number == 2))
        projector.prune("metrics")
        [built] = ledger.projector().rebuild("metrics", accept_differences=True)
        assert (built.generation, built.published) == (3, True)
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(head_of(ledger),)]


class TestBuilding:
    """A generation that fails while it is built."""

    def test_stopped(self, ledger: Ledger, database_url: str) -> None:
        """The rebuild says where, publishes nothing, and goes on from there once the handler is mended."""
        ledger.projector().catch_up()
        before = contents(database_url)
        position = poisonous(ledger, *GRANTS)
        bad = failing(METRICS, {position})
        built, other = keeper(ledger, bad, POOL_USAGE).rebuild()
        assert (built.published, built.position, built.stopped_at) == (False, position - 1, position)
        assert built.error is not None
        assert "planted" in built.error
        assert other.published
        status = status_of(ledger, "metrics")
        assert (status.generation, status.building, status.building_position) == (1, 2, position - 1)
        assert status.building_error == built.error
        assert contents(database_url) == before
        [again] = ledger.projector().rebuild("metrics")
        assert (again.published, again.resumed_from, again.generation) == (True, position - 1, 2)
        assert contents(database_url) == before

    def test_retried(self, ledger: Ledger) -> None:
        """A generation that is being built is let go on by `retry`, too, at the next rebuild."""
        position = poisonous(ledger, *GRANTS)
        keeper(ledger, failing(METRICS, {position})).rebuild()
        ledger.projector().retry("metrics")
        building = generations(ledger, "metrics")[-1]
        assert (building.position, building.stopped_at) == (position - 1, None)

    def test_beside_a_live_one_that_failed(self, ledger: Ledger, database_url: str) -> None:
        """A live generation that stands still at an event is met where it stands, and replaced by one that does not."""
        position = poisonous(ledger, *GRANTS)
        keeper(ledger, failing(METRICS, {position})).catch_up()
        [built] = ledger.projector().rebuild("metrics")
        assert (built.published, built.compared_at, built.position) == (True, position - 1, head_of(ledger))
        assert status_of(ledger, "metrics").stopped_at is None
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_skipped(self, ledger: Ledger, database_url: str) -> None:
        """What is skipped is skipped for every generation that failed there, live or being built."""
        position = poisonous(ledger, "ValidationFailed")
        projector = keeper(ledger, failing(METRICS, {position}))
        projector.catch_up()
        projector.rebuild()
        status = projector.skip("metrics", position, reason="ticket 77", actor="ann")
        assert (status.behind, status.skipped) == (0, (position,))
        assert [one["generation"] for one in store_of(ledger).skips()] == [1, 2]
        assert query(database_url, "SELECT sum(count) FROM metrics") == [(head_of(ledger) - 1,)]


class TestCommandLine:
    """The same at the command line."""

    def test_told_and_mended(self, ledger: Ledger, database_url: str) -> None:
        """Status names the view, the position and the error; retry and skip mend it, with exit codes to tell."""
        holdbook = Holdbook(database_url)
        position = poisonous(ledger, "ValidationFailed")
        keeper(ledger, failing(METRICS, {position})).catch_up()
        shown = holdbook("projections").out
        told = f"metrics stopped at position {position}: view metrics failed on ValidationFailed"
        assert told in shown.replace("\n", " ")
        wrong = holdbook("projections", "skip", "metrics", str(position + 1), "--reason", "why", code=1)
        assert f"stopped at position {position + 1}" in wrong.err.replace("\n", " ")
        mended = holdbook.json("projections", "retry", "metrics")
        assert (mended["behind"], mended["stopped_at"], mended["skipped"]) == (0, None, [])

    def test_skipped(self, ledger: Ledger, database_url: str) -> None:
        """Skipping records the reason, and by whom; status tells both."""
        holdbook = Holdbook(database_url)
        position = poisonous(ledger, "ValidationFailed")
        keeper(ledger, failing(METRICS, {position})).catch_up()
        words = ("skip", "metrics", str(position), "--reason", "ticket 77", "--actor", "ann")
        mended = holdbook.json("projections", *words)
        assert (mended["behind"], mended["skipped"]) == (0, [position])
        assert query(database_url, "SELECT reason, actor FROM skipped_events") == [("ticket 77", "ann")]
        told = f"metrics, generation 1, leaves out position {position}, ValidationFailed: ticket 77 (ann, 20"
        assert told in holdbook("projections").out
        [recorded] = holdbook.json("projections")["skipped"]
        assert (recorded["position"], recorded["reason"]) == (position, "ticket 77")
        assert verify_ledger(ledger).findings == ()
