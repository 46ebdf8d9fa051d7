"""The events: facts in the past tense, one class for each kind.

Each has all the fields that an auditor needs who reads that one row. What every row has beside them (position, times,
actor, command) is its envelope: see `Recorded`. An allocation over several pools has one event in each of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeGuard

from pydantic import BaseModel, ConfigDict, StrictBool

from holdbook.domain.limits import Limits
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import Instant, Name, PoolName, Quantity, Reason, Tags

__all__ = [
    "EVENTS",
    "Allocated",
    "AllocationEvent",
    "Confirmed",
    "Event",
    "Expired",
    "LedgerClosed",
    "LimitsChanged",
    "PoolClosed",
    "PoolOpened",
    "Reclaimed",
    "Released",
    "Renewed",
    "Reserved",
    "Resized",
    "Transferred",
    "ValidationFailed",
    "Voided",
]


LEDGER_STREAM: Final = "ledger"
"""The stream of the events about the ledger as a whole."""


class Event(BaseModel):
    """A fact, which never changes. The log stores the name of its class with it, so that never changes either."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: ClassVar[int] = 1
    """Version of the type's fields. Rows of an older version are upcast to this one when they are read."""

    @property
    def stream_id(self) -> str:
        """Name of the stream that the event belongs to."""
        raise NotImplementedError  # every kind of event below says its own

    @property
    def subject(self) -> str | None:
        """Id of the allocation that the event is about; None if it is about none."""
        return None


class _PoolEvent(Event):
    """An event that changes one pool."""

    pool: PoolName
    """Name of the pool."""

    @property
    def stream_id(self) -> str:
        return f"pool:{self.pool}"


class PoolOpened(_PoolEvent):
    """A pool was opened. The first event of its stream."""

    resource_type: Name
    """What kind of resource it is."""
    unit: Name
    """What the pool counts in."""
    limits: Limits


class LimitsChanged(_PoolEvent):
    """All limits of a pool were replaced. Nothing that is held was taken away."""

    limits: Limits
    """The limits from now on."""
    previous: Limits
    """The limits until now."""


class PoolClosed(_PoolEvent):
    """A pool was closed for ever, by itself or with the ledger."""

    reason: Reason | None
    """Why, as the command said."""


class LedgerClosed(Event):
    """The ledger was closed for ever. A `PoolClosed` for each pool that was open follows, in the same command."""

    reason: Reason | None
    """Why, as the command said."""

    @property
    def stream_id(self) -> str:
        """Name of the ledger's own stream, which has at most this one event."""
        return LEDGER_STREAM


class AllocationEvent(_PoolEvent):
    """An event that changes what one allocation holds of one pool: its hold."""

    allocation_id: Name
    owner: Name
    """Who the resource is for, after the event."""
    quantity: Quantity
    """What the allocation holds of the pool after the event, in the pool's unit; for an `Ending`, what it held."""

    @property
    def subject(self) -> str:
        """Id of the allocation."""
        return self.allocation_id


class Opening(AllocationEvent):
    """A hold began. The events of one grant follow one another in the log, in the order of the pools' names."""

    pools: tuple[PoolName, ...]
    """Names of all pools of the allocation, in order."""
    epoch: Quantity
    """The ledger's epoch, from 1: the first half of the fencing token."""
    tags: Tags
    """The tags given with the command."""
    deadline: Instant | None
    """When the hold ends unless it is renewed; None: never by itself."""


class Allocated(Opening):
    """A quantity of a pool was granted, by the command `Allocate`."""


class Reserved(Opening):
    """A quantity of a pool was granted until a deadline, to be confirmed by then: by the command `Reserve`."""

    deadline: Instant
    """When the reservation ends unless it is confirmed or renewed."""


class Confirmed(AllocationEvent):
    """A reservation was confirmed, and is an allocation from now on."""

    deadline: Instant | None
    """The new deadline; None: the hold never ends by itself."""


class Renewed(AllocationEvent):
    """The deadline of a hold was moved, to a later or to an earlier time."""

    deadline: Instant
    """The new deadline."""
    previous_deadline: Instant | None
    """The deadline until now; None: there was none."""


class Resized(AllocationEvent):
    """The quantity of a hold was changed. A pool that the command does not name has no such event."""

    previous_quantity: Quantity
    """What the allocation held of the pool until now."""


class Transferred(AllocationEvent):
    """An allocation was given another owner."""

    previous_owner: Name
    """The owner until now."""


class Ending(AllocationEvent):
    """A hold ended."""

    reserved: StrictBool
    """True if the hold was a reservation that was never confirmed."""


class Released(Ending):
    """A hold was ended by the command `Release`: given back by its holder, or ended by force."""

    schema_version: ClassVar[int] = 2
    reason: Reason | None
    """Why, as the command said; never None where it was forced."""
    forced: StrictBool
    """True if the command said ``force``: a correction by an operator. Since schema version 2; False in version 1."""


class Voided(Ending):
    """A reservation was given up before it was confirmed."""

    reason: Reason | None
    """Why, as the command said."""


class Expired(Ending):
    """The deadline of a hold passed. It occurred at the deadline, however late it was noticed and recorded."""

    deadline: Instant
    """The deadline that passed."""


class ValidationFailed(Event):
    """A well-formed command was refused."""

    code: RefusalCode
    """Why it was refused."""
    pool: Name | None
    """Name of the pool that refuses, the first by name of several; None: the allocation named was never granted."""
    known: StrictBool
    """True if a pool of that name exists."""
    allocation_id: Name | None
    """The allocation that the command names; None if it names none."""
    asked: dict[str, Any]
    """The whole command, as JSON values."""
    data: dict[str, Any]
    """What the decision was made on, such as what was free and which limit was in the way; it depends on the code."""

    @property
    def stream_id(self) -> str:
        """Name of the stream of the pool's refusals, which is not the pool's own; one stream for all unknown pools."""
        return f"refusals:{self.pool}" if self.known else "refusals:"

    @property
    def subject(self) -> str | None:
        """Id of the allocation that the refused command names, even if there is no such allocation."""
        return self.allocation_id


class Reclaimed(Event):
    """A real thing that no open allocation gave a right to was taken back. No pool changes."""

    pool: PoolName
    """Name of the pool that the thing belongs to."""
    allocation_id: Name
    """Id of the allocation that the thing was made for, even if it was never granted."""
    state: Literal["released", "voided", "expired"] | None
    """How that allocation had ended; None if it was never granted."""
    reason: Reason | None
    """Why, as the command said."""

    @property
    def stream_id(self) -> str:
        """Name of the stream of what was reclaimed for the pool, which is not the pool's own."""
        return f"reclaims:{self.pool}"

    @property
    def subject(self) -> str:
        """Id of the allocation."""
        return self.allocation_id


EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        PoolOpened,
        LimitsChanged,
        PoolClosed,
        LedgerClosed,
        Allocated,
        Reserved,
        Confirmed,
        Voided,
        Renewed,
        Resized,
        Transferred,
        Released,
        Expired,
        ValidationFailed,
        Reclaimed,
    )
}
"""Every event type by its stored name."""

_APART: frozenset[type[Event]] = frozenset({ValidationFailed, Reclaimed})
APART = frozenset(kind.__name__ for kind in _APART)
"""The stored names of the events for which `is_apart` is true."""
_OPENINGS: frozenset[type[Event]] = frozenset({Allocated, Reserved})
_ENDING_KINDS: tuple[type[Event], ...] = (Released, Voided, Expired)
_ENDINGS = frozenset(_ENDING_KINDS)


def is_apart(event: Event) -> bool:
    """Tell whether an event is about a pool or an allocation, but changes neither: it is in a stream of its own."""
    return type(event) in _APART


def is_opening(event: Event) -> TypeGuard[Opening]:
    """Tell whether an event is an `Opening`: a hold began.

    The same as ``isinstance(event, Opening)``, which takes ten times as long for pydantic's classes.
    """
    return type(event) in _OPENINGS


def is_ending(event: Event) -> TypeGuard[Ending]:
    """Tell whether an event is an `Ending`: a hold ended. Faster than ``isinstance``, as `is_opening` is."""
    return type(event) in _ENDINGS
