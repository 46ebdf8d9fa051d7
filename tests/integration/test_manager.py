"""The manager, on each store: what is allocated and released is in the ledger, and with the provider."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import (
    AllocationState,
    Ledger,
    Limits,
    Malformed,
    RefusalCode,
    Refused,
    UnifiedResourceManager,
)
from support.deciding import after, kinds_of
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from holdbook.infrastructure.telemetry.counters import Counters
    from integration.conftest import Messages
    from support.deciding import Clock

MINUTE = timedelta(minutes=1)


# Allocating and releasing


async def test_the_life_of_a_resource(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, counters: Counters
) -> None:
    """A resource is reserved, made, confirmed, and when it is released taken back and released in the ledger."""
    resource = await manager.allocate("slot", size=3, tags={"job": "42"}, owner="ann", limits={"cpu": 2})
    held = stored_ledger.allocation(resource.id)
    assert (held.state, held.owner, held.quantities, held.tags) == (
        AllocationState.ACTIVE,
        "ann",
        {"slot": 3},
        {"job": "42"},
    )
    metadata = resource.metadata
    assert metadata is provider.metadata
    assert (metadata.resource_type, metadata.limits, metadata.tags) == ("slot", {"cpu": 2}, {"job": "42"})
    assert (metadata.allocation_time, metadata.expiration_time) == (after(0), None)
    assert metadata.allocation_time.tzinfo is UTC
    assert provider.options["allocation_id"] == resource.id
    await manager.release(resource.id)
    assert kinds_of(stored_ledger) == ["PoolOpened", "Reserved", "Confirmed", "Released"]
    assert (provider.live, resource.state, resource.error) == (set(), "released", None)
    assert counters.value("resource_allocations", resource_type="slot", success="true") == 1
    assert counters.value("resource_releases", resource_type="slot", success="true") == 1


async def test_an_id_of_the_provider_s_own(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A provider may name its resources itself: they are released by that name, and the right has its own."""
    provider.names = ["port-8080"]
    resource = await manager.allocate("slot")
    assert resource.id == "port-8080"
    assert [one.id for one in stored_ledger.allocations()] == [provider.options["allocation_id"]]
    await manager.release("port-8080")
    assert stored_ledger.pool("slot").used == 0


async def test_the_owner_is_the_type_if_nobody_is_named(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A resource that is for nobody in particular is owned by its type, and takes one unit of it."""
    resource = await manager.allocate("slot", tags=None, limits=None)
    assert stored_ledger.allocation(resource.id).owner == "slot"
    assert stored_ledger.pool("slot").used == len(provider.live) == 1


async def test_unknown_names_are_value_errors(manager: UnifiedResourceManager, counters: Counters) -> None:
    """A type without a provider, and an id that is not held, are errors of the caller that nobody counts."""
    with pytest.raises(ValueError, match=r"^Provider not found: slot$"):
        await manager.allocate("slot")
    with pytest.raises(ValueError, match=r"^Resource not found: x$"):
        await manager.release("x")
    assert counters.read() == []


async def test_a_refusal_asks_no_provider(
    manager: UnifiedResourceManager, provider: Scripted, counters: Counters, messages: Messages
) -> None:
    """What the ledger refuses is a `Refused`, which is a ValueError, counted and logged; the provider hears nothing."""
    with pytest.raises(Refused, match="above_capacity") as refused:
        await manager.allocate("slot", size=11)
    assert isinstance(refused.value, ValueError)
    assert provider.asked == []
    assert counters.value("resource_allocations", resource_type="slot", success="false") == 1
    [message] = messages.of("Resource allocation failed")
    assert (message["resource_type"], message["error"]) == ("slot", str(refused.value))


async def test_a_provider_that_fails(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    counters: Counters,
    messages: Messages,
) -> None:
    """The provider's error is raised as it is, counted and logged, and the right is voided with it as the reason."""
    error = OSError("no such\ndevice")
    provider.steps["allocate"] = failing(error)
    with pytest.raises(OSError, match="no such") as raised:
        await manager.allocate("slot")
    assert raised.value is error
    right = stored_ledger.allocation(provider.options["allocation_id"])
    assert (right.state, right.reason) == (AllocationState.VOIDED, "no such device")
    assert counters.value("resource_allocations", resource_type="slot", success="false") == 1
    assert [message["error"] for message in messages.found] == ["no such device"]


async def test_malformed_options_leave_no_trace(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """What is not well formed is an error that names it; nothing is recorded and nothing is made."""
    before = kinds_of(stored_ledger)
    wrong: dict[str, dict[str, Any]] = {
        "quantities.slot": {"size": True},
        "tags.a": {"tags": {"a": 1}},
        "owner": {"owner": " x"},
        "expiration_time": {"expiration_time": datetime(2027, 1, 1)},  # noqa: DTZ001 - that is the point
        "allocation_id": {"allocation_id": "mine"},
    }
    for parameter, value in wrong.items():
        with pytest.raises(Malformed) as malformed:
            await manager.allocate("slot", **value)
        assert malformed.value.parameter == parameter
    assert kinds_of(stored_ledger) == before
    assert provider.asked == []


# Time


async def test_the_expiration_time_is_the_right_s_deadline(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """The right ends when it was asked to; the time that the provider took is not added."""

    async def take_a_while() -> None:
        await asyncio.sleep(0)

    provider.steps["allocate"] = take_a_while
    resource = await manager.allocate("slot", expiration_time=after(3600))
    assert resource.metadata.expiration_time == after(3600)
    deadline = stored_ledger.allocation(resource.id).deadline
    assert deadline is not None
    assert after(3590) < deadline <= after(3600)  # the clock stands still, so that what was taken off shows


async def test_the_pool_s_default_is_told(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """Without an expiration time the pool's default holds, and the resource says so; its reservation is no longer."""
    provider = Scripted(Limits(total=1, default_ttl=timedelta(seconds=20), max_ttl=timedelta(seconds=30)))
    manager.register_provider("lease", provider)
    resource = await manager.allocate("lease")
    assert resource.metadata.expiration_time == after(20) == stored_ledger.allocation(resource.id).deadline


async def test_an_expiration_time_that_has_passed(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A time that has passed, or passes while the resource is made, is an error; nothing stays behind."""
    with pytest.raises(Malformed, match="expiration_time: expected a time after"):
        await manager.allocate("slot", expiration_time=after(0))
    assert provider.asked == []
    with pytest.raises(Malformed, match="expiration_time: expected a time after"):
        await manager.allocate("slot", expiration_time=after(0) + timedelta(microseconds=1))
    assert (provider.asked, provider.live) == (["allocate", "release"], set())
    assert stored_ledger.pool("slot").used == 0


async def test_a_provider_that_is_too_slow(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """If the reservation lapses while the provider works, its resource is taken back and the lapse is raised."""

    async def take_a_minute() -> None:
        fixed_clock.set(60)

    provider.steps["allocate"] = take_a_minute
    with pytest.raises(Refused) as refused:
        await manager.allocate("slot")
    assert refused.value.code is RefusalCode.ALLOCATION_ENDED
    assert (provider.live, stored_ledger.pool("slot").used) == (set(), 0)


async def test_release_after_the_end(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    fixed_clock: Clock,
    messages: Messages,
) -> None:
    """Releasing what has expired, or what an operator released, gives it back to the provider and is no error."""
    one = await manager.allocate("slot", expiration_time=after(30))
    two = await manager.allocate("slot")
    fixed_clock.set(30)
    stored_ledger.release(two.id)
    await manager.release(one.id)
    await manager.release(two.id)
    assert (one.state, two.state, provider.live) == ("released", "released", set())
    assert len(messages.of("Resource released after its right had ended")) == 2


async def test_what_is_not_over_by_its_own_pool(
    manager: UnifiedResourceManager, provider: Scripted, fixed_clock: Clock
) -> None:
    """After a clock has stepped back, what is held lasts by its own pool's time, whatever another pool's is."""
    other = Scripted()
    manager.register_provider("other", other)
    first = await manager.allocate("other")
    fixed_clock.set(60)
    await manager.allocate("slot")
    fixed_clock.set(0)
    held = await manager.allocate("other", expiration_time=after(30))
    asked = await manager.allocate("slot")
    assert other.live == {first.id, held.id}
    assert asked.id in provider.live
    fixed_clock.set(30)
    await manager.allocate("slot")
    assert other.live == {first.id}


async def test_what_expired_is_taken_back(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """The next allocation has the provider take back what is held beyond its deadline, and leaves what was renewed."""
    expired = await manager.allocate("slot", size=5, expiration_time=after(30))
    renewed = await manager.allocate("slot", size=5, expiration_time=after(30))
    stored_ledger.renew(renewed.id, ttl=2 * MINUTE)
    fixed_clock.set(40)
    new = await manager.allocate("slot", size=5)
    assert provider.live == {renewed.id, new.id}
    assert expired.state == "expired"
    with pytest.raises(ValueError, match="Resource not found"):
        await manager.release(expired.id)
    fixed_clock.set(120)
    await manager.allocate("slot", size=5)
    assert renewed.state == "expired"
    assert new.id in provider.live


async def test_what_was_released_in_time_is_not_taken_back(
    manager: UnifiedResourceManager, provider: Scripted, fixed_clock: Clock
) -> None:
    """A deadline of what was released before means nothing."""
    resource = await manager.allocate("slot", expiration_time=after(30))
    await manager.release(resource.id)
    fixed_clock.set(40)
    await manager.allocate("slot")
    assert provider.asked == ["allocate", "release", "allocate"]


async def test_taking_back_may_fail(
    manager: UnifiedResourceManager, provider: Scripted, fixed_clock: Clock, messages: Messages
) -> None:
    """A provider that cannot take back what expired is asked again with the next allocation, which it does not stop."""
    expired = await manager.allocate("slot", expiration_time=after(30))
    fixed_clock.set(40)
    provider.steps["release"] = failing(OSError("busy"))
    await manager.allocate("slot")
    assert [message["error"] for message in messages.of("Expired resource not released")] == ["busy"]
    del provider.steps["release"]
    await manager.allocate("slot")
    assert expired.id not in provider.live
    assert len(provider.live) == 2


async def test_taking_back_may_be_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """An allocation that is cancelled while something else is taken back leaves both to be ended later."""
    expired = await manager.allocate("slot", expiration_time=after(30))
    fixed_clock.set(40)
    provider.steps["release"] = hang
    task = asyncio.create_task(manager.allocate("slot"))
    await until(lambda: "release" in provider.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del provider.steps["release"]
    await manager.release(expired.id)
    assert (provider.live, stored_ledger.pool("slot").used) == (set(), 0)


async def test_released_while_it_is_looked_at(
    manager: UnifiedResourceManager, provider: Scripted, fixed_clock: Clock
) -> None:
    """What its holder releases while the manager looks whether it expired is released once."""
    expired = await manager.allocate("slot", expiration_time=after(30))
    fixed_clock.set(40)
    find = manager._rights.find  # noqa: SLF001 - the only place to stand between the two

    async def slowly(right: str) -> object:
        found = await find(right)
        await manager.release(expired.id)
        return found

    manager._rights.find = slowly  # type: ignore[method-assign, assignment]  # noqa: SLF001
    await manager.allocate("slot")
    assert provider.asked.count("release") == 1
