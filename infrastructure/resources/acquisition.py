"""Acquire a resource in two phases: reserve the right, have the provider make the thing, confirm the right.

If any of this fails or is cancelled, what was done of it is undone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from holdbook.domain.commands import Confirm, Reserve
from holdbook.domain.errors import Malformed, ProviderFault, ProviderHung
from holdbook.domain.resources import Resource, ResourceMetadata
from holdbook.infrastructure.commit.promise import decided, granted, withdrawn
from holdbook.infrastructure.resources.holdings import HeldResource, Holdings
from holdbook.infrastructure.resources.provider_calls import call_within, class_name, error_text, start_call, stop_call
from holdbook.infrastructure.telemetry.context import about_error
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.infrastructure.telemetry.tracing import provider_call

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.resources import ResourceProvider
    from holdbook.infrastructure.commit.promise import Promise
    from holdbook.infrastructure.resources.provider_calls import Registered
    from holdbook.infrastructure.resources.release import Releases
    from holdbook.infrastructure.resources.rights import Rights

MANAGER_TAG: Final = "manager"
"""The tag by which a right names the manager that reserved it."""

MAKING_SHARE: Final = 0.95
"""The part of a reservation's time that its provider has. In the rest the ledger is told, before the right lapses."""

logger = get_logger()


@dataclass(slots=True, eq=False)
class _Attempt:
    """An acquisition that is under way, and how far it has come."""

    provider: ResourceProvider[Any]
    resource_type: str
    right: str
    """The id of the allocation in the ledger."""
    promise: Promise
    """The outcome of the last command that the ledger was given."""
    making: asyncio.Task[Resource[Any]] | None = None
    """The call of the provider, until what it returned has been checked."""
    resource: Resource[Any] | None = None
    """What the provider made."""
    claimed_id: str | None = None
    """The resource's id, while it is claimed for this resource."""
    needs_reclaim: bool = False
    """True if releasing what the provider returned may leave what it made: then the thing is reclaimed by its right."""


class Acquirer:
    """Acquires resources, each under a right of its own."""

    def __init__(
        self, rights: Rights, holdings: Holdings, releases: Releases, *, name: str | None, reservation_ttl: timedelta
    ) -> None:
        self._rights = rights
        self._holdings = holdings
        self._releases = releases
        self._name = name
        self._reservation_ttl = reservation_ttl
        self._seconds = reservation_ttl.total_seconds()
        self.undoing: set[asyncio.Task[None]] = set()
        """The tasks that undo acquisitions. They go on even if nobody waits for them any more."""

    async def acquire(
        self, right: str, resource_type: str, registered: Registered, options: Mapping[str, Any]
    ) -> HeldResource:
        """Acquire a resource of a type under a right, whose id is new; undo what was done if anything is raised.

        Raises what `UnifiedResourceManager.allocate` does.
        """
        if not registered.opened:
            with registered.marking_opened():
                await decided(self._rights.ask(registered.opening))
        reserve, confirm = self._make_commands(right, resource_type, registered, options)
        async with registered.gate:
            attempt = _Attempt(registered.provider, resource_type, right, self._rights.ask(reserve))
            self._holdings.in_hand.add(right)
        try:
            return await self._in_two_phases(attempt, confirm, options)
        except BaseException as error:
            await self.run_to_the_end(self._undo(attempt, error))
            raise

    def _make_commands(
        self, right: str, resource_type: str, registered: Registered, options: Mapping[str, Any]
    ) -> tuple[Reserve, Confirm]:
        """Make the commands of both phases from the options of a request; raises `Malformed`."""
        if "allocation_id" in options:
            raise Malformed(
                "allocation_id", options["allocation_id"], "expected none: the manager gives each resource a new one"
            )
        expiration_time, ttl = options.get("expiration_time"), options.get("ttl")
        if expiration_time is not None and not _is_aware(expiration_time):
            raise Malformed("expiration_time", expiration_time, "expected a datetime with its offset from UTC")
        if ttl is not None and expiration_time is not None:
            raise Malformed("ttl", ttl, "expected either a ttl or an expiration_time, not both")
        tags = options.get("tags") or {}
        if self._name is not None and MANAGER_TAG in tags:
            raise Malformed(f"tags.{MANAGER_TAG}", tags[MANAGER_TAG], "expected none: the manager's name stands there")
        reserve = Reserve(
            allocation_id=right,
            quantities={resource_type: registered.provider.quantity(options)},
            owner=options.get("owner") or resource_type,
            ttl=min(self._reservation_ttl, registered.opening.limits.max_ttl or self._reservation_ttl),
            tags=tags if self._name is None else {**tags, MANAGER_TAG: self._name},
            wait=options.get("wait"),
        )
        return reserve, Confirm(allocation_id=right, ttl=ttl)

    async def _in_two_phases(self, attempt: _Attempt, confirm: Confirm, options: Mapping[str, Any]) -> HeldResource:
        """Wait for the reservation, have the thing made, and confirm the right, with a deadline counted from then."""
        reserved = await granted(attempt.promise)
        clock = asyncio.get_running_loop().time
        since = clock()
        metadata = _metadata(attempt.resource_type, reserved, confirm.ttl, options)
        asked_for = options.get("expiration_time")
        _time_left(asked_for, reserved.opened_at)
        await self._releases.take_back_expired(reserved.opened_at)
        resource = await self._make_resource(attempt, reserved, metadata, options, clock() - since)
        ttl = confirm.ttl or _time_left(asked_for, reserved.opened_at + timedelta(seconds=clock() - since))
        attempt.promise = self._rights.ask(Confirm(allocation_id=attempt.right, ttl=ttl))
        confirmed = await granted(attempt.promise)
        metadata.expiration_time = asked_for or confirmed.deadline
        held = HeldResource(resource, attempt.provider, attempt.resource_type, attempt.right)
        self._holdings.put(held)
        self._holdings.remember_deadline(held, confirmed.deadline)
        self._holdings.end_claim(attempt.claimed_id)
        return held

    async def _make_resource(
        self,
        attempt: _Attempt,
        reserved: Allocation,
        metadata: ResourceMetadata,
        options: Mapping[str, Any],
        passed: float,
    ) -> Resource[Any]:
        """Have the provider make the resource in its part of the reservation's time, of which some seconds have passed.

        Raises `ProviderHung`, `ProviderFault`, and what the provider raises.
        """
        given = {**options, "allocation_id": attempt.right}
        seconds = (cast("datetime", reserved.deadline) - reserved.opened_at).total_seconds()  # a reservation has one
        with provider_call("allocate", attempt.resource_type, attempt.right):
            attempt.making = start_call(attempt.provider.allocate(attempt.resource_type, metadata, **given))
            done, _ = await asyncio.wait([attempt.making], timeout=max(MAKING_SHARE * seconds - passed, 0))
            if not done:
                raise ProviderHung(class_name(attempt.provider), f"make a {attempt.resource_type!r}", seconds)
            return self._check_made(attempt, attempt.making)

    def _check_made(self, attempt: _Attempt, making: asyncio.Task[Resource[Any]]) -> Resource[Any]:
        """Take the resource that the provider returned, and claim its id.

        Raises `ProviderFault` if it is no resource, or has no id of its own.
        """
        attempt.making = None
        resource: object = making.result()
        kind = class_name(attempt.provider)
        if not isinstance(resource, Resource):
            attempt.needs_reclaim = True
            raise ProviderFault(kind, f"allocate gave {resource!r:.200}; expected a Resource")
        if not isinstance(resource.id, str) or not resource.id:
            attempt.resource, attempt.needs_reclaim = resource, True
            raise ProviderFault(kind, f"Resource id {resource.id!r:.200}; expected a text that is not empty")
        other = self._holdings.claim(resource.id, attempt.provider)
        attempt.needs_reclaim = other is not None
        if other is not attempt.provider:  # else its release would be that of the one before
            attempt.resource = resource
        if other is not None:
            fault = f"Resource id taken: {resource.id}; a provider gives each resource an id of its own"
            raise ProviderFault(kind, fault)
        attempt.claimed_id = resource.id
        return resource

    # Undoing

    async def run_to_the_end(self, undoing: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, even if the task that waits for it is cancelled."""
        await asyncio.shield(self._start(undoing))

    def _start(self, undoing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task, and keep a reference to it until it ends: an event loop keeps none."""
        task = asyncio.create_task(undoing)
        self.undoing.add(task)
        task.add_done_callback(self.undoing.discard)
        return task

    async def _undo(self, attempt: _Attempt, cause: BaseException) -> None:
        """Take back what was made in an attempt that failed, and end its right.

        What cannot be taken back stays held, so that `cleanup` tries again, or its right is left to lapse.
        """
        try:
            if attempt.making is not None and not await self._stop(attempt, attempt.making, cause):
                return
            nothing_granted = await withdrawn(attempt.promise) and attempt.resource is None
            await self._take_back(attempt)
            if not nothing_granted:
                await self._rights.end(attempt.right, reason=error_text(cause), confirmed=False)
            self._holdings.in_hand.discard(attempt.right)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the caller gets the cause
            self._holdings.in_hand.discard(attempt.right)
            if attempt.resource is not None:
                held = HeldResource(
                    attempt.resource, attempt.provider, attempt.resource_type, attempt.right, confirmed=False
                )
                held.resource.error = error_text(error)
                self._holdings.put(held)
            logger.error(  # noqa: TRY400 - errors of providers are logged in one line
                "Resource allocation not undone",
                **{"allocation_id": attempt.right, **about_error(error)},
                resource_type=attempt.resource_type,
                error=error_text(error),
            )
        finally:
            self._holdings.end_claim(attempt.claimed_id)
            attempt.claimed_id = None

    async def _stop(self, attempt: _Attempt, making: asyncio.Task[Resource[Any]], cause: BaseException) -> bool:
        """Stop the provider, and check what it may have made before it stopped; tell whether it did stop.

        If not, the right is left to lapse, and what the provider makes is taken back when its call returns at last.
        """
        if not await stop_call(making):
            logger.error(
                "Provider does not stop",
                provider=class_name(attempt.provider),
                resource_type=attempt.resource_type,
                allocation_id=attempt.right,
            )
            making.add_done_callback(lambda _: self._start(self._undo(attempt, cause)))
            return False
        if not making.cancelled() and making.exception() is None:
            try:
                self._check_made(attempt, making)
            except ProviderFault as fault:
                logger.error("Provider at fault", allocation_id=attempt.right, error=str(fault))  # noqa: TRY400 - as above
        return True

    async def _take_back(self, attempt: _Attempt) -> None:
        """Release what the provider made; where that may not do, reclaim the thing if the inventory lists its right."""
        provider = attempt.provider
        if attempt.resource is not None:
            with provider_call("release", attempt.resource_type, attempt.right):
                await call_within(self._seconds, provider, "release a resource", provider.release(attempt.resource))
        if attempt.needs_reclaim:
            there = await call_within(self._seconds, provider, "tell what it has", provider.inventory())
            if there is not None and attempt.right in there:
                with provider_call("reclaim", attempt.resource_type, attempt.right):
                    await call_within(self._seconds, provider, "reclaim a thing", provider.reclaim(attempt.right))


def _metadata(
    resource_type: str, reserved: Allocation, ttl: timedelta | None, options: Mapping[str, Any]
) -> ResourceMetadata:
    """Make the metadata for the provider. The expiration time in it is set again when the right is confirmed."""
    return ResourceMetadata(
        resource_type=resource_type,
        allocation_time=reserved.opened_at,
        expiration_time=options.get("expiration_time") if ttl is None else reserved.opened_at + ttl,
        limits=dict(options.get("limits") or {}),
        tags=dict(reserved.tags),
        token=reserved.token,
    )


def _time_left(expiration_time: datetime | None, moment: datetime) -> timedelta | None:
    """Tell how long it is from a moment to the expiration time of a request; raises `Malformed` if that has passed."""
    if expiration_time is None:
        return None
    if expiration_time <= moment:
        raise Malformed("expiration_time", expiration_time, f"expected a time after {moment.isoformat()}")
    return expiration_time - moment


def _is_aware(value: object) -> bool:
    """Tell whether a value is a datetime with its offset from UTC."""
    return isinstance(value, datetime) and value.utcoffset() is not None
