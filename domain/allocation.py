"""An allocation over all its pools: its states, its fields, and how they follow from its events."""

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
    """What an allocation is at present, or how it ended."""

    RESERVED = "reserved"
    """Open, and to be confirmed before its deadline."""
    ACTIVE = "active"
    """Open, and confirmed if it began as a reservation."""
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Tell whether an allocation in this state holds something: it is reserved or active."""
        return self in {AllocationState.RESERVED, AllocationState.ACTIVE}


STATE_AFTER: Mapping[type[Ending], AllocationState] = {
    Released: AllocationState.RELEASED,
    Voided: AllocationState.VOIDED,
    Expired: AllocationState.EXPIRED,
}
"""The state of an allocation after each kind of event that ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A hold of quantities from one or more pools by one owner. An allocation that has ended shows what it held."""

    id: str
    owner: str
    """Who the resource is for."""
    state: AllocationState
    quantities: Mapping[str, int]
    """How much of each pool it holds, by pool's name, in the pool's unit."""
    deadline: datetime | None
    """When it ends unless it is renewed, in UTC; None: it never ends by itself."""
    token: Token
    """The fencing token of the grant; every later grant has a greater one."""
    tags: Mapping[str, str]
    """The tags given with the grant."""
    opened_at: datetime
    """When it was granted, in UTC."""
    ended_at: datetime | None = None
    """When it ended, in UTC; None while it is open."""
    reason: str | None = None
    """The reason given with the command that ended it, if any."""
    as_of_position: int | None = field(default=None, compare=False)
    """Position of the last event in the log when this was read; None in a list, which has a position of its own, and
    in the outcome of a command."""

    def is_open_at(self, moment: datetime) -> bool:
        """Tell whether it holds something at a moment. It does not at its deadline, even if no event says so yet."""
        return self.state.is_open and (self.deadline is None or moment < self.deadline)

    def lapsed_at(self, moment: datetime) -> Allocation:
        """Give the allocation as of a moment: expired if its deadline has passed by then, even if no event says so."""
        if self.state.is_open and not self.is_open_at(moment):
            return replace(self, state=AllocationState.EXPIRED, ended_at=self.deadline)
        return self


def fold(records: Iterable[Recorded], start: Allocation | None = None) -> Allocation | None:
    """Compute an allocation from its events, in order, beginning with what it was before them.

    Events of other kinds about the allocation, such as refusals, change nothing. Gives None if it was not granted.
    Raises `LogCorrupt` for an event that cannot follow those before it.
    """
    allocation = start
    for recorded in records:
        allocation = _evolve(allocation, recorded)
    return allocation


def _evolve(allocation: Allocation | None, recorded: Recorded) -> Allocation | None:
    """Compute the allocation after one more of its events; raises `LogCorrupt`."""
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
    """Begin an allocation with the event of its first pool, or add that of a further pool."""
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
    """Compute the fencing token of a grant from any of its opening events and that event's position.

    The token has the position of the first of them. They follow one another in the log, in the order of their pools.
    """
    return Token(event.epoch, position - event.pools.index(event.pool))
