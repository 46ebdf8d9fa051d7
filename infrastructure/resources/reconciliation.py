"""Make the things that providers have and the rights in the ledger agree: no thing without a right, nor the reverse."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.errors import ProviderFault
from holdbook.infrastructure.resources.acquisition import MANAGER_TAG
from holdbook.infrastructure.resources.provider_calls import call_within, class_name, error_text
from holdbook.infrastructure.telemetry.context import about_error
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import provider_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.resources import ResourceProvider
    from holdbook.infrastructure.resources.holdings import HeldResource, Holdings
    from holdbook.infrastructure.resources.provider_calls import Registered
    from holdbook.infrastructure.resources.release import Releases
    from holdbook.infrastructure.resources.rights import Rights

logger = get_logger()


class NotReconciled(NamedTuple):
    """A thing, a right or a provider that could not be reconciled."""

    resource_type: str
    right: str | None
    """The id of the right; None if the provider could not tell what it has."""
    error: str
    """Why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What a manager did about differences between its providers and the ledger."""

    reclaimed: tuple[str, ...]
    """The ids of rights that had ended, or were never granted, and whose things were taken back."""
    ended: tuple[str, ...]
    """The ids of rights that were open without a thing, and were ended."""
    failed: tuple[NotReconciled, ...]
    """What could not be reconciled, and is as it was."""


@dataclass(slots=True)
class _Results:
    """A `Reconciliation` in the making."""

    reclaimed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    failed: list[NotReconciled] = field(default_factory=list)

    def add_failure(self, resource_type: str, right: str | None, error: Exception) -> None:
        """Add a failure, and log it."""
        said = error_text(error)
        self.failed.append(NotReconciled(resource_type, right, said))
        about = {"allocation_id": right, **about_error(error)}
        logger.error("Resource not reconciled", resource_type=resource_type, **about, error=said)


class Reconciler:
    """Reconciles providers with the ledger, one after another."""

    def __init__(
        self, rights: Rights, holdings: Holdings, releases: Releases, *, name: str | None, seconds: float
    ) -> None:
        self._rights = rights
        self._holdings = holdings
        self._releases = releases
        self._name = name
        self._seconds = seconds
        """How long a provider may take for an answer."""

    async def reconcile(self, registered: Mapping[str, Registered]) -> Reconciliation:
        """Reconcile the providers that are registered, by resource type, going on after failures.

        Allocations from a provider wait while it is reconciled.
        """
        results = _Results()
        by_provider: dict[int, list[str]] = {}
        for resource_type, one in registered.items():
            by_provider.setdefault(id(one.provider), []).append(resource_type)
        for types in by_provider.values():
            provider = registered[types[0]].provider
            async with AsyncExitStack() as gates:
                for resource_type in sorted(types):  # always in the same order, so that no two wait for each other
                    await gates.enter_async_context(registered[resource_type].gate)
                try:
                    await self._reconcile_provider(provider, types, results)
                except Exception as error:  # noqa: BLE001 - the other providers are to be reconciled as well
                    results.add_failure(types[0], None, error)
        found = Reconciliation(
            reclaimed=tuple(results.reclaimed), ended=tuple(results.ended), failed=tuple(results.failed)
        )
        logger.info("Reconciled", reclaimed=len(found.reclaimed), ended=len(found.ended), failed=len(found.failed))
        return found

    async def _reconcile_provider(
        self, provider: ResourceProvider[Any], types: Sequence[str], results: _Results
    ) -> None:
        """Compare the things of a provider with the rights to them, and end what has no counterpart.

        The order of reading matters: first what is in hand, then the rights, then the things. Whatever begins or ends
        between two of these was in hand, and is left alone.
        """
        in_hand = set(self._holdings.in_hand)
        held = {one.right: one for one in self._holdings.all_of(provider)}
        rights = {right: resource_type for resource_type in types for right in await self._open_rights(resource_type)}
        there = await self._inventory(provider)
        if there is None:
            return
        for right in sorted(there):
            if right in held or right not in in_hand:
                await self._take_back_without_right(provider, types, right, held.get(right), results)
        for right in sorted({*rights, *held}.difference(there)):
            holder = held.get(right)
            if holder is not None or right not in in_hand:
                pool = holder.resource_type if holder else rights[right]
                await self._end_without_thing(provider, pool, right, holder, results)

    async def _open_rights(self, resource_type: str) -> list[str]:
        """List the open rights to a pool that a manager of this name reserved."""
        if self._name is None:
            return []
        return [one.id for one in await self._rights.open_with(resource_type, {MANAGER_TAG: self._name})]

    async def _inventory(self, provider: ResourceProvider[Any]) -> set[str] | None:
        """Ask a provider for the ids of the rights whose things it has; raises `ProviderFault` for another answer."""
        found: object = await call_within(self._seconds, provider, "tell what it has", provider.inventory())
        if found is None:
            return None
        if not isinstance(found, Collection) or isinstance(found, str) or not all(isinstance(r, str) for r in found):
            fault = f"inventory gave {found!r:.200}; expected the ids of rights, or None"
            raise ProviderFault(class_name(provider), fault)
        return set(found)

    async def _take_back_without_right(
        self,
        provider: ResourceProvider[Any],
        types: Sequence[str],
        right: str,
        held: HeldResource | None,
        results: _Results,
    ) -> None:
        """Take back the thing of a right unless the right is open, and record that it was reclaimed."""
        pool = types[0]
        try:
            found = await self._rights.find(right)
            if found is not None and found.state.is_open:
                return
            pool = _pool_of(found, types)
            if held is not None and not await self._releases.take_back(held):
                return
            with provider_call("reclaim", pool, right):  # after a release too: the inventory had it all the same
                await call_within(self._seconds, provider, "reclaim a thing", provider.reclaim(right))
            await self._rights.reclaimed(pool, right, f"reconciled: {class_name(provider)} still had it")
        except Exception as error:  # noqa: BLE001 - the others are to be reconciled as well
            results.add_failure(pool, right, error)
        else:
            results.reclaimed.append(right)
            logger.warning("Resource reclaimed", resource_type=pool, allocation_id=right)

    async def _end_without_thing(
        self, provider: ResourceProvider[Any], pool: str, right: str, held: HeldResource | None, results: _Results
    ) -> None:
        """End an open right without a thing, unless its resource was released in the meantime."""
        reason = f"reconciled: {class_name(provider)} does not have it"
        try:
            if held is None:
                if not await self._rights.end(right, reason=reason, confirmed=False):
                    return
            elif self._holdings.get(held.resource.id) is held:
                await self._releases.end_lost(held, reason)
            else:
                return
        except Exception as error:  # noqa: BLE001 - as above
            results.add_failure(pool, right, error)
        else:
            results.ended.append(right)
            logger.warning("Right ended without its resource", resource_type=pool, allocation_id=right)


def _pool_of(right: Allocation | None, types: Sequence[str]) -> str:
    """Choose the pool for the record of a thing: the first of its provider's types that the right was to."""
    if right is None:
        return types[0]
    return next((one for one in types if one in right.quantities), min(right.quantities))
