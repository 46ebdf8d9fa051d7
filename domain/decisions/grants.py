"""Decisions to grant: allocate and reserve, checked against every limit of every pool they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.commands import Allocate, Reserve
from holdbook.domain.decisions.scene import CommandRefused, RefusalReason
from holdbook.domain.events import Allocated, Event, Reserved
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from holdbook.domain.decisions.scene import Scene
    from holdbook.domain.pool import Pool


def grant(command: Allocate | Reserve, scene: Scene) -> Sequence[Event]:
    """Grant the quantities asked for in all pools, one event a pool in the order of their names.

    Raises `CommandRefused` with the reasons of all pools if any of them refuses.
    """
    names = sorted(command.quantities)
    pools = [pool for name in names if (pool := scene.context.pools.get(name))]
    ttl = command.ttl or default_ttl(pools)
    reasons = [RefusalReason(RefusalCode.POOL_NOT_FOUND, name, {}) for name in names if name not in scene.context.pools]
    if scene.context.past is not None:
        reasons.append(RefusalReason(RefusalCode.ALLOCATION_ID_TAKEN, min(command.quantities), {}))
    for pool in pools:
        asked = command.quantities[pool.name]
        if pool.closed:
            reasons.append(RefusalReason(RefusalCode.POOL_CLOSED, pool.name, {}))
        reasons += ttl_reasons(pool, command.ttl, ttl, required=type(command) is Reserve)
        if pool.limits_sizes or scene.used(pool) + asked > pool.capacity:
            reasons += size_reasons(scene, pool, command.owner, asked)
        if pool.limits.max_allocations is not None and scene.allocations_in(pool) >= pool.limits.max_allocations:
            data = {"limit": pool.limits.max_allocations, "allocations": scene.allocations_in(pool)}
            reasons.append(RefusalReason(RefusalCode.TOO_MANY_ALLOCATIONS, pool.name, data))
        if pool.name in scene.context.behind:
            reasons.append(RefusalReason(RefusalCode.QUEUED_BEHIND, pool.name, {"asked": asked}))
    if reasons:
        raise CommandRefused(*reasons)
    kind = Allocated if type(command) is Allocate else Reserved
    return [
        kind(
            pool=name,
            allocation_id=command.allocation_id or scene.context.new_id,
            owner=command.owner,
            quantity=command.quantities[name],
            pools=tuple(names),
            epoch=scene.context.epoch,
            tags=command.tags,
            deadline=deadline_after(scene.moment, ttl),
        )
        for name in names
    ]


def default_ttl(pools: Iterable[Pool]) -> timedelta | None:
    """Find the shortest default time to live among some pools; None if none of them has one."""
    return min((pool.limits.default_ttl for pool in pools if pool.limits.default_ttl), default=None)


def deadline_after(moment: datetime, ttl: timedelta | None) -> datetime | None:
    """Compute the deadline of a hold that begins, or begins anew, at a moment; None if it has no time to live."""
    return None if ttl is None else moment + ttl


def ttl_reasons(
    pool: Pool, given: timedelta | None, ttl: timedelta | None, *, required: bool
) -> Iterator[RefusalReason]:
    """Yield why a pool refuses a time to live, if it does.

    ``given`` is the one that the command names, ``ttl`` that one or else the shortest default of the command's pools.
    ``required`` says that there must be one; a pool with ``max_ttl`` always requires one, from the command or from a
    default of its own.
    """
    limits = pool.limits
    missing = given is None and limits.default_ttl is None and limits.max_ttl is not None
    if missing or (required and ttl is None):
        yield RefusalReason(RefusalCode.TTL_REQUIRED, pool.name, {})
    elif ttl is not None and limits.max_ttl is not None and ttl > limits.max_ttl:
        data = {"limit": seconds(limits.max_ttl), "asked": seconds(ttl)}
        yield RefusalReason(RefusalCode.TTL_TOO_LONG, pool.name, data)


def size_reasons(scene: Scene, pool: Pool, owner: str, asked: int, present: int = 0) -> Iterator[RefusalReason]:
    """Yield every reason why a pool refuses that an owner's allocation hold ``asked`` of it.

    ``present`` is what the same allocation holds of the pool already: ``asked`` takes its place.
    """
    limits, capacity = pool.limits, pool.capacity
    used = scene.used(pool) - present

    def reason(code: RefusalCode, limit: int, **more: object) -> RefusalReason:
        already = {"held": present} if present else {}
        return RefusalReason(code, pool.name, {"limit": limit, "asked": asked, **already, **more})

    if limits.min_size is not None and asked < limits.min_size:
        yield reason(RefusalCode.BELOW_MIN_SIZE, limits.min_size)
    if limits.max_size is not None and asked > limits.max_size:
        yield reason(RefusalCode.ABOVE_MAX_SIZE, limits.max_size)
    if limits.step is not None and asked % limits.step:
        yield reason(RefusalCode.NOT_A_STEP, limits.step)
    if asked > capacity:
        yield reason(RefusalCode.ABOVE_CAPACITY, capacity)
    if used + asked > capacity:
        yield reason(RefusalCode.POOL_EXHAUSTED, capacity)
    if limits.per_owner is not None:
        owned = scene.used_by(pool, owner)
        if asked > limits.per_owner:
            yield reason(RefusalCode.ABOVE_PER_OWNER, limits.per_owner, owned=owned, owner=owner)
        if owned - present + asked > limits.per_owner:
            yield reason(RefusalCode.OWNER_EXHAUSTED, limits.per_owner, owned=owned, owner=owner)
