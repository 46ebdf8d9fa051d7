"""An allocation over all its pools: the fold of its events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import (
    Allocated,
    Confirmed,
    Ending,
    Expired,
    Released,
    Renewed,
    Resized,
    Transferred,
    Voided,
    is_apart,
    is_opening,
)
from holdbook.domain.values import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from holdbook.domain.events import Opening
    from holdbook.domain.records import Recorded


class AllocationState(StrEnum):
    """Where an allocation is in its life."""

    RESERVED = "reserved"
    ACTIVE = "active"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Tell whether something is held."""
        return self in {AllocationState.RESERVED, AllocationState.ACTIVE}


STATE_AFTER: Mapping[type[Ending], AllocationState] = {
    Released: AllocationState.RELEASED,
    Voided: AllocationState.VOIDED,
    Expired: AllocationState.EXPIRED,
}
"""The state that each kind of ending leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A hold of quantities from one or more pools by one owner; after its end, what it held."""

    id: str
    owner: str
    state: AllocationState
    quantities: Mapping[str, int]
    """Pool by pool, in the pool's unit."""
    deadline: datetime | None
    """When it ends unless renewed (UTC); None: never by itself."""
    token: Token
    """Fencing token: greater for every later grant."""
    tags: Mapping[str, str]
    opened_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    """The reason given when it ended."""
    as_of_position: int | None = field(default=None, compare=False)
    """Position in the log that a read found this at; None in lists, which tell theirs, and in a command's outcome."""

    def is_open_at(self, moment: datetime) -> bool:
        """Tell whether something is held at a moment: a hold is over at its deadline, noticed or not."""
        return self.state.is_open and (self.deadline is None or moment < self.deadline)

    def lapsed_at(self, moment: datetime) -> Allocation:
        """Show it as of a moment: expired at its deadline if that has passed, noticed or not; else as it is."""
        if self.state.is_open and not self.is_open_at(moment):
            return replace(self, state=AllocationState.EXPIRED, ended_at=self.deadline)
        return self


def fold(records: Iterable[Recorded], start: Allocation | None = None) -> Allocation | None:
    """Fold one allocation's events, in order, onto what it was before; None if there is no grant among them."""
    allocation = start
    for recorded in records:
        allocation = _evolve(allocation, recorded)
    return allocation


def _evolve(allocation: Allocation | None, recorded: Recorded) -> Allocation | None:
    event = recorded.event
    if is_opening(event):
        return _opened(allocation, event, recorded)
    if is_apart(event):
        return allocation
    if allocation is None:
        message = f"position {recorded.position}: {type(event).__name__} of an allocation that was never granted"
        raise LogCorrupt(message)
    changes: dict[str, Any]
    match event:
        case Confirmed():
            changes = {"state": AllocationState.ACTIVE, "deadline": event.deadline}
        case Renewed():
            changes = {"deadline": event.deadline}
        case Resized():
            changes = {"quantities": {**allocation.quantities, event.pool: event.quantity}}
        case Transferred():
            changes = {"owner": event.owner}
        case Released() | Voided() | Expired():
            reason = None if isinstance(event, Expired) else event.reason
            changes = {"state": STATE_AFTER[type(event)], "ended_at": recorded.occurred_at, "reason": reason}
        case _:
            message = f"position {recorded.position}: {type(event).__name__} is not about an allocation"
            raise LogCorrupt(message)
    return replace(allocation, **changes)


def _opened(allocation: Allocation | None, event: Opening, recorded: Recorded) -> Allocation:
    if allocation is not None:
        return replace(allocation, quantities={**allocation.quantities, event.pool: event.quantity})
    return Allocation(
        id=event.allocation_id,
        owner=event.owner,
        state=AllocationState.ACTIVE if type(event) is Allocated else AllocationState.RESERVED,
        quantities={event.pool: event.quantity},
        deadline=event.deadline,
        token=token_of(event, recorded.position),
        tags=event.tags,
        opened_at=recorded.occurred_at,
    )


def token_of(event: Opening, position: int) -> Token:
    """Compute the grant's fencing token from any of its opening events: they follow one another in the log."""
    return Token(event.epoch, position - event.pools.index(event.pool))
