"""Usage in a window of time: who held how much of what for how long, and what was refused, computed from the log.

The result equals that of asking at every moment of the window what is held. What had occurred by a moment counts,
wherever it is in the log, and a hold ends at its deadline, whether or not an expiry is recorded. Reservations count as
holds. A hold that begins and ends at the same instant does not count. Within a pool, events are in the order of their
times, so one sweep over the events is enough; memory grows with what is held and with the number of groups.
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
"""How many microseconds a second has."""

_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)

_VERBS_WITH_QUANTITIES: Final = frozenset({"allocate", "reserve", "resize"})
"""The verbs of the commands that ask for quantities."""

_EXPECTED_GROUPING: Final = "expected owner, pool, or tag:KEY"


class Grouping(NamedTuple):
    """What usage is grouped by, in addition to the pool."""

    kind: Literal["owner", "pool", "tag"]
    key: str = ""
    """The name of the tag, if it is grouped by a tag."""

    @classmethod
    def parse(cls, text: str) -> Grouping:
        """Read ``owner``, ``pool`` or ``tag:KEY``; raises `Malformed`."""
        kind, colon, key = text.partition(":")
        if kind in {"owner", "pool"} and not colon:
            return cls(kind)  # type: ignore[arg-type]  # it is one of the two
        if kind != "tag" or not colon:
            raise Malformed("by", text, _EXPECTED_GROUPING)
        try:
            return cls("tag", check_name(key))
        except ValueError as error:
            raise Malformed("by", text, f"{_EXPECTED_GROUPING}, and of the key: {error}") from None

    def group(self, pool: str, owner: str | None, tags: Mapping[str, str]) -> str | None:
        """Give the group of a hold or a request; None if it has no owner, or no tag of this name."""
        if self.kind == "owner":
            return owner
        return pool if self.kind == "pool" else tags.get(self.key)


class UsageRow(NamedTuple):
    """What one group used of one pool, in the pool's unit."""

    group: str | None
    """An owner, a pool, or a value of the tag; None for what has none."""
    pool: str
    unit: str | None
    """The pool's unit; None if the pool does not exist and was only asked for."""
    unit_microseconds: int
    """The sum over all holds of quantity times microseconds held."""
    peak: int
    """The most that was held at once."""
    allocations: int
    """How many allocations held something."""
    refused: int
    """How many commands that asked for some of the pool were refused."""
    refused_quantity: int
    """The sum of the quantities that refused commands asked for."""

    @property
    def unit_seconds(self) -> str:
        """The unit-seconds as an exact decimal."""
        whole, rest = divmod(self.unit_microseconds, MICROSECONDS)
        return f"{whole}.{rest:06}".rstrip("0") if rest else str(whole)


class UsageReport(NamedTuple):
    """The usage in a window."""

    begin: datetime | None
    """The beginning of the window; if none was given, the time of the earliest event, or None in an empty log."""
    end: datetime
    """The end of the window, which is not in it."""
    position: int
    """The position in the log that the report is true at."""
    rows: tuple[UsageRow, ...]
    """By group, with None last, then by pool; without those that neither used anything nor were refused anything."""


def usage_report(
    log: EventLog,
    grouping: Grouping,
    *,
    begin: datetime | None = None,
    end: datetime,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> UsageReport:
    """Add up the usage from ``begin``, or else the first event, to just before ``end``. Writers may go on meanwhile.

    ``progress`` is called with the position reached and the last one. Raises `Malformed` for a time without its offset
    from UTC and for a window that does not end after it begins; `LogUnavailable`, `LogCorrupt`.
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
    """Find, by the position of each refused resize, the allocation that was to be resized, as it was then.

    A resize names neither owner nor tags, so the refusal counts for those that the allocation had.
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
    """What an allocation holds of one pool."""

    quantity: int
    owner: str
    tags: Mapping[str, str]
    deadline: datetime | None
    counted_until: datetime
    """The time up to which the hold has been added up."""
    groups: frozenset[str | None] = frozenset()
    """The groups in which the allocation has been counted."""


@dataclass(slots=True)
class _Tally:
    """The sums of one group and pool, and what the group holds of the pool now."""

    changed_at: datetime | None = None
    used: int = 0
    peak: int = 0
    unit_microseconds: int = 0
    allocations: int = 0
    refused: int = 0
    refused_quantity: int = 0

    def change(self, quantity: int, moment: datetime) -> None:
        """Change what is held by a quantity from a moment on; what is held for no time is not a peak."""
        if moment != self.changed_at:
            self.peak = max(self.peak, self.used)
            self.changed_at = moment
        self.used += quantity


class _Sweep:
    """A sweep over the events of a window, in which those of each pool are in the order of time."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._holds: dict[tuple[str, str], _Hold] = {}
        """Holds by pool and allocation id."""
        self._tallies: dict[tuple[str | None, str], _Tally] = {}
        """Sums by group and pool."""
        self._units: dict[str, str] = {}

    def begin(self, state: LedgerState, moment: datetime) -> None:
        """Begin with the holds of the state just before the window, without those whose deadline has passed."""
        for name, pool in state.pools.items():
            self._units[name] = pool.unit
            for allocation_id, hold in pool.holds.items():
                if hold.deadline is None or hold.deadline > moment:
                    held = _Hold(hold.quantity, hold.owner, hold.tags, hold.deadline, moment)
                    self._add_hold(name, allocation_id, held)

    def enter(self, recorded: Recorded, allocation: Allocation | None) -> None:
        """Add an event; a refused resize comes with the allocation as it was then."""
        event, moment = recorded.event, recorded.occurred_at
        if type(event) is ValidationFailed:
            self._count_refusal(event, allocation)
        elif type(event) is PoolOpened:
            self._units[event.pool] = event.unit
        elif is_opening(event):
            hold = _Hold(event.quantity, event.owner, event.tags, event.deadline, moment)
            self._add_hold(event.pool, event.allocation_id, hold)
        elif isinstance(event, AllocationEvent) and (event.pool, event.allocation_id) in self._holds:
            self._change_hold(event, moment)  # any other ended before the window, and its expiry is recorded in it

    def end(self, moment: datetime) -> Iterator[UsageRow]:
        """Add up what is held until the end of the window, and give the rows."""
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
        """Add up a hold until a moment, or until its deadline if that is earlier."""
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
