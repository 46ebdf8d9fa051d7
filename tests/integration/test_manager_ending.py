"""The manager, on each store: what fails on the way back, cleanup, providers that do not fit, many at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import (
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
from support.deciding import after, kinds_of
from support.processes import acquire_forever, running
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from holdbook.infrastructure.telemetry.counters import Counters
    from integration.conftest import Messages

MINUTE = timedelta(minutes=1)


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
    assert kinds_of(stored_ledger)[-1] == "Released"


def _unreachable(*_: object) -> None:
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
    assert kinds_of(stored_ledger) == ["PoolOpened"]


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
