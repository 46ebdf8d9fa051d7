"""What was held, by whom, as of any moment or position: the nearest snapshot of each pool and what came after it."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from holdbook.domain.allocation import fold
from holdbook.domain.answers import Answer
from holdbook.domain.errors import Malformed
from holdbook.domain.events import APART
from holdbook.domain.handling.outcome import PoolStatus, describe
from holdbook.domain.pool import evolve
from holdbook.domain.values import instant_text
from holdbook.replay.history.pages import PAGE_ROWS, row_pages

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import EventLog, LogReader
    from holdbook.domain.records import Recorded

MICROSECOND: Final = timedelta(microseconds=1)
"""The least time between two events that did not occur at once."""


class LedgerState(NamedTuple):
    """The whole ledger as it was: what had happened by a moment, or up to a position."""

    pools: dict[str, Pool]
    """Every pool that was open or closed by then, by name; holds that had lapsed unnoticed are still in it."""
    moment: datetime | None
    """The moment asked for; None if it was a position."""
    position: int
    """Position in the log that this is true at."""

    def statuses(self) -> Answer[PoolStatus]:
        """Describe every pool as it stood, by name, less what had lapsed by the moment."""
        found = (PoolStatus.of(pool, self.moment, self.position) for _, pool in sorted(self.pools.items()))
        return Answer(found, self.position)

    def allocations(self) -> Answer[Allocation]:
        """List the allocations that were open, oldest grant first, less what had lapsed by the moment."""
        found: dict[str, Allocation] = {}
        for pool in self.pools.values():
            for allocation_id, hold in pool.holds.items():
                if allocation_id not in found:
                    parts = {name: self.pools[name].holds[allocation_id] for name in hold.pools if name in self.pools}
                    found[allocation_id] = describe(allocation_id, parts)
        was_open = (one for one in found.values() if self.moment is None or one.is_open_at(self.moment))
        return Answer(sorted(was_open, key=lambda one: one.token), self.position)


class _Bound(NamedTuple):
    """Up to where events count."""

    moment: datetime | None
    position: int

    @classmethod
    def read(cls, log: EventLog, when: datetime | int) -> _Bound:
        """Read a moment, or a position, which is taken back to the end of a whole command; raises `Malformed`."""
        with log.reading() as reader:
            head = reader.head
        if not isinstance(when, int):
            if when.tzinfo is None:
                raise Malformed("moment", when, "expected a time with its offset from UTC")
            return cls(when, head)
        return cls(None, end_of_command(log, when, head))

    def excludes(self, recorded: Recorded) -> bool:
        """Tell whether an event is beyond; within a stream all after it are too."""
        is_late = self.moment is not None and recorded.occurred_at > self.moment
        return is_late or recorded.position > self.position


def end_of_command(log: EventLog, position: int, head: int, parameter: str = "position") -> int:
    """Find where the last command ends that ends at a position or before it; raises `Malformed` beyond the head."""
    if type(position) is not int or not 0 <= position <= head:
        raise Malformed(parameter, position, f"expected a position in the log, 0 to {head}")
    last = log.rows(position - 1, 1)[0] if position else None
    return position if last is None or last.ends_command else position - last.ordinal - 1


def state_at(log: EventLog, when: datetime | int, pools: Collection[str] | None = None) -> LedgerState:
    """Read the ledger's state as of a moment, or of a position, of every pool or of those named that there were.

    What had occurred by the moment counts, wherever it stands in the log: a pool's own time never goes back, so each
    pool's stream is read from its nearest snapshot to the first event beyond. Raises `Malformed` for a moment without
    its offset from UTC and for a position that the log has not reached, `LogUnavailable`, `LogCorrupt`.
    """
    bound = _Bound.read(log, when)
    with log.reading() as reader:
        names = reader.pool_names() if pools is None else sorted(pools)
        found = {name: pool for name in names if (pool := _pool(reader, name, bound)) is not None}
    return LedgerState(found, bound.moment, bound.position)


def state_before(log: EventLog, moment: datetime, pools: Collection[str] | None = None) -> LedgerState:
    """Read the ledger's state as of the microsecond before a moment, which is not the calendar's first.

    Raises as `state_at` does.
    """
    return state_at(log, moment - MICROSECOND, pools)


def _pool(reader: LogReader, name: str, bound: _Bound) -> Pool | None:
    stream_id = f"pool:{name}"
    versions = reader.snapshots(name)
    usable = bisect_left(versions, 1, key=lambda version: int(bound.excludes(reader.event(stream_id, version))))
    pool = reader.snapshot_at(name, versions[usable - 1]) if usable else None
    for recorded in reader.stream(stream_id, pool.version if pool else 0):
        if bound.excludes(recorded):
            break
        pool = evolve(pool, recorded)
    return pool


def allocations_as_of(log: EventLog, when: datetime | int) -> Answer[Allocation]:
    """Describe every allocation granted by then, ended ones too, in its state then, oldest grant first.

    It reads the log from its first event; `state_at` is the quick way to those that were open. Raises as that does.
    """
    bound = _Bound.read(log, when)
    last = "~" if bound.moment is None else instant_text(bound.moment)
    found: dict[str, Allocation] = {}
    for row in chain.from_iterable(row_pages(log, 0, bound.position, PAGE_ROWS)):
        if row.allocation_id is not None and row.type not in APART and row.occurred_at <= last:
            folded = fold([log.decode(row)], found.get(row.allocation_id))
            found[row.allocation_id] = cast("Allocation", folded)  # None is for what is apart only
    allocations = found.values()
    if bound.moment is None:
        return Answer(allocations, bound.position)
    return Answer((one.lapsed_at(bound.moment) for one in allocations), bound.position)
