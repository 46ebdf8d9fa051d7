"""The manager's reconciliation: what is really there and what the ledger says are made to agree, both ways."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import (
    AllocationState,
    Ledger,
    Limits,
    LogUnavailable,
    NotReconciled,
    Reconciliation,
    Refused,
    ResourceProvider,
    UnifiedResourceManager,
)
from holdbook.domain.events import Reclaimed
from support.deciding import events_of, kinds_of
from support.in_memory import stored_ledger
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.conftest import Messages
    from support.deciding import Clock

__all__ = ["stored_ledger"]
"""A fixture."""

MINUTE = timedelta(minutes=1)
NOTHING = Reconciliation(reclaimed=(), ended=(), failed=())


@pytest.fixture
def provider() -> Scripted:
    """A provider of slots that can tell which are there."""
    provider = Scripted(Limits(total=10))
    provider.things = set()
    return provider


@pytest.fixture
def manager(stored_ledger: Ledger, provider: Scripted) -> UnifiedResourceManager:
    """A manager of the same name as the one that died."""
    manager = UnifiedResourceManager(stored_ledger, name="worker-3", reservation_ttl=MINUTE)
    manager.register_provider("slot", provider)
    return manager


def restarted(
    ledger: Ledger, things: Iterable[str] = (), name: str | None = "worker-3"
) -> tuple[UnifiedResourceManager, Scripted]:
    """Make a manager and a provider that has things already, as after a restart."""
    manager, provider = UnifiedResourceManager(ledger, name=name, reservation_ttl=MINUTE), Scripted(Limits(total=10))
    provider.things = set(things)
    manager.register_provider("slot", provider)
    return manager, provider


def orphan(ledger: Ledger, right: str, *, manager: str | None = "worker-3") -> None:
    """Grant a right that a process had which died."""
    ledger.allocate(
        {"slot": 1}, owner="ann", allocation_id=right, ttl=MINUTE, tags={} if manager is None else {"manager": manager}
    )


def reclaimed(ledger: Ledger) -> list[tuple[str, str | None, str | None]]:
    """List what was recorded to be reclaimed."""
    found = (event for event in events_of(ledger) if isinstance(event, Reclaimed))
    return [(event.allocation_id, event.state, event.reason) for event in found]


STILL = "reconciled: Scripted still had it"
WITHOUT = "reconciled: Scripted does not have it"


# Things without a right


async def test_things_whose_rights_have_ended(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    fixed_clock: Clock,
    messages: Messages,
) -> None:
    """A thing is taken back if its right has ended, lapsed unnoticed, or was never granted, and that is recorded."""
    orphan(stored_ledger, "expired")
    for right in ("released", "open"):
        stored_ledger.allocate({"slot": 1}, owner="ann", allocation_id=right)
    stored_ledger.release("released")
    fixed_clock.set(60)
    provider.things = {"expired", "released", "open", "never"}
    found = await manager.reconcile()
    assert found == Reconciliation(reclaimed=("expired", "never", "released"), ended=(), failed=())
    assert provider.things == {"open"}
    recorded = [("expired", "expired", STILL), ("never", None, STILL), ("released", "released", STILL)]
    assert reclaimed(stored_ledger) == recorded
    assert {one["allocation_id"] for one in messages.of("Resource reclaimed")} == {"expired", "never", "released"}
    assert stored_ledger.history("expired")[-1].event.stream_id == "reclaims:slot"


async def test_reconciling_again(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """When all agrees nothing is done; the same thing, found there again, is taken back again and recorded once."""
    assert await manager.reconcile() == NOTHING
    for _ in range(2):
        provider.things = {"x"}
        assert (await manager.reconcile()).reclaimed == ("x",)
    assert reclaimed(stored_ledger) == [("x", None, STILL)]
    assert provider.things == set()


async def test_a_thing_that_cannot_be_taken_back(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """It is in the answer and logged; the others are taken back, and nothing is recorded of it until it is too."""
    provider.things = {"x", "y", "\n"}
    provider.steps["reclaim x"] = failing(OSError("busy"))
    found = await manager.reconcile()
    assert found.reclaimed == ("y",)
    [malformed, busy] = found.failed
    assert (malformed.right, busy) == ("\n", NotReconciled("slot", "x", "busy"))
    assert [one["allocation_id"] for one in messages.of("Resource not reconciled")] == ["\n", "x"]
    del provider.steps["reclaim x"]
    provider.things.discard("\n")
    assert (await manager.reconcile()).reclaimed == ("x",)
    assert [right for right, _, _ in reclaimed(stored_ledger)] == ["y", "x"]


async def test_a_provider_that_hangs_while_it_takes_back(
    stored_ledger: Ledger, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to stop when its time is up, and the rest goes on."""
    monkeypatch.setattr("holdbook.infrastructure.resources.provider_calls.GRACE_SECONDS", 0.01)
    manager = UnifiedResourceManager(stored_ledger, reservation_ttl=timedelta(milliseconds=20))
    manager.register_provider("slot", provider)
    provider.things = {"x", "y"}
    provider.steps["reclaim x"] = hang
    found = await manager.reconcile()
    assert (found.reclaimed, [one.right for one in found.failed]) == (("y",), ["x"])
    assert "did not reclaim a thing within 0.02 s" in found.failed[0].error


async def test_an_expired_resource_that_is_still_held_here(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """What this manager has the resource of is released in the normal way, then reclaimed in case that was a lie."""
    resource = await manager.allocate("slot", ttl=MINUTE)
    fixed_clock.set(60)
    assert (await manager.reconcile()).reclaimed == (resource.id,)
    asked = ["allocate", "inventory", "release", f"reclaim {resource.id}"]
    assert (provider.asked, resource.state) == (asked, "expired")
    assert reclaimed(stored_ledger) == [(resource.id, "expired", STILL)]
    with pytest.raises(ValueError, match="Resource not found"):
        await manager.release(resource.id)


async def test_an_expired_resource_that_was_given_back(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    fixed_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What its provider took back, when the ledger could not be told, is not released a second time."""
    resource = await manager.allocate("slot", ttl=MINUTE)

    def unreachable(*_: object) -> None:
        raise LogUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(stored_ledger.log, "writing", unreachable)
        with pytest.raises(LogUnavailable):
            await manager.release(resource.id)
    fixed_clock.set(60)
    provider.things = {resource.id}
    assert (await manager.reconcile()).reclaimed == (resource.id,)
    assert provider.asked.count("release") == 1


async def test_a_provider_that_lists_what_it_cannot_reclaim(stored_ledger: Ledger) -> None:
    """That is an error which names the provider and the right."""

    class Lister(Scripted):
        reclaim = ResourceProvider.reclaim

    manager, provider = UnifiedResourceManager(stored_ledger), Lister()
    manager.register_provider("slot", provider)
    provider.things = {"x"}
    [failed] = (await manager.reconcile()).failed
    assert failed == NotReconciled("slot", "x", "Lister lists things that it cannot reclaim: x")


async def test_an_expired_resource_that_is_not_given_back(
    manager: UnifiedResourceManager, provider: Scripted, fixed_clock: Clock
) -> None:
    """If its provider fails, it stays held, for its holder to release."""
    resource = await manager.allocate("slot", ttl=MINUTE)
    fixed_clock.set(60)
    provider.steps["release"] = failing(OSError("busy"))
    assert [one.error for one in (await manager.reconcile()).failed] == ["busy"]
    del provider.steps["release"]
    await manager.release(resource.id)
    assert provider.things == set()


# Rights without a thing


async def test_rights_without_a_thing(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """The open rights of the manager's name without a thing are voided or released; those of others are left alone."""
    orphan(stored_ledger, "active")
    orphan(stored_ledger, "there")
    orphan(stored_ledger, "other's", manager="worker-4")
    orphan(stored_ledger, "nobody's", manager=None)
    stored_ledger.reserve({"slot": 1}, owner="ann", allocation_id="reserved", ttl=MINUTE, tags={"manager": "worker-3"})
    provider.things = {"there"}
    found = await manager.reconcile()
    assert found == Reconciliation(reclaimed=(), ended=("active", "reserved"), failed=())
    ended = [stored_ledger.allocation(right) for right in found.ended]
    assert [one.state for one in ended] == [AllocationState.RELEASED, AllocationState.VOIDED]
    assert {one.reason for one in ended} == {WITHOUT}
    assert {one.id for one in stored_ledger.allocations()} == {"there", "other's", "nobody's"}
    assert len(messages.of("Right ended without its resource")) == 2


async def test_a_manager_without_a_name(stored_ledger: Ledger) -> None:
    """It does not know which rights are its own, and ends none but of what it holds; things it takes back."""
    manager, provider = restarted(stored_ledger, {"never"}, name=None)
    orphan(stored_ledger, "active")
    assert (await manager.reconcile()).reclaimed == ("never",)
    resource = await manager.allocate("slot")
    assert provider.things == {resource.id}
    provider.things = set()
    assert (await manager.reconcile()).ended == (resource.id,)
    assert {one.id for one in stored_ledger.allocations()} == {"active"}
    assert (resource.state, resource.error) == ("lost", WITHOUT)
    with pytest.raises(ValueError, match="Resource not found"):
        await manager.release(resource.id)


async def test_a_right_that_cannot_be_ended(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger cannot be told, that is in the answer, a resource stays held, and the next time does it."""
    orphan(stored_ledger, "x")
    resource = await manager.allocate("slot")
    provider.things = set()

    def unreachable(*_: object) -> None:
        raise LogUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(stored_ledger.log, "writing", unreachable)
        found = await manager.reconcile()
    assert {one.right for one in found.failed} == {"x", resource.id}
    assert resource.state == "allocated"
    assert set((await manager.reconcile()).ended) == {"x", resource.id}


async def test_a_right_that_ends_meanwhile(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """What somebody else ends while the provider is asked is not ended again."""
    orphan(stored_ledger, "x")

    async def end() -> None:
        stored_ledger.release("x")

    provider.steps["inventory"] = end
    assert await manager.reconcile() == NOTHING
    assert kinds_of(stored_ledger)[-1] == "Released"


# What is under way


async def test_an_allocation_under_way(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A right whose thing is just being made is left alone."""
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    provider.steps["allocate"] = wait
    task = asyncio.create_task(manager.allocate("slot"))
    await until(lambda: provider.asked == ["allocate"])
    assert await manager.reconcile() == NOTHING
    gate.set()
    resource = await task
    assert (provider.things, stored_ledger.pool("slot").used) == ({resource.id}, 1)


async def test_a_release_under_way(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """A resource that is just being released is left to whoever releases it, on both sides."""
    one, two = await manager.allocate("slot"), await manager.allocate("slot")
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    provider.steps["release"] = wait
    tasks = [asyncio.create_task(manager.release(resource.id)) for resource in (one, two)]
    await until(lambda: provider.asked.count("release") == 2)
    provider.things = {one.id}
    manager.ledger.release(one.id)
    assert await manager.reconcile() == NOTHING
    gate.set()
    await asyncio.gather(*tasks)
    assert {one.state, two.state} == {"released"}


async def test_a_release_that_begins_meanwhile(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, fixed_clock: Clock
) -> None:
    """What is released while the provider is asked is not ended a second time, whether its right had ended or not."""
    one, two = await manager.allocate("slot", ttl=MINUTE), await manager.allocate("slot")
    fixed_clock.set(60)

    async def release() -> None:
        provider.live |= {one.id, two.id}
        await asyncio.gather(manager.release(one.id), manager.release(two.id))
        provider.things = {one.id}

    provider.steps["inventory"] = release
    assert await manager.reconcile() == NOTHING
    assert reclaimed(stored_ledger) == []


async def test_allocations_wait_meanwhile(manager: UnifiedResourceManager, provider: Scripted) -> None:
    """An allocation of a provider that is being reconciled begins when that is over; those of others do not wait."""
    other, gate = Scripted(Limits(total=1)), asyncio.Event()
    manager.register_provider("other", other)

    async def wait() -> None:
        await gate.wait()

    provider.steps["inventory"] = wait
    reconciling = asyncio.create_task(manager.reconcile())
    await until(lambda: provider.asked == ["inventory"])
    allocating = asyncio.create_task(manager.allocate("slot"))
    await manager.allocate("other")
    assert provider.asked == ["inventory"]
    gate.set()
    assert await reconciling == NOTHING
    await allocating
    assert provider.asked == ["inventory", "allocate"]


async def test_a_resource_whose_id_was_given_again(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A provider that gives an id away before it has it back leaves a right that only reconciling finds."""
    provider.names = ["x", "x"]
    await manager.allocate("slot")
    first = provider.options["allocation_id"]

    async def give_again() -> None:
        del provider.steps["release"]
        await manager.allocate("slot")
        raise OSError("busy")

    provider.steps["release"] = give_again
    with pytest.raises(OSError, match="busy"):
        await manager.release("x")
    second = provider.options["allocation_id"]
    provider.things = {second}
    assert (await manager.reconcile()).ended == (first,)
    assert [one.id for one in stored_ledger.allocations()] == [second]


# Providers


async def test_providers_that_cannot_tell_or_fail(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """One that cannot tell what it has is left alone; one that fails, or lies, is in the answer; the rest goes on."""
    orphan(stored_ledger, "x")
    provider.steps["inventory"] = failing(OSError("gone"))
    silent, good = Scripted(Limits(total=1)), Scripted(Limits(total=1))
    good.things = {"y"}
    manager.register_provider("silent", silent)
    manager.register_provider("good", good)
    for name, things in (("text", "abc"), ("number", 7), ("numbers", [1])):
        liar: Any = Scripted(Limits(total=1))
        liar.inventory = _giving(things)
        manager.register_provider(name, liar)
    found = await manager.reconcile()
    assert found.reclaimed == ("y",)
    assert [one[:2] for one in found.failed] == [("slot", None), ("text", None), ("number", None), ("numbers", None)]
    assert found.failed[0].error == "gone"
    assert {one.error.partition("; ")[2] for one in found.failed[1:]} == {"expected the ids of rights, or None"}
    assert stored_ledger.allocation("x").state is AllocationState.ACTIVE


def _giving(things: object) -> Any:  # noqa: ANN401 - in the place of any method
    async def inventory() -> object:
        return things

    return inventory


async def test_a_provider_of_several_types(stored_ledger: Ledger) -> None:
    """It is asked once; each thing is recorded for the pool of its right, or for the first if it never had one."""
    manager, provider = restarted(stored_ledger)
    manager.register_provider("place", provider)
    stored_ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=1))
    for right, pool in (("a", "slot"), ("b", "place"), ("c", "cpu")):
        stored_ledger.allocate({pool: 1}, owner="ann", allocation_id=right)
        stored_ledger.release(right)
    stored_ledger.allocate({"place": 1}, owner="ann", allocation_id="d", tags={"manager": "worker-3"})
    provider.things = {"a", "b", "c", "never"}
    found = await manager.reconcile()
    assert (found.reclaimed, found.ended) == (("a", "b", "c", "never"), ("d",))
    events = (event for event in events_of(stored_ledger) if isinstance(event, Reclaimed))
    assert [(event.allocation_id, event.pool) for event in events] == [
        ("a", "slot"), ("b", "place"), ("c", "cpu"), ("never", "slot"),
    ]  # fmt: skip
    assert provider.asked.count("inventory") == 1


async def test_two_reconciliations_at_once(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """One waits for the other: nothing is taken back twice."""
    provider.things = {"x"}
    found = await asyncio.gather(manager.reconcile(), manager.reconcile())
    assert sorted(one.reclaimed for one in found) == [(), ("x",)]
    assert len(reclaimed(stored_ledger)) == 1


def test_a_right_that_is_open_is_not_reclaimed(stored_ledger: Ledger) -> None:
    """The ledger refuses to record that what an open right holds was taken back."""
    stored_ledger.open_pool("slot", resource_type="slot", limits=Limits(total=1))
    orphan(stored_ledger, "x")
    with pytest.raises(Refused, match="not_ended"):
        stored_ledger.reclaim("slot", "x")
    stored_ledger.release("x")
    stored_ledger.reclaim("slot", "x", reason="found it")
    assert reclaimed(stored_ledger) == [("x", "released", "found it")]
