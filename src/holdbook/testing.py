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

_TURNS_BEFORE_CANCELLING: Final = (0, 1, 2, 3, 5, 8, 13)
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
        self._run(_check_made)

    def test_a_good_resource_has_no_faults(self) -> None:
        """A resource that was just made is valid."""
        self._run(_check_valid)

    def test_a_resource_is_taken_back(self) -> None:
        """After its release nothing is left of a resource, and it is not valid."""
        self._run(_check_release)

    def test_a_second_release_takes_nothing(self) -> None:
        """Releasing a resource again does not fail, and takes no other resource back."""
        self._run(_check_second_release)

    def test_many_at_once_are_apart(self) -> None:
        """Resources that are made at the same time have different ids, and each exists until it is released."""
        self._run(_check_many)

    def test_cleanup_takes_everything(self) -> None:
        """After `cleanup` nothing is left, as much can be made again, and a second `cleanup` has nothing to do."""
        self._run(_check_cleanup)

    def test_a_lost_resource_is_reclaimed(self) -> None:
        """A thing can be taken back by the id of its right alone; doing so again changes nothing."""
        self._run(_check_reclaim)

    def test_a_cancelled_allocation_leaves_nothing(self) -> None:
        """Whenever `allocate` is cancelled, nothing is left once it has ended."""
        self._run(_check_cancellation)

    def test_a_failed_allocation_leaves_nothing(self) -> None:
        """When `allocate` raises, nothing is left; under a manager, nothing in the ledger either."""
        if (failing := self.make_failing_provider()) is not None:
            self._run(_check_failure, failing)

    def test_rights_and_things_go_together(self) -> None:
        """Under a manager, each thing has its right; after `cleanup` neither is left."""
        self._run(_check_under_manager)

    def test_what_a_crash_leaves_is_reconciled(self) -> None:
        """After a crash, a manager takes back things whose rights have ended, and ends rights whose things are gone."""
        self._run(_check_reconciliation)

    def _run(self, check: Callable[[_Trial], Awaitable[None]], provider: ResourceProvider[Any] | None = None) -> None:
        """Run a check of a provider, or of a new one, in an event loop of its own."""

        async def run_check() -> None:
            before = self.held()
            trial = _Trial(self, provider or self.make_provider(), before)
            try:
                await check(trial)
            finally:
                with suppress(Exception):  # that it works is the claim of another test
                    await trial.provider.cleanup()

        asyncio.run(run_check())


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

    async def expect_rights(self, rights: set[str], when: str) -> None:
        """Check that the things of these rights are there, and no others."""
        inventory = await self.provider.inventory()
        if inventory is not None:
            _expect(set(inventory) == rights, f"{when}, an inventory of {rights or 'nothing'}, not {inventory}")
        held = self.suite.held()
        if held is not None and self.before is not None:
            expected = self.before + len(rights)
            _expect(held == expected, f"{when}, {expected} held by the operating system, not {held}")

    async def expect_valid(self, resource: Resource[Any]) -> None:
        """Check that a resource is valid."""
        faults = await self.provider.validate(resource)
        _expect(faults == [], f"nothing wrong with {resource.id}, not {faults}")


def _expect(condition: object, expected: str) -> None:
    """Raise an AssertionError that says what was expected, unless a condition is true."""
    if not condition:
        message = f"expected {expected}"
        raise AssertionError(message)


async def _check_made(trial: _Trial) -> None:
    right = new_id()
    resource = await trial.allocate(right)
    _expect(isinstance(resource, Resource), f"a Resource, not {resource!r}")
    _expect(isinstance(resource.id, str) and resource.id, f"an id, not {resource.id!r}")
    _expect(resource.state == "allocated", f"the state 'allocated', not {resource.state!r}")
    _expect(resource.error is None, f"no error, not {resource.error!r}")
    await trial.expect_rights({right}, "after one was made")


async def _check_valid(trial: _Trial) -> None:
    await trial.expect_valid(await trial.allocate())


async def _check_release(trial: _Trial) -> None:
    resource = await trial.allocate()
    await trial.provider.release(resource)
    await trial.expect_rights(set(), "after the release")
    faults = await trial.provider.validate(resource)
    _expect(faults and isinstance(faults, list), f"a list of what is wrong with what was released, not {faults!r}")


async def _check_second_release(trial: _Trial) -> None:
    first, right = await trial.allocate(), new_id()
    await trial.provider.release(first)
    second = await trial.allocate(right)
    await trial.provider.release(first)
    await trial.expect_rights({right}, "after a second release of another")
    await trial.expect_valid(second)


async def _check_many(trial: _Trial) -> None:
    rights = [new_id() for _ in range(trial.suite.many)]
    resources = await asyncio.gather(*map(trial.allocate, rights))
    _expect(len({one.id for one in resources}) == len(rights), f"different ids, not {[one.id for one in resources]}")
    for right, resource in zip(list(rights), resources, strict=True):
        await trial.expect_rights(set(rights), f"with {len(rights)} made and not released")
        await trial.expect_valid(resource)
        await trial.provider.release(resource)
        rights.remove(right)
    await trial.expect_rights(set(), "after the last release")


async def _check_cleanup(trial: _Trial) -> None:
    for _ in range(2):
        resources = await asyncio.gather(*(trial.allocate() for _ in range(trial.suite.many)))
        await trial.provider.cleanup()
        await trial.expect_rights(set(), "after cleanup")
        _expect(await trial.provider.validate(resources[0]), "something wrong with what was cleaned up, not nothing")
    await trial.provider.cleanup()


async def _check_reclaim(trial: _Trial) -> None:
    if await trial.provider.inventory() is None:
        return
    lost, kept = new_id(), new_id()
    await trial.allocate(lost)
    resource = await trial.allocate(kept)
    for _ in range(2):
        await trial.provider.reclaim(lost)
        await trial.expect_rights({kept}, "after a lost one was reclaimed")
    await trial.expect_valid(resource)


async def _check_cancellation(trial: _Trial) -> None:
    for turns in _TURNS_BEFORE_CANCELLING:
        allocating = asyncio.create_task(trial.allocate())
        for _ in range(turns):
            await asyncio.sleep(0)
        allocating.cancel()
        try:
            await trial.provider.release(await allocating)  # it was made before it was cancelled
        except asyncio.CancelledError:
            await trial.expect_rights(set(), f"cancelled after {turns} turns of the loop")


async def _check_failure(trial: _Trial) -> None:
    await _expect_error(trial.allocate())
    await trial.expect_rights(set(), "after allocate had raised")
    with Ledger.in_memory() as ledger:
        manager = _make_manager(trial, ledger)
        await _expect_error(manager.allocate(trial.suite.resource_type, **trial.suite.options()))
        await trial.expect_rights(set(), "after allocate had raised under a manager")
        _expect(not ledger.allocations(), f"no right left, not {ledger.allocations()}")


async def _expect_error(allocating: Awaitable[Resource[Any]]) -> None:
    try:
        resource = await allocating
    except Exception:  # noqa: BLE001 - a provider may raise any error
        return
    _expect(condition=False, expected=f"an error from the provider that fails, not {resource}")


async def _check_under_manager(trial: _Trial) -> None:
    kind = trial.suite.resource_type
    with Ledger.in_memory() as ledger:
        manager = _make_manager(trial, ledger)
        requests = (manager.allocate(kind, **trial.suite.options()) for _ in range(trial.suite.many))
        resources = await asyncio.gather(*requests)
        rights = {one.id: one.state for one in ledger.allocations(pool=kind)}
        _expect(list(rights.values()) == [AllocationState.ACTIVE] * len(resources), f"confirmed rights, not {rights}")
        await trial.expect_rights(set(rights), "under a manager")
        for resource in resources[1:]:
            await trial.expect_valid(resource)
            await manager.release(resource.id)
        await trial.expect_rights({one.id for one in ledger.allocations()}, "with one left under a manager")
        await manager.cleanup()
        await trial.expect_rights(set(), "after the manager released and cleaned up")
        _expect(not ledger.allocations(), f"no right left, not {ledger.allocations()}")


async def _check_reconciliation(trial: _Trial) -> None:
    if await trial.provider.inventory() is None:
        return
    kind = trial.suite.resource_type
    with Ledger.in_memory() as ledger:
        crashed = _make_manager(trial, ledger)
        for _ in range(2):
            await crashed.allocate(kind, **trial.suite.options())
        lost, gone = (one.id for one in ledger.allocations(pool=kind))
        ledger.release(lost)
        await trial.provider.reclaim(gone)
        found = await _make_manager(trial, ledger).reconcile()
        _expect(found.failed == (), f"no failures of reconciliation, not {found.failed}")
        _expect(found.reclaimed == (lost,), f"{lost} reclaimed, whose right had ended, not {found.reclaimed}")
        _expect(found.ended == (gone,), f"the right {gone} ended, whose thing was gone, not {found.ended}")
        await trial.expect_rights(set(), "after reconciliation")


def _make_manager(trial: _Trial, ledger: Ledger) -> UnifiedResourceManager:
    manager = UnifiedResourceManager(ledger, name="conformance")
    manager.register_provider(trial.suite.resource_type, trial.provider)
    return manager
