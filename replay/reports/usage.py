"""Who held how much of what for how long in a window of time, and what was refused: exact, from the log alone.

It is what would come of asking as of every moment of the window: what had occurred by a moment counts, wherever it
stands in the log, and a hold is over at its deadline, noticed or not. Reservations are holds. What was held for no time
at all, as it began and ended at one instant, was not held. Within a pool events stand in the order of their times, so
one pass is enough; memory grows with what is held, and with the groups that are told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from holdbook.domain.allocation import fold
from holdbook.domain.errors import Malformed
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import (
    AllocationEvent,
    Confirmed,
    PoolOpened,
    Renewed,
    ValidationFailed,
    is_ending,
    is_opening,
)
from holdbook.domain.values import check_name, instant_text
from holdbook.replay.history.as_of import MICROSECOND, state_before
from holdbook.replay.history.pages import PAGE_ROWS, find_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded
    from holdbook.replay.history.as_of import LedgerState

MICROSECONDS: Final = 10**6
"""How many there are in a second."""

_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)

_VERBS_WITH_QUANTITIES: Final = frozenset({"allocate", "reserve", "resize"})
"""The commands that ask for quantities."""

_EXPECTED_GROUPING: Final = "expected owner, pool, or tag:KEY"


class Grouping(NamedTuple):
    """What usage is told apart by, beside the pool."""

    kind: Literal["owner", "pool", "tag"]
    key: str = ""
    """The tag's name."""

    @classmethod
    def parse(cls, text: str) -> Grouping:
        """Read ``owner``, ``pool`` or ``tag:KEY``; raises `Malformed`."""
        kind, colon, key = text.partition(":")
        if kind in {"owner", "pool"} and not colon:
            return cls(kind)  # type: ignore[arg-type]  # it was just looked at
        if kind != "tag" or not colon:
            raise Malformed("by", text, _EXPECTED_GROUPING)
        try:
            return cls("tag", check_name(key))
        except ValueError as error:
            raise Malformed("by", text, f"{_EXPECTED_GROUPING}, and of the key: {error}") from None

    def group(self, pool: str, owner: str | None, tags: Mapping[str, str]) -> str | None:
        """Name the group that something belongs to; None: it has no owner, or no such tag."""
        if self.kind == "owner":
            return owner
        return pool if self.kind == "pool" else tags.get(self.key)


class UsageRow(NamedTuple):
    """What one group had of one pool, in the pool's unit."""

    group: str | None
    """An owner, a pool, or a tag's value; None: without one."""
    pool: str
    unit: str | None
    """None: there was no such pool; it was only asked for."""
    unit_microseconds: int
    """What was held, times how long it was."""
    peak: int
    """The most that was held at once."""
    allocations: int
    """How many allocations held something."""
    refused: int
    """How many commands that asked for some of the pool were refused."""
    refused_quantity: int
    """What they had asked for."""

    @property
    def unit_seconds(self) -> str:
        """The unit-seconds as a decimal that loses nothing."""
        whole, rest = divmod(self.unit_microseconds, MICROSECONDS)
        return f"{whole}.{rest:06}".rstrip("0") if rest else str(whole)


class UsageReport(NamedTuple):
    """Usage in a window."""

    begin: datetime | None
    """From this moment on. Where none was asked for: when the first event occurred; None in an empty log."""
    end: datetime
    """Before this moment."""
    position: int
    """Position in the log that this is true at."""
    rows: tuple[UsageRow, ...]
    """By group, those without one last, then by pool; without those of which there is nothing to tell."""


def usage_report(
    log: EventLog,
    grouping: Grouping,
    *,
    begin: datetime | None = None,
    end: datetime,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> UsageReport:
    """Add usage up from a moment on, or from the first event, and before another; writers may go on meanwhile.

    ``progress`` is told the position that was reached and the last one. Raises `Malformed` for a time without its
    offset from UTC and for a window that ends before it has begun, `LogUnavailable`, `LogCorrupt`.
    """
    for name, moment in (("begin", begin), ("end", end)):
        if moment is not None and moment.tzinfo is None:
            raise Malformed(name, moment, "expected a time with its offset from UTC")
    if begin is not None and begin >= end:
        raise Malformed("end", end, f"expected a time after {instant_text(begin)}")
    sweep, head = _Sweep(grouping), _head(log)
    if begin is not None and begin > _FIRST_MOMENT:
        before = state_before(log, begin)
        head = before.position
        sweep.begin(before, begin)
    first = begin
    for rows in find_pages(log, EventFilter(since=begin, until=end), 0, head, PAGE_ROWS):
        page = [log.decode(row) for row in rows]
        not_resized = _allocations_not_resized(log, page)
        for recorded in page:
            sweep.enter(recorded, not_resized.get(recorded.position))
        if begin is None:
            first = (
                min(one.occurred_at for one in page) if first is None else min(first, *(o.occurred_at for o in page))
            )
        progress(page[-1].position, head)
    return UsageReport(first, end, head, tuple(sweep.end(end)))


def _head(log: EventLog) -> int:
    with log.reading() as reader:
        return reader.head


def _allocations_not_resized(log: EventLog, page: Iterable[Recorded]) -> dict[int, Allocation | None]:
    """Find the allocations, as they were, that were not resized as was asked, by the refusal's position.

    A resize names neither owner nor tags: they are those that the allocation had when it was refused.
    """
    refused = [
        (one.position, one.event.allocation_id)
        for one in page
        if type(one.event) is ValidationFailed and one.event.asked["command"] == "resize"
    ]
    if not refused:
        return {}
    with log.reading() as reader:
        histories = reader.histories({allocation_id for _, allocation_id in refused if allocation_id})
    return {
        position: fold(one for one in histories[str(allocation_id)] if one.position < position)
        for position, allocation_id in refused
    }


@dataclass(slots=True)
class _Hold:
    """What an allocation holds of a pool, as far as it was added up."""

    quantity: int
    owner: str
    tags: Mapping[str, str]
    deadline: datetime | None
    counted_until: datetime
    """Until then it was added up."""
    groups: frozenset[str | None] = frozenset()
    """The groups that the allocation was counted in."""


@dataclass(slots=True)
class _Tally:
    """What is told of one group and pool, and what it holds now."""

    changed_at: datetime | None = None
    used: int = 0
    peak: int = 0
    unit_microseconds: int = 0
    allocations: int = 0
    refused: int = 0
    refused_quantity: int = 0

    def change(self, quantity: int, moment: datetime) -> None:
        """Note that so much more, or less, is held from a moment on; what was held for no time is no peak."""
        if moment != self.changed_at:
            self.peak = max(self.peak, self.used)
            self.changed_at = moment
        self.used += quantity


class _Sweep:
    """Goes through the events of a window, each pool's in the order of their times."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._holds: dict[tuple[str, str], _Hold] = {}
        """By pool and allocation."""
        self._tallies: dict[tuple[str | None, str], _Tally] = {}
        """By group and pool."""
        self._units: dict[str, str] = {}

    def begin(self, state: LedgerState, moment: datetime) -> None:
        """Begin with what was held already, less what is over by the beginning, noticed or not."""
        for name, pool in state.pools.items():
            self._units[name] = pool.unit
            for allocation_id, hold in pool.holds.items():
                if hold.deadline is None or hold.deadline > moment:
                    held = _Hold(hold.quantity, hold.owner, hold.tags, hold.deadline, moment)
                    self._add_hold(name, allocation_id, held)

    def enter(self, recorded: Recorded, allocation: Allocation | None) -> None:
        """Enter an event; with the refusal of a resize, the allocation as it was."""
        event, moment = recorded.event, recorded.occurred_at
        if type(event) is ValidationFailed:
            self._count_refusal(event, allocation)
        elif type(event) is PoolOpened:
            self._units[event.pool] = event.unit
        elif is_opening(event):
            hold = _Hold(event.quantity, event.owner, event.tags, event.deadline, moment)
            self._add_hold(event.pool, event.allocation_id, hold)
        elif isinstance(event, AllocationEvent) and (event.pool, event.allocation_id) in self._holds:
            self._change_hold(event, moment)  # of any other, all was over when the window began, and is noticed in it

    def end(self, moment: datetime) -> Iterator[UsageRow]:
        """Add up what is still held at the end of the window, and give the rows."""
        for (pool, _), hold in self._holds.items():
            self._count_until(pool, hold, moment)
        for key, tally in sorted(self._tallies.items(), key=_order):
            tally.change(0, moment)
            if tally.allocations or tally.refused:
                held = tally.unit_microseconds, tally.peak, tally.allocations
                yield UsageRow(*key, self._units.get(key[1]), *held, tally.refused, tally.refused_quantity)

    def _change_hold(self, event: AllocationEvent, moment: datetime) -> None:
        hold = self._holds.pop((event.pool, event.allocation_id))
        self._count_until(event.pool, hold, moment)
        self._tally_of(event.pool, hold).change(-hold.quantity, moment)
        if not is_ending(event):
            hold.quantity, hold.owner = event.quantity, event.owner
            if isinstance(event, Confirmed | Renewed):
                hold.deadline = event.deadline
            self._add_hold(event.pool, event.allocation_id, hold)

    def _add_hold(self, pool: str, allocation_id: str, hold: _Hold) -> None:
        self._holds[pool, allocation_id] = hold
        self._tally_of(pool, hold).change(hold.quantity, hold.counted_until)

    def _count_until(self, pool: str, hold: _Hold, moment: datetime) -> None:
        """Add up what was held until a moment, or until the deadline."""
        until = moment if hold.deadline is None else min(moment, hold.deadline)
        if until > hold.counted_until:
            tally = self._tally_of(pool, hold)
            tally.unit_microseconds += hold.quantity * ((until - hold.counted_until) // MICROSECOND)
            group = self._group_of(pool, hold)
            if group not in hold.groups:
                hold.groups |= {group}
                tally.allocations += 1
        hold.counted_until = moment

    def _count_refusal(self, event: ValidationFailed, allocation: Allocation | None) -> None:
        asked = event.asked
        if asked["command"] in _VERBS_WITH_QUANTITIES:
            owner = allocation.owner if allocation else asked.get("owner")
            tags = allocation.tags if allocation else asked.get("tags", {})
            for pool, quantity in asked["quantities"].items():
                tally = self._tallies.setdefault((self._grouping.group(pool, owner, tags), pool), _Tally())
                tally.refused += 1
                tally.refused_quantity += quantity

    def _tally_of(self, pool: str, hold: _Hold) -> _Tally:
        return self._tallies.setdefault((self._group_of(pool, hold), pool), _Tally())

    def _group_of(self, pool: str, hold: _Hold) -> str | None:
        return self._grouping.group(pool, hold.owner, hold.tags)


def _order(item: tuple[tuple[str | None, str], _Tally]) -> tuple[bool, str, str]:
    (group, pool), _ = item
    return group is None, group or "", pool
