"""The old form: a file that lists what an old manager holds, as JSON Lines. See `docs/reference/old-managers.md`.

First there is one line of limits for each resource type, then one line for each allocation that is held, in the order
in which they were granted. The resource type is also the name of the pool in the ledger.
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
"""The limits that the old managers enforce as well."""

_TTL_MAX: Final = timedelta(seconds=TTL_SECONDS_MAX)
_UNIT: Final = "unit"
"""The unit of a pool whose line names none."""


class AdoptionStopped(ImportStopped):
    """A line of a file in the old form cannot be adopted. Nothing of the file was recorded."""


class _OldLine(BaseModel):
    """A line of the file. Raises `Malformed`, which names the field, if it is not well formed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None


class LimitsLine(_OldLine):
    """A line of limits: how much there is of a resource type, and how much of it one allocation may hold."""

    limits: Limits
    """The old managers enforce ``total`` and ``max_size``; a file may have the ledger's other limits too."""
    resource_type: PoolName
    unit: Name = _UNIT

    def text(self) -> str:
        """Write the line as canonical JSON, without the fields that have their default value."""
        fields = {"limits": self.limits.model_dump(mode="json", exclude_defaults=True)}
        unit = {} if self.unit == _UNIT else {"unit": self.unit}
        return canonical_json({**fields, "resource_type": self.resource_type, **unit})

    def opening(self, at: datetime | None) -> OpenPool:
        """Make the command that opens the pool ``at`` a time not after the first grant from it; None is now."""
        return OpenPool(
            pool=self.resource_type, resource_type=self.resource_type, unit=self.unit, limits=self.limits, at=at
        )


class HeldLine(_OldLine):
    """A line of an allocation that is held."""

    id: Name
    resource_type: PoolName
    size: Quantity
    owner: Name | None = None
    """Who it is for; None means that the resource type stands for the owner."""
    allocation_time: At
    expiration_time: Instant | None
    tags: Tags = Field(default_factory=dict)

    def text(self) -> str:
        """Write the line as canonical JSON, without the owner if that is the resource type."""
        fields = self.model_dump(mode="json")
        if self.owner in {None, self.resource_type}:
            del fields["owner"]
        return canonical_json(fields)

    def opening(self) -> Allocate:
        """Make the opening entry: the command that grants the allocation at its own time. Raises `Malformed`."""
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
"""The kind of a line."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[L]):
    """A line with its number in the file, from 1, and its fields as they are in the file."""

    number: int
    line: L
    fields: dict[str, Any]

    def fault(self, parameter: str, expected: str) -> Malformed:
        """Make the error that says what was expected of a field."""
        return Malformed(parameter, self.fields.get(parameter), expected)


@dataclass(slots=True)
class OldState:
    """The content of a file whose lines do not contradict each other."""

    name: str
    """The name of the file, for messages."""
    limits: dict[str, Entry[LimitsLine]] = field(default_factory=dict)
    """The lines of limits, by resource type."""
    held: dict[str, Entry[HeldLine]] = field(default_factory=dict)
    """The lines of allocations, by id, in the order of the file."""
    last: dict[str, Entry[HeldLine]] = field(default_factory=dict)
    """The last allocation of each resource type so far, by resource type."""

    def stopped(self, entry: Entry[Any], fault: Malformed) -> AdoptionStopped:
        """Make the error that says what is wrong in which line."""
        return AdoptionStopped(self.name, entry.number, fault)

    def commands(self) -> Iterator[OpenPool | Allocate]:
        """Make the commands that adopt it. A pool is opened at the time of its first allocation."""
        first: dict[str, datetime] = {}
        for entry in self.held.values():
            first.setdefault(entry.line.resource_type, entry.line.allocation_time)
        for resource_type, one in self.limits.items():
            yield one.line.opening(first.get(resource_type))
        for held in self.held.values():
            yield held.line.opening()


def read_old_form(file: BinaryIO, name: str) -> OldState:
    """Read a whole file; raises `AdoptionStopped` at the first line that is malformed or contradicts an earlier one."""
    state = OldState(name)
    for number, raw in numbered_lines(file):
        try:
            _add_line(state, number, json_object(raw))
        except Malformed as error:
            raise AdoptionStopped(name, number, error) from None
    return state


def _add_line(state: OldState, number: int, fields: dict[str, Any]) -> None:
    """Add a line to what was read so far; raises `Malformed`."""
    if "limits" in fields:
        limits = Entry(number, LimitsLine(**fields), fields)
        if state.held:
            raise limits.fault("limits", "expected lines of limits before the first allocation")
        _add_once(state.limits, "resource_type", limits, limits.line.resource_type)
        return
    held = Entry(number, HeldLine(**fields), fields)
    try:
        held.line.opening()
    except Malformed as error:
        raise held.fault(error.parameter, error.expected) from None
    _add_once(state.held, "id", held, held.line.id)
    before = state.last.get(held.line.resource_type)
    if before is not None and before.line.allocation_time > held.line.allocation_time:
        raise held.fault("allocation_time", f"expected the order of time; line {before.number} is later")
    state.last[held.line.resource_type] = held


def _add_once(known: dict[str, Entry[L]], parameter: str, entry: Entry[L], name: str) -> None:
    """Add a line by its name; raises `Malformed` if an earlier line has the name."""
    other = known.setdefault(name, entry)
    if other is not entry:
        raise entry.fault(parameter, f"expected each {parameter} once; line {other.number} has it")


def old_form(limits: Iterable[LimitsLine], held: Iterable[HeldLine]) -> Iterator[str]:
    """Write the lines of a file, without line ends."""
    yield from (line.text() for line in limits)
    yield from (line.text() for line in held)
