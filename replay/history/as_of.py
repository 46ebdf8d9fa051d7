"""What was held, and by whom, as of a moment or a position: each pool's nearest snapshot and the events after it."""

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
"""The smallest difference between two times in the log."""


class LedgerState(NamedTuple):
    """The whole ledger as of a moment or a position."""

    pools: dict[str, Pool]
    """Every pool opened by then, by name. Holds past their deadline whose expiry no event records are still in it."""
    moment: datetime | None
    """The moment asked about; None if a position was asked about."""
    position: int
    """The position up to which the log was read."""

    def statuses(self) -> Answer[PoolStatus]:
        """Describe every pool by name, without the holds that were past their deadline at the moment."""
        found = (PoolStatus.of(pool, self.moment, self.position) for _, pool in sorted(self.pools.items()))
        return Answer(found, self.position)

    def allocations(self) -> Answer[Allocation]:
        """List the open allocations, oldest grant first, without those that were past their deadline at the moment."""
        found: dict[str, Allocation] = {}
        for pool in self.pools.values():
            for allocation_id, hold in pool.holds.items():
                if allocation_id not in found:
                    parts = {name: self.pools[name].holds[allocation_id] for name in hold.pools if name in self.pools}
                    found[allocation_id] = describe(allocation_id, parts)
        was_open = (one for one in found.values() if self.moment is None or one.is_open_at(self.moment))
        return Answer(sorted(was_open, key=lambda one: one.token), self.position)


class _Bound(NamedTuple):
    """The moment and position up to which events count."""

    moment: datetime | None
    position: int

    @classmethod
    def read(cls, log: EventLog, when: datetime | int) -> _Bound:
        """Check a moment or a position, and take a position back to the end of a command; raises `Malformed`."""
        with log.reading() as reader:
            head = reader.head
        if not isinstance(when, int):
            if when.tzinfo is None:
                raise Malformed("moment", when, "expected a time with its offset from UTC")
            return cls(when, head)
        return cls(None, end_of_command(log, when, head))

    def excludes(self, recorded: Recorded) -> bool:
        """Tell whether an event is later than the bound. All later events of its stream are then later, too."""
        is_late = self.moment is not None and recorded.occurred_at > self.moment
        return is_late or recorded.position > self.position


def end_of_command(log: EventLog, position: int, head: int, parameter: str = "position") -> int:
    """Find the end of the last whole command up to a position; raises `Malformed` for one beyond the log's head."""
    if type(position) is not int or not 0 <= position <= head:
        raise Malformed(parameter, position, f"expected a position in the log, 0 to {head}")
    last = log.rows(position - 1, 1)[0] if position else None
    return position if last is None or last.ends_command else position - last.ordinal - 1


def state_at(log: EventLog, when: datetime | int, pools: Collection[str] | None = None) -> LedgerState:
    """Read the ledger's state as of a moment or a position, for every pool or for those of the given names that exist.

    What had occurred by the moment counts, wherever it is in the log. The time of a pool never goes back, so each
    pool's stream is read only from the nearest snapshot to the first event beyond the moment. Raises `Malformed` for a
    moment without its offset from UTC and for a position that the log has not reached; `LogUnavailable`, `LogCorrupt`.
    """
    bound = _Bound.read(log, when)
    with log.reading() as reader:
        names = reader.pool_names() if pools is None else sorted(pools)
        found = {name: pool for name in names if (pool := _pool(reader, name, bound)) is not None}
    return LedgerState(found, bound.moment, bound.position)


def state_before(log: EventLog, moment: datetime, pools: Collection[str] | None = None) -> LedgerState:
    """Read the ledger's state as of the microsecond before a moment.

    The moment must not be the first of the calendar, which has none before it. Raises what `state_at` raises.
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
    """Describe every allocation that had been granted by then, in its state at that time, oldest grant first.

    Unlike `state_at`, it includes allocations that had ended, and so it reads the log from its first event. Raises what
    `state_at` raises.
    """
    bound = _Bound.read(log, when)
    last = "~" if bound.moment is None else instant_text(bound.moment)
    found: dict[str, Allocation] = {}
    for row in chain.from_iterable(row_pages(log, 0, bound.position, PAGE_ROWS)):
        if row.allocation_id is not None and row.type not in APART and row.occurred_at <= last:
            folded = fold([log.decode(row)], found.get(row.allocation_id))
            found[row.allocation_id] = cast("Allocation", folded)  # None only for events in `APART`
    allocations = found.values()
    if bound.moment is None:
        return Answer(allocations, bound.position)
    return Answer((one.lapsed_at(bound.moment) for one in allocations), bound.position)
