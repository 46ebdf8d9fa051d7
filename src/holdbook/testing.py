"""Tests of what every provider of resources promises, for pytest: derive a class that makes your provider.

from holdbook.testing import ProviderConformance

class TestScratchDirectories(ProviderConformance):
    def make_provider(self):
        return ScratchDirectories(...)
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.allocation import AllocationState
from holdbook.domain.resources import Resource, ResourceMetadata
from holdbook.domain.values import Token
from holdbook.infrastructure.clock import new_id, system_clock
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.resources.manager import UnifiedResourceManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdbook.domain.resources import ResourceProvider

__all__ = ["ProviderConformance"]

_CANCELLED_AFTER: Final = (0, 1, 2, 3, 5, 8, 13)
"""The numbers of turns of the event loop after which an allocation is cancelled, one after another."""


class ProviderConformance:
    """The tests of one provider: derive a class whose name begins with ``Test``, and define `make_provider`.

    Each test makes a provider in an event loop of its own, and takes everything back at its end.
    """

    resource_type: str = "thing"
    """The resource type that the provider is registered for."""
    many: int = 5
    """How many things are made at the same time. The provider must be able to."""

    def make_provider(self) -> ResourceProvider[Any]:
        """Return a new provider, which holds nothing."""
        raise NotImplementedError

    def make_failing_provider(self) -> ResourceProvider[Any] | None:
        """Return a provider whose `allocate` raises, to test that it leaves nothing then; None skips that test."""
        return None

    def options(self) -> dict[str, Any]:
        """Return the options of a request that can be met, in a new dictionary each time."""
        return {}

    def held(self) -> int | None:
        """Count the things that the operating system holds now; None: only the provider's inventory is looked at."""
        return None

    # The tests

    def test_a_resource_is_made(self) -> None:
        """A resource has an id, the metadata given, the state ``allocated``, and no error."""
        self._run(_is_made)

    def test_a_good_resource_has_no_faults(self) -> None:
        """A resource that was just made is valid."""
        self._run(_is_good)

    def test_a_resource_is_taken_back(self) -> None:
        """After its release nothing is left of a resource, and it is not valid."""
        self._run(_is_taken_back)

    def test_a_second_release_takes_nothing(self) -> None:
        """Releasing a resource again does not fail, and takes no other resource back."""
        self._run(_is_taken_back_once)

    def test_many_at_once_are_apart(self) -> None:
        """Resources that are made at the same time have different ids, and each exists until it is released."""
        self._run(_are_apart)

    def test_cleanup_takes_everything(self) -> None:
        """After `cleanup` nothing is left, as much can be made again, and a second `cleanup` has nothing to do."""
        self._run(_are_cleaned_up)

    def test_a_lost_resource_is_reclaimed(self) -> None:
        """A thing can be taken back by the id of its right alone; doing so again changes nothing."""
        self._run(_is_reclaimed)

    def test_a_cancelled_allocation_leaves_nothing(self) -> None:
        """Whenever `allocate` is cancelled, nothing is left once it has ended."""
        self._run(_is_cancelled)

    def test_a_failed_allocation_leaves_nothing(self) -> None:
        """When `allocate` raises, nothing is left; under a manager, nothing in the ledger either."""
        if (failing := self.make_failing_provider()) is not None:
            self._run(_fails, failing)

    def test_rights_and_things_go_together(self) -> None:
        """Under a manager, each thing has its right; after `cleanup` neither is left."""
        self._run(_is_managed)

    def test_what_a_crash_leaves_is_reconciled(self) -> None:
        """After a crash, a manager takes back things whose rights have ended, and ends rights whose things are gone."""
        self._run(_is_reconciled)

    def _run(self, check: Callable[[_Trial], Awaitable[None]], provider: ResourceProvider[Any] | None = None) -> None:
        """Run a check of a provider, or of a new one, in an event loop of its own."""

        async def tried() -> None:
            before = self.held()
            trial = _Trial(self, provider or self.make_provider(), before)
            try:
                await check(trial)
            finally:
                with suppress(Exception):  # that it works is the claim of another test
                    await trial.provider.cleanup()

        asyncio.run(tried())


@dataclass
class _Trial:
    """A provider that is tested, and what its tests have in common."""

    suite: ProviderConformance
    provider: ResourceProvider[Any]
    before: int | None
    """The number of things that the operating system held before the test; None: not looked at."""
    requests: int = 0
    """How many resources were requested."""

    async def allocate(self, right: str | None = None) -> Resource[Any]:
        """Request a resource in the way that a manager does."""
        self.requests += 1
        kind, options = self.suite.resource_type, self.suite.options()
        metadata = ResourceMetadata(kind, system_clock(), None, {}, {"test": "yes"}, Token(1, self.requests))
        options |= {"owner": "ann", "tags": {"test": "yes"}, "not-known-to-anybody": 1}
        resource = await self.provider.allocate(kind, metadata, **options, allocation_id=right or new_id())
        _expect(resource.metadata is metadata, f"the metadata given, not {resource.metadata}")
        return resource

    async def are_there(self, rights: set[str], when: str) -> None:
        """Check that the things of these rights are there, and no others."""
        inventory = await self.provider.inventory()
        if inventory is not None:
            _expect(set(inventory) == rights, f"{when}, an inventory of {rights or 'nothing'}, not {inventory}")
        held = self.suite.held()
        if held is not None and self.before is not None:
            wanted = self.before + len(rights)
            _expect(held == wanted, f"{when}, {wanted} held by the operating system, not {held}")

    async def is_good(self, resource: Resource[Any]) -> None:
        """Check that a resource is valid."""
        faults = await self.provider.validate(resource)
        _expect(faults == [], f"nothing wrong with {resource.id}, not {faults}")


def _expect(condition: object, expected: str) -> None:
    """Raise an AssertionError that says what was expected, unless a condition is true."""
    if not condition:
        message = f"expected {expected}"
        raise AssertionError(message)


async def _is_made(trial: _Trial) -> None:
    right = new_id()
    resource = await trial.allocate(right)
    _expect(isinstance(resource, Resource), f"a Resource, not {resource!r}")
    _expect(isinstance(resource.id, str) and resource.id, f"an id, not {resource.id!r}")
    _expect(resource.state == "allocated", f"the state 'allocated', not {resource.state!r}")
    _expect(resource.error is None, f"no error, not {resource.error!r}")
    await trial.are_there({right}, "after one was made")


async def _is_good(trial: _Trial) -> None:
    await trial.is_good(await trial.allocate())


async def _is_taken_back(trial: _Trial) -> None:
    resource = await trial.allocate()
    await trial.provider.release(resource)
    await trial.are_there(set(), "after the release")
    faults = await trial.provider.validate(resource)
    _expect(faults and isinstance(faults, list), f"a list of what is wrong with what was released, not {faults!r}")


async def _is_taken_back_once(trial: _Trial) -> None:
    first, right = await trial.allocate(), new_id()
    await trial.provider.release(first)
    second = await trial.allocate(right)
    await trial.provider.release(first)
    await trial.are_there({right}, "after a second release of another")
    await trial.is_good(second)


async def _are_apart(trial: _Trial) -> None:
    rights = [new_id() for _ in range(trial.suite.many)]
    resources = await asyncio.gather(*map(trial.allocate, rights))
    _expect(len({one.id for one in resources}) == len(rights), f"different ids, not {[one.id for one in resources]}")
    for right, resource in zip(list(rights), resources, strict=True):
        await trial.are_there(set(rights), f"with {len(rights)} made and not released")
        await trial.is_good(resource)
        await trial.provider.release(resource)
        rights.remove(right)
    await trial.are_there(set(), "after the last release")


async def _are_cleaned_up(trial: _Trial) -> None:
    for _ in range(2):
        resources = await asyncio.gather(*(trial.allocate() for _ in range(trial.suite.many)))
        await trial.provider.cleanup()
        await trial.are_there(set(), "after cleanup")
        _expect(await trial.provider.validate(resources[0]), "something wrong with what was cleaned up, not nothing")
    await trial.provider.cleanup()


async def _is_reclaimed(trial: _Trial) -> None:
    if await trial.provider.inventory() is None:
        return
    lost, kept = new_id(), new_id()
    await trial.allocate(lost)
    resource = await trial.allocate(kept)
    for _ in range(2):
        await trial.provider.reclaim(lost)
        await trial.are_there({kept}, "after a lost one was reclaimed")
    await trial.is_good(resource)


async def _is_cancelled(trial: _Trial) -> None:
    for turns in _CANCELLED_AFTER:
        allocating = asyncio.create_task(trial.allocate())
        for _ in range(turns):
            await asyncio.sleep(0)
        allocating.cancel()
        try:
            await trial.provider.release(await allocating)  # it was made before it was cancelled
        except asyncio.CancelledError:
            await trial.are_there(set(), f"cancelled after {turns} turns of the loop")


async def _fails(trial: _Trial) -> None:
    await _has_failed(trial.allocate())
    await trial.are_there(set(), "after allocate had raised")
    with Ledger.in_memory() as ledger:
        manager = _manager(trial, ledger)
        await _has_failed(manager.allocate(trial.suite.resource_type, **trial.suite.options()))
        await trial.are_there(set(), "after allocate had raised under a manager")
        _expect(not ledger.allocations(), f"no right left, not {ledger.allocations()}")


async def _has_failed(allocating: Awaitable[Resource[Any]]) -> None:
    try:
        resource = await allocating
    except Exception:  # noqa: BLE001 - a provider may raise any error
        return
    _expect(condition=False, expected=f"an error from the provider that fails, not {resource}")


async def _is_managed(trial: _Trial) -> None:
    kind = trial.suite.resource_type
    with Ledger.in_memory() as ledger:
        manager = _manager(trial, ledger)
        asked = (manager.allocate(kind, **trial.suite.options()) for _ in range(trial.suite.many))
        resources = await asyncio.gather(*asked)
        rights = {one.id: one.state for one in ledger.allocations(pool=kind)}
        _expect(list(rights.values()) == [AllocationState.ACTIVE] * len(resources), f"confirmed rights, not {rights}")
        await trial.are_there(set(rights), "under a manager")
        for resource in resources[1:]:
            await trial.is_good(resource)
            await manager.release(resource.id)
        await trial.are_there({one.id for one in ledger.allocations()}, "with one left under a manager")
        await manager.cleanup()
        await trial.are_there(set(), "after the manager released and cleaned up")
        _expect(not ledger.allocations(), f"no right left, not {ledger.allocations()}")


async def _is_reconciled(trial: _Trial) -> None:
    if await trial.provider.inventory() is None:
        return
    kind = trial.suite.resource_type
    with Ledger.in_memory() as ledger:
        crashed = _manager(trial, ledger)
        for _ in range(2):
            await crashed.allocate(kind, **trial.suite.options())
        lost, gone = (one.id for one in ledger.allocations(pool=kind))
        ledger.release(lost)
        await trial.provider.reclaim(gone)
        found = await _manager(trial, ledger).reconcile()
        _expect(found.failed == (), f"no failures of reconciliation, not {found.failed}")
        _expect(found.reclaimed == (lost,), f"{lost} reclaimed, whose right had ended, not {found.reclaimed}")
        _expect(found.ended == (gone,), f"the right {gone} ended, whose thing was gone, not {found.ended}")
        await trial.are_there(set(), "after reconciliation")


def _manager(trial: _Trial, ledger: Ledger) -> UnifiedResourceManager:
    manager = UnifiedResourceManager(ledger, name="conformance")
    manager.register_provider(trial.suite.resource_type, trial.provider)
    return manager
