"""The manager: providers own real things, the ledger owns the rights to them, this brings the two together."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from bursar.domain.commands import Confirm, OpenPool, Reserve
from bursar.domain.errors import Malformed, PoolAlreadyOpen
from bursar.domain.limits import Limits
from bursar.domain.resources import Resource, ResourceMetadata, ResourceProvider
from bursar.domain.values import QUANTITY_MAX, REASON_CHARACTERS_MAX
from bursar.infrastructure.clock import new_id
from bursar.infrastructure.holdings import Held, Holdings
from bursar.infrastructure.ledger import Ledger
from bursar.infrastructure.logging import get_logger
from bursar.infrastructure.rights import Rights, decided, granted, withdrawn
from bursar.infrastructure.telemetry import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from concurrent.futures import Future

    from bursar.domain.allocation import Allocation
    from bursar.domain.batch import Outcome
    from bursar.infrastructure.leases import Lease, OnLost
    from bursar.infrastructure.telemetry import Counters

RESERVATION_TTL: Final = timedelta(minutes=1)
"""How long a provider may take to make a resource before the right to it lapses, unless the manager is told."""

logger = get_logger()


@dataclass(slots=True, eq=False)
class _Registered:
    """A provider, and the command that opens its pool."""

    provider: ResourceProvider[Any]
    opening: OpenPool
    has_limits: bool
    """False if any pool of that name will do."""
    opened: bool = False

    @contextmanager
    def being_opened(self) -> Iterator[None]:
        """Take note that the pool is open; raises `PoolAlreadyOpen` if it is, and is not one that will do."""
        try:
            yield
        except PoolAlreadyOpen:
            if self.has_limits:
                raise
        self.opened = True


@dataclass(slots=True, eq=False)
class _Attempt:
    """An allocation under way, as far as it has come."""

    provider: ResourceProvider[Any]
    resource_type: str
    right: str
    deciding: Future[Outcome]
    """The last command given to the ledger."""
    resource: Resource[Any] | None = None
    """What the provider made."""
    claimed: str | None = None
    """Its id, if no other resource has it."""


class UnifiedResourceManager:
    """Allocates real things under the ledger's limits: reserve the right, have the thing made, confirm.

    Without a ledger it keeps a private one in memory. It belongs to one event loop, and never blocks it.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        reservation_ttl: timedelta = RESERVATION_TTL,
        counters: Counters = COUNTERS,
    ) -> None:
        self.ledger = Ledger.in_memory() if ledger is None else ledger
        """The ledger of the rights, for those who ask it."""
        self._rights = Rights(self.ledger)
        self._reservation_ttl = reservation_ttl
        self._counters = counters
        self._registered: dict[str, _Registered] = {}
        self._holdings = Holdings()
        self._undoing: set[asyncio.Task[None]] = set()

    def register_provider(self, resource_type: str, provider: ResourceProvider[Any]) -> None:
        """Register the provider of a type, and open the pool of that name, or find it open.

        Within a running event loop the pool is only asked for, and what is wrong with it is raised by `allocate`;
        outside of one, it is raised here: `PoolAlreadyOpen` or `Refused`.
        """
        limits = provider.pool_limits()
        opening = OpenPool(pool=resource_type, resource_type=resource_type, limits=limits or Limits(total=QUANTITY_MAX))
        registered = _Registered(provider, opening, has_limits=limits is not None)
        if _is_in_event_loop():
            self._rights.ask(opening)
        else:
            with registered.being_opened():
                self.ledger.execute(opening)
        self._registered[resource_type] = registered

    async def allocate(self, resource_type: str, **options: Any) -> Resource[Any]:  # noqa: ANN401 - the seed's signature
        """Allocate a resource. Options go to the provider; ``expiration_time``, ``owner``, ``tags`` to the ledger too.

        Raises ValueError for a type that has no provider, `Refused` (also a ValueError) if the ledger's limits do not
        allow it, and what the provider raises as it is.
        """
        registered = self._registered.get(resource_type)
        if registered is None:
            message = f"Provider not found: {resource_type}"
            raise ValueError(message)
        try:
            resource = await self._allocate(resource_type, registered, options)
        except BaseException as error:
            self._count("resource_allocations", resource_type, success=False)
            logger.error("Resource allocation failed", resource_type=resource_type, error=_described(error))  # noqa: TRY400 - raised on, with its traceback
            raise
        self._count("resource_allocations", resource_type, success=True)
        return resource

    async def release(self, resource_id: str) -> None:
        """Release a resource: the provider takes it back, then its right ends.

        Raises ValueError for an id that is not held here. If the provider fails, that is raised and the resource stays
        held, in the ledger too; try again.
        """
        held = self._holdings.take(resource_id)
        if held is None:
            message = f"Resource not found: {resource_id}"
            raise ValueError(message)
        try:
            await self._release(held)
        except BaseException as error:
            self._holdings.put(held)
            held.resource.error = _described(error)
            self._count("resource_releases", held.resource_type, success=False)
            logger.error("Resource release failed", resource_id=resource_id, error=_described(error))  # noqa: TRY400 - as above
            raise
        self._count("resource_releases", held.resource_type, success=True)

    def keep_alive(
        self,
        resource_id: str,
        *,
        ttl: timedelta | None = None,
        grace: timedelta | None = None,
        on_lost: OnLost | None = None,
    ) -> Lease:
        """Keep the right to a resource from lapsing, in an ``async with`` block; see `Ledger.keep_alive`.

        Raises ValueError for an id that is not held here.
        """
        held = self._holdings.get(resource_id)
        if held is None:
            message = f"Resource not found: {resource_id}"
            raise ValueError(message)
        token = held.resource.metadata.token
        return self.ledger.keep_alive(held.right, token=token, ttl=ttl, grace=grace, on_lost=on_lost)

    async def cleanup(self) -> None:
        """Have every provider take everything back, and end the rights to it.

        What fails is logged, not raised, and stays held.
        """
        found = [*(registered.provider for registered in self._registered.values()), *self._holdings.providers()]
        for provider in {id(provider): provider for provider in found}.values():
            await self._clean(provider)

    # Allocating

    async def _allocate(self, resource_type: str, registered: _Registered, options: Mapping[str, Any]) -> Resource[Any]:
        if not registered.opened:
            with registered.being_opened():
                await decided(self._rights.ask(registered.opening))
        reserve = self._reserve(resource_type, registered, options)
        attempt = _Attempt(registered.provider, resource_type, reserve.allocation_id or "", self._rights.ask(reserve))
        try:
            return await self._in_two_phases(attempt, options)
        except BaseException as error:
            await self._to_the_end(self._undo(attempt, error))
            raise
        finally:
            self._holdings.give_up(attempt.claimed)

    def _reserve(self, resource_type: str, registered: _Registered, options: Mapping[str, Any]) -> Reserve:
        """Make the command of the first phase; raises `Malformed`."""
        if "allocation_id" in options:
            raise Malformed(
                "allocation_id", options["allocation_id"], "expected none: the manager gives each resource a new one"
            )
        expiration_time = options.get("expiration_time")
        if expiration_time is not None and not _is_aware(expiration_time):
            raise Malformed("expiration_time", expiration_time, "expected a datetime with its offset from UTC")
        return Reserve(
            allocation_id=new_id(),
            quantities={resource_type: registered.provider.quantity(options)},
            owner=options.get("owner") or resource_type,
            ttl=min(self._reservation_ttl, registered.opening.limits.max_ttl or self._reservation_ttl),
            tags=options.get("tags") or {},
        )

    async def _in_two_phases(self, attempt: _Attempt, options: Mapping[str, Any]) -> Resource[Any]:
        reserved = await granted(attempt.deciding)
        clock = asyncio.get_running_loop().time
        since = clock()
        metadata = _metadata(attempt.resource_type, reserved, options)
        _time_left(metadata, reserved.opened_at)
        await self._take_back_expired(reserved.opened_at)
        resource = await self._made(attempt, metadata, options)
        ttl = _time_left(metadata, reserved.opened_at + timedelta(seconds=clock() - since))
        attempt.deciding = self._rights.ask(Confirm(allocation_id=attempt.right, ttl=ttl))
        confirmed = await granted(attempt.deciding)
        metadata.expiration_time = metadata.expiration_time or confirmed.deadline
        held = Held(resource, attempt.provider, attempt.resource_type, attempt.right)
        self._holdings.put(held)
        self._holdings.watch(held, confirmed.deadline)
        return resource

    async def _made(self, attempt: _Attempt, metadata: ResourceMetadata, options: Mapping[str, Any]) -> Resource[Any]:
        """Have the provider make the resource; raises ValueError if its id names another one that is held."""
        resource = await attempt.provider.allocate(
            attempt.resource_type, metadata, **options, allocation_id=attempt.right
        )
        other = self._holdings.claim(resource.id, attempt.provider)
        attempt.claimed = resource.id if other is None else None
        if other is not attempt.provider:
            attempt.resource = resource  # otherwise taking it back would take the other's
        if other is not None:
            message = f"Resource id taken: {resource.id}; a provider gives each resource an id of its own"
            raise ValueError(message)
        return resource

    # Undoing

    async def _to_the_end(self, undoing: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end; whoever is cancelled stops waiting, it goes on all the same."""
        task = asyncio.create_task(undoing)
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)
        await asyncio.shield(task)

    async def _undo(self, attempt: _Attempt, cause: BaseException) -> None:
        """Give back what an attempt that failed has got. What cannot be given back stays held, or lapses."""
        resource = attempt.resource
        try:
            nothing_granted = await withdrawn(attempt.deciding) and resource is None
            if resource is not None:
                await attempt.provider.release(resource)
            if not nothing_granted:
                await self._rights.end(attempt.right, reason=_described(cause), confirmed=False)
        except Exception as error:  # noqa: BLE001 - the caller gets the cause
            if resource is not None:
                self._holdings.put(
                    Held(resource, attempt.provider, attempt.resource_type, attempt.right, confirmed=False)
                )
            logger.error(  # noqa: TRY400 - errors of providers are told, as the seed does, in one line
                "Resource allocation not undone",
                resource_type=attempt.resource_type,
                allocation_id=attempt.right,
                error=_described(error),
            )

    # Ending

    async def _release(self, held: Held) -> None:
        if not held.returned:
            await held.provider.release(held.resource)
            held.returned = True
        await self._end(held)

    async def _end(self, held: Held) -> None:
        """End the right to what was returned; one that ended before, at its deadline say, is none the worse."""
        if not await self._rights.end(held.right, confirmed=held.confirmed):
            logger.warning("Resource released after its right had ended", resource_id=held.resource.id)
        held.ended = True
        held.resource.state = "released"
        held.resource.error = None

    async def _take_back_expired(self, moment: datetime) -> None:
        """Have the providers take back what is held beyond its deadline, as the ledger has it at a moment."""
        for held in self._holdings.due(moment):
            try:
                await self._take_back_if_expired(held, moment)
            except BaseException as error:
                self._holdings.watch(held, moment)  # to be tried again
                logger.error("Expired resource not released", resource_id=held.resource.id, error=_described(error))  # noqa: TRY400 - as above
                if not isinstance(error, Exception):
                    raise

    async def _take_back_if_expired(self, held: Held, moment: datetime) -> None:
        right = await self._rights.find(held.right)
        if right is not None and right.is_open_at(moment):
            self._holdings.watch(held, right.deadline)  # it was renewed
        elif self._holdings.get(held.resource.id) is held:  # nobody else is ending it
            self._holdings.take(held.resource.id)
            try:
                await held.provider.release(held.resource)
            except BaseException:
                self._holdings.put(held)
                raise
            held.resource.state = "expired"

    async def _clean(self, provider: ResourceProvider[Any]) -> None:
        taken = self._holdings.take_all_of(provider)
        try:
            await provider.cleanup()
            for held in taken:
                held.returned = True
            ends = await asyncio.gather(*map(self._end, taken), return_exceptions=True)
            for error in filter(None, ends):
                logger.error("Provider cleanup failed", error=_described(error))
        except Exception as error:  # noqa: BLE001 - the other providers are to be cleaned up as well
            logger.error("Provider cleanup failed", error=_described(error))  # noqa: TRY400 - as above
        finally:
            for held in taken:
                if not held.ended:
                    self._holdings.put(held)

    def _count(self, name: str, resource_type: str, *, success: bool) -> None:
        self._counters.counter(name, 1, resource_type=resource_type, success=str(success).lower())


def _metadata(resource_type: str, reserved: Allocation, options: Mapping[str, Any]) -> ResourceMetadata:
    return ResourceMetadata(
        resource_type=resource_type,
        allocation_time=reserved.opened_at,
        expiration_time=options.get("expiration_time"),
        limits=dict(options.get("limits") or {}),
        tags=dict(reserved.tags),
    )


def _time_left(metadata: ResourceMetadata, moment: datetime) -> timedelta | None:
    """Tell how long it is to the expiration time that was asked for; raises `Malformed` if that has passed."""
    if metadata.expiration_time is None:
        return None
    if metadata.expiration_time <= moment:
        raise Malformed("expiration_time", metadata.expiration_time, f"expected a time after {moment.isoformat()}")
    return metadata.expiration_time - moment


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _described(error: BaseException) -> str:
    """Say an error in one line, as the log takes it for a reason."""
    text = "".join(character if character.isprintable() else " " for character in str(error)).strip()
    return text[:REASON_CHARACTERS_MAX] or type(error).__name__
