"""The manager of real things: its providers make them, and the ledger grants the rights to them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.checks import given_name
from holdbook.domain.commands import OpenPool
from holdbook.domain.errors import Malformed, ProviderFault
from holdbook.domain.limits import Limits
from holdbook.domain.values import QUANTITY_MAX
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.resources.acquisition import Acquirer
from holdbook.infrastructure.resources.deadlines import DeadlineWatch
from holdbook.infrastructure.resources.holdings import HeldResource, Holdings
from holdbook.infrastructure.resources.provider_calls import Registered, class_name, error_text, start_call
from holdbook.infrastructure.resources.reconciliation import Reconciler
from holdbook.infrastructure.resources.release import Releases
from holdbook.infrastructure.resources.rights import Rights
from holdbook.infrastructure.telemetry.context import about_error
from holdbook.infrastructure.telemetry.counters import COUNTERS
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import provider_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdbook.domain.resources import Resource, ResourceProvider
    from holdbook.infrastructure.leases.lease import Lease, OnLost
    from holdbook.infrastructure.resources.reconciliation import Reconciliation
    from holdbook.infrastructure.telemetry.counters import Counters

RESERVATION_TTL: Final = timedelta(minutes=1)
"""How long a right is reserved while its thing is made, unless the manager is given another time."""

logger = get_logger()


class UnifiedResourceManager:
    """Allocates real things under the ledger's limits: reserve the right, have the provider make the thing, confirm.

    A manager belongs to one event loop, and never blocks it. Without a ``ledger`` it keeps a private one in memory. Its
    ``name``, 1 to 255 characters that no other manager has at the same time, is the value of the tag ``manager`` of its
    rights: by it, `reconcile` finds them again after a crash. ``reservation_ttl`` is how long a provider may take for
    one thing. ``counters`` counts allocations and releases. Raises `Malformed`.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        name: str | None = None,
        reservation_ttl: timedelta = RESERVATION_TTL,
        counters: Counters = COUNTERS,
    ) -> None:
        self.ledger = Ledger.in_memory() if ledger is None else ledger
        """The ledger that grants the rights."""
        self.name = None if name is None else given_name("name", name)
        """The value of the tag ``manager`` of its rights; None: they have no such tag."""
        self._counters = counters
        self._registered: dict[str, Registered] = {}
        self._rights = Rights(self.ledger)
        self._holdings = Holdings()
        self._seconds = _check_ttl(reservation_ttl).total_seconds()
        # An allocation first takes back what has expired: half of its reservation's time is left for its own thing.
        self._releases = Releases(self._rights, self._holdings, self._seconds / 2)
        self._acquirer = Acquirer(
            self._rights, self._holdings, self._releases, name=name, reservation_ttl=reservation_ttl
        )
        self._deadline_watch = DeadlineWatch(self._releases, self._holdings, self.ledger.now)
        self._reconciler = Reconciler(self._rights, self._holdings, self._releases, name=name, seconds=self._seconds)

    def register_provider(self, resource_type: str, provider: ResourceProvider[Any]) -> None:
        """Register the provider of a resource type, and open the pool of that name if it is not open.

        Raises `PoolAlreadyOpen` if the pool is open with other limits, and `Refused`. In a running event loop this only
        begins to open the pool, so as not to block, and `allocate` raises these errors.
        """
        limits = provider.pool_limits()
        opening = OpenPool(pool=resource_type, resource_type=resource_type, limits=limits or Limits(total=QUANTITY_MAX))
        registered = Registered(provider, opening, has_limits=limits is not None)
        provider.registered(self.ledger, resource_type)
        if _is_in_event_loop():
            self._rights.ask(opening)
        else:
            with registered.marking_opened():
                self.ledger.execute(opening)
        self._registered[resource_type] = registered

    async def allocate(self, resource_type: str, **options: Any) -> Resource[Any]:  # noqa: ANN401 - the seed's signature
        """Allocate a resource of a type; its options go to the provider, and some of them to the ledger too.

        Those are:

        - ``owner``, a text, and ``tags``, a dictionary of texts;
        - ``expiration_time``, a datetime with its offset from UTC, or ``ttl``, a timedelta from the moment at which the
          resource is there: when the right ends. With neither, the pool's limits decide;
        - ``wait``, a timedelta: how long to wait in the queue, instead of being refused, while the pool has no room.

        Raises ValueError for a type without a provider, `Malformed` for an option, `Refused` (also a ValueError) if the
        ledger's limits do not allow it, `ProviderHung`, `ProviderFault`, and whatever the provider raises. Then nothing
        stays held.
        """
        return (await self._allocate(resource_type, options)).resource

    async def _allocate(self, resource_type: str, options: dict[str, Any]) -> HeldResource:
        registered = self._registered.get(resource_type)
        if registered is None:
            message = f"Provider not found: {resource_type}"
            raise ValueError(message)
        right = new_id()
        try:
            held = await self._acquirer.acquire(right, resource_type, registered, options)
        except BaseException as error:
            self._count("resource_allocations", resource_type, success=False)
            about = {"resource_type": resource_type, "allocation_id": right, **about_error(error)}
            logger.error("Resource allocation failed", **about, error=error_text(error))  # noqa: TRY400 - it is raised, with its traceback
            raise
        self._count("resource_allocations", resource_type, success=True)
        self._deadline_watch.arm()
        return held

    @asynccontextmanager
    async def acquire(self, resource_type: str, **options: Any) -> AsyncIterator[Resource[Any]]:  # noqa: ANN401 - those of `allocate`
        """Allocate a resource for the time of a block: ``async with manager.acquire("memory", size=1) as resource: …``.

        However the block ends, the resource is released, unless the block has released it itself. A task that is
        cancelled during the release waits until it is done, for ``reservation_ttl`` at most; then the provider is told
        to stop, and the resource stays held. Takes and raises what `allocate` does; raises what the block raises, with
        a note if the release failed too, or else what `release` raises.
        """
        held = await self._allocate(resource_type, options)
        try:
            yield held.resource
        except BaseException as error:
            try:
                await self._release_at_exit(held)
            except Exception as failure:  # noqa: BLE001 - it was logged, and the block's error is the one to raise
                error.add_note(f"its resource {held.resource.id} was not released: {error_text(failure)}")
            raise
        else:
            await self._release_at_exit(held)

    async def _release_at_exit(self, held: HeldResource) -> None:
        """Release a resource if it is still held, and wait for that even if this task is cancelled meanwhile."""
        if self._holdings.get(held.resource.id) is not held:
            return
        task = start_call(self.release(held.resource.id))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await _wait_until_done(task, self._seconds)
            raise

    async def release(self, resource_id: str) -> None:
        """Release a resource: have the provider take it back, then end its right.

        Raises ValueError if no resource of this id is held here. Raises what the provider raises; then the resource
        stays held, here and in the ledger, and can be released again.
        """
        held = _check_held(self._holdings.take(resource_id), resource_id)
        try:
            await self._releases.release(held)
        except BaseException as error:
            self._count("resource_releases", held.resource_type, success=False)
            about = {"resource_type": held.resource_type, "allocation_id": held.right, **about_error(error)}
            logger.error("Resource release failed", resource_id=resource_id, **about, error=error_text(error))  # noqa: TRY400 - as above
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
        """Renew the right to a resource as long as an ``async with`` block runs; see `Ledger.keep_alive`.

        Raises ValueError if no resource of this id is held here.
        """
        held = _check_held(self._holdings.get(resource_id), resource_id)
        token = held.resource.metadata.token
        return self.ledger.keep_alive(held.right, token=token, ttl=ttl, grace=grace, on_lost=on_lost)

    async def validate(self, resource_id: str) -> list[str]:
        """List what is wrong with a resource: what its provider finds, then what is wrong with its right in the ledger.

        The same is logged, and stands in the resource's ``error``, which is None if nothing is wrong. Raises ValueError
        if no resource of this id is held here, `ProviderFault`, and what the provider raises.
        """
        held = _check_held(self._holdings.get(resource_id), resource_id)
        with provider_call("validate", held.resource_type, held.right):
            found: object = await held.provider.validate(held.resource)
        if not isinstance(found, list):
            raise ProviderFault(class_name(held.provider), f"validate gave {found!r:.200}; expected a list of texts")
        errors = [*map(str, found), *await self._wrong_with_right(held)]
        held.resource.error = "; ".join(errors) or None
        if errors:
            logger.error(
                "Resource validation failed",
                resource_type=held.resource_type,
                resource_id=resource_id,
                allocation_id=held.right,
                error=held.resource.error,
            )
        return errors

    async def _wrong_with_right(self, held: HeldResource) -> list[str]:
        """List what is wrong with a right: not known, ended, or of another fencing token than the resource has."""
        right, token = await self._rights.find(held.right), held.resource.metadata.token
        if right is None:
            return [f"The ledger knows no right {held.right}"]
        errors = []
        if not right.state.is_open:
            errors.append(f"Its right has ended: {right.state}")
        if token != right.token:
            errors.append(f"It has token {token}, its right {right.token}")
        return errors

    async def cleanup(self) -> None:
        """Have every provider take back all it has made, and end the rights; call it when nothing is being allocated.

        Failures are logged, not raised: such a resource stays held, its ``error`` says why, and a last message counts
        what is left. Providers are cleaned up at the same time; one that hangs is waited for.
        """
        found = [*(registered.provider for registered in self._registered.values()), *self._holdings.providers()]
        distinct = {id(provider): provider for provider in found}.values()
        left = sum(await asyncio.gather(*map(self._releases.clean_up, distinct)))
        if left:
            logger.error("Resources left after cleanup", left=left)

    async def reconcile(self) -> Reconciliation:
        """Make the things that the providers have and the rights in the ledger agree, and tell what was done.

        A service calls this first after a restart. A thing whose right has ended, or was never granted, is taken back,
        and `Reclaimed` is recorded. An open right without its thing is ended if it has this manager's name or is held
        here. Failures are in the answer and logged, and the rest goes on.

        Allocations from a provider wait while it is reconciled. What was being allocated or released when that began
        is left alone, and so is a provider whose `inventory` is None.
        """
        return await self._reconciler.reconcile(dict(self._registered))

    def _count(self, name: str, resource_type: str, *, success: bool) -> None:
        self._counters.counter(name, 1, resource_type=resource_type, success=str(success).lower())


async def _wait_until_done(task: asyncio.Task[None], seconds: float) -> None:
    """Wait until a task is done, even if the one that waits is cancelled again; cancel it after so many seconds."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while not task.done() and clock() < until:
        try:
            await asyncio.wait([task], timeout=until - clock())
        except asyncio.CancelledError:
            continue
    if not task.done():
        task.cancel()


def _check_held(held: HeldResource | None, resource_id: str) -> HeldResource:
    """Give what was found under an id; raises ValueError if nothing was."""
    if held is None:
        message = f"Resource not found: {resource_id}"
        raise ValueError(message)
    return held


def _check_ttl(reservation_ttl: timedelta) -> timedelta:
    """Accept a timedelta above 0; raises `Malformed`."""
    if not isinstance(reservation_ttl, timedelta) or reservation_ttl <= timedelta():
        raise Malformed("reservation_ttl", reservation_ttl, "expected a timedelta above 0")
    return reservation_ttl


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
