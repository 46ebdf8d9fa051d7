"""Views that are brought up to the log's end: in batches of any size, wherever they were left, whoever races for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, LogUnavailable, NotFound, Refused
from holdbook.infrastructure.schema import upgrade as migrating
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.projections.views.metrics import METRICS
from support.logs import Clock, account, execute, query, raw_rows
from support.processes import barrier, catch_up_together, running
from support.projecting import (
    NAMES,
    check_plainly,
    check_right,
    contents,
    fold_current,
    head_of,
    keeper,
    log_of,
    run_made_up,
)
from support.viewing import PlainFold

if TYPE_CHECKING:
    from collections.abc import Iterator

TTL = timedelta(minutes=10)
NEW = ["pool_usage", "metrics", "validation_failures"]


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def ledger(database_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger in which everything has happened that a view may show; nobody looked after its views."""
    with Ledger.open(database_url, actor="ops", clock=clock) as ledger:
        for pool in ("cpu", "gpu"):
            ledger.open_pool(pool, resource_type="thing", limits=Limits(total=100, default_ttl=timedelta(hours=1)))
        for number in range(12):
            ledger.allocate(
                {"cpu": number + 1, "gpu": 1}, owner=f"o{number % 3}", allocation_id=f"a{number:02}", tags={"n": "é"}
            )
            with suppress(Refused):
                ledger.allocate({"gpu": 101}, owner="o1", allocation_id=f"refused{number}", correlation_id="r")
            clock.advance(seconds=1)
        ledger.reserve({"gpu": 3}, owner="r", ttl=TTL, allocation_id="confirmed")
        ledger.reserve({"gpu": 3}, owner="r", ttl=TTL, allocation_id="voided")
        ledger.reserve({"gpu": 3}, owner="r", ttl=TTL, allocation_id="lapsed")
        ledger.confirm("confirmed")
        ledger.void("voided", reason="not needed")
        ledger.renew("a00", ttl=TTL)
        ledger.resize("a01", {"cpu": 20})
        ledger.transfer("a02", to="o9")
        ledger.release("a03", reason="done")
        clock.advance(minutes=11)
        ledger.expire()
        ledger.change_limits("gpu", Limits(total=50))
        yield ledger


@pytest.mark.parametrize("batch_events", [1, 3, 7, 2000])
def test_the_views_are_the_fold_of_the_log(ledger: Ledger, database_url: str, batch_events: int) -> None:
    """Caught up in batches of any size, each published view is the fold of the log; once more changes nothing."""
    projector = keeper(ledger, batch_events=batch_events)
    projector.catch_up()
    check_right(ledger, database_url)
    before = contents(database_url), query(database_url, "SELECT * FROM generations ORDER BY view")
    projector.catch_up()
    keeper(ledger).catch_up()
    assert (contents(database_url), query(database_url, "SELECT * FROM generations ORDER BY view")) == before


def test_the_numbers_are_those_of_a_plain_fold(ledger: Ledger, database_url: str) -> None:
    """Use, counts and refusals are what a plain fold of the log's text gives, which shares no code with the views."""
    ledger.projector().catch_up()
    plain = PlainFold(ledger.log.rows(limit=1000))
    usage = query(database_url, "SELECT pool, used, peak, capacity, allocations, grants, endings FROM pool_usage")
    fields = ("pool", "used", "peak", "capacity", "allocations", "grants", "endings")
    assert sorted(usage) == sorted(tuple(one[field] for field in fields) for one in plain.usage.values())
    counters = query(database_url, f"SELECT {', '.join(METRICS.published.columns)} FROM metrics")  # noqa: S608 - names of our own
    wanted = [tuple(one[field] for field in METRICS.published.columns) for one in plain.metrics.values()]
    assert sorted(counters, key=str) == sorted(wanted, key=str)
    positions = query(database_url, "SELECT position FROM validation_failures ORDER BY position")
    assert [position for (position,) in positions] == [one["position"] for one in plain.failures]


def test_batches_grow_and_end_where_commands_end(ledger: Ledger, database_url: str) -> None:
    """A view's position is never within a command, and progress is told after each batch until all is done."""
    ends = {row.position for row in ledger.log.rows() if row.ends_command}
    stands: set[int] = set()
    told: list[tuple[int, int]] = []

    def tell(done: int, events: int) -> None:
        told.append((done, events))
        stands.update(position for (position,) in query(database_url, "SELECT position FROM generations"))

    keeper(ledger, batch_events=2).catch_up(tell)
    head = max(ends)
    assert len(told) > head / 4
    assert stands - {0} <= ends
    assert told == sorted(told)
    assert {events for _, events in told} == {head}
    assert told[-1] == (head, head)


def test_a_long_log(database_url: str) -> None:
    """Of a log of many batches the views are the fold, be it read at one go or in two halves."""
    with Ledger.open(database_url) as ledger:
        run_made_up(ledger, 300)
        keeper(ledger, batch_events=100).catch_up()
        check_right(ledger, database_url)
        run_made_up(ledger, 700)
        ledger.projector().catch_up()
        check_right(ledger, database_url)


class TestStatus:
    """How far views are, in numbers."""

    def test_before_and_after(self, ledger: Ledger, clock: Clock) -> None:
        """A view tells where it is, how many events it is behind, and since when; of a view at the end, nothing."""
        head = head_of(ledger)
        projector = keeper(ledger, clock=clock)
        for status in projector.status():
            assert (status.generation, status.position, status.behind) == (1, 0, head)
            assert status.behind_seconds == (clock.now - Clock().now).total_seconds() == 11 * 60 + 12
            assert (status.rate, status.moved_at, status.stopped_at, status.error) == (None, None, None, None)
            assert (status.building, status.building_position, status.kept, status.skipped) == (None, None, (), ())
            assert status.outdated is False
        projector.catch_up()
        for status in projector.status():
            assert (status.position, status.behind, status.behind_seconds) == (head, 0, 0.0)
            assert status.rate is not None
            assert status.rate > 0
            assert status.moved_at is not None
            assert status.moved_at.tzinfo is not None

    def test_behind_again(self, ledger: Ledger, clock: Clock) -> None:
        """What has come since is counted, and timed from its first event on."""
        projector = keeper(ledger, clock=clock)
        projector.catch_up()
        ledger.release("a05")
        clock.advance(seconds=30)
        ledger.release("a06")
        clock.advance(seconds=5)
        assert {(one.behind, one.behind_seconds) for one in projector.status()} == {(4, 35.0)}

    def test_in_the_order_of_the_catalogue(self, ledger: Ledger) -> None:
        """Every published view has its status, always in one order."""
        assert tuple(status.name for status in ledger.projector().status()) == NAMES

    def test_building_and_kept(self, ledger: Ledger, database_url: str) -> None:
        """A generation that is being built is told with its position, and one that is kept by its number."""
        told: list[tuple[int | None, int | None]] = []

        def look(*_: int) -> None:
            status = ledger.projector().status()[NAMES.index("metrics")]
            told.append((status.building, status.building_position))

        keeper(ledger, batch_events=10).rebuild("metrics", progress=look)
        assert {building for building, _ in told} == {2}
        assert [position for _, position in told if position] == sorted(position for _, position in told if position)
        status = ledger.projector().status()[NAMES.index("metrics")]
        assert (status.generation, status.version, status.building, status.kept) == (2, METRICS.version, None, (1,))
        assert contents(database_url, ["metrics"])["metrics"]


def hourly(hour: int) -> Allocate:
    """Ask for some of a pool at an hour of the second day."""
    return Allocate(
        quantities={"cpu": 1},
        ttl=timedelta(days=1),
        owner="zoe",
        allocation_id=f"h{hour}",
        at=datetime(2026, 1, 2, hour, tzinfo=UTC),
    )


class TestGoingOn:
    """However it is cut into pieces, the rows are the same."""

    def test_taken_up_after_every_batch(self, ledger: Ledger, database_url: str) -> None:
        """Stopped after every batch and taken up by a keeper that knows nothing, it comes to the same."""

        def stop(*_: int) -> None:
            raise InterruptedError

        stops = 0
        while any(status.behind for status in ledger.projector().status()):
            with suppress(InterruptedError):
                keeper(ledger, batch_events=3).catch_up(stop)
            stops += 1
        assert stops > 15
        check_right(ledger, database_url)

    def test_taken_up_hours_later(self, ledger: Ledger, database_url: str) -> None:
        """A keeper that knows nothing yet builds on the latest of a pool's rows."""
        for hour in range(4):
            ledger.record([hourly(hour)])
            keeper(ledger).catch_up()
        rows = query(database_url, "SELECT used, grants FROM pool_usage WHERE pool = 'cpu' ORDER BY bucket")
        assert rows[-3:] == [(2, 1), (3, 1), (4, 1)]
        check_right(ledger, database_url)

    def test_a_keeper_that_goes_on_for_long(self, ledger: Ledger, database_url: str) -> None:
        """One keeper that is called after each command, with others' work in between, keeps the views right."""
        projector, other = keeper(ledger), keeper(ledger)
        ledger.release("a11")
        for number in range(6):
            ledger.allocate({"cpu": 1}, owner="w", allocation_id=f"w{number}")
            (other if number % 3 == 1 else projector).catch_up()
            ledger.resize(f"w{number}", {"cpu": 2})
            projector.catch_up()
        check_right(ledger, database_url)


class TestOneTransaction:
    """Rows and position are one."""

    def test_half_written(self, ledger: Ledger, database_url: str) -> None:
        """If the database fails in the middle of a batch, neither its rows nor its position are kept, here or there."""
        projector = keeper(ledger, batch_events=5)
        execute(database_url, *FAILING["sqlite" if database_url.startswith("sqlite") else "postgresql"])
        with pytest.raises(LogUnavailable, match=r"planted|malformed JSON"):
            projector.catch_up()
        [current, *_] = projector.status()
        assert 0 < current.position < current.position + current.behind
        assert current.stopped_at is None
        seen = [row for row in raw_rows(database_url) if row[0] <= current.position]
        assert {row[:2] for row in fold_current(seen)} == set(
            query(database_url, "SELECT allocation_id, pool FROM current_allocations")
        )
        dropping = "DROP TRIGGER broken" + ("" if database_url.startswith("sqlite") else " ON generations")
        execute(database_url, dropping)
        projector.catch_up()
        check_right(ledger, database_url)

    def test_by_threads_that_race(self, ledger: Ledger, database_url: str) -> None:
        """Keepers that race for every batch write each of them once, and none of them fails."""
        start = Barrier(3)

        def work() -> None:
            projector = keeper(ledger, batch_events=4)
            start.wait()
            projector.catch_up()

        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(work) for _ in range(3)]:
                done.result()
        check_right(ledger, database_url)

    def test_by_processes_that_race(self, ledger: Ledger, database_url: str) -> None:
        """Keepers of several processes that begin together end with right views, without an error."""
        start = barrier(2)
        with running(catch_up_together, [(start, database_url)] * 2) as peers:
            assert [peer.receive() for peer in peers] == ["done"] * 2
        check_right(ledger, database_url)


FAILING = {
    "sqlite": (
        """CREATE TRIGGER broken AFTER UPDATE ON generations WHEN NEW.position > 30
        BEGIN SELECT json_extract('planted', '$'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = 'disk_full'; END $$""",
        """CREATE TRIGGER broken AFTER UPDATE ON generations
        FOR EACH ROW WHEN (NEW.position > 30) EXECUTE FUNCTION broken()""",
    ),
}
"""Has the database fail, as a full disk does, on whatever goes past some position."""


def forget(url: str, *names: str) -> None:
    """Make a database as it was before views came."""
    for name in names:
        execute(
            url,
            f"DROP VIEW {name}",
            *(f"DROP TABLE {one}" for (one,) in _tables(url, name)),
            f"DELETE FROM generations WHERE view = '{name}'",  # noqa: S608 - names of our own
        )


def _tables(url: str, name: str) -> list[tuple[str, ...]]:
    [(tables,)] = query(url, f"SELECT tables FROM generations WHERE view = '{name}'")  # noqa: S608 - names of our own
    return [(one,) for one in tables.split()]


class TestOlderDatabase:
    """A database that was made before a view came."""

    def test_it_is_told(self, ledger: Ledger, database_url: str) -> None:
        """A view that was never made has no generation and has seen nothing; the others are kept, and verified."""
        forget(database_url, *NEW)
        ledger.projector().catch_up()
        stands = {one.name: (one.generation, one.version, one.behind) for one in ledger.projector().status()}
        assert {name: stands[name] for name in NEW} == dict.fromkeys(NEW, (0, 0, head_of(ledger)))
        assert verify_ledger(ledger).findings == ()
        check_plainly(database_url)

    def test_rebuilding_makes_it(self, ledger: Ledger, database_url: str) -> None:
        """A rebuild makes the views that are missing, with nothing to compare them with but the log."""
        forget(database_url, *NEW)
        built = ledger.projector().rebuild(*NEW)
        assert [(one.generation, one.published, one.compared_at) for one in built] == [(1, True, None)] * 3
        ledger.projector().catch_up()
        check_right(ledger, database_url)

    def test_upgrading_makes_it(self, ledger: Ledger, database_url: str) -> None:
        """So does an upgrade of the schema."""
        forget(database_url, *NEW)
        migrating.upgrade(log_of(ledger).database)
        ledger.projector().catch_up()
        assert {status.generation for status in ledger.projector().status()} == {1}
        check_right(ledger, database_url)

    def test_going_down_leaves_nothing(self, ledger: Ledger, database_url: str) -> None:
        """The way back needs no list of the views, and takes what is kept and what is being built along."""
        ledger.projector().rebuild("pool_usage")
        with suppress(InterruptedError):
            keeper(ledger, batch_events=10).rebuild("metrics", progress=_interrupt)
        migrating.downgrade(log_of(ledger).database, "base")
        catalogue = (
            "SELECT name FROM sqlite_master"
            if database_url.startswith("sqlite")
            else "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        left = {name for (name,) in query(database_url, catalogue)}
        assert not {name for name in left if name in NAMES or name.startswith("gen_")}

    def test_without_permission(self, postgres_url: str) -> None:
        """Who may not make tables keeps the views that are there, and hears what failed where one is to be made."""
        with Ledger.open(postgres_url) as ledger:
            ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        forget(postgres_url, *NEW)
        with account(postgres_url, "SELECT, INSERT, UPDATE, DELETE") as url, Ledger.open(url, create=False) as other:
            other.projector().catch_up()
            behind = {status.name: status.behind for status in other.projector().status()}
            assert behind == {"current_allocations": 0, "allocation_history": 0} | dict.fromkeys(NEW, 1)
            with pytest.raises(LogUnavailable, match="permission denied"):
                other.projector().rebuild("metrics")


def _interrupt(*_: int) -> None:
    raise InterruptedError


def test_in_memory_there_are_none() -> None:
    """A ledger in memory says that it has no views."""
    with Ledger.in_memory() as ledger, pytest.raises(LogUnavailable, match="in memory"):
        ledger.projector()


def test_a_view_that_is_not_there(ledger: Ledger) -> None:
    """Whatever is asked of a view that is not published, it is named."""
    projector = ledger.projector()
    for asked in (projector.rebuild, projector.roll_back, projector.prune, projector.retry, projector.view):
        with pytest.raises(NotFound, match="no view 'mistyped'"):
            asked("mistyped")
