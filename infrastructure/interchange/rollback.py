"""Going back to the old managers: the ledger grants nothing more, and what is held is written in the old form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from holdbook.domain.allocation import AllocationState
from holdbook.domain.errors import HoldbookError
from holdbook.domain.events import LEDGER_STREAM, PoolClosed
from holdbook.infrastructure.interchange.old_form import OLD_LIMITS, HeldLine, LimitsLine, old_form
from holdbook.replay.history.as_of import state_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.ports import Clock, EventLog
    from holdbook.replay.history.as_of import LedgerState

SHARE: Final = 500
"""How many lines are written before progress is told."""


class ClosableLedger(Protocol):
    """A ledger that can be closed to new grants for ever; see `holdbook.infrastructure.ledger.Ledger`."""

    @property
    def log(self) -> EventLog:
        """The ledger's log."""
        ...

    def close_ledger(self, *, reason: str | None = None) -> Outcome:
        """Close the ledger and every pool that is open; closing a closed one is a repeat. Raises `LogUnavailable`."""
        ...


class NotRolledBack(HoldbookError):
    """Something is held that the old form cannot say; no file was written."""

    def __init__(self, reserved: Sequence[str], several: Sequence[str], *, closed: bool) -> None:
        self.reserved = list(reserved)
        """Ids of reservations, oldest first."""
        self.several = list(several)
        """Ids of allocations over several pools, oldest first."""
        self.closed = closed
        """True if the ledger is closed by now."""
        parts = {"reservations": self.reserved, "allocations over several pools": self.several}
        listed = "; ".join(f"{what}: {', '.join(ids)}" for what, ids in parts.items() if ids)
        state = "closed" if closed else "still open"
        super().__init__(
            f"the old form has no words for what these hold; confirm, release or void them, and try again. {listed}. "
            f"Nothing was written; the ledger is {state}"
        )


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What was written."""

    resource_types: int
    """Lines of limits."""
    allocations: int
    """Lines of allocations."""
    other_limits: Sequence[str]
    """Limits in the file that the old managers do not enforce, such as ``gpu.per_owner``."""
    position: int
    """Position in the log that the file is true at."""


def roll_back(
    ledger: ClosableLedger,
    file: TextIO,
    clock: Clock,
    *,
    reason: str | None = None,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> RolledBack:
    """Close the ledger to new grants, then write what is held in the old form, as it is at one position of the log.

    Limits are those of the pools that were open until the ledger was closed, and of those that are still held of, by
    name; allocations come in the order in which they were granted. Of a ledger that is closed already, what is held by
    now is written. ``progress`` is told lines written and lines in all. Raises `NotRolledBack` if something is held
    that the old form cannot say, if it can without closing the ledger; and as `Ledger.execute` does.
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
        if number % SHARE == 0 or number == total:
            progress(number, total)
    return RolledBack(
        resource_types=len(limits),
        allocations=len(held),
        other_limits=[f"{one.resource_type}.{name}" for one in limits for name in _other_limits(one)],
        position=state.position,
    )


def _state(log: EventLog) -> LedgerState:
    with log.reading() as reader:
        head = reader.head
    return state_at(log, head)


def _closing_pools(log: EventLog) -> set[str] | None:
    """Find the pools that were closed with the ledger; None if it is open."""
    with log.reading() as reader:
        for closed in reader.stream(LEDGER_STREAM):
            events = (one.event for one in reader.commands({closed.command_id})[closed.command_id])
            return {event.pool for event in events if isinstance(event, PoolClosed)}
    return None


def _held(state: LedgerState, clock: Clock, *, closed: bool) -> list[Allocation]:
    """List what is held now, oldest first; raises `NotRolledBack`."""
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
    given = line.limits.model_dump(exclude_defaults=True)
    return (name for name in given if name not in OLD_LIMITS)
