"""The questions by name: pools, allocations, histories and the queue, as of now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from holdbook.domain.allocation import fold
from holdbook.domain.answers import Answer
from holdbook.domain.checks import given_name
from holdbook.domain.errors import NotFound
from holdbook.domain.handling.outcome import PoolStatus, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from holdbook.domain.allocation import Allocation, AllocationState
    from holdbook.domain.handling.handler import CommandHandler
    from holdbook.domain.ports import LogReader
    from holdbook.domain.records import Recorded
    from holdbook.domain.waiting import Waiting


class NamedQueries:
    """Answers from the pools in memory, brought up to date with the log at each question. Raises `LogUnavailable`.

    An `Answer` says at which position of the log it is true.
    """

    _handler: CommandHandler

    def pools(self) -> Answer[PoolStatus]:
        """Describe every pool, closed ones too, by name, as of now."""
        with self._handler.look() as reader:
            now = self._handler.clock()
            found = (self._handler.cache.pool(name, reader) for name in reader.pool_names())
            return Answer([PoolStatus.of(pool, now, reader.head) for pool in found if pool], reader.head)

    def pool(self, name: str) -> PoolStatus:
        """Describe one pool as of now; raises `NotFound`."""
        given_name("pool", name)
        with self._handler.look() as reader:
            pool = self._handler.cache.pool(name, reader)
            if pool is None:
                raise NotFound("pool", name)
            return PoolStatus.of(pool, self._handler.clock(), reader.head)

    def allocations(
        self,
        *,
        owner: str | None = None,
        pool: str | None = None,
        tags: Mapping[str, str] | None = None,
        state: AllocationState | None = None,
    ) -> Answer[Allocation]:
        """List the allocations open now, oldest grant first; what has lapsed is left out, noticed or not."""
        with self._handler.look() as reader:
            now = self._handler.clock()
            found = (one for one in self._open(reader, pool) if one.is_open_at(now))
            chosen = select(found, owner=owner, pool=pool, tags=tags, state=state)
            return Answer(sorted(chosen, key=lambda one: one.token), reader.head)

    def _open(self, reader: LogReader, name: str | None) -> Iterator[Allocation]:
        seen = set()
        for first in [name] if name else reader.pool_names():
            pool = self._handler.cache.pool(first, reader)
            for allocation_id, hold in list(pool.holds.items()) if pool else ():
                if allocation_id not in seen:
                    seen.add(allocation_id)
                    pools = (self._handler.cache.pool(other, reader) for other in hold.pools)
                    yield describe(allocation_id, {one.name: one.holds[allocation_id] for one in pools if one})

    def allocation(self, allocation_id: str) -> Allocation:
        """Describe one allocation, open or ended; raises `NotFound` if it was never granted."""
        records = self._history(allocation_id)
        allocation = fold(records)
        if allocation is None:
            raise NotFound("allocation", allocation_id)
        return replace(allocation.lapsed_at(self._handler.clock()), as_of_position=records.position)

    def history(self, allocation_id: str) -> Answer[Recorded]:
        """List every event about an allocation, refusals too, in order; raises `NotFound` if there is none."""
        records = self._history(allocation_id)
        if not records:
            raise NotFound("allocation", allocation_id)
        return records

    def _history(self, allocation_id: str) -> Answer[Recorded]:
        given_name("allocation_id", allocation_id)
        with self._handler.log.reading() as reader:
            return Answer(reader.histories({allocation_id}).get(allocation_id, []), reader.head)

    def queue(self, pool: str | None = None) -> Answer[Waiting]:
        """List the commands that wait, for one pool or for any, in the order in which they are served.

        Raises `NotFound` for a pool that does not exist.
        """
        if pool is not None:
            self.pool(pool)
        with self._handler.log.reading() as reader:
            found = reader.queue()
            return Answer([one for one in found if pool is None or pool in one.quantities], reader.head)

    def now(self) -> datetime:
        """Tell the present instant by the ledger's clock (UTC)."""
        return self._handler.clock()

    def time_to_deadline(self) -> timedelta | None:
        """Tell how long it is to the earliest deadline among all open allocations; None if none has a deadline.

        The time is negative if that deadline has passed and its expiry is not recorded yet.
        """
        with self._handler.look() as reader:
            pools = (self._handler.cache.pool(name, reader) for name in reader.pool_names())
            deadline = min((pool.deadlines[0][0] for pool in pools if pool and pool.deadlines), default=None)
        return None if deadline is None else deadline - self.now()


def select(
    allocations: Iterable[Allocation],
    *,
    owner: str | None = None,
    pool: str | None = None,
    tags: Mapping[str, str] | None = None,
    state: AllocationState | None = None,
) -> Iterator[Allocation]:
    """Choose allocations by owner, pool, tags (all of them) and state."""
    for one in allocations:
        if (
            (owner is None or one.owner == owner)
            and (pool is None or pool in one.quantities)
            and (state is None or one.state == state)
            and all(one.tags.get(key) == value for key, value in (tags or {}).items())
        ):
            yield one
