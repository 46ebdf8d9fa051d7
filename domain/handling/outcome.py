"""A command on its way to a decision, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from holdbook.domain.allocation import Allocation, AllocationState
from holdbook.domain.errors import LogCorrupt
from holdbook.domain.events import Expired

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.errors import Refused
    from holdbook.domain.limits import Limits
    from holdbook.domain.pool import Hold, Pool
    from holdbook.domain.records import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool as it stands. Quantities are in the pool's unit."""

    name: str
    resource_type: str
    unit: str
    limits: Limits
    capacity: int
    used: int
    free: int
    """What can still be granted. It is 0, never less, while more is held than the limits allow."""
    allocations: int
    """How many allocations hold something of the pool."""
    closed: bool
    as_of_position: int | None = field(default=None, compare=False)
    """Position of the log at which a question found this; None in the outcome of a command."""

    @classmethod
    def of(cls, pool: Pool, moment: datetime | None = None, position: int | None = None) -> PoolStatus:
        """Describe a pool as found at a position of the log. Holds that have lapsed by ``moment`` are left out."""
        due = pool.due(moment) if moment else []
        used = pool.used - sum(pool.holds[allocation_id].quantity for allocation_id in due)
        return cls(
            name=pool.name,
            resource_type=pool.resource_type,
            unit=pool.unit,
            limits=pool.limits,
            capacity=pool.capacity,
            used=used,
            free=0 if pool.closed else max(pool.capacity - used, 0),
            allocations=len(pool.holds) - len(due),
            closed=pool.closed,
            as_of_position=position,
        )


def no_allocation() -> Allocation | None:
    """Describe no allocation: the outcome is about none."""
    return None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a command: its events, and the refusal if it was refused."""

    command_id: str
    records: tuple[Recorded, ...]
    """The command's events. Of a check, the events that there would be; of a repeat without events of its own, none."""
    repeated: bool = False
    """True if the command was decided before and nothing was appended now."""
    refusal: Refused | None = None
    description: Callable[[], Allocation | None] = field(default=no_allocation, repr=False, compare=False)
    """Describes the allocation when it is asked for: most callers do not."""
    pool: PoolStatus | None = None
    """The pool that the command is about, in its present state; None if it is about none."""

    @cached_property
    def allocation(self) -> Allocation | None:
        """The allocation that the command is about: as the command left it, or, of a repeat, as it is now."""
        return self.description()

    @property
    def position(self) -> int | None:
        """Position of the command's last event in the log."""
        return self.records[-1].position if self.records else None

    @cached_property
    def expired(self) -> tuple[str, ...]:
        """Ids of the allocations that the command expired."""
        return tuple(dict.fromkeys(r.event.allocation_id for r in self.records if isinstance(r.event, Expired)))


class PendingCommand(NamedTuple):
    """A command on its way to a decision, with the id that it is recorded under."""

    command: Command
    command_id: str
    fresh: bool
    """True if the id was made just now, so that it cannot have been decided before."""
    may_wait: bool = False
    """True if the command enters the queue instead of being refused for now."""

    @classmethod
    def settle(cls, command: Command, new_id: Callable[[], str]) -> PendingCommand:
        """Take the id that was given, else the one derived from what the command names, else a fresh one."""
        settled = command.command_id or command.id_from_content()
        return cls(command, settled or new_id(), fresh=settled is None)

    @property
    def waits(self) -> bool:
        """Tell whether the command asked to wait, so that it may be in the queue."""
        return vars(self.command).get("wait") is not None


def describe(allocation_id: str, holds: Mapping[str, Hold]) -> Allocation:
    """Describe an open allocation from its holds in all its pools."""
    first = next(iter(holds.values()))
    return Allocation(
        id=allocation_id,
        owner=first.owner,
        state=AllocationState.RESERVED if first.reserved else AllocationState.ACTIVE,
        quantities={name: hold.quantity for name, hold in holds.items()},
        deadline=first.deadline,
        token=first.token,
        tags=first.tags,
        opened_at=first.opened_at,
    )


def allocation_of(outcome: Outcome) -> Allocation:
    """Give the allocation that a granted command is about; raises `LogCorrupt` if there is none."""
    if outcome.allocation is None:
        message = f"command {outcome.command_id!r} was granted, and no allocation was"
        raise LogCorrupt(message)
    return outcome.allocation


def pool_of(outcome: Outcome) -> PoolStatus:
    """Give the pool that a granted command is about; raises `LogCorrupt` if there is none."""
    if outcome.pool is None:
        message = f"command {outcome.command_id!r} was granted, and its pool is not there"
        raise LogCorrupt(message)
    return outcome.pool
