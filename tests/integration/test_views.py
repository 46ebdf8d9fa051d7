"""The keeper of the views on both databases: batches, races, rebuilds, databases older than a view."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from bursar import Allocate, Ledger, LogUnavailable, NotFound
from bursar.infrastructure import schema
from bursar.infrastructure.published import Published
from bursar.infrastructure.tracking import SQLStore
from bursar.infrastructure.verification import verify_ledger
from bursar.projections.engine import VIEWS, Projector
from support.logs import account, execute, query
from support.story import Clock, tell
from support.viewing import PlainFold

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 36
"""Events that the story leaves."""

NAMES = [view.name for view in VIEWS]
NEW = ["pool_usage", "metrics", "validation_failures"]


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views not looked after."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        yield ledger


def projector(ledger: Ledger, batch_events: int = 2000) -> Projector:
    """Give a keeper with batches of about so many events."""
    return Projector(ledger.log, SQLStore(ledger.log.database), batch_events=batch_events)  # type: ignore[attr-defined]  # a log in a database


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Read every view by its published name."""
    return {name: sorted(query(url, f"SELECT * FROM {name}"), key=str) for name in NAMES}  # noqa: S608 - names of our own


@pytest.fixture
def wanted(ledger: Ledger, database_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the views hold once they are up to date, built at once."""
    projector(ledger).catch_up()
    found = contents(database_url)
    forget(database_url)
    schema.upgrade(ledger.log.database)  # type: ignore[attr-defined]  # a log in a database
    return found


def forget(url: str, *names: str) -> None:
    """Make a database as it was before views came."""
    for name in names or NAMES:
        execute(
            url,
            f"DROP VIEW {name}",
            f"DROP TABLE gen_{name}_1",
            f"DELETE FROM generations WHERE view = '{name}'",  # noqa: S608 - names of our own
            f"DELETE FROM tracking WHERE name LIKE 'gen_{name}_%'",  # noqa: S608 - names of our own
        )


def test_the_story_is_told_by_the_views(ledger: Ledger, database_url: str) -> None:
    """Each view holds what a plain fold of the log's text gives."""
    projector(ledger).catch_up()
    plain = PlainFold(ledger.log.rows(limit=1000))
    usage = query(database_url, "SELECT pool, used, peak, capacity, allocations, grants, endings FROM pool_usage")
    fields = ("pool", "used", "peak", "capacity", "allocations", "grants", "endings")
    assert sorted(usage) == sorted(tuple(one[field] for field in fields) for one in plain.usage.values())
    counters = query(database_url, "SELECT resource_type, pool, operation, outcome, code, count FROM metrics")
    assert sorted(counters) == sorted(tuple(one.values()) for one in plain.metrics.values())
    positions = query(database_url, "SELECT position FROM validation_failures ORDER BY position")
    assert [position for (position,) in positions] == [one["position"] for one in plain.failures]


def hourly(hour: int) -> Allocate:
    """Ask for some of a pool at an hour of the second day."""
    at = datetime(2026, 1, 2, hour, tzinfo=UTC)
    return Allocate(quantities={"cpu": 5}, owner="zoe", allocation_id=f"h{hour}", at=at)


class TestBatches:
    """However the log is cut, the rows are the same."""

    @pytest.mark.parametrize("batch_events", [1, 7])
    def test_small(
        self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]], batch_events: int
    ) -> None:
        """Built in small batches a view equals the one that is built at once."""
        projector(ledger, batch_events).catch_up()
        assert contents(database_url) == wanted

    def test_resumed(self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """Stopped after every batch and taken up by another process, it comes to the same."""

        class StoppedError(Exception):
            pass

        def stop(*_: int) -> None:
            raise StoppedError

        stops = 0
        while stops < 1000:
            try:
                projector(ledger, 3).catch_up(stop)
                break
            except StoppedError:
                stops += 1
        assert len(NAMES) * 10 <= stops < 1000
        assert contents(database_url) == wanted
        assert verify_ledger(ledger).findings == ()

    def test_taken_up_hours_later(self, ledger: Ledger, database_url: str) -> None:
        """A keeper that knows nothing yet builds on the latest of a pool's rows."""
        for hour in range(1, 4):
            ledger.record([hourly(hour)])
            projector(ledger).catch_up()
        rows = query(database_url, "SELECT used, grants FROM pool_usage WHERE pool = 'cpu' ORDER BY bucket")
        assert rows == [(10, 4), (15, 1), (20, 1), (25, 1)]

    def test_delivered_twice(self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """What a view has seen changes nothing a second time."""
        for _ in range(2):
            projector(ledger).catch_up()
            assert contents(database_url) == wanted

    def test_raced(
        self,
        ledger: Ledger,
        database_url: str,
        wanted: dict[str, list[tuple[Any, ...]]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Overtaken by another process in the middle, what was read is thrown away and the rest comes out right."""
        rows, other = ledger.log.rows, projector(ledger, 5)
        turns = iter(range(10**6))

        def overtaken(after: int, limit: int) -> object:
            if next(turns) % 7 == 3:
                with pytest.raises(InterruptedError):
                    other.catch_up(interrupt)
            return rows(after, limit)

        def interrupt(*_: int) -> None:
            raise InterruptedError

        keeper = projector(ledger, 4)
        with monkeypatch.context() as patched:
            patched.setattr(keeper, "_log", Overtaken(ledger.log, overtaken))
            keeper.catch_up()
        assert contents(database_url) == wanted
        assert [status.behind for status in keeper.status()] == [0] * len(NAMES)


class Overtaken:
    """A log, but for how its rows are read."""

    def __init__(self, log: Any, rows: Any) -> None:  # noqa: ANN401 - a log
        self._log = log
        self.rows = rows

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a log has
        return getattr(self._log, name)


class TestRebuild:
    """A view is built anew while others read and write."""

    @pytest.mark.parametrize("name", NAMES)
    def test_rebuilt(
        self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]], name: str
    ) -> None:
        """The rows are the same, the table before is gone, and the log goes on from there."""
        told: list[tuple[int, int]] = []
        keeper = projector(ledger, 10)
        keeper.catch_up()
        status = keeper.rebuild(name, lambda done, total: told.append((done, total)))
        assert (status.name, status.generation, status.position, status.behind) == (name, 2, ROWS, 0)
        assert told[-1] == (ROWS, ROWS)
        assert contents(database_url) == wanted
        assert query(database_url, f"SELECT name FROM tracking WHERE name LIKE 'gen_{name}_%'") == [(f"gen_{name}_2",)]  # noqa: S608 - names of our own
        with pytest.raises(Exception, match=f"gen_{name}_1"):
            query(database_url, f"SELECT * FROM gen_{name}_1")  # noqa: S608 - names of our own
        ledger.allocate({"cpu": 5}, owner="zoe")
        keeper.catch_up()
        assert verify_ledger(ledger).findings == ()

    def test_unknown(self, ledger: Ledger) -> None:
        """There is nothing to build under a name that is no view's."""
        with pytest.raises(NotFound, match="nonsense"):
            projector(ledger).rebuild("nonsense")

    def test_interrupted(self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """It goes on where it stopped."""

        def interrupt(done: int, _: int) -> None:
            if done >= 10:
                raise InterruptedError

        keeper = projector(ledger, 5)
        with pytest.raises(InterruptedError):
            keeper.rebuild("metrics", interrupt)
        told: list[int] = []
        keeper.rebuild("metrics", lambda done, _: told.append(done))
        assert min(told) > 10
        keeper.catch_up()
        assert contents(database_url) == wanted

    def test_by_two(self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """Where another process has published the same build meanwhile, that one stays."""
        others = [projector(ledger)]

        def overtake(*_: int) -> None:
            if others:
                others.pop().rebuild("pool_usage")

        keeper = projector(ledger, 10)
        assert keeper.rebuild("pool_usage", overtake).generation == 2
        keeper.catch_up()
        assert contents(database_url) == wanted

    def test_overtaken_by_the_live_one(self, ledger: Ledger, database_url: str) -> None:
        """It is published only when it has come as far as the one that readers see."""
        keeper = projector(ledger)
        others = [projector(ledger)]

        def overtake(*_: int) -> None:
            if others:
                ledger.allocate({"cpu": 5}, owner="zoe")
                others.pop().catch_up()

        status = keeper.rebuild("metrics", overtake)
        assert (status.position, status.behind) == (ROWS + 1, 0)
        assert query(database_url, "SELECT count FROM metrics WHERE pool = 'cpu' AND operation = 'allocate'") == [(3,)]

    def test_under_a_writer(self, ledger: Ledger, database_url: str, wanted: dict[str, list[tuple[Any, ...]]]) -> None:
        """Whoever was filling the generation that was replaced stops, and leaves nothing of it behind."""
        others = [projector(ledger)]

        def replace(*_: int) -> None:
            if others:
                others.pop().rebuild("current_allocations")

        keeper = projector(ledger, 5)
        keeper.catch_up(replace)
        assert query(database_url, "SELECT name FROM tracking WHERE name LIKE 'gen_current_allocations_%'") == [
            ("gen_current_allocations_2",)
        ]
        assert contents(database_url) == wanted


class TestOlderDatabase:
    """A database that was made before a view came."""

    def test_catching_up_makes_it(self, ledger: Ledger, database_url: str) -> None:
        """Whoever brings the views up to date makes those that are missing, and verify agrees before and after."""
        projector(ledger).catch_up()
        before = contents(database_url)
        forget(database_url, *NEW)
        statuses = {status.name: status for status in projector(ledger).status()}
        assert [(statuses[name].generation, statuses[name].behind) for name in NEW] == [(0, ROWS)] * 3
        report = verify_ledger(ledger)
        assert report.ok
        assert [(view.position, view.rows) for view in report.views if view.name in NEW] == [(0, 0)] * 3
        projector(ledger).catch_up()
        assert contents(database_url) == before
        assert verify_ledger(ledger).ok

    def test_rebuilding_makes_it(self, ledger: Ledger, database_url: str) -> None:
        """So does whoever wants it rebuilt."""
        forget(database_url, "metrics")
        assert projector(ledger).rebuild("metrics").behind == 0
        assert verify_ledger(ledger).ok

    def test_upgrading_makes_it(self, ledger: Ledger, database_url: str) -> None:
        """So does an upgrade of the schema."""
        forget(database_url, *NEW)
        schema.upgrade(ledger.log.database)  # type: ignore[attr-defined]  # a log in a database
        projector(ledger).catch_up()
        assert {status.generation for status in projector(ledger).status()} == {1}

    def test_going_down_leaves_nothing(self, ledger: Ledger, database_url: str) -> None:
        """The way back needs no list of the views."""
        projector(ledger).rebuild("pool_usage")
        schema.downgrade(ledger.log.database, "base")  # type: ignore[attr-defined]  # a log in a database
        catalogue = (
            "SELECT name FROM sqlite_master"
            if make_url(database_url).get_backend_name() == "sqlite"
            else "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        left = {name for (name,) in query(database_url, catalogue)}
        assert not {name for name in left if name in NAMES or name.startswith("gen_")}

    def test_without_permission(self, postgres_url: str) -> None:
        """Who may not make tables keeps the views that are there, and hears what to do."""
        clock = Clock()
        with Ledger.open(postgres_url, clock=clock) as ledger:
            tell(ledger, clock)
        forget(postgres_url, *NEW)
        with (
            account(postgres_url, "SELECT, INSERT, UPDATE, DELETE") as url,
            Ledger.open(url, create=False) as keeper,
        ):
            with pytest.raises(LogUnavailable, match=r"metrics, validation_failures.*bursar db upgrade.*permission"):
                keeper.projector().catch_up()
            behind = {status.name: status.behind for status in keeper.projector().status()}
            assert behind == {"current_allocations": 0, "allocation_history": 0} | dict.fromkeys(NEW, ROWS)
            with pytest.raises(LogUnavailable, match=r"does not have the view metrics: run `bursar db upgrade`"):
                Published(keeper).metrics()


def test_in_memory_there_are_none() -> None:
    """A ledger in memory says that it has no views."""
    with Ledger.in_memory() as ledger, pytest.raises(LogUnavailable, match="in memory"):
        Published(ledger)


def test_a_long_list_of_refusals(ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals are read page by page, each once, in order."""
    projector(ledger).catch_up()
    (count,) = query(database_url, "SELECT count(*) FROM validation_failures")[0]
    monkeypatch.setattr("bursar.infrastructure.published.PAGE_ROWS", 1)
    found = [row["position"] for row in Published(ledger).failures({})]
    assert len(found) == count == 3
    assert found == sorted(found)
