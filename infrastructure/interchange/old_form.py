"""The old form: what a manager from before the ledger holds, as JSON Lines. See `docs/reference/old-managers.md`.

Lines of limits come first, one a resource type; then one line for each allocation that is held, in the order in which
they were granted. A resource type is the name of its pool in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdbook.domain.commands import Allocate, OpenPool
from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.domain.values import TTL_SECONDS_MAX, At, Instant, Name, PoolName, Quantity, Tags, canonical_json
from holdbook.infrastructure.interchange.json_lines import ImportStopped, json_object, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from typing import BinaryIO

OLD_LIMITS: Final = frozenset({"total", "max_size"})
"""The limits that the old managers enforce."""

_TTL_MAX: Final = timedelta(seconds=TTL_SECONDS_MAX)
_UNIT: Final = "unit"


class AdoptionStopped(ImportStopped):
    """A line of an old manager's file cannot be taken over; nothing of the file was recorded."""


class _OldLine(BaseModel):
    """A line. Raises `Malformed`, naming the field, if it is not well formed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None


class LimitsLine(_OldLine):
    """What there is of a resource type."""

    limits: Limits
    """``total`` and ``max_size`` are those that the old managers enforce; the ledger knows others."""
    resource_type: PoolName
    unit: Name = _UNIT

    def text(self) -> str:
        """Write the line as canonical JSON; what is left out is what it would be if it were not there."""
        fields = {"limits": self.limits.model_dump(mode="json", exclude_defaults=True)}
        unit = {} if self.unit == _UNIT else {"unit": self.unit}
        return canonical_json({**fields, "resource_type": self.resource_type, **unit})

    def opening(self, at: datetime | None) -> OpenPool:
        """Make the command that opens the pool, at a time at which nothing of it is held yet."""
        return OpenPool(
            pool=self.resource_type, resource_type=self.resource_type, unit=self.unit, limits=self.limits, at=at
        )


class HeldLine(_OldLine):
    """An allocation that is held."""

    id: Name
    resource_type: PoolName
    size: Quantity
    owner: Name | None = None
    """Who it is for; None stands for the resource type."""
    allocation_time: At
    expiration_time: Instant | None
    tags: Tags = Field(default_factory=dict)

    def text(self) -> str:
        """Write the line as canonical JSON; the owner is left out where it is the resource type."""
        fields = self.model_dump(mode="json")
        if self.owner in {None, self.resource_type}:
            del fields["owner"]
        return canonical_json(fields)

    def opening(self) -> Allocate:
        """Make the opening entry; raises `Malformed`."""
        ttl = None if self.expiration_time is None else self.expiration_time - self.allocation_time
        if ttl is not None and not timedelta() < ttl <= _TTL_MAX:
            expected = f"expected a time after the allocation_time, by {TTL_SECONDS_MAX} seconds at most"
            raise Malformed("expiration_time", self.expiration_time, expected)
        return Allocate(
            allocation_id=self.id,
            quantities={self.resource_type: self.size},
            owner=self.owner or self.resource_type,
            ttl=ttl,
            tags=self.tags,
            at=self.allocation_time,
        )


L = TypeVar("L", LimitsLine, HeldLine)


@dataclass(frozen=True, slots=True)
class Entry(Generic[L]):
    """A line, where it stands, and its fields as they stand there."""

    number: int
    line: L
    fields: dict[str, Any]

    def fault(self, parameter: str, expected: str) -> Malformed:
        """Say what is wrong with a field."""
        return Malformed(parameter, self.fields.get(parameter), expected)


@dataclass(slots=True)
class OldState:
    """A whole file, which does not contradict itself."""

    name: str
    """Name of the file, for messages."""
    limits: dict[str, Entry[LimitsLine]] = field(default_factory=dict)
    """By resource type."""
    held: dict[str, Entry[HeldLine]] = field(default_factory=dict)
    """By id, in the order of the file."""
    last: dict[str, Entry[HeldLine]] = field(default_factory=dict)
    """The last allocation of each resource type."""

    def stopped(self, entry: Entry[Any], fault: Malformed) -> AdoptionStopped:
        """Say which line is at fault."""
        return AdoptionStopped(self.name, entry.number, fault)

    def commands(self) -> Iterator[OpenPool | Allocate]:
        """Make the commands that take it over; a pool is opened when the first of it was allocated."""
        first: dict[str, datetime] = {}
        for entry in self.held.values():
            first.setdefault(entry.line.resource_type, entry.line.allocation_time)
        for resource_type, one in self.limits.items():
            yield one.line.opening(first.get(resource_type))
        for held in self.held.values():
            yield held.line.opening()


def read_old_form(file: BinaryIO, name: str) -> OldState:
    """Read a file whole; raises `AdoptionStopped` at the first line that is malformed or contradicts one before."""
    state = OldState(name)
    for number, raw in numbered_lines(file):
        try:
            _take(state, number, json_object(raw))
        except Malformed as error:
            raise AdoptionStopped(name, number, error) from None
    return state


def _take(state: OldState, number: int, fields: dict[str, Any]) -> None:
    if "limits" in fields:
        limits = Entry(number, LimitsLine(**fields), fields)
        if state.held:
            raise limits.fault("limits", "expected lines of limits before the first allocation")
        _once(state.limits, "resource_type", limits, limits.line.resource_type)
        return
    held = Entry(number, HeldLine(**fields), fields)
    try:
        held.line.opening()
    except Malformed as error:
        raise held.fault(error.parameter, error.expected) from None
    _once(state.held, "id", held, held.line.id)
    before = state.last.get(held.line.resource_type)
    if before is not None and before.line.allocation_time > held.line.allocation_time:
        raise held.fault("allocation_time", f"expected the order of time; line {before.number} is later")
    state.last[held.line.resource_type] = held


def _once(known: dict[str, Entry[L]], parameter: str, entry: Entry[L], name: str) -> None:
    other = known.setdefault(name, entry)
    if other is not entry:
        raise entry.fault(parameter, f"expected each {parameter} once; line {other.number} has it")


def old_form(limits: Iterable[LimitsLine], held: Iterable[HeldLine]) -> Iterator[str]:
    """Write a file's lines, without their ends."""
    yield from (line.text() for line in limits)
    yield from (line.text() for line in held)
