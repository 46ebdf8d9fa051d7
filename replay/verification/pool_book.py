"""The books of one pool: what each allocation holds of it, and the sums, with no code of the domain's pools."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Self

from pydantic_core import to_json

from holdbook.domain.events import PoolOpened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Pool
    from holdbook.domain.values import Token

_STALE_MIN: Final = 64
"""Stale entries in the heap of deadlines are not removed while it has at most this many entries."""


@dataclass(frozen=True, slots=True)
class RecordedGrant:
    """What an allocation was granted with."""

    pools: tuple[str, ...]
    token: Token
    tags: Mapping[str, str]
    opened_at: datetime


@dataclass(slots=True)
class HoldPart:
    """What an allocation holds of one pool."""

    grant: RecordedGrant
    quantity: int
    owner: str
    deadline: datetime | None
    reserved: bool


@dataclass(slots=True)
class PoolBook:
    """The books of one pool."""

    opened: PoolOpened
    limits: Limits
    time: datetime
    version: int = 0
    closed: bool = False
    used: int = 0
    parts: dict[str, HoldPart] = field(default_factory=dict)
    """What is held, by allocation id."""
    by_owner: dict[str, int] = field(default_factory=dict)
    deadlines: list[tuple[datetime, str]] = field(default_factory=list)
    """A heap (as of `heapq`). Entries of parts that were renewed or ended stay until they come up or are swept."""
    capacity: int = 0
    stream_id: str = ""
    text: str = ""
    """The pool's name as JSON text."""
    is_capacity_only: bool = False
    """Whether the capacity is the only limit."""
    exceeded: set[str] = field(default_factory=set)
    """The limits, or owners, found to be exceeded; they stay until a grant fits again: each is reported once."""

    def __post_init__(self) -> None:
        self.stream_id = f"pool:{self.opened.pool}"
        self.text = to_json(self.opened.pool).decode()
        self.set_limits(self.limits)

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Begin the book of a pool as it was, without its holds."""
        opened = PoolOpened(pool=pool.name, resource_type=pool.resource_type, unit=pool.unit, limits=pool.opened_with)
        return cls(opened, pool.limits, pool.time, version=pool.version, closed=pool.closed)

    def set_limits(self, limits: Limits) -> None:
        """Enter new limits."""
        self.limits = limits
        self.capacity = limits.capacity
        others = (limits.min_size, limits.max_size, limits.step, limits.max_allocations, limits.per_owner)
        self.is_capacity_only = all(limit is None for limit in (*others, limits.max_ttl))

    def surely_fits(self, quantity: int) -> bool:
        """Tell whether a quantity can be granted, for a pool without limits other than its capacity; else False."""
        return self.is_capacity_only and not self.closed and not self.exceeded and self.used + quantity <= self.capacity

    def add(self, allocation_id: str, part: HoldPart) -> None:
        """Enter what an allocation was granted."""
        self.parts[allocation_id] = part
        self.change_held(part.owner, part.quantity)
        self.set_deadline(allocation_id, part.deadline)

    def change_held(self, owner: str, quantity: int) -> None:
        """Add a quantity to what the pool and an owner hold, or subtract it if it is below 0."""
        self.used += quantity
        left = self.by_owner.get(owner, 0) + quantity
        if left:
            self.by_owner[owner] = left
        else:
            self.by_owner.pop(owner, None)
        if self.exceeded and quantity < 0:
            self._fits_again(owner, left)

    def set_deadline(self, allocation_id: str, deadline: datetime | None) -> None:
        """Enter the deadline of an allocation."""
        self.parts[allocation_id].deadline = deadline
        if deadline is not None:
            heappush(self.deadlines, (deadline, allocation_id))
        if len(self.deadlines) > _STALE_MIN + 2 * len(self.parts):
            self.deadlines = [(part.deadline, key) for key, part in self.parts.items() if part.deadline is not None]
            heapify(self.deadlines)

    def remove(self, allocation_id: str) -> None:
        """Remove an allocation."""
        part = self.parts.pop(allocation_id)
        self.change_held(part.owner, -part.quantity)

    def pop_outlived(self) -> Iterator[tuple[str, datetime]]:
        """Give, once each, the allocations that are still held past their deadline by the time of the pool."""
        while self.deadlines and self.deadlines[0][0] <= self.time:
            deadline, allocation_id = heappop(self.deadlines)
            part = self.parts.get(allocation_id)
            if part is not None and part.deadline == deadline:
                yield allocation_id, deadline

    def breaches(self, owner: str, quantity: int) -> Iterator[str]:
        """Describe each limit that a hold of this quantity exceeds; the hold must have been entered before."""
        limits = self.limits
        if limits.min_size is not None and self._newly_exceeds("min_size", -quantity, -limits.min_size):
            yield f"{quantity} is below min_size, {limits.min_size}"
        if limits.max_size is not None and self._newly_exceeds("max_size", quantity, limits.max_size):
            yield f"{quantity} is above max_size, {limits.max_size}"
        if limits.step is not None and self._newly_exceeds("step", quantity % limits.step, 0):
            yield f"{quantity} is not a multiple of step, {limits.step}"
        if self._newly_exceeds("capacity", self.used, self.capacity):
            yield f"{self.used} are held then, above the capacity, {self.capacity}"
        yield from self.breaches_of_owner(owner)

    def breaches_of_owner(self, owner: str) -> Iterator[str]:
        """Describe the limit per owner if an owner holds more than that."""
        limit, held = self.limits.per_owner, self.by_owner.get(owner, 0)
        if limit is not None and self._newly_exceeds(f"owner {owner}", held, limit):
            yield f"owner {owner!r} holds {held} then, above per_owner, {limit}"

    def breaches_of_count(self) -> Iterator[str]:
        """Describe the limit on the number of allocations if there are more."""
        limit, held = self.limits.max_allocations, len(self.parts)
        if limit is not None and self._newly_exceeds("count", held, limit):
            yield f"{held} allocations are held then, above max_allocations, {limit}"

    def breaches_of_ttl(self, moment: datetime, deadline: datetime | None) -> Iterator[str]:
        """Describe the limit on the time to live if a deadline is further away."""
        limit = self.limits.max_ttl
        if limit is not None and self._newly_exceeds("max_ttl", int(deadline is None or deadline - moment > limit), 0):
            yield f"the deadline is further away than max_ttl, {limit}"

    def _fits_again(self, owner: str, left: int) -> None:
        limits = self.limits
        if self.used <= self.capacity:
            self.exceeded.discard("capacity")
        if limits.per_owner is not None and left <= limits.per_owner:
            self.exceeded.discard(f"owner {owner}")

    def _newly_exceeds(self, what: str, held: int, limit: int) -> bool:
        if held <= limit:
            self.exceeded.discard(what)
            return False
        known = what in self.exceeded
        self.exceeded.add(what)
        return not known
