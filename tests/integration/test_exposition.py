"""What Prometheus is told is what the database and the views say, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from holdbook import Allocate, Ledger, Limits
from holdbook.domain.commands import command_from
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.monitoring.prometheus import LedgersCollector
from holdbook.infrastructure.views.queries import Published
from holdbook.projections.views.catalogue import VIEWS
from holdbook.projections.views.metrics import LASTED
from support.logs import Clock, execute
from support.scraping import Scrape, collect
from support.workloads import made_up

if TYPE_CHECKING:
    from holdbook.domain.ports import Clock as AnyClock


HOUR = timedelta(hours=1)


def scrape(ledger: Ledger, clock: AnyClock = system_clock) -> Scrape:
    """Read a ledger as Prometheus does."""
    registry = CollectorRegistry()
    registry.register(LedgersCollector(lambda: [ledger], clock=clock))
    return collect(registry)


def test_counters_and_pools_are_those_of_the_views(database_url: str) -> None:
    """After grants, refusals and expiries, counters equal the view `metrics`, pools what the ledger itself says."""
    with Ledger.open(database_url) as ledger:
        ledger.record([command_from(line) for line in made_up(300)])
        ledger.open_pool("late", resource_type="disk", limits=Limits(total=5))
        ledger.allocate({"late": 2}, owner="a")
        ledger.projector().catch_up()
        rows = list(Published(ledger).metrics(by_pool=True).rows)
        now = system_clock()
        found = scrape(ledger, lambda: now)
        pools, allocations = ledger.pools(), ledger.allocations()
    done = {(row["pool"], row["operation"]): row["count"] for row in rows if row["outcome"] == "done"}
    refused = {
        (row["pool"], row["operation"], row["code"]): row["count"] for row in rows if row["outcome"] == "refused"
    }
    assert {operation for _, operation in done} >= {"allocate", "release", "expire", "open_pool"}
    assert found.all("holdbook_operations_total", "pool", "operation") == done
    assert found.all("holdbook_refusals_total", "pool", "operation", "code") == refused != {}
    assert found.all("holdbook_log_events_total") == {(): pools.position}
    for name, values in {
        "capacity": {(one.name,): one.capacity for one in pools},
        "used": {(one.name,): one.used for one in pools},
        "free": {(one.name,): one.free for one in pools},
        "allocations": {(one.name,): one.allocations for one in pools},
    }.items():
        assert found.all(f"holdbook_pool_{name}", "pool") == values, name
    oldest = {(pool,): one.opened_at for one in reversed(allocations) for pool in one.quantities}
    ages = {pool: pytest.approx((now - opened_at).total_seconds()) for pool, opened_at in oldest.items()}
    assert found.all("holdbook_pool_oldest_allocation_age_seconds", "pool") == ages
    assert ("late",) in ages
    assert found.value("holdbook_pool_info", ledger=ledger.log.ledger_id, pool="late", resource_type="disk") == 1


def test_holds_have_a_histogram(database_url: str) -> None:
    """How long holds lasted is the view's histogram, each bucket with all that is shorter, in seconds."""
    with Ledger.open(database_url) as ledger:
        ledger.record([command_from(line) for line in made_up(120)])
        ledger.projector().catch_up()
        [row] = [
            row
            for row in Published(ledger).metrics(by_pool=True).rows
            if (row["pool"], row["operation"]) == ("cpu", "release") and row["outcome"] == "done"
        ]
        found = scrape(ledger)
    labels = {"ledger": ledger.log.ledger_id, "pool": "cpu", "operation": "release"}
    name = "holdbook_hold_duration_seconds"
    assert found.value(f"{name}_count", **labels) == found.value(f"{name}_bucket", **labels, le="+Inf") == row["count"]
    assert found.value(f"{name}_sum", **labels) == pytest.approx(row["milliseconds"] / 1000)
    assert [found.value(f"{name}_bucket", **labels, le=str(most.total_seconds())) for most in LASTED.values()] == [
        row[column] for column in LASTED
    ]


def test_what_has_lapsed_holds_nothing(database_url: str) -> None:
    """Past its deadline an allocation is neither used nor open nor the oldest, but lapsed, until that is recorded."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        ledger.allocate({"gpu": 3}, owner="a", ttl=timedelta(seconds=10))
        clock.advance(seconds=4)
        ledger.allocate({"gpu": 1}, owner="a")
        ledger.projector().catch_up()
        columns = ("used", "free", "allocations", "allocations_lapsed", "oldest_allocation_age_seconds")

        def gpu() -> list[float | None]:
            found = scrape(ledger, clock)
            return [found.value(f"holdbook_pool_{one}", ledger=ledger.log.ledger_id, pool="gpu") for one in columns]

        assert gpu() == [4, 0, 2, 0, 4]
        clock.advance(seconds=6)
        assert gpu() == [1, 3, 1, 1, 6]
        ledger.expire()
        ledger.projector().catch_up()
        assert gpu() == [1, 3, 1, 0, 6]


def test_a_closed_pool(database_url: str) -> None:
    """Nothing of a closed pool is free; once nothing is held of it, it is not listed any more."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        held = ledger.allocate({"gpu": 3}, owner="a")
        ledger.close_pool("gpu")
        ledger.projector().catch_up()
        names = ("capacity", "used", "free", "closed")
        assert [scrape(ledger).all(f"holdbook_pool_{name}", "pool") for name in names] == [
            {("gpu",): value} for value in (4, 3, 0, 1)
        ]
        ledger.release(held.id)
        ledger.projector().catch_up()
        assert [scrape(ledger).all(f"holdbook_pool_{name}", "pool") for name in names] == [{}] * 4


def test_views_that_are_behind(database_url: str) -> None:
    """A view's lag is told in events and in time; what it has not seen is not in the counters yet."""
    clock = Clock()
    clock.now = datetime.now(UTC)
    with Ledger.open(database_url, clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        ledger.projector().catch_up()
        ledger.allocate({"gpu": 1}, owner="a")
        missed = ledger.history(ledger.allocations()[0].id)[0].recorded_at
        ledger.allocate({"gpu": 1}, owner="a")
        execute(database_url, "UPDATE generations SET stopped_at = 2, error = 'on purpose' WHERE view = 'metrics'")
        execute(database_url, "UPDATE generations SET fingerprint = 'other' WHERE view = 'pool_usage'")
        execute(database_url, "DELETE FROM generations WHERE view = 'validation_failures'")
        clock.now = missed + timedelta(minutes=2)
        found = scrape(ledger, clock)
    views = {(view.name,) for view in VIEWS}
    lag = found.all("holdbook_view_lag_events", "view")
    assert lag == {**dict.fromkeys(views, 2), ("validation_failures",): 3}
    assert found.all("holdbook_view_lag_seconds", "view")["current_allocations",] == 120
    assert found.all("holdbook_view_stopped", "view") == {**dict.fromkeys(views, 0), ("metrics",): 1}
    outdated = {("pool_usage",): 1, ("validation_failures",): 1}
    assert found.all("holdbook_view_outdated", "view") == {**dict.fromkeys(views, 0), **outdated}
    assert found.all("holdbook_pool_allocations", "pool") == {("gpu",): 0}
    assert found.all("holdbook_log_events_total") == {(): 3}


def test_views_that_are_not_there(database_url: str) -> None:
    """Without a live generation of a view, what it would tell is left out, and all else is told."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        ledger.allocate({"gpu": 1}, owner="a")
        ledger.projector().catch_up()
        execute(database_url, "UPDATE generations SET state = 'kept' WHERE view = 'metrics'")
        found = scrape(ledger)
        assert found.all("holdbook_pool_capacity", "pool") == found.all("holdbook_operations_total", "pool") == {}
        execute(database_url, "UPDATE generations SET state = 'live' WHERE view = 'metrics'")
        execute(database_url, "DELETE FROM generations WHERE view IN ('pool_usage', 'current_allocations')")
        found = scrape(ledger)
        assert (
            found.all("holdbook_pool_capacity", "pool")
            == found.all("holdbook_pool_allocations", "pool")
            == {("gpu",): 0}
        )
        execute(database_url, "UPDATE generations SET fingerprint = 'older' WHERE view = 'metrics'")
        assert scrape(ledger).all("holdbook_operations_total", "operation") == {("open_pool",): 1, ("allocate",): 1}
        execute(database_url, "DELETE FROM generations")
        found = scrape(ledger)
        assert (found.all("holdbook_up"), found.all("holdbook_log_events_total")) == ({(): 1}, {(): 2})
        assert found.all("holdbook_pool_capacity", "pool") == found.all("holdbook_operations_total", "pool") == {}


def test_who_waits(database_url: str) -> None:
    """The queue is told by pool: how many commands wait for it, and how long the first has waited."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=1))
        ledger.allocate({"gpu": 1}, owner="a")
        ledger.projector().catch_up()
        both = {"gpu": 1, "cpu": 1}
        waiting = [ledger.submit(Allocate(quantities=one, owner="b", wait=HOUR)) for one in ({"gpu": 1}, both)]
        with ledger.log.watching() as news:
            while len(ledger.queue()) < 2:
                news(0.01)
        later = ledger.queue()[0].since + timedelta(minutes=3)
        found = scrape(ledger, lambda: later)
        for one in waiting:
            one.cancel()
    assert found.all("holdbook_pool_queue_commands", "pool") == {("gpu",): 2, ("cpu",): 1}
    assert found.all("holdbook_pool_queue_age_seconds", "pool")["gpu",] == 180
