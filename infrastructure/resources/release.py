"""End what is held: a resource that is released, those that have expired, or all that a provider made."""

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
    """Has providers take things back, and then ends the rights to them."""

    def __init__(self, rights: Rights, holdings: Holdings, seconds: float) -> None:
        self._rights = rights
        self._holdings = holdings
        self._seconds = seconds
        """How many seconds a provider may need to take back a thing whose right has ended."""

    async def release(self, held: HeldResource) -> None:
        """Release a resource that was taken out of the holdings; if that fails, put it back and raise the failure."""
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
        """End the right to a thing that was taken back; log it if the right had ended before, by its deadline say."""
        if not await self._rights.end(held.right, confirmed=held.confirmed):
            about = {"resource_id": held.resource.id, "allocation_id": held.right}
            logger.warning("Resource released after its right had ended", **about)
        self._mark_ended(held, "released")

    def _mark_ended(self, held: HeldResource, state: str) -> None:
        """Give a resource its last state, and forget it."""
        held.ended = True
        held.resource.state = state
        held.resource.error = None
        self._holdings.forget(held)

    # What has expired

    async def take_back_expired(self, moment: datetime) -> None:
        """Have the providers take back the things whose rights have lapsed by a moment, all at the same time.

        What fails is logged, and tried again the next time.
        """
        due = self._holdings.take_due(moment)
        if due:
            await asyncio.gather(*(self._take_back_if_expired(held, moment) for held in due))

    async def _take_back_if_expired(self, held: HeldResource, moment: datetime) -> None:
        """Take a thing back unless its right is still open; then remember the right's present deadline."""
        try:
            right = await self._rights.find(held.right)
            if right is not None and right.state.is_open:
                self._holdings.remember_deadline(held, right.deadline)  # it was renewed, or its pool's time is earlier
            else:
                await self.take_back(held)
        except BaseException as error:
            self._holdings.remember_deadline(held, moment)
            about = {"resource_id": held.resource.id, "allocation_id": held.right, **about_error(error)}
            logger.error("Expired resource not released", **about, error=error_text(error))  # noqa: TRY400 - errors of providers are logged in one line
            if not isinstance(error, Exception):
                raise

    async def take_back(self, held: HeldResource) -> bool:
        """Have the provider take back a thing that has no right any more; False if it is being released already.

        Raises `ProviderHung`, and what the provider raises. Then the thing stays held.
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
        """End the right to a thing that is not there any more, and forget its resource."""
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
        """Have a provider take back all it has made, and end the rights; log failures, and return how much is left."""
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
        """List what a provider took back before it failed, as its inventory shows; nothing if it cannot tell."""
        try:
            there = await provider.inventory()
            return [] if there is None else [held for held in taken if held.right not in there]
        except Exception:  # noqa: BLE001 - the failure of its cleanup is logged already
            return []


def _log_left(provider: ResourceProvider[Any], error: BaseException, left: Iterable[HeldResource]) -> None:
    """Log a failure for each resource that is left, and note it there; log it once if none is left."""
    said = error_text(error)
    about: list[dict[str, Any]] = []
    for held in left:
        held.resource.error = said
        about.append({"resource_id": held.resource.id, "allocation_id": held.right, **about_error(error)})
    for fields in about or [{}]:
        logger.error("Provider cleanup failed", provider=class_name(provider), error=said, **fields)
