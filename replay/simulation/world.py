"""A simulated ledger: pools and allocations that commands are decided on one after another, under some limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdbook.domain.allocation import STATE_AFTER
from holdbook.domain.commands import CloseLedger, Expire
from holdbook.domain.decisions.context import AllocationRecord, DecisionContext, named_pools, reach, time_of
from holdbook.domain.decisions.decide import decide
from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import Event, Expired, LedgerClosed, ValidationFailed, is_apart, is_ending, is_opening
from holdbook.domain.handling.outcome import PoolStatus
from holdbook.domain.pool import evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Pool
    from holdbook.domain.records import Recorded

    LimitsFor = Callable[[str, Limits], Limits]
    """Gives the limits that a pool has in the simulation, from its name and its recorded limits."""


class Peak(NamedTuple):
    """The most that was held of a pool at once."""

    used: int
    capacity: int
    """The pool's capacity at that time."""
    at: datetime | None
    """When it was reached; None if nothing was ever held, or if that much was held when the window began."""


class Decided(NamedTuple):
    """The events that a command leads to."""

    events: Sequence[Event]
    moment: datetime
    """The time at which it was decided."""

    @property
    def refusal(self) -> ValidationFailed | None:
        """The refusal; None if the command was not refused."""
        last = self.events[-1] if self.events else None
        return last if type(last) is ValidationFailed else None

    def times(self) -> list[datetime]:
        """Tell when each event occurs: an expiry at its deadline, any other when the command was decided."""
        return [event.deadline if type(event) is Expired else self.moment for event in self.events]


class World:
    """Pools, and what is known of every allocation id. Only events change it.

    The window is the time that is reported on: from its beginning, peaks are noted, and other limits may be in force.
    Raises `LogCorrupt` if two of the pools that it begins with contradict each other.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        since: datetime | None = None,
        limits_for: LimitsFor | None = None,
        *,
        closed: bool = False,
    ) -> None:
        self.pools = pools
        self.closed = closed
        """Whether the ledger has been closed."""
        self.past: dict[str, AllocationRecord] = {}
        """What decisions know about each allocation id that was granted."""
        self.peaks: dict[str, Peak] = {}
        """The most that was held of each pool so far in the window; pools for which it has not begun are missing."""
        self._since = since
        self._limits_for = limits_for
        self._interned: dict[AllocationRecord, AllocationRecord] = {}
        """Equal records as one object, because there are as many records as allocations."""
        for pool in pools.values():
            self._learn_holds(pool)

    def begin_window(self, pools: Mapping[str, Pool]) -> None:
        """Begin the window for pools for which it has not begun: set their limits, and note what they hold."""
        for name, pool in pools.items():
            if name not in self.peaks:
                if self._limits_for is not None:
                    pool.limits = self._limits_for(name, pool.limits)
                self.peaks[name] = Peak(PoolStatus.of(pool, self._since).used, pool.capacity, None)

    def _learn_holds(self, pool: Pool) -> None:
        for allocation_id, hold in pool.holds.items():
            for name in hold.pools:
                if name not in self.pools or allocation_id not in self.pools[name].holds:
                    message = f"allocation {allocation_id!r} is held in pool {pool.name!r}, and not in pool {name!r}"
                    raise LogCorrupt(message)
            self.learn(allocation_id, AllocationRecord(hold.pools))

    def twin(self, limits_for: LimitsFor) -> World:
        """Copy the world, to go on under other limits."""
        other = World({}, self._since, limits_for, closed=self.closed)
        for name, pool in self.pools.items():
            copied = other.pools[name] = pool.copy()
            copied.by_owner = pool.by_owner.copy()
            copied.deadlines = pool.deadlines.copy()
        other.past = self.past.copy()
        return other

    def learn(self, allocation_id: str, past: AllocationRecord) -> None:
        """Note what decisions are to know about an allocation id."""
        self.past[allocation_id] = self._interned.setdefault(past, past)

    def decide(  # noqa: PLR0913 - by name, all that a decision depends on
        self,
        command: Command,
        now: datetime,
        *,
        epoch: int,
        new_id: str,
        behind: Collection[str] = (),
        has_begun: bool = True,
    ) -> Decided:
        """Decide a command on this world; ``has_begun`` says whether it was decided in the window or later.

        ``behind`` are the pools in whose queue others were before the command; that is recorded, the queue itself is
        not. ``new_id`` is the id for an allocation without one. Raises `PoolAlreadyOpen`.
        """
        allocation_id = vars(command).get("allocation_id")
        past = self.past.get(allocation_id) if allocation_id else None
        pools = self._pools_named(sorted(self.pools) if type(command) is CloseLedger else named_pools(command, past))
        moment = time_of(command, now, pools.values())
        if type(command) is Expire and command.pool is None:
            pools = {name: pool for name, pool in self.pools.items() if pool.has_due(moment)}
        limit = command.limit if type(command) is Expire else None
        while missing := reach(pools, moment, limit):
            pools |= self._pools_named(missing)
        if has_begun and len(self.peaks) < len(self.pools):
            self.begin_window(pools)  # also for pools in which holds only expire
        situation = DecisionContext(pools, past, epoch, new_id, behind, self.closed)
        return Decided(decide(situation, command, moment), moment)

    def _pools_named(self, names: Iterable[str]) -> dict[str, Pool]:
        return {name: pool for name in names if (pool := self.pools.get(name))}

    def apply_decision(self, decided: Decided, first: Recorded, *, is_counted: bool = True) -> None:
        """Apply the events of a decision as if they had been recorded instead of the command's own events.

        ``first`` is the first of those. The new events take its place in the log, so that a grant has the same fencing
        token as the recorded one.
        """
        position = first.position
        for event, occurred_at in zip(decided.events, decided.times(), strict=True):
            if is_apart(event):
                return
            pool = self.pools.get(getattr(event, "pool", ""))
            version = pool.version + 1 if pool else 1
            self.apply(
                first._replace(position=position, version=version, occurred_at=occurred_at, event=event),
                is_counted=is_counted,
            )
            position += type(event) is not Expired

    def apply(self, recorded: Recorded, *, is_counted: bool = True) -> None:
        """Apply one event, and note a peak if it is counted; raises `LogCorrupt` if it cannot have happened."""
        event = recorded.event
        if is_apart(event):
            return
        if type(event) is LedgerClosed:
            self.closed = True
            return
        name: str = event.pool  # type: ignore[attr-defined]  # every other event is about a pool
        pool = self.pools[name] = evolve(self.pools.get(name), recorded)
        if is_opening(event):
            self.learn(event.allocation_id, AllocationRecord(event.pools))
        elif is_ending(event):
            self.learn(
                event.allocation_id, AllocationRecord(self.past[event.allocation_id].pools, STATE_AFTER[type(event)])
            )
            return
        if not is_counted:
            return
        if name not in self.peaks:
            self.begin_window({name: pool})
        if pool.used > self.peaks[name].used:
            self.peaks[name] = Peak(pool.used, pool.capacity, recorded.occurred_at)
