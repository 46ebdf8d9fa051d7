"""Decisions about one allocation: confirm, void, renew, resize, transfer, release, and reclaim what it left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.allocation import AllocationState
from holdbook.domain.decisions.grants import deadline_after, default_ttl, size_reasons, ttl_reasons
from holdbook.domain.decisions.scene import CommandRefused, RefusalReason
from holdbook.domain.events import (
    AllocationEvent,
    Confirmed,
    Event,
    Reclaimed,
    Released,
    Renewed,
    Resized,
    Transferred,
    Voided,
)
from holdbook.domain.refusals import RefusalCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.commands import (
        AllocationCommand,
        Confirm,
        Reclaim,
        Release,
        Renew,
        Resize,
        Transfer,
        Void,
    )
    from holdbook.domain.decisions.scene import Scene
    from holdbook.domain.pool import Hold, Pool


class OpenAllocation(NamedTuple):
    """An allocation that has not ended: its id, its pools in the order of their names, and its hold of each."""

    allocation_id: str
    pools: tuple[Pool, ...]
    holds: tuple[Hold, ...]

    def fields(self, index: int, **changes: object) -> dict[str, Any]:
        """Give the fields of an event about the hold at an index, changed as said."""
        hold = self.holds[index]
        common = {"pool": self.pools[index].name, "allocation_id": self.allocation_id}
        return {**common, "owner": hold.owner, "quantity": hold.quantity, **changes}

    def events(self, kind: type[AllocationEvent], **changes: object) -> list[Event]:
        """Make one event of a kind for each pool, with the same changed or additional fields."""
        return [kind(**self.fields(index, **changes)) for index in range(len(self.pools))]


def _open_allocation(command: AllocationCommand, scene: Scene) -> OpenAllocation:
    """Find the allocation that a command is about.

    Raises `CommandRefused` if it was never granted, has ended, or has another token than the command names.
    """
    past, allocation_id = scene.context.past, command.allocation_id
    if past is None:
        raise CommandRefused(RefusalReason(RefusalCode.ALLOCATION_NOT_FOUND, None, {}))
    ended = AllocationState.EXPIRED if allocation_id in scene.lapsed else past.ended
    if ended is not None:
        raise CommandRefused(RefusalReason(RefusalCode.ALLOCATION_ENDED, past.pools[0], {"state": ended.value}))
    pools = tuple(scene.context.pools[name] for name in past.pools)
    allocation = OpenAllocation(allocation_id, pools, tuple(pool.holds[allocation_id] for pool in pools))
    if command.token is not None and command.token != allocation.holds[0].token:
        data = {"token": str(allocation.holds[0].token), "given": str(command.token)}
        raise CommandRefused(RefusalReason(RefusalCode.TOKEN_MISMATCH, past.pools[0], data))
    return allocation


def _reservation(command: Confirm | Void, scene: Scene) -> OpenAllocation:
    """Find the reservation that a command is about; raises `CommandRefused`, also if it is confirmed already."""
    allocation = _open_allocation(command, scene)
    if not allocation.holds[0].reserved:
        data = {"state": AllocationState.ACTIVE.value}
        raise CommandRefused(RefusalReason(RefusalCode.NOT_RESERVED, allocation.pools[0].name, data))
    return allocation


def confirm(command: Confirm, scene: Scene) -> Sequence[Event]:
    """Confirm a reservation, with a deadline counted from now; raises `CommandRefused`."""
    allocation = _reservation(command, scene)
    ttl = command.ttl or default_ttl(allocation.pools)
    reasons = [r for pool in allocation.pools for r in ttl_reasons(pool, command.ttl, ttl, required=False)]
    if reasons:
        raise CommandRefused(*reasons)
    return allocation.events(Confirmed, deadline=deadline_after(scene.moment, ttl))


def void(command: Void, scene: Scene) -> Sequence[Event]:
    """End a reservation that was not confirmed; raises `CommandRefused`."""
    return _reservation(command, scene).events(Voided, reserved=True, reason=command.reason)


def renew(command: Renew, scene: Scene) -> Sequence[Event]:
    """Move an allocation's deadline to now plus the time to live; raises `CommandRefused`, also in a closed pool."""
    allocation = _open_allocation(command, scene)
    ttl = command.ttl or default_ttl(allocation.pools)
    reasons = [RefusalReason(RefusalCode.POOL_CLOSED, pool.name, {}) for pool in allocation.pools if pool.closed]
    reasons += [r for pool in allocation.pools for r in ttl_reasons(pool, command.ttl, ttl, required=True)]
    if reasons:
        raise CommandRefused(*reasons)
    deadline, previous = deadline_after(scene.moment, ttl), allocation.holds[0].deadline
    return allocation.events(Renewed, deadline=deadline, previous_deadline=previous)


def resize(command: Resize, scene: Scene) -> Sequence[Event]:
    """Change what an allocation holds of the pools named, one event for each of them.

    A larger quantity is checked against the pool's limits; a smaller or equal one is always accepted. Raises
    `CommandRefused` with the reasons of all pools if any of them refuses.
    """
    unknown = [name for name in command.quantities if name not in scene.context.pools]
    if unknown:
        raise CommandRefused(*(RefusalReason(RefusalCode.POOL_NOT_FOUND, name, {}) for name in unknown))
    allocation = _open_allocation(command, scene)
    foreign = command.quantities.keys() - {pool.name for pool in allocation.pools}
    reasons = [RefusalReason(RefusalCode.POOL_NOT_IN_ALLOCATION, name, {}) for name in foreign]
    events: list[Event] = []
    for index, (pool, hold) in enumerate(zip(allocation.pools, allocation.holds, strict=True)):
        asked = command.quantities.get(pool.name)
        if asked is None:
            continue
        if asked > hold.quantity:
            if pool.closed:
                reasons.append(RefusalReason(RefusalCode.POOL_CLOSED, pool.name, {}))
            reasons += size_reasons(scene, pool, hold.owner, asked, present=hold.quantity)
        events.append(Resized(**allocation.fields(index, quantity=asked, previous_quantity=hold.quantity)))
    if reasons:
        raise CommandRefused(*reasons)
    return events


def transfer(command: Transfer, scene: Scene) -> Sequence[Event]:
    """Give an allocation another owner; raises `CommandRefused`, also if the owner would then hold too much."""
    allocation = _open_allocation(command, scene)
    reasons = []
    for pool, hold in zip(allocation.pools, allocation.holds, strict=True):
        owned = scene.used_by(pool, command.to) + hold.quantity
        limit = pool.limits.per_owner
        if limit is not None and command.to != hold.owner and owned > limit:
            code = RefusalCode.ABOVE_PER_OWNER if hold.quantity > limit else RefusalCode.OWNER_EXHAUSTED
            data = {"limit": limit, "asked": hold.quantity, "owned": owned - hold.quantity, "owner": command.to}
            reasons.append(RefusalReason(code, pool.name, data))
    if reasons:
        raise CommandRefused(*reasons)
    return allocation.events(Transferred, owner=command.to, previous_owner=allocation.holds[0].owner)


def release(command: Release, scene: Scene) -> Sequence[Event]:
    """End an allocation; raises `CommandRefused`, also for a reservation unless the command says ``force``."""
    allocation, forced = _open_allocation(command, scene), command.force is True
    is_reserved = allocation.holds[0].reserved
    if is_reserved and not forced:
        raise CommandRefused(RefusalReason(RefusalCode.NOT_CONFIRMED, allocation.pools[0].name, {}))
    return allocation.events(Released, reserved=is_reserved, reason=command.reason, forced=forced)


def reclaim(command: Reclaim, scene: Scene) -> Sequence[Event]:
    """Record that a thing was taken back whose allocation has ended or was never granted.

    Raises `CommandRefused` if the allocation is open, or is not of the pool named, or there is no such pool.
    """
    past, allocation_id = scene.context.past, command.allocation_id
    if command.pool not in scene.context.pools:
        raise CommandRefused(RefusalReason(RefusalCode.POOL_NOT_FOUND, command.pool, {}))
    ended = None
    if past is not None:
        if command.pool not in past.pools:
            raise CommandRefused(RefusalReason(RefusalCode.POOL_NOT_IN_ALLOCATION, command.pool, {}))
        ended = AllocationState.EXPIRED if allocation_id in scene.lapsed else past.ended
        if ended is None:
            raise CommandRefused(RefusalReason(RefusalCode.NOT_ENDED, command.pool, {}))
    state = None if ended is None else ended.value
    return [Reclaimed(pool=command.pool, allocation_id=allocation_id, state=state, reason=command.reason)]
