"""The events: facts in the past tense, each with what an auditor reading that one row needs."""

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
"""The stream of what happens to the ledger as a whole."""


class Event(BaseModel):
    """A fact. Its stored type name is the name of its class, for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: ClassVar[int] = 1
    """Version of the fields; older ones are upcast when they are read."""

    @property
    def stream_id(self) -> str:
        """The stream that the event belongs to."""
        raise NotImplementedError  # every event below is of a kind that says it

    @property
    def subject(self) -> str | None:
        """Id of the allocation that the event is about, if it is about one."""
        return None


class _PoolEvent(Event):
    pool: PoolName

    @property
    def stream_id(self) -> str:
        return f"pool:{self.pool}"


class PoolOpened(_PoolEvent):
    """A pool was opened."""

    resource_type: Name
    unit: Name
    limits: Limits


class LimitsChanged(_PoolEvent):
    """A pool's limits were replaced."""

    limits: Limits
    previous: Limits


class PoolClosed(_PoolEvent):
    """A pool was closed for ever."""

    reason: Reason | None


class LedgerClosed(Event):
    """The ledger was closed for ever. The events that follow it in its command close the pools that were open."""

    reason: Reason | None

    @property
    def stream_id(self) -> str:
        """The ledger's own stream, which has at most this one event."""
        return LEDGER_STREAM


class AllocationEvent(_PoolEvent):
    """Something happened to one allocation's hold of one pool."""

    allocation_id: Name
    owner: Name
    quantity: Quantity
    """What the allocation holds of the pool after the event; for an ending, what it held."""

    @property
    def subject(self) -> str:
        """Id of the allocation."""
        return self.allocation_id


class Opening(AllocationEvent):
    """A hold began. One event a pool, in the pools' order by name, one after another in the log."""

    pools: tuple[PoolName, ...]
    """Every pool of the allocation, by name."""
    epoch: Quantity
    """The ledger's epoch: the first half of the fencing token."""
    tags: Tags
    deadline: Instant | None
    """When it ends unless renewed; None: never by itself."""


class Allocated(Opening):
    """A quantity of a pool was granted."""


class Reserved(Opening):
    """A quantity of a pool was granted until a deadline, to be confirmed."""

    deadline: Instant


class Confirmed(AllocationEvent):
    """A reservation became an allocation."""

    deadline: Instant | None


class Renewed(AllocationEvent):
    """The deadline was moved."""

    deadline: Instant
    previous_deadline: Instant | None


class Resized(AllocationEvent):
    """The quantity was changed."""

    previous_quantity: Quantity


class Transferred(AllocationEvent):
    """The owner was changed."""

    previous_owner: Name


class Ending(AllocationEvent):
    """A hold ended."""

    reserved: StrictBool
    """True if it was a reservation never confirmed."""


class Released(Ending):
    """The hold was given back, or taken back by force."""

    schema_version: ClassVar[int] = 2
    reason: Reason | None
    forced: StrictBool
    """True if it was a correction: ended by force, a reservation too, for the reason given. Since version 2."""


class Voided(Ending):
    """The reservation was given up."""

    reason: Reason | None


class Expired(Ending):
    """The hold's deadline passed; it ended at the deadline, whenever that was noticed."""

    deadline: Instant


class ValidationFailed(Event):
    """A well-formed command was refused."""

    code: RefusalCode
    pool: Name | None
    """The first pool that refuses; None where the command names no pool that is known."""
    known: StrictBool
    """True if a pool of that name exists."""
    allocation_id: Name | None
    asked: dict[str, Any]
    """The command, whole."""
    data: dict[str, Any]
    """What the decision was made on: what was free, which limit, by code."""

    @property
    def stream_id(self) -> str:
        """The refusals of one pool, apart from its own history; those of no known pool are together."""
        return f"refusals:{self.pool}" if self.known else "refusals:"

    @property
    def subject(self) -> str | None:
        """Id of the allocation that the refused command names, whether it exists or not."""
        return self.allocation_id


class Reclaimed(Event):
    """A thing that was really there, without an open right to it, was taken back; no pool has more or less for that."""

    pool: PoolName
    allocation_id: Name
    """The right that the thing was made for, granted or not."""
    state: Literal["released", "voided", "expired"] | None
    """How the right had ended; None if it was never granted."""
    reason: Reason | None

    @property
    def stream_id(self) -> str:
        """What was reclaimed for one pool, apart from its own history."""
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
"""The stored names of the events that `is_apart` is about."""
_OPENINGS: frozenset[type[Event]] = frozenset({Allocated, Reserved})
_ENDING_KINDS: tuple[type[Event], ...] = (Released, Voided, Expired)
_ENDINGS = frozenset(_ENDING_KINDS)


def is_apart(event: Event) -> bool:
    """Tell whether an event is in a stream apart from every pool's own, and changes neither a pool nor a hold."""
    return type(event) in _APART


def is_opening(event: Event) -> TypeGuard[Opening]:
    """Tell whether a hold began; `isinstance` does too, at ten times the cost for a class of pydantic's."""
    return type(event) in _OPENINGS


def is_ending(event: Event) -> TypeGuard[Ending]:
    """Tell whether a hold ended; see `is_opening`."""
    return type(event) in _ENDINGS
