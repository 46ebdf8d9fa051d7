"""The scene of a decision: the pools as they are at its moment, and the two ways out, expiries and a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.commands import Command, Expire
from holdbook.domain.decisions.context import horizon
from holdbook.domain.events import Event, Expired, ValidationFailed
from holdbook.domain.refusals import PRECEDENCE, RefusalCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from holdbook.domain.decisions.context import DecisionContext
    from holdbook.domain.pool import Hold, Pool


class RefusalReason(NamedTuple):
    """One reason to refuse a command."""

    code: RefusalCode
    pool: str | None
    """Name of the pool that refuses; None where the command names an allocation that was never granted."""
    data: dict[str, Any]
    """What this code adds to the data that every refusal has; see the reference of refusals."""


class CommandRefused(Exception):
    """A command cannot be done, for one reason or several.

    Raised by the functions that decide one kind of command, and caught by `decide`, which makes it an event.
    """

    def __init__(self, *reasons: RefusalReason) -> None:
        self.reasons = reasons
        super().__init__()


@dataclass(slots=True)
class Scene:
    """The context of a decision, its moment, and the allocations that have expired by then.

    The pools are never changed: `used`, `allocations_in` and `used_by` subtract what has expired from what they hold.
    """

    context: DecisionContext
    moment: datetime
    lapsed: set[str] = field(default_factory=set)
    """Ids of the allocations that expire with this command."""
    freed: dict[str, list[Hold]] = field(default_factory=dict)
    """What those allocations held, by name of the pool."""

    def expire_due(self, command: Command) -> Iterator[Event]:
        """Yield the expiries of all allocations that are due, ordered by deadline, then id, then pool; note each.

        An `Expire` with a limit expires only those up to the `horizon`.
        """
        until, due = self.moment, {}
        if type(command) is Expire and command.limit is not None:
            until = horizon(self.context.pools, until, command.limit)
        for pool in self.context.pools.values():
            for allocation_id in pool.due(until):
                due[allocation_id] = pool.holds[allocation_id]
        for allocation_id, hold in sorted(due.items(), key=lambda item: (item[1].deadline, item[0])):
            self.lapsed.add(allocation_id)
            for name in hold.pools:
                part = self.context.pools[name].holds[allocation_id]
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
        """Compute how much of a pool is held, in its unit."""
        freed = self.freed.get(pool.name)
        return pool.used - sum(hold.quantity for hold in freed) if freed else pool.used

    def allocations_in(self, pool: Pool) -> int:
        """Count the allocations that hold something of a pool."""
        return len(pool.holds) - len(self.freed.get(pool.name, ()))

    def used_by(self, pool: Pool, owner: str) -> int:
        """Compute how much of a pool one owner holds, over all allocations, in the pool's unit."""
        lapsed = (hold.quantity for hold in self.freed.get(pool.name, ()) if hold.owner == owner)
        return pool.by_owner.get(owner, 0) - sum(lapsed)

    def find_open_pool(self, name: str) -> Pool:
        """Find a pool that exists and is not closed; raises `CommandRefused` otherwise."""
        pool = self.context.pools.get(name)
        if pool is None:
            raise CommandRefused(RefusalReason(RefusalCode.POOL_NOT_FOUND, name, {}))
        if pool.closed:
            raise CommandRefused(RefusalReason(RefusalCode.POOL_CLOSED, name, {}))
        return pool

    def refusal_event(self, command: Command, reasons: Iterable[RefusalReason]) -> ValidationFailed:
        """Make the event of a refusal from the first of its reasons: first by precedence of code, then by pool."""
        code, pool, data = min(reasons, key=lambda reason: (PRECEDENCE[reason.code], reason.pool or ""))
        known = pool in self.context.pools
        allocation_id = getattr(command, "allocation_id", None)
        named = {"pool": pool, "allocation_id": allocation_id}
        shared: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
        if known and pool is not None:
            present = self.context.pools[pool]
            used, capacity = self.used(present), present.capacity
            free = 0 if present.closed else max(capacity - used, 0)
            shared |= {"unit": present.unit, "capacity": capacity, "used": used, "free": free}
        return ValidationFailed(
            code=code,
            pool=pool,
            known=known,
            allocation_id=allocation_id,
            asked=json.loads(command.canonical()),  # the fields in canonical order: equal commands give equal bytes
            data={**shared, **data},
        )
