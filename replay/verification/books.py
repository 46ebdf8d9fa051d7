"""The books: what is held of every pool by every allocation, kept from the events alone and as simply as possible.

They share no code with the pools that decide, so that a fault in those is found here. An event that contradicts the
books is a finding. The books then follow the event where they can, so that one fault gives one finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.events import (
    Allocated,
    AllocationEvent,
    Confirmed,
    Ending,
    Event,
    Expired,
    LedgerClosed,
    LimitsChanged,
    Opening,
    PoolClosed,
    PoolOpened,
    Reclaimed,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    Voided,
    is_apart,
)
from holdbook.domain.values import Token, instant_text
from holdbook.replay.verification.contradictions import Contradictions
from holdbook.replay.verification.findings import Check
from holdbook.replay.verification.pool_book import HoldPart, PoolBook, RecordedGrant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdbook.domain.pool import Pool
    from holdbook.domain.records import Recorded
    from holdbook.replay.verification.findings import Findings


class Books:
    """Every pool and open allocation, as the events so far say. Memory grows with what is held."""

    def __init__(self, findings: Findings, epoch: int, was_granted: Callable[[str, int], bool]) -> None:
        self._contradictions = Contradictions(findings)
        self._was_granted = was_granted
        """Tells whether the grant of an allocation is recorded before a position."""
        self._epoch_max = epoch
        self._epoch = 1
        self.pools: dict[str, PoolBook] = {}
        self.open: dict[str, RecordedGrant] = {}
        """The grant of each open allocation, by id."""
        self.closed = False
        """Whether the ledger has been closed."""
        self._never_opened_pools: set[str] = set()
        """Names of pools that events are about although they were never opened."""
        self._events_of_command: dict[tuple[str, type[Event]], list[Recorded]] = {}
        """The present command's events about allocations, by allocation id and type of event."""
        self._touched_pools: dict[str, PoolBook] = {}
        """The pools that the present command's events are about, by name."""

    def begin(self, pools: Iterable[Pool]) -> None:
        """Begin with pools as they were at a position up to which the log has been verified."""
        for pool in pools:
            book = self.pools[pool.name] = PoolBook.of(pool)
            for allocation_id, hold in pool.holds.items():
                grant = self.open.setdefault(
                    allocation_id, RecordedGrant(hold.pools, hold.token, hold.tags, hold.opened_at)
                )
                self._epoch = max(self._epoch, hold.token.epoch)
                book.add(allocation_id, HoldPart(grant, hold.quantity, hold.owner, hold.deadline, hold.reserved))

    @property
    def epoch(self) -> int:
        """The epoch of the last grant."""
        return self._epoch

    def excuse(self, allocation_id: str | None) -> None:
        """Note that an event of an allocation cannot be used, so that contradictions about it are not reported."""
        if allocation_id is not None:
            self._contradictions.excused.add(allocation_id)

    def enter(self, records: Sequence[Recorded], *, whole: bool) -> Iterable[PoolBook]:
        """Enter the events of a command; gives the pools they are about. ``whole`` is false if events are missing."""
        self._events_of_command, self._touched_pools = {}, {}
        for recorded in records:
            if isinstance(recorded.event, LedgerClosed):
                self._ledger_closed(recorded)
            elif not is_apart(recorded.event):
                self._enter_one(recorded)
        for (allocation_id, kind), of_kind in self._events_of_command.items():
            self._check_all_pools(allocation_id, kind, of_kind, whole=whole)
        for recorded in records:
            if isinstance(recorded.event, Reclaimed):
                self._reclaimed(recorded.event, recorded)
        for pool in self._touched_pools.values():
            outlived = list(pool.pop_outlived())
            if outlived:
                self._contradictions.report_outlived(records[-1], pool, *outlived[0], more=len(outlived) - 1)
        return self._touched_pools.values()

    def _enter_one(self, recorded: Recorded) -> None:
        event: Any = recorded.event
        pool = self.pools.get(event.pool)
        if isinstance(event, PoolOpened):
            if pool is not None:
                self._contradictions.add(recorded, Check.POOLS, f"pool {event.pool!r} is opened a second time")
            if self.closed:
                self._contradictions.add(
                    recorded, Check.POOLS, f"pool {event.pool!r} is opened after the ledger was closed"
                )
            pool = self.pools[event.pool] = PoolBook(event, event.limits, recorded.occurred_at)
        elif pool is None:
            self._never_opened(event, recorded)
            return
        self._touched_pools[event.pool] = pool
        pool.version = recorded.version
        if recorded.occurred_at < pool.time:
            message = f"the time of pool {event.pool!r} goes back from {instant_text(pool.time)}"
            self._contradictions.add(recorded, Check.TIME, message)
        pool.time = recorded.occurred_at
        if isinstance(event, AllocationEvent):
            self._events_of_command.setdefault((event.allocation_id, type(event)), []).append(recorded)
        _HANDLERS[type(event)](self, event, pool, recorded)

    # Pools

    def _ledger_closed(self, recorded: Recorded) -> None:
        if self.closed:
            self._contradictions.add(recorded, Check.POOLS, "the ledger is closed a second time")
        self.closed = True

    def _never_opened(self, event: Any, recorded: Recorded) -> None:  # noqa: ANN401 - any event of a pool
        if event.pool not in self._never_opened_pools:
            self._never_opened_pools.add(event.pool)
            message = f"{type(event).__name__} in pool {event.pool!r}, which was never opened"
            self._contradictions.add(recorded, Check.POOLS, message)
        self.excuse(event.subject)

    def _opened(self, _event: PoolOpened, _pool: PoolBook, _recorded: Recorded) -> None:
        """Do nothing more, as the pool's book has been made from this event."""

    def _limits_changed(self, event: LimitsChanged, pool: PoolBook, recorded: Recorded) -> None:
        self._must_not_be_closed(pool, recorded)
        if event.previous != pool.limits:
            self._contradictions.add(
                recorded, Check.POOLS, f"the previous limits are not those that pool {event.pool!r} had"
            )
        pool.set_limits(event.limits)

    def _closed(self, _event: PoolClosed, pool: PoolBook, recorded: Recorded) -> None:
        self._must_not_be_closed(pool, recorded)
        pool.closed = True

    def _must_not_be_closed(self, pool: PoolBook, recorded: Recorded) -> None:
        if pool.closed:
            message = f"{type(recorded.event).__name__} in pool {pool.opened.pool!r}, which was closed"
            self._contradictions.add(recorded, Check.POOLS, message, recorded.event.subject)

    def _reclaimed(self, event: Reclaimed, recorded: Recorded) -> None:
        """Check what is said of the allocation of a reclaimed thing: whether it was granted, and that it has ended."""
        if event.pool not in self.pools:
            self._never_opened(event, recorded)
        elif event.allocation_id in self.open:
            message = f"what allocation {event.allocation_id!r} holds is reclaimed, and it is open"
            self._contradictions.add(recorded, Check.ALLOCATIONS, message, event.allocation_id)
        elif (event.state is not None) is not self._was_granted(event.allocation_id, recorded.position):
            granted = "never granted" if event.state else "granted"
            message = f"state is {event.state!r}; allocation {event.allocation_id!r} was {granted} before"
            self._contradictions.add(recorded, Check.ALLOCATIONS, message, event.allocation_id)

    # Allocations

    def _granted(self, event: Opening, pool: PoolBook, recorded: Recorded) -> None:
        grant = self._grant(event, recorded)
        if event.allocation_id in pool.parts:
            pool.remove(event.allocation_id)
        part = HoldPart(grant, event.quantity, event.owner, event.deadline, isinstance(event, Reserved))
        pool.add(event.allocation_id, part)
        self._must_not_be_closed(pool, recorded)
        self._contradictions.report_breaches(recorded, pool.breaches(event.owner, event.quantity))
        self._contradictions.report_breaches(recorded, pool.breaches_of_count())
        self._contradictions.report_breaches(recorded, pool.breaches_of_ttl(recorded.occurred_at, event.deadline))

    def _grant(self, event: Opening, recorded: Recorded) -> RecordedGrant:
        """Find the grant of an allocation: a new one, or the one that an earlier event of this command began."""
        allocation_id = event.allocation_id
        is_begun = (
            sum(len(self._events_of_command.get((allocation_id, kind), ())) for kind in (Allocated, Reserved)) > 1
        )
        if is_begun:
            grant = self.open[allocation_id]
            self._contradictions.compare(recorded, "epoch", event.epoch, grant.token.epoch)
            return grant
        if allocation_id in self.open or (
            recorded.command is None and self._was_granted(allocation_id, recorded.position)
        ):  # the log finds grants that carry their command
            self._contradictions.add(
                recorded, Check.ALLOCATIONS, f"allocation {allocation_id!r} is granted a second time"
            )
        if not self._epoch <= event.epoch <= self._epoch_max:
            message = f"epoch {event.epoch} follows {self._epoch}; the ledger is in epoch {self._epoch_max}"
            self._contradictions.add(recorded, Check.ENVELOPE, message)
        self._epoch = min(max(self._epoch, event.epoch), self._epoch_max)
        grant = RecordedGrant(event.pools, Token(event.epoch, recorded.position), event.tags, recorded.occurred_at)
        self.open[allocation_id] = grant
        return grant

    def _ending(self, event: Ending, pool: PoolBook, recorded: Recorded) -> None:
        part = self._part_of(event, pool, recorded)
        if part is None:
            return
        self._contradictions.compare(recorded, "quantity", event.quantity, part.quantity)
        self._contradictions.compare(recorded, "owner", event.owner, part.owner)
        self._contradictions.compare(recorded, "reserved", event.reserved, part.reserved)
        if isinstance(event, Expired):
            self._contradictions.compare(recorded, "deadline", event.deadline, part.deadline)
        elif not (isinstance(event, Released) and event.forced):  # a forced release is possible in any state
            self._contradictions.check_reserved(recorded, part, expected=isinstance(event, Voided))
        pool.remove(event.allocation_id)

    def _confirmed(self, event: Confirmed, pool: PoolBook, recorded: Recorded) -> None:
        part = self._part_of(event, pool, recorded)
        if part is not None:
            self._contradictions.compare(recorded, "quantity", event.quantity, part.quantity)
            self._contradictions.compare(recorded, "owner", event.owner, part.owner)
            self._contradictions.check_reserved(recorded, part, expected=True)
            part.reserved = False
            pool.set_deadline(event.allocation_id, event.deadline)
            self._contradictions.report_breaches(recorded, pool.breaches_of_ttl(recorded.occurred_at, event.deadline))

    def _renewed(self, event: Renewed, pool: PoolBook, recorded: Recorded) -> None:
        part = self._part_of(event, pool, recorded)
        if part is not None:
            self._contradictions.compare(recorded, "quantity", event.quantity, part.quantity)
            self._contradictions.compare(recorded, "owner", event.owner, part.owner)
            self._contradictions.compare(recorded, "previous_deadline", event.previous_deadline, part.deadline)
            self._must_not_be_closed(pool, recorded)
            pool.set_deadline(event.allocation_id, event.deadline)
            self._contradictions.report_breaches(recorded, pool.breaches_of_ttl(recorded.occurred_at, event.deadline))

    def _resized(self, event: Resized, pool: PoolBook, recorded: Recorded) -> None:
        part = self._part_of(event, pool, recorded)
        if part is not None:
            self._contradictions.compare(recorded, "previous_quantity", event.previous_quantity, part.quantity)
            self._contradictions.compare(recorded, "owner", event.owner, part.owner)
            before, part.quantity = part.quantity, event.quantity
            pool.change_held(part.owner, event.quantity - before)
            if event.quantity > before:
                self._must_not_be_closed(pool, recorded)
                self._contradictions.report_breaches(recorded, pool.breaches(part.owner, event.quantity))

    def _transferred(self, event: Transferred, pool: PoolBook, recorded: Recorded) -> None:
        part = self._part_of(event, pool, recorded)
        if part is not None:
            self._contradictions.compare(recorded, "quantity", event.quantity, part.quantity)
            self._contradictions.compare(recorded, "previous_owner", event.previous_owner, part.owner)
            before, part.owner = part.owner, event.owner
            pool.change_held(before, -part.quantity)
            pool.change_held(part.owner, part.quantity)
            if part.owner != before:
                self._contradictions.report_breaches(recorded, pool.breaches_of_owner(part.owner))

    def _check_all_pools(
        self, allocation_id: str, kind: type[Event], of_kind: Sequence[Recorded], *, whole: bool
    ) -> None:
        """Check that events of one type and command are in all pools of an allocation; end it if they end it."""
        grant = self.open.get(allocation_id)
        if grant is None:
            return
        pools = tuple(recorded.event.pool for recorded in of_kind)  # type: ignore[attr-defined]  # of allocations
        if pools != grant.pools and kind is not Resized:
            where = f"{_listed(pools)}; it was granted {_listed(grant.pools)}"
            message = f"{kind.__name__} of allocation {allocation_id!r} in {where}"
            if whole:
                self._contradictions.add(of_kind[0], Check.ALLOCATIONS, message, allocation_id)
            self.excuse(allocation_id)
        if issubclass(kind, Ending):
            for name in grant.pools:
                if name in self.pools and allocation_id in self.pools[name].parts:
                    self.pools[name].remove(allocation_id)
            del self.open[allocation_id]

    # Findings

    def _part_of(self, event: AllocationEvent, pool: PoolBook, recorded: Recorded) -> HoldPart | None:
        allocation_id = event.allocation_id
        part = pool.parts.get(allocation_id)
        if part is None:
            check = Check.CONSERVATION
            state = "was never granted"
            if allocation_id in self.open:
                state = f"holds nothing of pool {event.pool!r}"
            elif self._was_granted(allocation_id, recorded.position):
                check, state = Check.ALLOCATIONS, "has ended before"
            message = f"{type(event).__name__} of allocation {allocation_id!r}, which {state}"
            self._contradictions.add(recorded, check, message, allocation_id)
        return part


_HANDLERS: Mapping[type[Event], Callable[[Books, Any, PoolBook, Recorded], None]] = {
    PoolOpened: Books._opened,  # noqa: SLF001 - its own table, as all below
    LimitsChanged: Books._limits_changed,  # noqa: SLF001
    PoolClosed: Books._closed,  # noqa: SLF001
    Allocated: Books._granted,  # noqa: SLF001
    Reserved: Books._granted,  # noqa: SLF001
    Confirmed: Books._confirmed,  # noqa: SLF001
    Renewed: Books._renewed,  # noqa: SLF001
    Resized: Books._resized,  # noqa: SLF001
    Transferred: Books._transferred,  # noqa: SLF001
    Released: Books._ending,  # noqa: SLF001
    Voided: Books._ending,  # noqa: SLF001
    Expired: Books._ending,  # noqa: SLF001
}
"""The method that enters each type of event."""


def _listed(pools: Sequence[str]) -> str:
    return ", ".join(map(repr, pools))
