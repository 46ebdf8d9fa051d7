"""Every answer of a read says where in the log it is true, whoever writes meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from operator import attrgetter
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Allocate, Ledger, Limits
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.replay.history.as_of import allocations_as_of
from support.cli import Holdbook
from support.logs import raw_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdbook import Allocation, PoolStatus
    from holdbook.domain.answers import Answer
    from holdbook.domain.records import Recorded

POOL = "gpu"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ids(found: Answer[Allocation]) -> tuple[list[str], int]:
    """Tell which allocations a list has, and where it is true."""
    return sorted(one.id for one in found), found.position


def used(found: Answer[PoolStatus]) -> tuple[list[tuple[str, int]], int]:
    """Tell what is used of each pool of a list, and where it is true."""
    return [(one.name, one.used) for one in found], found.position


def positions(found: Answer[Recorded]) -> tuple[list[int], int]:
    """Tell where the events of a history stand, and where it is true."""
    return [one.position for one in found], found.position


READS: dict[str, Callable[[Ledger], tuple[Any, int | None]]] = {
    "allocations": lambda ledger: ids(ledger.allocations()),
    "as of": lambda ledger: ids(allocations_as_of(ledger.log, datetime.max.replace(tzinfo=UTC))),
    "pools": lambda ledger: used(ledger.pools()),
    "pool": lambda ledger: attrgetter("used", "as_of_position")(ledger.pool(POOL)),
    "allocation": lambda ledger: attrgetter("quantities", "as_of_position")(ledger.allocation("first")),
    "history": lambda ledger: positions(ledger.history("first")),
}
"""How things are read: what was found, and where in the log that is true."""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of which something is held."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool(POOL, resource_type="gpu", limits=Limits(total=10**6))
        ledger.allocate({POOL: 1}, owner="ann", allocation_id="first")
        yield ledger


def expected(rows: list[Any], read: str) -> Any:  # noqa: ANN401 - whatever is read
    """Fold the stored text of the first rows of a log into what a read should find; it shares no code with reads."""
    held: dict[str, int] = {}
    about_first = []
    for row in rows:
        data = json.loads(row[15])
        if row[3] in {"Allocated", "Resized"}:
            held[data["allocation_id"]] = data["quantity"]
        elif row[3] == "Released":
            held[data["allocation_id"]] = 0
        if data.get("allocation_id") == "first":
            about_first.append(row[0])
    return {
        "allocations": sorted(name for name, quantity in held.items() if quantity),
        "pools": [(POOL, sum(held.values()))],
        "pool": sum(held.values()),
        "allocation": {POOL: held["first"]},
        "history": about_first,
        "as of": sorted(held),
    }[read]


@pytest.mark.parametrize("read", READS)
def test_an_answer_is_true_where_it_says(ledger: Ledger, database_url: str, read: str) -> None:
    """While two writers write, each answer holds all events up to its position and none after it."""
    stop, began = Event(), Event()

    def write(writer: Ledger, name: str) -> None:
        for number in range(10**6):
            held = writer.allocate({POOL: 2}, owner=name, allocation_id=f"{name}-{number}")
            writer.resize("first", {POOL: number % 7 + 1})
            if number % 3:
                writer.release(held.id)
            began.set()
            if stop.is_set():
                return

    with Ledger.open(database_url) as other, ThreadPoolExecutor(2) as threads:
        writing = [threads.submit(write, one, name) for one, name in ((ledger, "x"), (other, "y"))]
        try:
            assert began.wait(60)
            answers: list[tuple[Any, int | None]] = []
            while len(answers) < 80 or len({position for _, position in answers}) == 1:
                answers += [READS[read](one) for one in (ledger, other)]
        finally:
            stop.set()
        for one in writing:
            one.result(60)
    log = raw_rows(database_url)
    for found, position in answers:
        assert position is not None
        assert found == expected(log[:position], read), position


def test_nothing_has_happened(database_url: str) -> None:
    """Of an empty log every answer is true at 0."""
    with Ledger.open(database_url) as ledger, Ledger.in_memory() as other:
        for one in (ledger, other):
            assert (one.pools(), one.pools().position) == ([], 0)
            assert (one.allocations(), one.allocations().position) == ([], 0)


def test_the_command_line_says_it_too(ledger: Ledger, database_url: str) -> None:
    """As JSON, every document and every line of a listing has the position that it is true at."""
    holdbook = Holdbook(database_url)
    ledger.allocate({POOL: 1}, owner="bob", allocation_id="second")
    head = len(raw_rows(database_url))
    for words in (["allocations"], ["allocations", "--as-of", "2999-01-01T00:00:00Z"], ["history", "first"]):
        assert {one["as_of_position"] for one in holdbook.lines(*words)} == {head}
    for words in (["pool", "limits", POOL], ["show", "first"]):
        assert holdbook.json(*words)["as_of_position"] == head
    for words in (["pools"], ["metrics"], ["usage-over-time", POOL]):
        assert holdbook.json(*words)["position"] == head


def test_a_page_costs_its_rows(sqlite_url: str) -> None:
    """A page that would end within a command is read to the command's end, and no further, however long the log is."""
    pools = ("cpu", "gpu")
    with Ledger.open(sqlite_url) as ledger:
        for pool in pools:
            ledger.open_pool(pool, resource_type=pool, limits=Limits(total=10**6))
        ledger.record([Allocate(quantities=dict.fromkeys(pools, 1), owner="ann", at=NOON) for _ in range(1000)])
    steps = Counter[int | None]()
    with Ledger.open(sqlite_url) as ledger:  # anew: it reads through one connection
        assert isinstance(ledger.log, SQLEventLog)
        for upto in (None, 2002):
            with ledger.log.database.reading() as connection:
                driver: Any = connection.connection.dbapi_connection
            driver.set_progress_handler(lambda upto=upto: steps.update([upto]), 1)
            assert len(ledger.log.rows(2, 3, upto=upto)) == 4
            driver.set_progress_handler(None, 0)
    assert 0 < steps[2002] < 2 * steps[None]
