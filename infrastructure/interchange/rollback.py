"""Rollback to the old managers: the ledger is closed to new grants, and what is held is written in the old form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdbook.domain.allocation import AllocationState
from holdbook.domain.errors import HoldbookError
from holdbook.domain.events import LEDGER_STREAM, PoolClosed
from holdbook.infrastructure.interchange.old_form import OLD_LIMITS, HeldLine, LimitsLine, old_form
from holdbook.replay.history.as_of import state_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.ports import Clock, EventLog
    from holdbook.replay.history.as_of import LedgerState

PROGRESS_LINES: Final = 500
"""A rollback tells its progress whenever it has written this many lines."""


class NotRolledBack(HoldbookError):
    """Something is held for which the old form has no words. No file was written."""

    def __init__(self, reserved: Sequence[str], several: Sequence[str], *, closed: bool) -> None:
        self.reserved = list(reserved)
        """The ids of reservations, oldest first."""
        self.several = list(several)
        """The ids of allocations over several pools, oldest first."""
        self.closed = closed
        """Whether the ledger is closed by now."""
        parts = {"reservations": self.reserved, "allocations over several pools": self.several}
        listed = "; ".join(f"{what}: {', '.join(ids)}" for what, ids in parts.items() if ids)
        state = "closed" if closed else "still open"
        super().__init__(
            f"the old form has no words for what these hold; confirm, release or void them, and try again. {listed}. "
            f"Nothing was written; the ledger is {state}"
        )


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback wrote."""

    resource_types: int
    """How many lines of limits."""
    allocations: int
    """How many lines of allocations."""
    other_limits: Sequence[str]
    """The limits in the file that the old managers do not enforce, such as ``gpu.per_owner``."""
    position: int
    """The position in the log at which the file is true."""


def roll_back(
    ledger: LedgerInterface,
    file: TextIO,
    clock: Clock,
    *,
    reason: str | None = None,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> RolledBack:
    """Close the ledger to new grants, then write what is held in the old form, as it is at one position of the log.

    The limits written are those of the pools that were open until the ledger was closed, and of other pools of which
    something is still held, by name. Then come the allocations in the order in which they were granted. For a ledger
    that is closed already, what is still held is written. ``progress`` is called with the number of lines written and
    the number of all lines. Raises `NotRolledBack` if something is held for which the old form has no words: if
    possible before the ledger is closed. Also raises what `Ledger.execute` does.
    """
    _held(_state(ledger.log), clock, closed=_closing_pools(ledger.log) is not None)
    ledger.close_ledger(reason=reason)
    state = _state(ledger.log)
    held = _held(state, clock, closed=True)
    names = {*(_closing_pools(ledger.log) or ()), *(pool for one in held for pool in one.quantities)}
    limits = [_limits_line(state, name) for name in sorted(names)]
    total = len(limits) + len(held)
    for number, line in enumerate(old_form(limits, map(_held_line, held)), 1):
        file.write(f"{line}\n")
        if number % PROGRESS_LINES == 0 or number == total:
            progress(number, total)
    return RolledBack(
        resource_types=len(limits),
        allocations=len(held),
        other_limits=[f"{one.resource_type}.{name}" for one in limits for name in _other_limits(one)],
        position=state.position,
    )


def _state(log: EventLog) -> LedgerState:
    """Fold the log up to its present end."""
    with log.reading() as reader:
        head = reader.head
    return state_at(log, head)


def _closing_pools(log: EventLog) -> set[str] | None:
    """Find the pools that were closed together with the ledger; None if the ledger is open."""
    with log.reading() as reader:
        for closed in reader.stream(LEDGER_STREAM):
            events = (one.event for one in reader.commands({closed.command_id})[closed.command_id])
            return {event.pool for event in events if isinstance(event, PoolClosed)}
    return None


def _held(state: LedgerState, clock: Clock, *, closed: bool) -> list[Allocation]:
    """List what is held now, oldest first; raises `NotRolledBack` for what the old form has no words for."""
    now = clock()
    held = [one for one in state.allocations() if one.is_open_at(now)]
    several = [one.id for one in held if len(one.quantities) > 1]
    reserved = [one.id for one in held if one.state is AllocationState.RESERVED and len(one.quantities) == 1]
    if several or reserved:
        raise NotRolledBack(reserved, several, closed=closed)
    return held


def _limits_line(state: LedgerState, name: str) -> LimitsLine:
    pool = state.pools[name]
    return LimitsLine(limits=pool.limits, resource_type=name, unit=pool.unit)


def _held_line(one: Allocation) -> HeldLine:
    ((resource_type, size),) = one.quantities.items()
    return HeldLine(
        id=one.id,
        resource_type=resource_type,
        size=size,
        owner=one.owner,
        allocation_time=one.opened_at,
        expiration_time=one.deadline,
        tags=dict(one.tags),
    )


def _other_limits(line: LimitsLine) -> Iterator[str]:
    """Name the limits of a line that the old managers do not enforce."""
    given = line.limits.model_dump(exclude_defaults=True)
    return (name for name in given if name not in OLD_LIMITS)
