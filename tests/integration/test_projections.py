"""The views: in step with the log, resumable, rebuilt while everything goes on, and readable with plain SQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest

from bursar import Ledger, Limits, LogCorrupt, LogUnavailable, NotFound, Refused
from bursar.infrastructure.sql_log import SQLEventLog
from bursar.infrastructure.tracking import SQLStore
from bursar.projections.allocation_history import AllocationHistory
from bursar.projections.current_allocations import CurrentAllocations
from bursar.projections.engine import Projector
from support.logs import Clock, execute, query, raw_rows
from support.processes import barrier, catch_up_together, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from support.logs import Row

TTL = timedelta(minutes=10)
VIEWS = (CurrentAllocations(), AllocationHistory())
OPEN = ("Allocated", "Reserved")
ENDED = ("Released", "Voided", "Expired")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger in which everything has happened that a view may show."""
    clock = Clock()
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


def projector(ledger: Ledger, *, batch_events: int = 2000) -> Projector:
    """Keep the two views of this module, so many events at a time."""
    assert isinstance(ledger.log, SQLEventLog)
    return Projector(ledger.log, SQLStore(ledger.log.database), VIEWS, batch_events=batch_events)


def fold_current(rows: list[Row]) -> set[Row]:
    """Fold the rows of the log into what is held; this code shares nothing with the views."""
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        name, data = row[3], json.loads(row[15])
        key = (data.get("allocation_id"), data.get("pool"))
        if name in OPEN:
            token = f"{data['epoch']}:{row[0] - data['pools'].index(data['pool'])}"
            state = {"Allocated": "active", "Reserved": "reserved"}[name]
            held[key] = {"state": state, "token": token, "tags": data["tags"], "at": row[9], "by": row[11], **data}
        elif name in ENDED:
            del held[key]
        elif name in {"Confirmed", "Renewed", "Resized", "Transferred"}:
            wanted = {field: data[field] for field in ("deadline", "quantity", "owner") if field in data}
            held[key] |= wanted | ({"state": "active"} if name == "Confirmed" else {})
    return {
        (*key, one["owner"], one["quantity"], one["state"], one["deadline"], one["token"], one["at"], one["by"])
        for key, one in held.items()
    }


def fold_history(rows: list[Row]) -> list[Row]:
    """Fold the rows of the log into what happened to allocations; this code shares nothing with the views."""
    found = []
    for row in rows:
        data = json.loads(row[15])
        if data.get("allocation_id"):
            fields = (data.get(name) for name in ("pool", "owner", "quantity", "deadline", "reason", "code"))
            found.append((row[0], data["allocation_id"], row[3], *fields, *row[9:14], row[5]))
    return found


def check_views(url: str) -> None:
    """Compare both published views, read with plain SQL, with the folds of the whole log."""
    log = raw_rows(url)
    current = query(
        url,
        "SELECT allocation_id, pool, owner, quantity, state, deadline, token, opened_at, opened_by "
        "FROM current_allocations",
    )
    history = query(
        url,
        "SELECT position, allocation_id, event, pool, owner, quantity, deadline, reason, code, occurred_at, "
        "recorded_at, actor, correlation_id, causation_id, command_id FROM allocation_history ORDER BY position",
    )
    assert len(current) == len(set(current))
    assert set(current) == fold_current(log)
    assert history == fold_history(log)


def check_caught_up(keeper: Projector, url: str) -> None:
    """Check that both views are at the log's end, and are its fold."""
    assert [(status.behind, status.position) for status in keeper.status()] == [(0, len(raw_rows(url)))] * 2
    check_views(url)


@pytest.mark.parametrize("batch_events", [1, 2, 3, 7, 2000])
def test_the_views_are_the_fold_of_the_log(ledger: Ledger, database_url: str, batch_events: int) -> None:
    """Caught up in batches of any size, each published view is the fold of the log."""
    keeper = projector(ledger, batch_events=batch_events)
    keeper.catch_up()
    check_caught_up(keeper, database_url)
    keeper.catch_up()  # nothing new: nothing is written
    check_caught_up(keeper, database_url)


def test_the_ledgers_own_projector(ledger: Ledger, database_url: str) -> None:
    """The projector that the ledger gives keeps every published view."""
    ledger.projector().catch_up()
    check_views(database_url)
    assert {status.behind for status in ledger.projector().status()} == {0}


def test_batches_end_where_commands_end(ledger: Ledger) -> None:
    """A view's position is never within a command, and progress is told after each batch until all is done."""
    keeper = projector(ledger, batch_events=2)
    ends = {row.position for row in ledger.log.rows() if row.ends_command}
    told: list[tuple[int, int]] = []
    keeper.catch_up(lambda done, events: told.append((done, events)))
    head = max(ends)
    assert {done for done, _ in told} <= ends
    assert {events for _, events in told} == {head}
    assert [done for done, _ in told].count(head) == 2


def test_status(ledger: Ledger, database_url: str) -> None:
    """A view tells how far it is behind: from the first event at first, then from where it was left."""
    keeper = projector(ledger)
    head = len(raw_rows(database_url))
    assert [(s.name, s.generation, s.position, s.behind) for s in keeper.status()] == [
        ("current_allocations", 1, 0, head),
        ("allocation_history", 1, 0, head),
    ]
    keeper.catch_up()
    ledger.release("a05")
    assert [status.behind for status in keeper.status()] == [2, 2]


def test_rows_and_position_are_one(ledger: Ledger, database_url: str) -> None:
    """If a batch fails half written, neither its rows nor its position are kept; the next attempt goes on."""
    keeper = projector(ledger, batch_events=5)
    execute(database_url, *FAILING["sqlite" if database_url.startswith("sqlite") else "postgresql"])
    with pytest.raises((LogUnavailable, LogCorrupt), match="planted"):
        keeper.catch_up()
    [current, history] = keeper.status()
    assert 0 < current.position < current.position + current.behind
    assert history.position == 0
    seen = [row for row in raw_rows(database_url) if row[0] <= current.position]
    assert {row[:2] for row in fold_current(seen)} == set(
        query(database_url, "SELECT allocation_id, pool FROM current_allocations")
    )
    dropping = "DROP TRIGGER broken" + ("" if database_url.startswith("sqlite") else " ON gen_current_allocations_1")
    execute(database_url, dropping)
    keeper.catch_up()
    check_caught_up(keeper, database_url)


FAILING = {
    "sqlite": (
        """CREATE TRIGGER broken BEFORE INSERT ON gen_current_allocations_1 WHEN NEW.allocation_id = 'a08'
        BEGIN SELECT RAISE(FAIL, 'planted'); END""",
    ),
    "postgresql": (
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted'; END $$",
        """CREATE TRIGGER broken BEFORE INSERT ON gen_current_allocations_1
        FOR EACH ROW WHEN (NEW.allocation_id = 'a08') EXECUTE FUNCTION broken()""",
    ),
}


def test_two_projectors_at_once(ledger: Ledger, database_url: str) -> None:
    """Projectors that race for every batch write each of them once."""
    start = Barrier(3)

    def work() -> None:
        keeper = projector(ledger, batch_events=1)
        start.wait()
        keeper.catch_up()

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work) for _ in range(3)]:
            done.result()
    check_caught_up(projector(ledger), database_url)


def test_projectors_in_two_processes(ledger: Ledger, database_url: str) -> None:
    """Projectors of several processes that begin together end with right views, without an error."""
    start = barrier(3)
    with running(catch_up_together, [(start, database_url)] * 3) as peers:
        assert [peer.receive() for peer in peers] == ["done"] * 3
    check_caught_up(projector(ledger), database_url)


def test_a_rebuild(ledger: Ledger, database_url: str) -> None:
    """A rebuild repairs whatever was wrong in a view, under the same name, and leaves nothing of the old one."""
    keeper = projector(ledger, batch_events=7)
    keeper.catch_up()
    for view, generation in (("current_allocations", 1), ("allocation_history", 1), ("current_allocations", 2)):
        execute(database_url, f"DELETE FROM gen_{view}_{generation}")  # noqa: S608 - names of our own
        status = keeper.rebuild(view)
        assert (status.name, status.generation, status.behind) == (view, generation + 1, 0)
        check_caught_up(keeper, database_url)
    names = query(database_url, "SELECT name FROM tracking ORDER BY name")
    assert names == [("gen_allocation_history_2",), ("gen_current_allocations_3",)]
    with pytest.raises(Exception, match="gen_current_allocations_2"):
        query(database_url, "SELECT * FROM gen_current_allocations_2")


def test_a_rebuild_of_what_is_not_there(ledger: Ledger) -> None:
    """A view that is not published cannot be rebuilt, and is named."""
    with pytest.raises(NotFound, match="no view 'mistyped'"):
        projector(ledger).rebuild("mistyped")


def test_an_interrupted_rebuild_goes_on(ledger: Ledger, database_url: str) -> None:
    """A rebuild that was interrupted leaves the published view as it was, and goes on where it stopped."""
    keeper = projector(ledger, batch_events=5)
    keeper.catch_up()
    told: list[int] = []

    def interrupt(done: int, _: int) -> None:
        told.append(done)
        if len(told) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keeper.rebuild("allocation_history", interrupt)
    check_caught_up(keeper, database_url)
    assert keeper.rebuild("allocation_history", interrupt).generation == 2
    assert all(before < after for before, after in pairwise(told)), "nothing was built twice"
    check_caught_up(keeper, database_url)


def test_a_rebuild_while_writing(ledger: Ledger, database_url: str) -> None:
    """While a view is rebuilt again and again, commands go on and others catch up; in the end all is right."""
    stop = Event()

    def write() -> int:
        number = 0
        while not stop.is_set():
            ledger.allocate({"cpu": 1}, owner="w", allocation_id=f"w{number}")
            ledger.release(f"w{number}")
            number += 1
        return number

    def follow() -> None:
        keeper = projector(ledger, batch_events=3)
        while not stop.is_set():
            keeper.catch_up()

    with ThreadPoolExecutor(2) as threads:
        working: list[Future[Any]] = [threads.submit(write), threads.submit(follow)]
        try:
            for generation in range(2, 7):
                assert projector(ledger, batch_events=20).rebuild("current_allocations").generation == generation
        finally:
            stop.set()
        for one in working:
            one.result()
    keeper = projector(ledger)
    keeper.catch_up()
    check_caught_up(keeper, database_url)
    tables = query(database_url, "SELECT name FROM tracking ORDER BY name")
    assert tables == [("gen_allocation_history_1",), ("gen_current_allocations_6",)]


def test_two_rebuilds_at_once(ledger: Ledger, database_url: str) -> None:
    """Two rebuilds of one view share the work: one generation more, published once."""
    start = Barrier(2)

    def work() -> int:
        keeper = projector(ledger, batch_events=2)
        waiting = [start]

        def together(_done: int, _events: int) -> None:
            if waiting:
                waiting.pop().wait(60)

        return keeper.rebuild("allocation_history", together).generation

    projector(ledger).catch_up()
    with ThreadPoolExecutor(2) as threads:
        assert [one.result() for one in [threads.submit(work) for _ in range(2)]] == [2, 2]
    check_caught_up(projector(ledger), database_url)


def test_a_rebuild_does_not_go_back(ledger: Ledger, database_url: str) -> None:
    """If the live view got ahead while the next one was built, the next one catches up before it is published."""
    keeper = projector(ledger)

    def overtake(_done: int, _events: int) -> None:
        with suppress(Refused):
            ledger.release("a06")
            projector(ledger).catch_up()

    assert keeper.rebuild("current_allocations", overtake).position == len(raw_rows(database_url)) - 1
    projector(ledger).catch_up()
    check_views(database_url)
