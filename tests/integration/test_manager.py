"""The manager, on each store: what is allocated and released is in the ledger, and with the provider."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bursar import (
    AllocationState,
    Ledger,
    Limits,
    LogUnavailable,
    Malformed,
    MemoryResourceProvider,
    PoolAlreadyOpen,
    RefusalCode,
    Refused,
    Resource,
    UnifiedResourceManager,
)
from support.deciding import after, events_of
from support.processes import acquire_forever, running
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from bursar.infrastructure.telemetry import Counters
    from integration.conftest import Messages
    from support.deciding import Clock

MINUTE = timedelta(minutes=1)


def kinds(ledger: Ledger) -> list[str]:
    """Name the events in the log."""
    return [type(event).__name__ for event in events_of(ledger)]


@pytest.fixture
def provider(manager: UnifiedResourceManager) -> Scripted:
    """A provider of slots, of which there are ten."""
    provider = Scripted(Limits(total=10))
    manager.register_provider("slot", provider)
    return provider


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
    assert kinds(stored_ledger) == ["PoolOpened", "Reserved", "Confirmed", "Released"]
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
    before = kinds(stored_ledger)
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
    assert kinds(stored_ledger) == before
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


# Failures on the way back


async def test_a_release_that_fails(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    counters: Counters,
    messages: Messages,
) -> None:
    """If the provider cannot take it back, that is raised, counted and logged, and the resource stays held."""
    resource = await manager.allocate("slot")
    error = OSError("busy")
    provider.steps["release"] = failing(error)
    with pytest.raises(OSError, match="busy") as raised:
        await manager.release(resource.id)
    assert raised.value is error
    assert stored_ledger.allocation(resource.id).state is AllocationState.ACTIVE
    assert (resource.state, resource.error) == ("allocated", "busy")
    assert counters.value("resource_releases", resource_type="slot", success="false") == 1
    [message] = messages.of("Resource release failed")
    assert (message["resource_id"], message["error"]) == (resource.id, "busy")
    del provider.steps["release"]
    await manager.release(resource.id)
    assert (resource.state, resource.error, stored_ledger.pool("slot").used) == ("released", None, 0)


async def test_a_ledger_that_fails_at_release(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger cannot be reached, the release can be tried again, and the provider is not asked twice."""
    resource = await manager.allocate("slot")
    with monkeypatch.context() as broken:
        broken.setattr(stored_ledger.log, "writing", _unreachable)
        with pytest.raises(LogUnavailable):
            await manager.release(resource.id)
    await manager.release(resource.id)
    assert provider.asked.count("release") == 1
    assert kinds(stored_ledger)[-1] == "Released"


def _unreachable() -> None:
    raise LogUnavailable


async def test_a_ledger_that_fails_at_reserve(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    messages: Messages,
) -> None:
    """If the right cannot be had, the provider is not asked; if it cannot be told what became of it, that is logged."""
    with monkeypatch.context() as broken:
        broken.setattr(stored_ledger.log, "writing", _unreachable)
        with pytest.raises(LogUnavailable):
            await manager.allocate("slot")
        assert messages.of("Resource allocation not undone") == []
        broken.setattr(stored_ledger.log, "reading", _unreachable)
        with pytest.raises(LogUnavailable):
            await manager.allocate("slot")
        assert len(messages.of("Resource allocation not undone")) == 1
    assert provider.asked == []
    assert kinds(stored_ledger) == ["PoolOpened"]


async def test_an_allocation_that_cannot_be_undone(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """What is made for an allocation that failed, and cannot be taken back, stays held until cleanup can."""
    provider.steps["release"] = failing(OSError("busy"))
    with pytest.raises(Malformed):
        await manager.allocate("slot", expiration_time=after(0) + timedelta(microseconds=1))
    [message] = messages.of("Resource allocation not undone")
    assert (message["error"], message["resource_type"]) == ("busy", "slot")
    assert message["allocation_id"] in provider.live
    assert stored_ledger.pool("slot").used == 1
    await manager.cleanup()
    assert stored_ledger.allocation(message["allocation_id"]).state is AllocationState.VOIDED
    assert (provider.live, stored_ledger.pool("slot").used) == (set(), 0)


async def test_an_id_that_is_taken(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """A second resource of an id that is held is an error; the first, the only one behind the id, is not taken back."""
    provider.names = ["x"] * 3
    await manager.allocate("slot")
    with pytest.raises(ValueError, match="Resource id taken: x"):
        await manager.allocate("slot")
    assert (provider.live, stored_ledger.pool("slot").used) == ({"x"}, 1)
    other = Scripted(names=["x"])
    manager.register_provider("other", other)
    with pytest.raises(ValueError, match="Resource id taken: x"):
        await manager.allocate("other")
    assert (provider.live, other.live) == ({"x"}, set())


async def test_an_id_that_is_taken_at_the_same_time(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """Of two allocations under way that get one id, one goes on."""
    provider.names = ["x"] * 2
    done = await asyncio.gather(manager.allocate("slot"), manager.allocate("slot"), return_exceptions=True)
    assert sorted(isinstance(one, Resource) for one in done) == [False, True]
    assert stored_ledger.pool("slot").used == 1
    await manager.release("x")


# Cleanup


async def test_cleanup_ends_everything(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """After cleanup nothing is held, in the ledger or by any provider; the manager can be used again."""
    other = Scripted(Limits(total=5))
    manager.register_provider("other", other)
    resources = [await manager.allocate("slot") for _ in range(3)] + [await manager.allocate("other")]
    await manager.cleanup()
    assert (provider.live, other.live, stored_ledger.allocations()) == (set(), set(), [])
    assert {resource.state for resource in resources} == {"released"}
    assert provider.asked.count("cleanup") == 1
    with pytest.raises(ValueError, match="Resource not found"):
        await manager.release(resources[0].id)
    await manager.allocate("slot")


async def test_cleanup_with_a_provider_that_fails(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """A provider that fails is logged, and what it has stays held for the next cleanup; the others are cleaned up."""
    other = Scripted(Limits(total=5))
    manager.register_provider("other", other)
    kept, gone = await manager.allocate("slot"), await manager.allocate("other")
    provider.steps["cleanup"] = failing(OSError("busy"))
    await manager.cleanup()
    assert [one.id for one in stored_ledger.allocations()] == [kept.id]
    assert (kept.state, gone.state) == ("allocated", "released")
    assert [message["error"] for message in messages.of("Provider cleanup failed")] == ["busy"]
    del provider.steps["cleanup"]
    await manager.cleanup()
    assert stored_ledger.allocations() == []


async def test_cleanup_with_a_ledger_that_fails(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    messages: Messages,
) -> None:
    """Rights that could not be ended are logged and can be ended later."""
    resources = [await manager.allocate("slot") for _ in range(2)]
    with monkeypatch.context() as broken:
        broken.setattr(stored_ledger.log, "writing", _unreachable)
        await manager.cleanup()
    assert len(messages.of("Provider cleanup failed")) == 2
    assert provider.live == set()
    assert stored_ledger.pool("slot").used == 2
    await manager.release(resources[0].id)
    await manager.cleanup()
    assert stored_ledger.pool("slot").used == 0


async def test_cleanup_that_is_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """What was not cleaned up when cleanup was cancelled is still held."""
    resource = await manager.allocate("slot")
    provider.steps["cleanup"] = hang
    task = asyncio.create_task(manager.cleanup())
    await until(lambda: "cleanup" in provider.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await manager.release(resource.id)
    assert stored_ledger.pool("slot").used == 0


# Providers


async def test_another_provider_of_the_same_type(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """What a provider made is taken back by that provider, though another has its place."""
    one, two = await manager.allocate("slot"), await manager.allocate("slot")
    other = Scripted(Limits(total=10))
    manager.register_provider("slot", other)
    await manager.release(one.id)
    assert (provider.live, other.asked) == ({two.id}, [])
    await manager.cleanup()
    assert (provider.live, stored_ledger.allocations()) == (set(), [])


def test_a_pool_that_does_not_fit(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """A provider whose limits are not those that the pool was opened with is turned away, with the way out."""
    stored_ledger.open_pool("slot", resource_type="slot", limits=Limits(total=5))
    with pytest.raises(PoolAlreadyOpen, match="change_limits"):
        manager.register_provider("slot", Scripted(Limits(total=10)))
    with pytest.raises(ValueError, match="Provider not found"):
        asyncio.run(manager.allocate("slot"))
    manager.register_provider("slot", Scripted(Limits(total=5)))


async def test_a_pool_that_does_not_fit_in_a_loop(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """Within a running loop registering does not wait for the ledger; allocations say what is wrong."""
    stored_ledger.open_pool("slot", resource_type="slot", limits=Limits(total=5))
    manager.register_provider("slot", Scripted(Limits(total=10)))
    for _ in range(2):
        with pytest.raises(PoolAlreadyOpen, match="change_limits"):
            await manager.allocate("slot")


async def test_any_pool_will_do(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """A provider without limits of its own takes a pool as it finds it, and opens one without bounds where none is."""
    stored_ledger.open_pool("slot", resource_type="place", unit="seats", limits=Limits(total=1))
    for name in ("slot", "free"):
        manager.register_provider(name, Scripted())
        await manager.allocate(name)
    assert [pool.capacity for pool in stored_ledger.pools()] == [2**63 - 1, 1]
    with pytest.raises(Refused, match="pool_exhausted"):
        await manager.allocate("slot")


async def test_limits_that_an_operator_changed_hold(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """The pool's present limits hold, not those that the provider opened it with; registering again changes nothing."""
    stored_ledger.change_limits("slot", Limits(total=1))
    manager.register_provider("slot", provider)
    await manager.allocate("slot")
    with pytest.raises(Refused, match="pool_exhausted"):
        await manager.allocate("slot")


async def test_memory_under_a_ledger(stored_ledger: Ledger) -> None:
    """The limits of the memory provider are the pool's; an explicit `max_size` refuses."""
    manager = UnifiedResourceManager(stored_ledger)
    memory = MemoryResourceProvider({"total": 1000, "max_size": 600})
    manager.register_provider("memory", memory)
    resource = await manager.allocate("memory", size=600)
    assert await memory.validate(resource) == []
    for size, code in ((601, RefusalCode.ABOVE_MAX_SIZE), (401, RefusalCode.POOL_EXHAUSTED)):
        with pytest.raises(Refused) as refused:
            await manager.allocate("memory", size=size)
        assert refused.value.code is code
    with pytest.raises(TypeError, match="size"):
        await manager.allocate("memory")
    await manager.release(resource.id)
    assert await memory.validate(resource) == ["Resource not allocated"]


# Many at once


async def test_a_hundred_tasks_on_a_pool_of_ten(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """Of a hundred tasks that want one of ten, exactly ten are granted, and ninety refused."""
    done = await asyncio.gather(*(manager.allocate("slot") for _ in range(100)), return_exceptions=True)
    resources = [one for one in done if isinstance(one, Resource)]
    assert sum(isinstance(one, Refused) for one in done) == 90
    assert {one.id for one in resources} == provider.live
    assert len(resources) == stored_ledger.pool("slot").used == 10
    await asyncio.gather(*(manager.release(one.id) for one in resources))
    assert (provider.live, stored_ledger.pool("slot").used) == (set(), 0)


async def test_one_release_of_two_at_once(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """Of two tasks that release one resource at once, one does."""
    resource = await manager.allocate("slot")
    done = await asyncio.gather(*(manager.release(resource.id) for _ in range(2)), return_exceptions=True)
    assert [str(one) for one in done if one] == [f"Resource not found: {resource.id}"]
    assert provider.asked.count("release") == 1


async def test_two_managers_share_a_database(database_url: str) -> None:
    """Two managers over one database, each with a ledger and a provider of its own, keep one limit together."""
    with Ledger.open(database_url) as one, Ledger.open(database_url) as other:
        managers = [UnifiedResourceManager(ledger) for ledger in (one, other)]
        for manager in managers:
            manager.register_provider("slot", Scripted(Limits(total=10)))
        done = await asyncio.gather(
            *(manager.allocate("slot") for manager in managers for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(one, Resource) for one in done) == 10
        await managers[0].cleanup()
        await managers[1].cleanup()
        assert one.allocations() == other.allocations() == []


@pytest.mark.crash
def test_a_crash_between_the_phases(database_url: str) -> None:
    """If the process is killed while the provider works, the reservation lapses and the whole pool is free again."""
    with running(acquire_forever, [(database_url,)]) as [peer]:
        assert peer.receive() == "acquiring"
        peer.kill()
    with Ledger.open(database_url) as ledger:
        [reserved] = ledger.allocations()
        assert (reserved.state, ledger.pool("slot").free) == (AllocationState.RESERVED, 0)
    with Ledger.open(database_url, clock=lambda: datetime.now(UTC) + MINUTE) as ledger:
        assert ledger.pool("slot").free == 1
        manager = UnifiedResourceManager(ledger)
        manager.register_provider("slot", Scripted(Limits(total=1)))
        asyncio.run(manager.allocate("slot"))
        assert ledger.allocation(reserved.id).state is AllocationState.EXPIRED


async def test_without_a_ledger() -> None:
    """A manager that is given no ledger keeps a private one, which it shows."""
    one, other = UnifiedResourceManager(), UnifiedResourceManager()
    for manager in (one, other):
        manager.register_provider("slot", Scripted(Limits(total=1)))
        await manager.allocate("slot")
    assert one.ledger.pool("slot").used == other.ledger.pool("slot").used == 1
