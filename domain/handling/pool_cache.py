"""The cache of pools: aggregates in memory, brought up to date with the log when they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import is_ending, is_opening
from holdbook.domain.pool import Pool, evolve

if TYPE_CHECKING:
    from holdbook.domain.ports import LogReader
    from holdbook.domain.records import LogPosition, Recorded, StoredRow

FOLLOWED_EVENTS_MAX: Final = 1000
"""The most events of other processes that are read as a whole. Of more, only those of the pools asked for are read."""

POOLS_CACHED_MAX: Final = 10_000
"""The most pools kept in memory between two batches."""

MILESTONE_EVENTS: Final = 1000
"""After how many events of a pool it is checked again whether a snapshot is due."""


class PoolCache:
    """The pools that a ledger keeps in memory between two looks at the log.

    It is true at one position of the log. At each look it takes in what other processes have written since.
    """

    def __init__(self, seen: int = 0) -> None:
        self._pools: OrderedDict[str, Pool] = OrderedDict()
        self._fresh: set[str] = set()
        """Names of the pools that are known to be current at ``_head``, whether they exist or not."""
        self._where: dict[str, tuple[str, ...]] = {}
        """The pools of each open allocation that a cached pool holds. An allocation's pools never change."""
        self._versions: dict[str, int] = {}
        """The version of the last event in each stream that is not a pool's, at ``_head``."""
        self._head = 0
        self.end: LogPosition | None = None
        """Where the log ends, if this process wrote its last rows and no other process wrote just before them."""
        self._seen = seen
        """The greatest position that the log was seen to reach."""
        self._alone = False
        """Whether no other process has written since the last look."""
        self.milestones: set[str] = set()
        """Pools that had another `MILESTONE_EVENTS` events: it is time to check whether a snapshot is due."""

    def renewed(self) -> PoolCache:
        """Give an empty cache that knows how far the log was seen to reach, for when this one may be ahead of it."""
        return PoolCache(self._seen)

    def look(self, reader: LogReader) -> None:
        """Begin a look at the log: take in what other processes wrote since the last one.

        Raises `LogCorrupt` if the log is shorter than it was seen to be.
        """
        if reader.head < self._seen:
            message = (
                f"the log ends at position {reader.head} and ended at {self._seen} before: "
                "if it was restored, raise its epoch and open the ledger again"
            )
            raise LogCorrupt(message)
        self._seen = reader.head
        self._alone = reader.head == self._head
        if not self._alone:
            self._follow(reader)
            self._head, self.end = reader.head, None
        while len(self._pools) > POOLS_CACHED_MAX:
            name, pool = self._pools.popitem(last=False)
            self._fresh.discard(name)
            for allocation_id in pool.holds:
                self._where.pop(allocation_id, None)

    def _follow(self, reader: LogReader) -> None:
        if not self._pools or reader.head - self._head > FOLLOWED_EVENTS_MAX:
            self._fresh.clear()
            self._versions.clear()
        else:
            for row in reader.rows_since(self._head):
                self._learn(row, reader)

    def _learn(self, row: StoredRow, reader: LogReader) -> None:
        """Take in a row that another process wrote, if it is about something in the cache."""
        kind, _, name = row.stream_id.partition(":")
        if kind != "pool":
            self._versions.pop(row.stream_id, None)
        elif name not in self._pools:
            self._fresh.discard(name)
        elif name in self._fresh:
            try:
                self.apply(reader.decode(row))
            except LogCorrupt:
                self._fresh.discard(name)  # the next to ask for the pool is told

    def appended(self, end: LogPosition) -> None:
        """Note that this process's own events moved the head; the pools were changed by them already."""
        self._head = end.position
        self.end = end if self._alone else None

    def pool(self, name: str, reader: LogReader) -> Pool | None:
        """Give a pool as of the reader's head, reading only what is new; None if there is no such pool."""
        if name not in self._fresh:
            if name not in self._pools:
                self._load(name, reader)
            known = self._pools.get(name)
            for recorded in reader.stream(f"pool:{name}", known.version if known else 0):
                self.apply(recorded)
            self._fresh.add(name)
        if name in self._pools:
            self._pools.move_to_end(name)
        return self._pools.get(name)

    def _load(self, name: str, reader: LogReader) -> None:
        pool = reader.snapshot(name)
        if pool is not None:
            self._pools[name] = pool
            self._where.update((allocation_id, hold.pools) for allocation_id, hold in pool.holds.items())

    def apply(self, recorded: Recorded) -> None:
        """Apply an event to its pool, or note the version of another stream. It has to be the stream's next event."""
        event = recorded.event
        kind, _, name = event.stream_id.partition(":")
        if kind != "pool":
            self._versions[event.stream_id] = recorded.version
            return
        self._pools[name] = evolve(self._pools.get(name), recorded)
        self._fresh.add(name)
        if is_opening(event):
            self._where[event.allocation_id] = event.pools
        elif is_ending(event):
            self._where.pop(event.allocation_id, None)
        if recorded.version % MILESTONE_EVENTS == 0:
            self.milestones.add(name)

    @property
    def behind(self) -> int | None:
        """The position to read on from, if other processes have been writing; None if not, or if the cache is empty."""
        return self._head if self._pools and not self._alone else None

    def copy_of(self, name: str) -> Pool | None:
        """Copy a pool for a snapshot; None if it is not in memory, or not current."""
        return self._pools[name].copy() if name in self._fresh and name in self._pools else None

    def where(self, allocation_id: str) -> tuple[str, ...] | None:
        """Find the pools of an open allocation; None if no cached pool holds it."""
        return self._where.get(allocation_id)

    def version(self, stream_id: str, reader: LogReader) -> int:
        """Find the version of a stream's last event, events of the present batch included."""
        kind, _, name = stream_id.partition(":")
        if kind == "pool":
            pool = self.pool(name, reader)
            return pool.version if pool else 0
        if stream_id not in self._versions:
            self._versions[stream_id] = reader.version(stream_id)
        return self._versions[stream_id]
