"""Counters, and the monitor that counts operations."""

from concurrent.futures import ThreadPoolExecutor

from bursar import ResourceMonitor
from bursar.infrastructure.telemetry import COUNTERS, Count, Counters


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
