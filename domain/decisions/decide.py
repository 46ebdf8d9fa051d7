"""The decisions: what a command does to the pools it touches, as events. Pure: time and ids are passed in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.allocation import AllocationState
from holdbook.domain.commands import (
    Allocate,
    AllocationCommand,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Command,
    Confirm,
    Expire,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Transfer,
    Void,
)
from holdbook.domain.decisions.context import horizon
from holdbook.domain.errors import PoolAlreadyOpen
from holdbook.domain.events import (
    Allocated,
    AllocationEvent,
    Confirmed,
    Event,
    Expired,
    LedgerClosed,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Reclaimed,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)
from holdbook.domain.refusals import PRECEDENCE, RefusalCode
from holdbook.domain.values import first_difference, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from holdbook.domain.decisions.context import DecisionContext
    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Hold, Pool


def decide(situation: DecisionContext, command: Command, moment: datetime) -> list[Event]:
    """Decide a command at a moment (see `time_of`): what is due in the pools it reaches expires first.

    Then come the command's own events, or its refusal. Raises `PoolAlreadyOpen`. An empty list means that the command
    is a repeat or has nothing to do.
    """
    scene = _Scene(situation, moment)
    expired = list(scene.expire(command)) if any(pool.has_due(moment) for pool in situation.pools.values()) else []
    try:
        decided = _DECISIONS[type(command)](command, scene)
        return [*expired, *decided] if decided or type(command) is Expire else []
    except _Refusal as refusal:
        return [*expired, scene.failed(command, refusal.reasons)]


class _Reason(NamedTuple):
    code: RefusalCode
    pool: str | None
    data: dict[str, Any]


class _Refusal(Exception):
    # It never leaves this module.
    def __init__(self, *reasons: _Reason) -> None:
        self.reasons = reasons
        super().__init__()


@dataclass(slots=True)
class _Scene:
    """The situation at the moment of decision, what has lapsed by then taken off."""

    situation: DecisionContext
    moment: datetime
    lapsed: set[str] = field(default_factory=set)
    """Ids of the allocations that expire with this command."""
    freed: dict[str, list[Hold]] = field(default_factory=dict)
    """What they held, by pool."""

    def expire(self, command: Command) -> Iterator[Event]:
        """Expire what is due, or the first of it, each allocation in all its pools, by deadline, then id."""
        until, due = self.moment, {}
        if type(command) is Expire and command.limit is not None:
            until = horizon(self.situation.pools, until, command.limit)
        for pool in self.situation.pools.values():
            for allocation_id in pool.due(until):
                due[allocation_id] = pool.holds[allocation_id]
        for allocation_id, hold in sorted(due.items(), key=lambda item: (item[1].deadline, item[0])):
            self.lapsed.add(allocation_id)
            for name in hold.pools:
                part = self.situation.pools[name].holds[allocation_id]
                self.freed.setdefault(name, []).append(part)
                yield Expired(
                    pool=name,
                    allocation_id=allocation_id,
                    owner=part.owner,
                    quantity=part.quantity,
                    reserved=part.reserved,
                    deadline=part.deadline,
                )

    def used(self, pool: Pool) -> int:
        freed = self.freed.get(pool.name)
        return pool.used - sum(hold.quantity for hold in freed) if freed else pool.used

    def held(self, pool: Pool) -> int:
        return len(pool.holds) - len(self.freed.get(pool.name, ()))

    def used_by(self, pool: Pool, owner: str) -> int:
        lapsed = (hold.quantity for hold in self.freed.get(pool.name, ()) if hold.owner == owner)
        return pool.by_owner.get(owner, 0) - sum(lapsed)

    def pool(self, name: str) -> Pool:
        pool = self.situation.pools.get(name)
        if pool is None:
            raise _Refusal(_Reason(RefusalCode.POOL_NOT_FOUND, name, {}))
        if pool.closed:
            raise _Refusal(_Reason(RefusalCode.POOL_CLOSED, name, {}))
        return pool

    def failed(self, command: Command, reasons: Iterable[_Reason]) -> ValidationFailed:
        """Write the refusal of the first reason: by code, then by pool."""
        code, pool, data = min(reasons, key=lambda reason: (PRECEDENCE[reason.code], reason.pool or ""))
        known = pool in self.situation.pools
        allocation_id = getattr(command, "allocation_id", None)
        named = {"pool": pool, "allocation_id": allocation_id}
        shared: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
        if known and pool is not None:
            present = self.situation.pools[pool]
            used, capacity = self.used(present), present.capacity
            free = 0 if present.closed else max(capacity - used, 0)
            shared |= {"unit": present.unit, "capacity": capacity, "used": used, "free": free}
        return ValidationFailed(
            code=code,
            pool=pool,
            known=known,
            allocation_id=allocation_id,
            asked=json.loads(command.canonical()),  # the same bytes for the same content
            data={**shared, **data},
        )


def _open_pool(command: OpenPool, scene: _Scene) -> Sequence[Event]:
    pool = scene.situation.pools.get(command.pool)
    if scene.situation.closed:
        raise _Refusal(_Reason(RefusalCode.LEDGER_CLOSED, command.pool, {}))
    if pool is None:
        return [
            PoolOpened(pool=command.pool, resource_type=command.resource_type, unit=command.unit, limits=command.limits)
        ]
    if pool.closed:
        raise _Refusal(_Reason(RefusalCode.POOL_CLOSED, pool.name, {}))
    given = _description(command.resource_type, command.unit, command.limits)
    if given != _description(pool.resource_type, pool.unit, pool.opened_with):
        difference = first_difference(_description(pool.resource_type, pool.unit, pool.limits), given)
        if difference:
            raise PoolAlreadyOpen(pool.name, *difference)
    return []


def _description(resource_type: str, unit: str, limits: Limits) -> dict[str, Any]:
    return {"resource_type": resource_type, "unit": unit, "limits": limits.model_dump(mode="json")}


def _change_limits(command: ChangeLimits, scene: _Scene) -> Sequence[Event]:
    pool = scene.pool(command.pool)
    if command.expected is not None:
        wanted, present = command.expected.model_dump(mode="json"), pool.limits.model_dump(mode="json")
        difference = first_difference(wanted, present)
        if difference:
            name, expected, found = difference
            data = {"field": name, "expected": expected, "present": found}
            raise _Refusal(_Reason(RefusalCode.LIMITS_MOVED, pool.name, data))
    return [LimitsChanged(pool=pool.name, limits=command.limits, previous=pool.limits)]


def _close_pool(command: ClosePool, scene: _Scene) -> Sequence[Event]:
    return [PoolClosed(pool=scene.pool(command.pool).name, reason=command.reason)]


def _close_ledger(command: CloseLedger, scene: _Scene) -> Sequence[Event]:
    if scene.situation.closed:
        return []
    still_open = sorted(name for name, pool in scene.situation.pools.items() if not pool.closed)
    return [LedgerClosed(reason=command.reason), *(PoolClosed(pool=name, reason=command.reason) for name in still_open)]


def _grant(command: Allocate | Reserve, scene: _Scene) -> Sequence[Event]:
    names = sorted(command.quantities)
    pools = [pool for name in names if (pool := scene.situation.pools.get(name))]
    ttl = command.ttl or _default_ttl(pools)
    reasons = [_Reason(RefusalCode.POOL_NOT_FOUND, name, {}) for name in names if name not in scene.situation.pools]
    if scene.situation.past is not None:
        reasons.append(_Reason(RefusalCode.ALLOCATION_ID_TAKEN, min(command.quantities), {}))
    for pool in pools:
        if pool.closed:
            reasons.append(_Reason(RefusalCode.POOL_CLOSED, pool.name, {}))
        reasons += _ttl_reasons(pool, command.ttl, ttl, required=type(command) is Reserve)
        if pool.limits_sizes or scene.used(pool) + command.quantities[pool.name] > pool.capacity:
            reasons += _size_reasons(scene, pool, command.owner, command.quantities[pool.name])
        if pool.limits.max_allocations is not None and scene.held(pool) >= pool.limits.max_allocations:
            data = {"limit": pool.limits.max_allocations, "allocations": scene.held(pool)}
            reasons.append(_Reason(RefusalCode.TOO_MANY_ALLOCATIONS, pool.name, data))
        if pool.name in scene.situation.behind:
            reasons.append(_Reason(RefusalCode.QUEUED_BEHIND, pool.name, {"asked": command.quantities[pool.name]}))
    if reasons:
        raise _Refusal(*reasons)
    kind = Allocated if type(command) is Allocate else Reserved
    return [
        kind(
            pool=name,
            allocation_id=command.allocation_id or scene.situation.new_id,
            owner=command.owner,
            quantity=command.quantities[name],
            pools=tuple(names),
            epoch=scene.situation.epoch,
            tags=command.tags,
            deadline=_deadline(scene.moment, ttl),
        )
        for name in names
    ]


def _default_ttl(pools: Iterable[Pool]) -> timedelta | None:
    return min((pool.limits.default_ttl for pool in pools if pool.limits.default_ttl), default=None)


def _deadline(moment: datetime, ttl: timedelta | None) -> datetime | None:
    return None if ttl is None else moment + ttl


def _ttl_reasons(pool: Pool, given: timedelta | None, ttl: timedelta | None, *, required: bool) -> Iterator[_Reason]:
    limits = pool.limits
    missing = given is None and limits.default_ttl is None and limits.max_ttl is not None
    if missing or (required and ttl is None):
        yield _Reason(RefusalCode.TTL_REQUIRED, pool.name, {})
    elif ttl is not None and limits.max_ttl is not None and ttl > limits.max_ttl:
        yield _Reason(RefusalCode.TTL_TOO_LONG, pool.name, {"limit": seconds(limits.max_ttl), "asked": seconds(ttl)})


def _size_reasons(scene: _Scene, pool: Pool, owner: str, asked: int, present: int = 0) -> Iterator[_Reason]:
    """Check a hold of a new size against every limit on sizes; ``present`` is what the allocation holds already."""
    limits, capacity = pool.limits, pool.capacity
    used = scene.used(pool) - present

    def reason(code: RefusalCode, limit: int, **more: object) -> _Reason:
        already = {"held": present} if present else {}
        return _Reason(code, pool.name, {"limit": limit, "asked": asked, **already, **more})

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


class _Held(NamedTuple):
    """An open allocation: its id, its pools by name, and what it holds in each."""

    allocation_id: str
    pools: tuple[Pool, ...]
    holds: tuple[Hold, ...]

    def event(self, index: int, **changes: object) -> dict[str, Any]:
        hold = self.holds[index]
        common = {"pool": self.pools[index].name, "allocation_id": self.allocation_id}
        return {**common, "owner": hold.owner, "quantity": hold.quantity, **changes}

    def events(self, kind: type[AllocationEvent], **changes: object) -> list[Event]:
        return [kind(**self.event(index, **changes)) for index in range(len(self.pools))]


def _held(command: AllocationCommand, scene: _Scene) -> _Held:
    """Find the open allocation that a command is about; raises `_Refusal`."""
    past, allocation_id = scene.situation.past, command.allocation_id
    if past is None:
        raise _Refusal(_Reason(RefusalCode.ALLOCATION_NOT_FOUND, None, {}))
    ended = AllocationState.EXPIRED if allocation_id in scene.lapsed else past.ended
    if ended is not None:
        raise _Refusal(_Reason(RefusalCode.ALLOCATION_ENDED, past.pools[0], {"state": ended.value}))
    pools = tuple(scene.situation.pools[name] for name in past.pools)
    held = _Held(allocation_id, pools, tuple(pool.holds[allocation_id] for pool in pools))
    if command.token is not None and command.token != held.holds[0].token:
        data = {"token": str(held.holds[0].token), "given": str(command.token)}
        raise _Refusal(_Reason(RefusalCode.TOKEN_MISMATCH, past.pools[0], data))
    return held


def _reserved(command: Confirm | Void, scene: _Scene) -> _Held:
    held = _held(command, scene)
    if not held.holds[0].reserved:
        data = {"state": AllocationState.ACTIVE.value}
        raise _Refusal(_Reason(RefusalCode.NOT_RESERVED, held.pools[0].name, data))
    return held


def _confirm(command: Confirm, scene: _Scene) -> Sequence[Event]:
    held = _reserved(command, scene)
    ttl = command.ttl or _default_ttl(held.pools)
    reasons = [r for pool in held.pools for r in _ttl_reasons(pool, command.ttl, ttl, required=False)]
    if reasons:
        raise _Refusal(*reasons)
    return held.events(Confirmed, deadline=_deadline(scene.moment, ttl))


def _void(command: Void, scene: _Scene) -> Sequence[Event]:
    return _reserved(command, scene).events(Voided, reserved=True, reason=command.reason)


def _renew(command: Renew, scene: _Scene) -> Sequence[Event]:
    held = _held(command, scene)
    ttl = command.ttl or _default_ttl(held.pools)
    reasons = [_Reason(RefusalCode.POOL_CLOSED, pool.name, {}) for pool in held.pools if pool.closed]
    reasons += [r for pool in held.pools for r in _ttl_reasons(pool, command.ttl, ttl, required=True)]
    if reasons:
        raise _Refusal(*reasons)
    return held.events(Renewed, deadline=_deadline(scene.moment, ttl), previous_deadline=held.holds[0].deadline)


def _resize(command: Resize, scene: _Scene) -> Sequence[Event]:
    unknown = [name for name in command.quantities if name not in scene.situation.pools]
    if unknown:
        raise _Refusal(*(_Reason(RefusalCode.POOL_NOT_FOUND, name, {}) for name in unknown))
    held = _held(command, scene)
    foreign = command.quantities.keys() - {pool.name for pool in held.pools}
    reasons = [_Reason(RefusalCode.POOL_NOT_IN_ALLOCATION, name, {}) for name in foreign]
    events: list[Event] = []
    for index, (pool, hold) in enumerate(zip(held.pools, held.holds, strict=True)):
        asked = command.quantities.get(pool.name)
        if asked is None:
            continue
        if asked > hold.quantity:
            if pool.closed:
                reasons.append(_Reason(RefusalCode.POOL_CLOSED, pool.name, {}))
            reasons += _size_reasons(scene, pool, hold.owner, asked, present=hold.quantity)
        events.append(Resized(**held.event(index, quantity=asked, previous_quantity=hold.quantity)))
    if reasons:
        raise _Refusal(*reasons)
    return events


def _transfer(command: Transfer, scene: _Scene) -> Sequence[Event]:
    held = _held(command, scene)
    reasons = []
    for pool, hold in zip(held.pools, held.holds, strict=True):
        owned = scene.used_by(pool, command.to) + hold.quantity
        limit = pool.limits.per_owner
        if limit is not None and command.to != hold.owner and owned > limit:
            code = RefusalCode.ABOVE_PER_OWNER if hold.quantity > limit else RefusalCode.OWNER_EXHAUSTED
            data = {"limit": limit, "asked": hold.quantity, "owned": owned - hold.quantity, "owner": command.to}
            reasons.append(_Reason(code, pool.name, data))
    if reasons:
        raise _Refusal(*reasons)
    return held.events(Transferred, owner=command.to, previous_owner=held.holds[0].owner)


def _release(command: Release, scene: _Scene) -> Sequence[Event]:
    held, forced = _held(command, scene), command.force is True
    is_reserved = held.holds[0].reserved
    if is_reserved and not forced:
        raise _Refusal(_Reason(RefusalCode.NOT_CONFIRMED, held.pools[0].name, {}))
    return held.events(Released, reserved=is_reserved, reason=command.reason, forced=forced)


def _expire(command: Expire, scene: _Scene) -> Sequence[Event]:
    if command.pool is not None and command.pool not in scene.situation.pools:
        raise _Refusal(_Reason(RefusalCode.POOL_NOT_FOUND, command.pool, {}))
    return ()


def _reclaim(command: Reclaim, scene: _Scene) -> Sequence[Event]:
    past, allocation_id = scene.situation.past, command.allocation_id
    if command.pool not in scene.situation.pools:
        raise _Refusal(_Reason(RefusalCode.POOL_NOT_FOUND, command.pool, {}))
    ended = None
    if past is not None:
        if command.pool not in past.pools:
            raise _Refusal(_Reason(RefusalCode.POOL_NOT_IN_ALLOCATION, command.pool, {}))
        ended = AllocationState.EXPIRED if allocation_id in scene.lapsed else past.ended
        if ended is None:
            raise _Refusal(_Reason(RefusalCode.NOT_ENDED, command.pool, {}))
    state = None if ended is None else ended.value
    return [Reclaimed(pool=command.pool, allocation_id=allocation_id, state=state, reason=command.reason)]


_DECISIONS: Mapping[type[Command], Callable[[Any, _Scene], Sequence[Event]]] = {
    OpenPool: _open_pool,
    ChangeLimits: _change_limits,
    ClosePool: _close_pool,
    CloseLedger: _close_ledger,
    Allocate: _grant,
    Reserve: _grant,
    Confirm: _confirm,
    Void: _void,
    Renew: _renew,
    Resize: _resize,
    Transfer: _transfer,
    Release: _release,
    Expire: _expire,
    Reclaim: _reclaim,
}
"""What decides each kind of command; each raises `_Refusal`."""
