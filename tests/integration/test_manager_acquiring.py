"""The manager: resources for as long as a block runs, what is wrong with one, and rights with a name."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import (
    AllocationState,
    Ledger,
    Limits,
    Malformed,
    ProviderFault,
    Refused,
    ResourceMetadata,
    UnifiedResourceManager,
)
from support.deciding import after, kinds_of
from support.in_memory import stored_ledger
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from holdbook.infrastructure.telemetry.counters import Counters
    from integration.conftest import Messages
    from support.deciding import Clock

__all__ = ["stored_ledger"]
"""A fixture."""

MINUTE = timedelta(minutes=1)


def nothing_is_held(ledger: Ledger, provider: Scripted) -> bool:
    """Tell whether neither the ledger nor the provider has anything."""
    return (ledger.pool("slot").used, provider.live) == (0, set())


# For as long as a block runs


async def test_a_block_that_returns(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, counters: Counters
) -> None:
    """A resource is held while the block runs, and released when it ends."""
    async with manager.acquire("slot", size=3, owner="ann") as resource:
        assert provider.live == {resource.id}
        assert stored_ledger.allocation(resource.id).owner == "ann"
    assert nothing_is_held(stored_ledger, provider)
    assert (resource.state, kinds_of(stored_ledger)[1:]) == ("released", ["Reserved", "Confirmed", "Released"])
    assert counters.value("resource_releases", resource_type="slot", success="true") == 1


async def test_a_block_that_raises(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """What the block raises is raised, once the resource is released."""
    with pytest.raises(KeyError, match="mine"):
        async with manager.acquire("slot"):
            raise KeyError("mine")
    assert nothing_is_held(stored_ledger, provider)


async def test_a_block_that_is_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A block that is cancelled leaves nothing held."""

    async def hold() -> None:
        async with manager.acquire("slot"):
            await hang()

    task = asyncio.create_task(hold())
    await until(lambda: bool(provider.live) and kinds_of(stored_ledger)[-1] == "Confirmed")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nothing_is_held(stored_ledger, provider)


async def test_a_block_whose_release_is_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """Whoever is cancelled while the resource is released, again and again, leaves when that has come to its end."""
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    async def hold() -> None:
        async with manager.acquire("slot"):
            provider.steps["release"] = wait

    task = asyncio.create_task(hold())
    await until(lambda: "release" in provider.asked)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nothing_is_held(stored_ledger, provider)


async def test_a_block_whose_release_hangs_and_is_cancelled(
    stored_ledger: Ledger, provider: Scripted, messages: Messages
) -> None:
    """A provider that hangs in a release that was cancelled is told to stop in the end; the resource stays held."""
    manager = UnifiedResourceManager(stored_ledger, reservation_ttl=timedelta(milliseconds=20))
    manager.register_provider("slot", provider)
    provider.steps["release"] = hang

    async def hold() -> None:
        async with manager.acquire("slot"):
            pass

    task = asyncio.create_task(hold())
    await until(lambda: "release" in provider.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: bool(messages.of("Resource release failed")))
    assert stored_ledger.pool("slot").used == len(provider.live) == 1


async def test_a_block_whose_release_fails(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """A provider that cannot take it back is an error of the block, unless the block has one of its own."""
    provider.steps["release"] = failing(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        async with manager.acquire("slot"):
            pass
    with pytest.raises(KeyError, match="mine") as raised:
        async with manager.acquire("slot") as resource:
            raise KeyError("mine")
    assert raised.value.__notes__ == [f"its resource {resource.id} was not released: busy"]


async def test_a_block_that_releases_by_itself(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """What the block released is not released again, nor what has its id by then."""
    provider.names = ["x", "x"]
    async with manager.acquire("slot") as one:
        await manager.release(one.id)
        other = await manager.allocate("slot")
    assert (provider.asked.count("release"), other.state) == (1, "allocated")


def test_the_loop_ends_within_blocks(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """When the loop ends, the blocks of tasks that nobody awaits release what they hold."""

    async def hold() -> None:
        async with manager.acquire("slot"):
            await hang()

    async def leave() -> None:
        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await until(lambda: kinds_of(stored_ledger).count("Confirmed") == len(tasks))

    asyncio.run(leave())
    assert nothing_is_held(stored_ledger, provider)


# Time, and waiting


async def test_a_time_to_live(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """The right ends so long after the resource is there; the provider is told about when."""
    told = []

    async def look() -> None:
        assert provider.metadata is not None
        told.append(provider.metadata.expiration_time)

    provider.steps["allocate"] = look
    resource = await manager.allocate("slot", ttl=MINUTE)
    assert stored_ledger.allocation(resource.id).deadline == resource.metadata.expiration_time == after(60)
    assert told == [after(60)]


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("ttl", {"ttl": "soon"}),
        ("ttl", {"ttl": MINUTE, "expiration_time": after(9)}),
        ("wait", {"wait": -MINUTE}),
    ],
)
async def test_times_that_are_none(
    manager: UnifiedResourceManager, provider: Scripted, parameter: str, options: dict[str, object]
) -> None:
    """A time that is not well formed, or given twice, is an error before anything is reserved."""
    with pytest.raises(Malformed) as malformed:
        await manager.allocate("slot", **options)
    assert malformed.value.parameter == parameter
    assert provider.asked == []


async def test_waiting_for_the_right(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """With `wait`, a resource that there is no room for comes as soon as there is; the provider is asked only then."""
    async with manager.acquire("slot", size=10):
        task = asyncio.create_task(manager.allocate("slot", size=10, wait=MINUTE))
        await until(lambda: len(manager.ledger.queue()) == 1)
        assert provider.asked == ["allocate"]
    resource = await task
    assert provider.live == {resource.id}


async def test_waiting_that_is_cancelled(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """Whoever waits and is cancelled leaves the queue; nothing was decided."""
    manager.register_provider("slot", Scripted(Limits(total=10)))
    async with manager.acquire("slot", size=10):
        task = asyncio.create_task(manager.allocate("slot", wait=MINUTE))
        await until(lambda: len(stored_ledger.queue()) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert kinds_of(stored_ledger)[1:] == ["Reserved", "Confirmed", "Released"]


# What is wrong with one


async def test_a_resource_that_is_well(manager: UnifiedResourceManager, messages: Messages) -> None:
    """Nothing is found, nothing is logged, and an earlier error is over."""
    manager.register_provider("slot", Scripted(Limits(total=10)))
    resource = await manager.allocate("slot")
    resource.error = "busy"
    assert await manager.validate(resource.id) == []
    assert vars(resource)["error"] is None
    assert messages.found == []


async def test_what_the_provider_finds(manager: UnifiedResourceManager, provider: Scripted, messages: Messages) -> None:
    """It is given, it stands in the resource's error, and it is logged with the resource and its right."""
    resource = await manager.allocate("slot")
    provider.live.clear()
    assert await manager.validate(resource.id) == ["not live"]
    assert resource.error == "not live"
    [message] = messages.of("Resource validation failed")
    assert (message["resource_id"], message["allocation_id"]) == (resource.id, resource.id)
    assert (message["resource_type"], message["error"]) == ("slot", "not live")


async def test_what_the_ledger_finds(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """A right that has ended or expired, and a token that is not the right's, are found beside the provider's words."""
    released, expired = await manager.allocate("slot"), await manager.allocate("slot", ttl=MINUTE)
    stored_ledger.release(released.id)
    assert await manager.validate(released.id) == ["Its right has ended: released"]
    fixed_clock.set(60)
    assert await manager.validate(expired.id) == ["Its right has ended: expired"]
    forger = await manager.allocate("slot")
    right = stored_ledger.allocation(forger.id)
    assert forger.metadata.token == right.token
    forger.metadata = ResourceMetadata("slot", after(0), None, {}, {})
    provider.live.discard(forger.id)
    assert await manager.validate(forger.id) == ["not live", f"It has token None, its right {right.token}"]
    assert forger.error == f"not live; It has token None, its right {right.token}"


async def test_a_right_that_the_ledger_does_not_know(
    manager: UnifiedResourceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that was put back to an earlier state knows nothing of the right."""
    manager.register_provider("slot", Scripted(Limits(total=10)))
    resource = await manager.allocate("slot")

    async def nothing(_right: str) -> None:
        pass

    monkeypatch.setattr(manager._rights, "find", nothing)  # noqa: SLF001 - no ledger in memory forgets
    assert await manager.validate(resource.id) == [f"The ledger knows no right {resource.id}"]


async def test_what_cannot_be_validated(
    manager: UnifiedResourceManager, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that is not held, a provider that fails, and one that gives no list are errors, not findings."""
    with pytest.raises(ValueError, match=r"^Resource not found: x$"):
        await manager.validate("x")
    resource = await manager.allocate("slot")

    async def nothing(_resource: object) -> None:
        pass

    monkeypatch.setattr(provider, "validate", nothing)
    with pytest.raises(ProviderFault, match="provider Scripted: validate gave None; expected a list of texts"):
        await manager.validate(resource.id)
    monkeypatch.setattr(provider, "validate", failing(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await manager.validate(resource.id)


# Names


async def test_a_manager_with_a_name(stored_ledger: Ledger) -> None:
    """Its rights carry the name as a tag, beside those of the caller, who cannot give that one."""
    manager, provider = UnifiedResourceManager(stored_ledger, name="worker-3"), Scripted(Limits(total=10))
    manager.register_provider("slot", provider)
    resource = await manager.allocate("slot", tags={"job": "42"})
    assert stored_ledger.allocation(resource.id).tags == {"job": "42", "manager": "worker-3"}
    with pytest.raises(Malformed) as malformed:
        await manager.allocate("slot", tags={"manager": "worker-4"})
    assert malformed.value.parameter == "tags.manager"
    assert (manager.name, provider.ledgers) == ("worker-3", [(stored_ledger, "slot")])


async def test_a_manager_without_a_name(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """Its rights carry no tag but the caller's."""
    manager.register_provider("slot", Scripted(Limits(total=10)))
    resource = await manager.allocate("slot", tags={"manager": "ann"})
    assert stored_ledger.allocation(resource.id).tags == {"manager": "ann"}


@pytest.mark.parametrize("name", ["", " x", 3])
def test_a_name_that_is_none(name: str) -> None:
    """A name that the ledger would not take for a tag is an error at once."""
    with pytest.raises(Malformed) as malformed:
        UnifiedResourceManager(name=name)
    assert malformed.value.parameter == "name"


@pytest.mark.parametrize("ttl", [60, timedelta(), -MINUTE])
def test_a_time_for_providers_that_is_none(ttl: timedelta) -> None:
    """What is no time to make anything in is an error at once."""
    with pytest.raises(Malformed) as malformed:
        UnifiedResourceManager(reservation_ttl=ttl)
    assert malformed.value.parameter == "reservation_ttl"


async def test_a_refused_allocation_of_a_block(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """A block whose resource is refused is not entered."""
    with pytest.raises(Refused):
        async with manager.acquire("slot", size=11):
            pytest.fail("entered")
    assert provider.asked == []


async def test_a_right_that_an_operator_ended(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A block whose right was ended meanwhile gives the thing back all the same."""
    async with manager.acquire("slot") as resource:
        stored_ledger.release(resource.id, force=True, reason="stuck")
    assert nothing_is_held(stored_ledger, provider)
    assert stored_ledger.allocation(resource.id).state is AllocationState.RELEASED
