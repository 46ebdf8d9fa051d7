"""Named units under a ledger: every process comes to the same, and no two holders to the same unit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import AllocationState, Ledger, Limits, Malformed, Resource, UnifiedResourceManager, UnitResourceProvider
from support.asking import made_by
from support.processes import barrier, obey, running
from support.unit_holders import HoldUnits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.deciding import Clock

UNITS = ("gpu-0", "gpu-1", "gpu-2", "gpu-3")
SECOND = timedelta(seconds=1)


@pytest.fixture
def one(database_url: str, fixed_clock: Clock) -> Iterator[Ledger]:
    """A ledger with a pool of the four units."""
    with Ledger.open(database_url, clock=fixed_clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=4))
        yield ledger


@pytest.fixture
def other(one: Ledger, database_url: str, fixed_clock: Clock) -> Iterator[Ledger]:
    """Another ledger object on the same database."""
    assert one.pool("gpu").free == 4
    with Ledger.open(database_url, clock=fixed_clock) as ledger:
        yield ledger


def units_of(ledger: Ledger) -> UnitResourceProvider:
    """Make a provider of the four units of a ledger's pool."""
    provider = UnitResourceProvider(UNITS)
    provider.registered(ledger, "gpu")
    return provider


async def held_by(ledger: Ledger, provider: UnitResourceProvider, size: int) -> Resource[tuple[str, ...]]:
    """Have units granted, and given."""
    right = ledger.allocate({"gpu": size}, owner="ann", ttl=60 * SECOND)
    return await made_by(provider, right.id, size=size)


async def test_two_processes_come_to_the_same(one: Ledger, other: Ledger) -> None:
    """Each reads what the other's holders have, and gives other units; what one frees, the other gives."""
    ours, theirs = units_of(one), units_of(other)
    first = await held_by(one, ours, 2)
    second = await held_by(other, theirs, 1)
    assert (first.data, second.data) == (("gpu-0", "gpu-1"), ("gpu-2",))
    assert (ours.assigned(second.id), theirs.assigned(first.id)) == (second.data, first.data)
    await ours.release(first)
    one.release(first.id)
    assert (await held_by(other, theirs, 3)).data == ("gpu-0", "gpu-1", "gpu-3")
    assert ours.assigned(first.id) == ()
    assert (await ours.inventory(), await theirs.validate(second)) == (set(), [])


async def test_a_right_keeps_its_units(one: Ledger, other: Ledger) -> None:
    """A transfer changes no units; a resize takes the last away, or adds to them, and `validate` tells of it."""
    provider = units_of(one)
    resource = await held_by(one, provider, 2)
    other.transfer(resource.id, to="bob")
    assert await provider.validate(resource) == []
    other.resize(resource.id, {"gpu": 1})
    assert await provider.validate(resource) == ["Units changed: gpu-0, gpu-1 given, gpu-0 by the ledger"]
    assert (await held_by(other, units_of(other), 1)).data == ("gpu-1",)
    other.resize(resource.id, {"gpu": 3})
    assert provider.assigned(resource.id) == ("gpu-0", "gpu-2", "gpu-3")


async def test_a_right_that_has_ended(one: Ledger, fixed_clock: Clock) -> None:
    """Units of a right that expired are the next holder's; whoever had them finds out."""
    provider = units_of(one)
    resource = await held_by(one, provider, 4)
    fixed_clock.set(61)
    assert (await held_by(one, provider, 1)).data == ("gpu-0",)
    assert await provider.validate(resource) == [f"Units changed: {', '.join(UNITS)} given, none by the ledger"]
    with pytest.raises(ValueError, match=f"no units for {resource.id}: it has ended, or pool 'gpu' grants more than"):
        await made_by(provider, resource.id, size=4)


async def test_a_ledger_that_grants_more_than_there_is(one: Ledger) -> None:
    """A right to more units than are left is voided, for a reason that says so; the others keep theirs."""
    one.change_limits("gpu", Limits(total=9))
    manager, provider = UnifiedResourceManager(one), UnitResourceProvider(UNITS)
    provider.registered(one, "gpu")
    with pytest.raises(ValueError, match="pool 'gpu' grants more than the 4 units there are"):
        await granted_by(manager, provider, 5)
    assert (await granted_by(manager, provider, 3)).data == UNITS[:3]
    [held] = one.allocations()
    assert held.state is AllocationState.ACTIVE
    with pytest.raises(ValueError, match="no units"):
        await granted_by(manager, provider, 2)
    assert (await granted_by(manager, provider, 1)).data == UNITS[3:]


async def granted_by(
    manager: UnifiedResourceManager, provider: UnitResourceProvider, size: int
) -> Resource[tuple[str, ...]]:
    """Have a manager get units, in whatever pool of that name there is."""
    provider.pool_limits = lambda: None  # type: ignore[assignment,method-assign,return-value]
    manager.register_provider("gpu", provider)
    resource: Resource[tuple[str, ...]] = await manager.allocate("gpu", size=size)
    return resource


def test_processes_never_share_a_unit(database_url: str, tmp_path: Path) -> None:
    """Processes and tasks that get and give back units all the time never have the same one."""
    start = barrier(2)
    with running(obey, [(start, database_url)] * 2) as peers:
        for number, peer in enumerate(peers):
            peer.send(HoldUnits(tmp_path, tuple("abcdefgh"), rounds=6, seed=100 * number))
        assert all(peer.receive() >= 18 for peer in peers), "one unit at least, each time"
    with Ledger.open(database_url) as ledger:
        assert list(ledger.allocations()) == []


# Without a ledger, and wrong use


async def test_without_a_ledger_the_provider_assigns() -> None:
    """By itself, a provider gives each unit once, and is told how many are free when it has too few."""
    provider = UnitResourceProvider(UNITS)
    assert (provider.pool_limits(), provider.quantity({}), provider.quantity({"size": 3})) == (Limits(total=4), 1, 3)
    one, two = await made_by(provider), await made_by(provider, "r", size=2)
    assert (one.data, two.data, provider.assigned("r")) == (UNITS[:1], UNITS[1:3], UNITS[1:3])
    with pytest.raises(ValueError, match=r"^Units: 2 asked, 1 of 4 free$"):
        await made_by(provider, size=2)
    await provider.release(one)
    assert (await made_by(provider, size=2)).data == ("gpu-0", "gpu-3")
    assert await provider.validate(one) == ["Units not allocated"]
    with pytest.raises(Malformed, match="size"):
        await made_by(provider, size=0)


async def test_a_provider_has_one_pool() -> None:
    """Units of one pool are not another's, nor another ledger's; the same pool may be registered again."""
    with Ledger.in_memory() as ledger, Ledger.in_memory() as other:
        provider = units_of(ledger)
        provider.registered(ledger, "gpu")
        for wrong, pool in ((ledger, "cpu"), (other, "gpu")):
            with pytest.raises(ValueError, match="these units are those of pool 'gpu' already"):
                provider.registered(wrong, pool)
        early = UnitResourceProvider(UNITS)
        await made_by(early)
        with pytest.raises(ValueError, match="units are held that no ledger knows of"):
            early.registered(ledger, "gpu")
