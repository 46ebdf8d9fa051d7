"""The process's registry: the seed's counters, what ledgers do themselves."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from holdbook import Allocate, Ledger, Limits, ResourceMonitor
from holdbook.infrastructure.monitoring.catalogue import PROGRAM
from holdbook.infrastructure.monitoring.prometheus import (
    CommitsCollector,
    CountersCollector,
    LedgersCollector,
    label_name,
)
from holdbook.infrastructure.telemetry.counters import Counters, MeasuredLedger, OpenLedgers
from holdbook.metrics import registry
from support.logs import Clock, execute
from support.scraping import Scrape, collect

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def scraped(*collectors: Collector) -> Scrape:
    """Scrape collectors of a test's own."""
    own = CollectorRegistry()
    for collector in collectors:
        own.register(collector)
    return collect(own)


# The seed's counters


async def test_the_seed_s_counters() -> None:
    """They have the seed's names and labels; those of operations are free, and are made names that are allowed."""
    counters = Counters()
    monitor = ResourceMonitor(counters=counters)
    await monitor.record_allocation("memory", zone="a")
    await monitor.record_release("memory", success=False, **{"zone-of/use": "b"})
    await monitor.record_release("memory", success=False, zone_of_use="b")
    counters.counter("resource_allocations", 3, resource_type="memory", success="true")
    counters.counter("resource_releases", 2, resource_type="memory", success="false")
    counters.counter("of_another_name", 2)
    found = scraped(CountersCollector(counters))
    shared = {"resource_type": "memory"}
    allocated = {**shared, "operation": "allocate", "success": "true", "zone": "a"}
    released = {**shared, "operation": "release", "success": "false", "zone_of_use": "b"}
    assert found.value("resource_operations_total", **allocated) == 1
    assert found.value("resource_operations_total", **released) == 2
    assert found.value("resource_allocations_total", **shared, success="true") == 3
    assert found.value("resource_releases_total", **shared, success="false") == 2
    assert found.families.keys() == {metric.name for metric in PROGRAM}


@pytest.mark.parametrize(
    ("given", "name"),
    [("zone", "zone"), ("é b", "label___b"), ("1st", "label_1st"), ("__name__", "label___name__"), ("", "label_")],
)
def test_names_of_labels(given: str, name: str) -> None:
    """Any text becomes a name that Prometheus takes, and that is not one of its own."""
    assert label_name(given) == name


# Ledgers


def test_what_a_ledger_of_the_process_does() -> None:
    """Batches, commands, events and what waits are told by ledger, all objects of one ledger added up."""
    ledgers = OpenLedgers[MeasuredLedger]()
    with Ledger.in_memory() as first, Ledger(first.log) as second:
        for ledger in (first, second):
            ledgers.add(ledger, ledger._group.commits, ledger._group.committer)  # noqa: SLF001 - as the ledger does itself
        first.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        second.record([Allocate(quantities={"gpu": 1}, owner="a")] * 3)
        with second._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
            second.submit(Allocate(quantities={"gpu": 1}, owner="a"))
            while not second._group.committer.committing:  # noqa: SLF001 - it is taken, and what comes now is not
                sleep(0)
            waiting = second.submit(Allocate(quantities={"gpu": 1}, owner="a"))
            found = scraped(CommitsCollector(ledgers))
        waiting.result()
    labels = {"ledger": first.log.ledger_id}
    assert found.value("holdbook_commit_events_total", **labels) == 4
    assert found.value("holdbook_commit_failures_total", **labels) == 0
    assert found.value("holdbook_commands_waiting", **labels) == 1
    assert found.value("holdbook_commands_committing", **labels) == 1
    assert found.value("holdbook_commit_commands_sum", **labels) == 4
    assert found.value("holdbook_commit_commands_bucket", le="2.0", **labels) == 1
    assert found.value("holdbook_commit_commands_bucket", le="5.0", **labels) == 2
    assert found.value("holdbook_commit_duration_seconds_count", **labels) == 2


def test_a_ledger_in_memory() -> None:
    """Its pools are told as they are now; it has no views, so nothing is said of operations and of views."""
    clock = Clock()
    with Ledger.in_memory(clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="device", limits=Limits(total=4))
        ledger.open_pool("idle", resource_type="device", limits=Limits(total=4))
        ledger.allocate({"gpu": 1}, owner="a")
        clock.advance(seconds=5)
        ledger.allocate({"gpu": 2}, owner="a")
        waiting = ledger.submit(Allocate(quantities={"gpu": 2}, owner="a", wait=timedelta(hours=1)))
        while not ledger.queue():
            sleep(0)
        clock.advance(seconds=5)
        found = scraped(LedgersCollector(lambda: [ledger, ledger], clock=clock))
        waiting.cancel()
        name = ledger.log.ledger_id
    gpu = {"ledger": name, "pool": "gpu"}
    assert found.value("holdbook_up", ledger=name) == 1
    assert found.all("holdbook_ledger_info", "ledger", "database").keys() == {(name, "memory")}
    assert found.all("holdbook_pool_info", "pool", "resource_type").keys() == {("gpu", "device"), ("idle", "device")}
    assert [found.value(f"holdbook_pool_{one}", **gpu) for one in ("capacity", "used", "free", "allocations")] == [
        4,
        3,
        1,
        2,
    ]
    assert found.all("holdbook_pool_oldest_allocation_age_seconds", "pool") == {("gpu",): 10}
    assert found.all("holdbook_pool_queue_commands", "pool") == {("gpu",): 1, ("idle",): 0}
    assert found.all("holdbook_pool_queue_age_seconds", "pool") == {("gpu",): 5}
    assert found.value("holdbook_log_events_total", ledger=name) == 4
    assert found.all("holdbook_operations_total", "operation") == found.all("holdbook_view_stopped", "view") == {}


def test_a_database_that_cannot_be_read(sqlite_url: str) -> None:
    """It is told that it is not up, and nothing else that it holds; what the process does is told all the same."""
    with Ledger.open(sqlite_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        execute(sqlite_url, "ALTER TABLE generations RENAME TO gone")
        found = collect(registry)
        name = ledger.log.ledger_id
        assert found.value("holdbook_up", ledger=name) == 0
        assert found.value("holdbook_log_events_total", ledger=name) is None
        assert found.value("holdbook_commit_events_total", ledger=name) == 1
        execute(sqlite_url, "ALTER TABLE gone RENAME TO generations")
        assert collect(registry).value("holdbook_up", ledger=name) == 1
    assert collect(registry).value("holdbook_up", ledger=name) is None
