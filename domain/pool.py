"""The pool: the aggregate that enforces limits. `evolve` folds its events; nothing here decides."""

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
"""Below this many entries the heap of deadlines is never rebuilt."""


class Hold(NamedTuple):
    """One allocation's part of one pool, as long as it is held."""

    quantity: int
    owner: str
    deadline: datetime | None
    reserved: bool
    token: Token
    pools: tuple[str, ...]
    """Every pool of the allocation, by name."""
    tags: Mapping[str, str]
    opened_at: datetime


class Pool:
    """A pool's present state, changed in place by `evolve` only: an allocate costs the same at any number of holds."""

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
        """The limits that it was opened with."""
        self.closed = False
        self.version = 1
        """Number of events in its stream."""
        self.time = time
        """The latest ``occurred_at`` of its events: its own time, which never goes back."""
        self.used = 0
        self.holds: dict[str, Hold] = {}
        """What is held, by allocation id."""
        self.by_owner: dict[str, int] = {}
        self.deadlines: list[tuple[datetime, str]] = []
        """Heap of (deadline, allocation id); entries of holds that were renewed or ended stay until they surface."""

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
        """Whether anything but the capacity limits what is granted at once."""

    def copy(self) -> Pool:
        """Copy what a snapshot is made of: the copy is not for deciding."""
        twin = copy(self)
        twin.holds = self.holds.copy()
        return twin

    def has_due(self, moment: datetime) -> bool:
        """Tell whether any allocation's deadline is not after a moment."""
        return bool(self.deadlines) and self.deadlines[0][0] <= moment

    def due(self, moment: datetime) -> list[str]:
        """List the allocations whose deadline is not after a moment, by deadline, then id; changes nothing."""
        if not self.has_due(moment):
            return []
        found = {entry for entry in self._up_to(moment) if self._is_live(entry)}
        return [allocation_id for _, allocation_id in sorted(found)]

    def _up_to(self, moment: datetime) -> Iterator[tuple[datetime, str]]:
        # A walk down the heap that stops at entries after the moment: it costs what it finds.
        waiting = [0]
        while waiting:
            index = waiting.pop()
            if index < len(self.deadlines) and self.deadlines[index][0] <= moment:
                yield self.deadlines[index]
                waiting += (2 * index + 1, 2 * index + 2)

    def next_deadline(self, moment: datetime) -> datetime | None:
        """Find the earliest deadline after a moment, of a hold that may have been renewed or ended since."""
        waiting, found = [0], []
        while waiting:
            index = waiting.pop()
            if index < len(self.deadlines):
                deadline = self.deadlines[index][0]
                if deadline > moment:
                    found.append(deadline)
                else:
                    waiting += (2 * index + 1, 2 * index + 2)
        return min(found, default=None)

    def first_due(self, moment: datetime, limit: int) -> list[tuple[datetime, str]]:
        """List up to so many deadlines that are not after a moment, in order, with their allocations."""
        found: list[tuple[datetime, str]] = []
        waiting = [(entry, 0) for entry in self.deadlines[:1]]
        while waiting and len(found) < limit:
            entry, index = heappop(waiting)
            if entry[0] > moment:
                break
            if self._is_live(entry) and entry not in found[-1:]:  # of a deadline that was left and came back, once
                found.append(entry)
            children = range(2 * index + 1, min(2 * index + 3, len(self.deadlines)))
            for child in children:
                heappush(waiting, (self.deadlines[child], child))
        return found

    def _is_live(self, entry: tuple[datetime, str]) -> bool:
        hold = self.holds.get(entry[1])
        return hold is not None and hold.deadline == entry[0]

    def held(self, allocation_id: str) -> Hold:
        """Find a hold; raises `LogCorrupt` if there is none."""
        hold = self.holds.get(allocation_id)
        if hold is None:
            message = f"pool {self.name!r}, version {self.version}: nothing is held by allocation {allocation_id!r}"
            raise LogCorrupt(message)
        return hold

    def put(self, allocation_id: str, hold: Hold) -> None:
        """Put a hold in the place of the one before it, if any, and keep every sum in step."""
        before = self.take(allocation_id) if allocation_id in self.holds else None
        self.holds[allocation_id] = hold
        self.used += hold.quantity
        self.by_owner[hold.owner] = self.by_owner.get(hold.owner, 0) + hold.quantity
        if hold.deadline is not None and (before is None or before.deadline != hold.deadline):
            heappush(self.deadlines, (hold.deadline, allocation_id))

    def take(self, allocation_id: str) -> Hold:
        """Take a hold out; raises `LogCorrupt` if there is none."""
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
        """Drop surfaced entries of ended holds from the heap, and rebuild it when most of it is stale."""
        while self.deadlines and not self._is_live(self.deadlines[0]):
            heappop(self.deadlines)
        if len(self.deadlines) > _STALE_DEADLINES_MIN + 2 * len(self.holds):
            self.deadlines = [(h.deadline, key) for key, h in self.holds.items() if h.deadline is not None]
            heapify(self.deadlines)


def evolve(pool: Pool | None, recorded: Recorded) -> Pool:
    """Fold one event of a pool's stream onto the pool, in place; raises `LogCorrupt` for one that cannot follow."""
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
