"""Ending what is held: a release, what has expired, and everything at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from holdbook.infrastructure.resources.provider_calls import call_within, class_name, error_text
from holdbook.infrastructure.telemetry.context import about_error
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import provider_call

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from holdbook.domain.resources import ResourceProvider
    from holdbook.infrastructure.resources.holdings import HeldResource, Holdings
    from holdbook.infrastructure.resources.rights import Rights

logger = get_logger()


class Releases:
    """Has providers take things back, then ends the rights to them."""

    def __init__(self, rights: Rights, holdings: Holdings, seconds: float) -> None:
        self._rights = rights
        self._holdings = holdings
        self._seconds = seconds
        """How long a provider may take for what nobody waits for."""

    async def release(self, held: HeldResource) -> None:
        """End one that was taken out; on failure it is put back, and that is raised."""
        try:
            if not held.returned:
                with provider_call("release", held.resource_type, held.right):
                    await held.provider.release(held.resource)
                held.returned = True
            await self._end_right(held)
        except BaseException as error:
            self._holdings.put(held)
            held.resource.error = error_text(error)
            raise

    async def _end_right(self, held: HeldResource) -> None:
        """End the right to what was returned; one that ended before, at its deadline say, is none the worse."""
        if not await self._rights.end(held.right, confirmed=held.confirmed):
            about = {"resource_id": held.resource.id, "allocation_id": held.right}
            logger.warning("Resource released after its right had ended", **about)
        self._mark_ended(held, "released")

    def _mark_ended(self, held: HeldResource, state: str) -> None:
        held.ended = True
        held.resource.state = state
        held.resource.error = None
        self._holdings.forget(held)

    # What has expired

    async def take_back_expired(self, moment: datetime) -> None:
        """Have the providers take back what has lapsed, of that whose deadline is not after a moment, all at once.

        What fails is logged, and tried again the next time.
        """
        due = self._holdings.take_due(moment)
        if due:
            await asyncio.gather(*(self._take_back_if_expired(held, moment) for held in due))

    async def _take_back_if_expired(self, held: HeldResource, moment: datetime) -> None:
        try:
            right = await self._rights.find(held.right)
            if right is not None and right.state.is_open:
                self._holdings.remember_deadline(held, right.deadline)  # it was renewed, or its own pool is not as far
            else:
                await self.take_back(held)
        except BaseException as error:
            self._holdings.remember_deadline(held, moment)
            about = {"resource_id": held.resource.id, "allocation_id": held.right, **about_error(error)}
            logger.error("Expired resource not released", **about, error=error_text(error))  # noqa: TRY400 - errors of providers are told, as the seed does, in one line
            if not isinstance(error, Exception):
                raise

    async def take_back(self, held: HeldResource) -> bool:
        """Have the provider take back what has no right any more; False if somebody else is ending it.

        Raises `ProviderHung`, and what the provider raises; then it stays held.
        """
        return await call_within(self._seconds, held.provider, "release a resource", self._take_back(held))

    async def _take_back(self, held: HeldResource) -> bool:
        if self._holdings.get(held.resource.id) is not held:
            return False
        self._holdings.take(held.resource.id)
        try:
            if not held.returned:
                with provider_call("release", held.resource_type, held.right):
                    await held.provider.release(held.resource)
        except BaseException:
            self._holdings.put(held)
            raise
        self._mark_ended(held, "expired")
        return True

    async def end_lost(self, held: HeldResource, reason: str) -> None:
        """End the right to a thing that is not there, and let go of its resource."""
        self._holdings.take(held.resource.id)
        try:
            await self._rights.end(held.right, reason=reason, confirmed=False)
        except BaseException:
            self._holdings.put(held)
            raise
        self._mark_ended(held, "lost")
        held.resource.error = reason

    # Everything

    async def clean_up(self, provider: ResourceProvider[Any]) -> int:
        """Have a provider take everything back, and end the rights to it; log what failed, and count what is left."""
        taken = self._holdings.take_all_of(provider)
        try:
            try:
                with provider_call("cleanup"):
                    await provider.cleanup()
                gone = taken
            except Exception as error:  # noqa: BLE001 - the other providers are to be cleaned up as well
                gone = await self._taken_back(provider, taken)
                _log_left(provider, error, [held for held in taken if held not in gone])
            for held in gone:
                held.returned = True
            ends = await asyncio.gather(*map(self._end_right, gone), return_exceptions=True)
            for held, failed in zip(gone, ends, strict=True):
                if failed is not None:
                    _log_left(provider, failed, [held])
        finally:
            left = [held for held in taken if not held.ended]
            for held in left:
                self._holdings.put(held)
        return len(left)

    async def _taken_back(self, provider: ResourceProvider[Any], taken: Iterable[HeldResource]) -> list[HeldResource]:
        """Find what a provider took back before it failed, if it can tell what it has."""
        try:
            there = await provider.inventory()
            return [] if there is None else [held for held in taken if held.right not in there]
        except Exception:  # noqa: BLE001 - that it fails is known already
            return []


def _log_left(provider: ResourceProvider[Any], error: BaseException, left: Iterable[HeldResource]) -> None:
    """Log a failure, once for each resource that is left, and note it there; once if there is none."""
    said = error_text(error)
    about: list[dict[str, Any]] = []
    for held in left:
        held.resource.error = said
        about.append({"resource_id": held.resource.id, "allocation_id": held.right, **about_error(error)})
    for fields in about or [{}]:
        logger.error("Provider cleanup failed", provider=class_name(provider), error=said, **fields)
