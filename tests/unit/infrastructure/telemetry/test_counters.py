"""Counters, the monitor that counts operations, and what ledgers count of themselves."""

from concurrent.futures import ThreadPoolExecutor
from gc import collect
from math import inf
from weakref import ref

import pytest

from holdbook import Allocate, Ledger, Limits, Malformed, ResourceMonitor
from holdbook.infrastructure.telemetry.counters import COUNTERS, LEDGERS, Count, Counters, Distribution, Histogram


def test_counters_are_told_apart_by_their_labels() -> None:
    """One name with other labels is another counter; the order of labels means nothing."""
    counters = Counters()
    counters.counter("grants", 1, pool="gpu", name="a")
    counters.counter("grants", 2, name="a", pool="gpu")
    counters.counter("grants", pool="cpu")
    assert counters.value("grants", pool="gpu", name="a") == 3
    assert counters.value("grants", pool="disk") == 0
    assert counters.read() == [
        Count("grants", {"name": "a", "pool": "gpu"}, 3),
        Count("grants", {"pool": "cpu"}, 1),
    ]


def test_counters_lose_nothing_between_threads() -> None:
    """Threads that count at once are all counted."""
    counters = Counters()

    def count(_number: int) -> None:
        for _ in range(500):
            counters.counter("turns")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert counters.value("turns") == 4000


async def test_the_monitor_counts_operations() -> None:
    """Allocations and releases are counted by type and success, with the labels given."""
    counters = Counters()
    monitor = ResourceMonitor(counters=counters)
    await monitor.record_allocation("memory")
    await monitor.record_allocation("memory", success=False, zone="a")
    await monitor.record_release("memory")
    shared = {"resource_type": "memory"}
    assert monitor.counts() == [
        Count("resource_operations", {"operation": "allocate", **shared, "success": "false", "zone": "a"}, 1),
        Count("resource_operations", {"operation": "allocate", **shared, "success": "true"}, 1),
        Count("resource_operations", {"operation": "release", **shared, "success": "true"}, 1),
    ]


def test_monitors_share_the_registry_of_the_process() -> None:
    """A monitor that is given no registry reads the process's."""
    COUNTERS.counter("test_monitors_share")
    assert Count("test_monitors_share", {}, 1) in ResourceMonitor().counts()


def test_a_histogram_counts_all_that_is_smaller_too() -> None:
    """A value counts in each bucket that is as great or greater, one beyond them all in the last."""
    histogram = Histogram((1, 10))
    for value in (0.5, 1, 2, 11):
        histogram.observe(value)
    assert histogram.read() == Distribution(((1, 2), (10, 3), (inf, 4)), 14.5)
    assert histogram.read().plus(histogram.read()) == Distribution(((1, 4), (10, 6), (inf, 8)), 29.0)


def test_a_ledger_counts_what_it_commits() -> None:
    """Each transaction counts once, with its commands and its events, whoever asks; a refusal is an event too."""
    with Ledger.in_memory() as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2))
        ledger.record([Allocate(quantities={"gpu": 1}, owner="a"), Allocate(quantities={"gpu": 9}, owner="a")])
        with pytest.raises(Malformed):
            ledger.record([Allocate(quantities={"gpu": 1}, owner="a"), "no command"])  # type: ignore[list-item]  # wrong on purpose
        (commits,) = (one.commits for one in LEDGERS.read() if one.ledger is ledger)
        assert commits.events == 3
        assert commits.failures == 0
        assert commits.commands.read().buckets[:2] == ((1, 1), (2, 2))
        assert commits.seconds.read().buckets[-1] == (inf, 2)


def test_a_ledger_is_listed_as_long_as_it_is_open() -> None:
    """One that is closed, or that nobody holds any more, is not among the process's ledgers."""
    closed = Ledger.in_memory()
    forgotten = ref(Ledger.in_memory())
    assert closed in [one.ledger for one in LEDGERS.read()]
    closed.close()
    collect()
    assert forgotten() is None
    assert closed not in [one.ledger for one in LEDGERS.read()]
