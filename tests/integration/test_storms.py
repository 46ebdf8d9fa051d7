"""Eight processes that storm one log together, each with many threads: every answer is right, whatever the others do.

With ``HOLDBOOK_STORM_SECONDS``, which ``make soak`` sets, the measurements at the end last so long each, and their
figures say something; without it they only show that they run.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits
from support.logs import query
from support.outcomes import by_command, check_promises
from support.processes import barrier, obey, running
from support.storms import Busy, Nothing, Race, Storm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from support.postgres import Databases
    from support.processes import Peer
    from support.storms import Answer

PROCESSES = 8
THREADS = 4
CAPACITY = 100
SECONDS = float(os.environ.get("HOLDBOOK_STORM_SECONDS", "0.3"))
"""How long each measurement lasts."""
REFUSALS_PER_SECOND_MAX = 20_000

pytestmark = [pytest.mark.slow, pytest.mark.untraced]


class Workers:
    """Processes that carry out orders at the same moment."""

    def __init__(self, url: str, peers: Sequence[Peer]) -> None:
        self.url = url
        self._peers = peers

    def do(self, *orders: Callable[[Ledger], object]) -> list[Any]:
        """Give the first processes an order each, and wait until all are done; the others stand by."""
        idle = [Nothing()] * (len(self._peers) - len(orders))
        for peer, order in zip(self._peers, (*orders, *idle), strict=True):
            peer.send(order)
        return [peer.receive() for peer in self._peers][: len(orders)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def workers(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """Eight processes on one database, on each backend in turn; each test has pools of its own in it."""
    if request.param == "sqlite":
        yield from _workers(
            f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('storms') / 'holdbook.db')}"
        )
        return
    server: Databases = request.getfixturevalue("postgres_server")
    with server.database(request.getfixturevalue("postgres_template")) as name:
        yield from _workers(server.url(name))


def _workers(url: str) -> Iterator[Workers]:
    start = barrier(PROCESSES)
    with running(obey, [(start, url)] * PROCESSES) as peers:
        yield Workers(url, peers)


@pytest.fixture
def ledger(workers: Workers) -> Iterator[Ledger]:
    """A ledger of this process, to prepare pools and to look."""
    with Ledger.open(workers.url) as ledger:
        yield ledger


def open_pool(ledger: Ledger, pool: str, total: int) -> str:
    """Open a pool and give its name."""
    ledger.open_pool(pool, resource_type="thing", limits=Limits(total=total))
    return pool


def grants(url: str, pool: str) -> int:
    """Count the grants in the log, past all of our code."""
    found = query(url, f"SELECT count(*) FROM events WHERE stream_id = 'pool:{pool}' AND type = 'Allocated'")  # noqa: S608 - names of our own
    return int(found[0][0])


def test_the_race_for_the_last_units(workers: Workers, ledger: Ledger) -> None:
    """Threads of eight processes that race for the last units of several pools end at exactly the capacity of each."""
    pools = [open_pool(ledger, f"race-{number}", CAPACITY) for number in range(THREADS)]
    for pool in pools:
        ledger.allocate({pool: CAPACITY - 40}, owner="before")
    taken = workers.do(*[Race(pools, THREADS)] * PROCESSES)
    for pool in pools:
        assert sum(of_process[pool] for of_process in taken) == 40
        assert grants(workers.url, pool) == 41
        assert (ledger.pool(pool).used, ledger.pool(pool).free) == (CAPACITY, 0)
    check_promises(ledger)


def test_a_retry_storm(workers: Workers, ledger: Ledger) -> None:
    """When half of all commands repeat the ids of any process, each id has one outcome, told to all who ask."""
    pool = open_pool(ledger, "retries", CAPACITY)
    storms = [Storm(pool, me, PROCESSES, commands=10, threads=THREADS) for me in range(PROCESSES)]
    told: dict[str, list[Answer]] = defaultdict(list)
    for answer in (answer for answers in workers.do(*storms) for answer in answers):
        told[answer.command_id].append(answer)
    log = {command_id: rows for command_id, rows in by_command(workers.url).items() if command_id.startswith(pool)}
    assert set(told) == set(log)
    assert len(told) == PROCESSES * THREADS * 10
    for command_id, answers in told.items():
        assert {(one.position, one.code is None) for one in answers} == {
            (log[command_id][0][0], log[command_id][0][3] == "Allocated")
        }
        assert [one.repeated for one in answers].count(False) == 1
    assert sum(answers[0].code is None for answers in told.values()) == grants(workers.url, pool) == CAPACITY
    check_promises(ledger)


def test_a_refusal_storm(workers: Workers, ledger: Ledger) -> None:
    """While one process is refused again and again at a full pool, another has all that it asks for from its own."""
    full, roomy = open_pool(ledger, "full", 1), open_pool(ledger, "roomy", 10_000)
    ledger.allocate({full: 1}, owner="a")
    refused, granted = workers.do(Busy(full, "refused", commands=400), Busy(roomy, "granted", commands=200))
    assert refused[0] == {"pool_exhausted": 400}
    assert granted[0] == {None: 200}
    assert (ledger.pool(full).used, ledger.pool(roomy).used) == (1, 200)
    log = by_command(workers.url)
    assert sum(rows[0][1] == "refusals:full" for rows in log.values()) == 400
    check_promises(ledger)


# Measurements: what they find is printed, and nothing fails for being slow


def report(workers: Workers, what: str, found: float, wanted: float) -> None:
    """Print a ratio beside the one that is wanted."""
    backend = workers.url.partition(":")[0].partition("+")[0]
    verdict = "as wanted" if found >= wanted else "MISSED"
    print(f"{backend}: {what}: {found:.2f}, at least {wanted:.2f} wanted: {verdict}")  # noqa: T201 - the report of a soak


def rate(result: tuple[dict[str | None, int], float]) -> float:
    """Say how many commands a second were answered."""
    told, seconds = result
    return sum(told.values()) / seconds


def test_measure_retries(workers: Workers, ledger: Ledger) -> None:
    """A retry storm keeps half of the throughput that there is without repeats."""
    pool = open_pool(ledger, "measured-retries", 10**9)
    alone = workers.do(*(Busy(pool, f"fresh-{n}", seconds=SECONDS) for n in range(2)))
    storm = workers.do(*(Busy(pool, f"again-{n}", "half repeats", seconds=SECONDS) for n in range(2)))
    rates = [sum(map(rate, results)) for results in (alone, storm)]
    report(workers, f"with half repeats {rates[1]:.0f}/s, without {rates[0]:.0f}/s", rates[1] / rates[0], 1 / 2)
    assert all(set(told) == {None} for told, _ in (*alone, *storm))


def test_measure_refusals(workers: Workers, ledger: Ledger) -> None:
    """Grants beside a refusal storm of another process keep a third of their throughput alone."""
    full, roomy = open_pool(ledger, "measured-full", 1), open_pool(ledger, "measured-roomy", 10**9)
    ledger.allocate({full: 1}, owner="a")
    [alone] = workers.do(Busy(roomy, "alone", seconds=SECONDS))
    storm = Busy(full, "storm", seconds=SECONDS, in_flight=500, per_second_max=REFUSALS_PER_SECOND_MAX)
    beside, refused = workers.do(Busy(roomy, "beside", seconds=SECONDS), storm)
    what = f"grants beside {rate(refused):.0f} refusals/s {rate(beside):.0f}/s, alone {rate(alone):.0f}/s"
    report(workers, what, rate(beside) / rate(alone), 1 / 3)
    assert set(beside[0]) == set(alone[0]) == {None}
    assert set(refused[0]) == {"pool_exhausted"}


@pytest.mark.parametrize("processes", [4, 8])
def test_measure_shares(workers: Workers, ledger: Ledger, processes: int) -> None:
    """Processes on one hot pool have fair shares of it; none ever fails because others hold the lock."""
    pool = open_pool(ledger, f"hot-{processes}", 10**9)
    results = workers.do(*(Busy(pool, f"share-{processes}-{n}", seconds=SECONDS) for n in range(processes)))
    rates = sorted(map(rate, results))
    what = f"{processes} processes on one pool {sum(rates):.0f}/s, the slowest by the fastest"
    report(workers, what, rates[0] / rates[-1], 1 / 4)
    assert all(set(told) == {None} for told, _ in results)
    assert ledger.pool(pool).used == sum(sum(told.values()) for told, _ in results)
