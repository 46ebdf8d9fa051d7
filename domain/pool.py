"""The pool: the aggregate over which limits are enforced. `evolve` folds its events; `decisions` decides on it."""

from __future__ import annotations

from copy import copy
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdbook.domain.allocation import token_of
from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import (
    Confirmed,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    is_ending,
    is_opening,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from holdbook.domain.events import Opening
    from holdbook.domain.limits import Limits
    from holdbook.domain.records import Recorded
    from holdbook.domain.values import Token

_STALE_DEADLINES_MIN: Final = 64
"""The heap of deadlines is rebuilt only if it has more entries than this, beyond two for each hold."""


class Hold(NamedTuple):
    """What one open allocation holds of one pool."""

    quantity: int
    """In the pool's unit."""
    owner: str
    deadline: datetime | None
    """When it ends unless it is renewed, in UTC; None: it never ends by itself."""
    reserved: bool
    """True for a reservation that is not confirmed yet."""
    token: Token
    """The allocation's fencing token."""
    pools: tuple[str, ...]
    """Names of all pools of the allocation, in order."""
    tags: Mapping[str, str]
    opened_at: datetime
    """When it was granted, in UTC."""


class Pool:
    """The present state of a pool. Only `evolve` changes it, and in place.

    Sums and a heap of deadlines are kept beside the holds, so that a grant costs the same however many holds there are.
    """

    __slots__ = (
        "_limits",
        "by_owner",
        "capacity",
        "closed",
        "deadlines",
        "holds",
        "limits_sizes",
        "name",
        "opened_with",
        "resource_type",
        "time",
        "unit",
        "used",
        "version",
    )

    def __init__(self, opened: PoolOpened, time: datetime) -> None:
        self.name = opened.pool
        self.resource_type = opened.resource_type
        self.unit = opened.unit
        self.limits = opened.limits
        self.opened_with: Limits = opened.limits
        """The limits that the pool was opened with."""
        self.closed = False
        self.version = 1
        """Number of events in the pool's stream."""
        self.time = time
        """The pool's own time: the latest ``occurred_at`` of its events. It never goes back."""
        self.used = 0
        """The sum of all holds, in the pool's unit."""
        self.holds: dict[str, Hold] = {}
        """The holds, by allocation id."""
        self.by_owner: dict[str, int] = {}
        """The sum of the holds of each owner that has any, in the pool's unit."""
        self.deadlines: list[tuple[datetime, str]] = []
        """A heap (`heapq`) of deadlines, each with its allocation id.

        An entry is live if it is the present deadline of a hold. Entries of holds that were renewed or have ended since
        are stale: they are dropped when they reach the top, or when the heap is rebuilt; see `trim`.
        """

    @property
    def limits(self) -> Limits:
        """The present limits."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self.capacity = limits.capacity
        sizes = (limits.min_size, limits.max_size, limits.step, limits.per_owner)
        self.limits_sizes = any(limit is not None for limit in sizes)
        """Whether any limit other than the capacity bounds the size of a grant."""

    def copy(self) -> Pool:
        """Copy what a snapshot needs.

        The copy shares ``by_owner`` and ``deadlines`` with the pool: once one of them evolves, the other is wrong.
        """
        twin = copy(self)
        twin.holds = self.holds.copy()
        return twin

    def has_due(self, moment: datetime) -> bool:
        """Tell whether anything is due at a moment: the earliest deadline is at that moment or before it."""
        return bool(self.deadlines) and self.deadlines[0][0] <= moment

    def due(self, moment: datetime) -> list[str]:
        """List the ids of the allocations whose deadline is at a moment or before it, by deadline, then id."""
        if not self.has_due(moment):
            return []
        found = {entry for entry in self._up_to(moment) if self._is_live(entry)}
        return [allocation_id for _, allocation_id in sorted(found)]

    def _up_to(self, moment: datetime) -> Iterator[tuple[datetime, str]]:
        """Yield the entries of the heap up to a moment, in no order.

        No child in a heap comes before its parent, so the walk goes down from the top and ends at entries after the
        moment: its cost is in proportion to what it finds.
        """
        indexes = [0]
        while indexes:
            index = indexes.pop()
            if index < len(self.deadlines) and self.deadlines[index][0] <= moment:
                yield self.deadlines[index]
                indexes += (2 * index + 1, 2 * index + 2)

    def next_deadline(self, moment: datetime) -> datetime | None:
        """Find the earliest entry of the heap after a moment, which may be stale; None if there is none."""
        indexes, found = [0], []
        while indexes:
            index = indexes.pop()
            if index < len(self.deadlines):
                deadline = self.deadlines[index][0]
                if deadline > moment:
                    found.append(deadline)
                else:
                    indexes += (2 * index + 1, 2 * index + 2)
        return min(found, default=None)

    def first_due(self, moment: datetime, limit: int) -> list[tuple[datetime, str]]:
        """List the first ``limit`` deadlines that are at a moment or before it, in order, with their allocations' ids.

        The heap is read in order without changing it: a second heap has the entries that may come next, at first the
        top, then also the two children of each entry that was taken.
        """
        found: list[tuple[datetime, str]] = []
        candidates = [(entry, 0) for entry in self.deadlines[:1]]
        while candidates and len(found) < limit:
            entry, index = heappop(candidates)
            if entry[0] > moment:
                break
            # A hold that was renewed away from a deadline and back to it has two equal entries: it is taken once.
            if self._is_live(entry) and entry not in found[-1:]:
                found.append(entry)
            children = range(2 * index + 1, min(2 * index + 3, len(self.deadlines)))
            for child in children:
                heappush(candidates, (self.deadlines[child], child))
        return found

    def _is_live(self, entry: tuple[datetime, str]) -> bool:
        """Tell whether an entry of the heap is the present deadline of a hold."""
        hold = self.holds.get(entry[1])
        return hold is not None and hold.deadline == entry[0]

    def held(self, allocation_id: str) -> Hold:
        """Find the hold of an allocation; raises `LogCorrupt` if it has none."""
        hold = self.holds.get(allocation_id)
        if hold is None:
            message = f"pool {self.name!r}, version {self.version}: nothing is held by allocation {allocation_id!r}"
            raise LogCorrupt(message)
        return hold

    def put(self, allocation_id: str, hold: Hold) -> None:
        """Set the hold of an allocation, in place of its present one if there is one, and update the sums."""
        before = self.take(allocation_id) if allocation_id in self.holds else None
        self.holds[allocation_id] = hold
        self.used += hold.quantity
        self.by_owner[hold.owner] = self.by_owner.get(hold.owner, 0) + hold.quantity
        if hold.deadline is not None and (before is None or before.deadline != hold.deadline):
            heappush(self.deadlines, (hold.deadline, allocation_id))

    def take(self, allocation_id: str) -> Hold:
        """Remove the hold of an allocation, update the sums, and give it; raises `LogCorrupt` if there is none."""
        hold = self.held(allocation_id)
        del self.holds[allocation_id]
        self.used -= hold.quantity
        left = self.by_owner[hold.owner] - hold.quantity
        if left:
            self.by_owner[hold.owner] = left
        else:
            del self.by_owner[hold.owner]
        return hold

    def trim(self) -> None:
        """Drop the stale entries at the top of the heap of deadlines; rebuild it once most of its entries are stale."""
        while self.deadlines and not self._is_live(self.deadlines[0]):
            heappop(self.deadlines)
        if len(self.deadlines) > _STALE_DEADLINES_MIN + 2 * len(self.holds):
            self.deadlines = [(h.deadline, key) for key, h in self.holds.items() if h.deadline is not None]
            heapify(self.deadlines)


def evolve(pool: Pool | None, recorded: Recorded) -> Pool:
    """Apply the next event of a pool's stream to the pool, in place, and give it; None is a pool not yet opened.

    Raises `LogCorrupt` for an event that cannot follow: of another version than the next, or about a hold that is not
    there.
    """
    event = recorded.event
    if pool is None:
        if not isinstance(event, PoolOpened) or recorded.version != 1:
            message = f"position {recorded.position}: {type(event).__name__} in a pool that was never opened"
            raise LogCorrupt(message)
        return Pool(event, recorded.occurred_at)
    if recorded.version != pool.version + 1:
        message = (
            f"position {recorded.position}: version {recorded.version} of pool {pool.name!r} follows {pool.version}"
        )
        raise LogCorrupt(message)
    _apply(pool, recorded)
    pool.version = recorded.version
    pool.time = max(pool.time, recorded.occurred_at)
    if pool.deadlines:
        pool.trim()
    return pool


def _apply(pool: Pool, recorded: Recorded) -> None:
    event = recorded.event
    if is_opening(event) and event.allocation_id not in pool.holds:
        pool.put(event.allocation_id, _opened(event, recorded))
    elif is_ending(event):
        pool.take(event.allocation_id)
    else:
        _change(pool, recorded)


def _change(pool: Pool, recorded: Recorded) -> None:
    match recorded.event:
        case Confirmed() as event:
            _put_changed(pool, event.allocation_id, deadline=event.deadline, reserved=False)
        case Renewed() as event:
            _put_changed(pool, event.allocation_id, deadline=event.deadline)
        case Resized() as event:
            _put_changed(pool, event.allocation_id, quantity=event.quantity)
        case Transferred() as event:
            _put_changed(pool, event.allocation_id, owner=event.owner)
        case LimitsChanged() as event:
            pool.limits = event.limits
        case PoolClosed():
            pool.closed = True
        case event:
            message = f"position {recorded.position}: {type(event).__name__} does not follow in pool {pool.name!r}"
            raise LogCorrupt(message)


def _opened(event: Opening, recorded: Recorded) -> Hold:
    """Make the hold that an opening event begins."""
    return Hold(
        quantity=event.quantity,
        owner=event.owner,
        deadline=event.deadline,
        reserved=type(event) is Reserved,
        token=token_of(event, recorded.position),
        pools=event.pools,
        tags=event.tags,
        opened_at=recorded.occurred_at,
    )


def _put_changed(pool: Pool, allocation_id: str, **changes: Any) -> None:  # noqa: ANN401 - fields by name
    pool.put(allocation_id, pool.held(allocation_id)._replace(**changes))
