"""What is held, folded from the events alone with dictionaries: what every quicker way has to equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.events import AllocationEvent, Ending, LimitsChanged, PoolClosed, PoolOpened

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from holdbook import Limits
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded
    from holdbook.replay.history.as_of import LedgerState

    Holds = dict[tuple[str, str], tuple[int, str, datetime | None]]
    """By allocation and pool: how much, whose, until when."""
    Pools = dict[str, tuple[Limits, bool]]
    """By name: the limits, and whether it was closed."""


def records_of(log: EventLog) -> list[Recorded]:
    """Read the whole log."""
    return [log.decode(row) for row in log.rows(0, 10**9)]


def whole_commands(records: list[Recorded], position: int) -> list[Recorded]:
    """Choose the events of the commands that end at a position or before it."""
    return [one for one in records if one.position - one.ordinal + one.ordinals - 1 <= position]


def folded(records: Iterable[Recorded], moment: datetime | None = None) -> tuple[Pools, Holds]:
    """Fold events; of what was held, keep what had not lapsed by a moment."""
    pools: Pools = {}
    held: Holds = {}
    for recorded in records:
        event: Any = recorded.event
        if isinstance(event, PoolOpened | LimitsChanged):
            pools[event.pool] = (event.limits, False)
        elif isinstance(event, PoolClosed):
            pools[event.pool] = (pools[event.pool][0], True)
        elif isinstance(event, Ending):
            del held[event.allocation_id, event.pool]
        elif isinstance(event, AllocationEvent):
            key = (event.allocation_id, event.pool)
            before = held.get(key)
            deadline = event.deadline if hasattr(event, "deadline") else before and before[2]
            held[key] = (event.quantity, event.owner, deadline)
    return pools, {key: one for key, one in held.items() if moment is None or one[2] is None or moment < one[2]}


def described(state: LedgerState) -> tuple[Pools, Holds]:
    """Describe a state as the fold does."""
    pools = {pool.name: (pool.limits, pool.closed) for pool in state.pools.values()}
    held = {
        (allocation_id, pool.name): (hold.quantity, hold.owner, hold.deadline)
        for pool in state.pools.values()
        for allocation_id, hold in pool.holds.items()
    }
    lapsed = {key for key, (_, _, deadline) in held.items() if state.moment and deadline and deadline <= state.moment}
    return pools, {key: one for key, one in held.items() if key not in lapsed}
