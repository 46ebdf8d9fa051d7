"""The context of a decision: the pools that a command reaches, the time it is decided at, and what else counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from holdbook.domain.commands import Allocate, CloseLedger, OpenPool, Reserve, Resize

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from holdbook.domain.allocation import AllocationState
    from holdbook.domain.commands import Command
    from holdbook.domain.pool import Pool

ASKING_IF_CLOSED: Final = frozenset({OpenPool, CloseLedger})
"""The commands whose decision needs to know whether the ledger is closed.

For every other command the pools say enough: in a closed ledger all of them are closed.
"""


class AllocationRecord(NamedTuple):
    """What the log knows of an allocation id that was granted."""

    pools: tuple[str, ...]
    """Names of all pools of the allocation, in order."""
    ended: AllocationState | None = None
    """The state in which it ended; None while no event says that it has ended."""


class DecisionContext(NamedTuple):
    """Everything that a decision may depend on, besides the command and the moment."""

    pools: Mapping[str, Pool]
    """By name, the existing pools among those that the command touches (`named_pools`) and those that expiries reach
    from there (`reach`)."""
    past: AllocationRecord | None = None
    """What the log knows of the allocation id in the command; None if it was never granted, or there is none."""
    epoch: int = 1
    """The ledger's epoch, for the fencing tokens of grants."""
    new_id: str = ""
    """Allocation id for a grant whose command names none."""
    behind: Collection[str] = ()
    """Names of the pools for which commands wait that came before this one."""
    closed: bool = False
    """Whether the ledger is closed; correct only for the commands in `ASKING_IF_CLOSED`."""


def named_pools(command: Command, past: AllocationRecord | None) -> tuple[str, ...]:
    """List the names of the pools that a command touches directly, or through its allocation.

    Two commands are not answered here: `Expire` without a pool touches the pools in which something is due, and
    `CloseLedger` touches all pools.
    """
    if type(command) is Allocate or type(command) is Reserve:
        return tuple(sorted(command.quantities))
    held = past.pools if past else ()
    if type(command) is Resize:
        return tuple(sorted({*command.quantities, *held}))
    pool = vars(command).get("pool")
    return (pool,) if pool else held


def time_of(command: Command, now: datetime, pools: Collection[Pool]) -> datetime:
    """Compute the one time that a command is decided at.

    It is the latest of the command's ``at`` (of ``now`` if it has none) and the times of the pools that it touches, so
    that no pool's time goes back.
    """
    return max(command.at or now, *(pool.time for pool in pools)) if pools else command.at or now


def reach(pools: Mapping[str, Pool], moment: datetime, limit: int | None = None) -> set[str]:
    """Find the pools, beyond those given, in which allocations hold something that are due in those given.

    An allocation expires in all its pools at once, so these pools belong to the decision too. They may have dues of
    their own that lead further: call again with them until nothing is found. With the ``limit`` of an `Expire`, only
    what is due up to the `horizon` counts.
    """
    if limit is not None:
        moment = horizon(pools, moment, limit)
    return {
        other
        for pool in pools.values()
        if pool.has_due(moment)
        for allocation_id in pool.due(moment)
        for other in pool.holds[allocation_id].pools
        if other not in pools
    }


def horizon(pools: Mapping[str, Pool], moment: datetime, limit: int) -> datetime:
    """Find the time up to which an `Expire` with a limit expires what is due in some pools.

    It is the deadline of the allocation that comes last among the first ``limit`` of them, or ``moment`` if fewer are
    due. Every allocation with that same deadline expires too, so more than ``limit`` may: otherwise a pool's time would
    arrive at a deadline at which something is still held.
    """
    first = {entry for pool in pools.values() for entry in pool.first_due(moment, limit)}
    return sorted(first)[limit - 1][0] if len(first) >= limit else moment
