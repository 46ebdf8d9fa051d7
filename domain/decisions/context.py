"""The situation that a command is decided in: the pools that it reaches, and what else the decision may depend on."""

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
"""The commands that depend on whether the ledger is closed; to all others its pools tell it."""


class AllocationRecord(NamedTuple):
    """What the log knows of an allocation id that was granted: its pools, and its state if it has ended."""

    pools: tuple[str, ...]
    ended: AllocationState | None = None


class DecisionContext(NamedTuple):
    """All that a decision may depend on."""

    pools: Mapping[str, Pool]
    """Every pool that exists among those the command reaches: see `reach`."""
    past: AllocationRecord | None = None
    """What the log knows of the command's allocation id; None if it was never granted."""
    epoch: int = 1
    """The ledger's epoch, for fencing tokens."""
    new_id: str = ""
    """Id for an allocation that the command does not name."""
    behind: Collection[str] = ()
    """Pools in which others wait before the command."""
    closed: bool = False
    """Whether the ledger is closed, for the commands that ask: see `ASKING_IF_CLOSED`."""


def named_pools(command: Command, past: AllocationRecord | None) -> tuple[str, ...]:
    """List the pools that a command touches by itself, by name.

    `Expire` without a pool touches those with dues, `CloseLedger` every pool that there is.
    """
    if type(command) is Allocate or type(command) is Reserve:
        return tuple(sorted(command.quantities))
    held = past.pools if past else ()
    if type(command) is Resize:
        return tuple(sorted({*command.quantities, *held}))
    pool = vars(command).get("pool")
    return (pool,) if pool else held


def time_of(command: Command, now: datetime, pools: Collection[Pool]) -> datetime:
    """Compute the one time a command is decided at: the latest of its ``at`` (else now) and its pools' times."""
    return max(command.at or now, *(pool.time for pool in pools)) if pools else command.at or now


def reach(pools: Mapping[str, Pool], moment: datetime, limit: int | None = None) -> set[str]:
    """List the pools, not among those given, in which allocations that are due in those given hold something.

    With a limit, those that `horizon` leaves out are not due yet.
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
    """Find the deadline up to which to expire for so many allocations of some pools; the moment, if fewer are due.

    A deadline is expired whole: else a pool's time would come to a deadline at which something is still held.
    """
    first = {entry for pool in pools.values() for entry in pool.first_due(moment, limit)}
    return sorted(first)[limit - 1][0] if len(first) >= limit else moment
