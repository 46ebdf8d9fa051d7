"""The commands: requests to change the ledger, one class each, checked when they are made."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import to_json

from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.domain.values import (
    At,
    Duration,
    FencingToken,
    Name,
    PoolName,
    Quantities,
    Quantity,
    Reason,
    Tags,
    canonical_json,
    derived_id,
    instant_text,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationInfo

_NOT_CONTENT = frozenset({"at", "correlation_id", "causation_id", "wait"})
"""What a repeat of a command may change."""


class Command(BaseModel):
    """What every command carries. Raises `Malformed`, naming the field, if anything in it is not well formed."""

    # The canonical text, once it was asked for. No copy of the command takes a slot over, so that one with another
    # field has another text; and nothing else of a model, such as its equality, knows of it.
    __slots__ = ("_text",)
    model_config = ConfigDict(frozen=True, extra="forbid")
    verb: ClassVar[str]
    """The command's name in a workload file."""

    command_id: Name | None = None
    """Decided once; repeating it gives the recorded outcome. A fresh one is made if none is given."""
    actor: Name | None = None
    """Who issues the command; the ledger's actor if None."""
    correlation_id: Name | None = None
    causation_id: Name | None = None
    at: At | None = None
    """When it was issued; given by imports only, live commands take the ledger's clock."""

    def __init__(self, /, **data: object) -> None:
        try:  # as the base class does it, without its frame
            self.__pydantic_validator__.validate_python(data, self_instance=self)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None

    def as_dict(self) -> dict[str, Any]:
        """Write the command as JSON values, ``command`` being its verb; its id, kept beside it, is left out."""
        fields, values = {**self.__dict__, "command": self.verb}, {}
        for name, write in _written(type(self)):
            value = fields[name]
            if value is not None:
                values[name] = write(value) if write else value
        return values

    def canonical(self) -> str:
        """Write the command as canonical JSON, as it is recorded."""
        try:
            text: str = _TEXT.__get__(self)
        except AttributeError:
            text = _canonical(self.as_dict())
            _TEXT.__set__(self, text)
        return text

    def id_from_content(self) -> str | None:
        """Derive the command id from what the command names, where that names the command too; else None."""
        return None


_TEXT: Final = Command.__dict__["_text"]
"""The slot itself: a model looks for a field before it says that there is none, and takes no assignment."""


def _canonical(fields: dict[str, Any]) -> str:
    """Write canonical JSON, of fields sorted by name. Rust does, but for fractions: of those Python's form counts."""
    if "limits" in fields or any(isinstance(fields.get(name), float) for name in ("ttl", "wait")):
        return canonical_json(fields)
    return to_json(fields).decode()


@cache
def _written(kind: type[Command]) -> list[tuple[str, Callable[[Any], object] | None]]:
    """List what is written of a command, sorted, and how what JSON has no word for is."""
    return [(name, _AS_JSON.get(name)) for name in sorted({*kind.model_fields, "command"} - {"command_id"})]


def _by_name(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in sorted(values)}


def _given(limits: Limits) -> dict[str, Any]:
    return limits.model_dump(mode="json", exclude_none=True)


_AS_JSON: Mapping[str, Callable[[Any], object]] = {
    "at": instant_text,
    "expected": _given,
    "limits": _given,
    "quantities": _by_name,
    "tags": _by_name,
    "token": str,
    "ttl": seconds,
    "wait": seconds,
}
"""How a field is written as a JSON value; any other is one."""


class _OfPool(Command):
    pool: PoolName


class _OfAllocation(Command):
    allocation_id: Name
    token: FencingToken | None = None
    """Precondition: the allocation has this fencing token."""


class OpenPool(_OfPool):
    """Open a pool of one resource type, in one unit, under limits."""

    verb = "open_pool"
    resource_type: Name
    unit: Name = "unit"
    limits: Limits

    def id_from_content(self) -> str:
        """Derive the command id from the pool's name, which names one pool for ever."""
        return derived_id(self.verb, self.pool)


class ChangeLimits(_OfPool):
    """Put other limits in the place of a pool's present ones; nothing held is taken away."""

    verb = "change_limits"
    limits: Limits
    expected: Limits | None = None
    """Precondition: the present limits are these (optimistic concurrency for people)."""


class ClosePool(_OfPool):
    """Close a pool for ever: nothing more is granted, what is held may end."""

    verb = "close_pool"
    reason: Reason | None = None


class CloseLedger(Command):
    """Close the ledger for ever: every pool that is open is closed, and no other is opened; what is held may end."""

    verb = "close_ledger"
    reason: Reason | None = None

    def id_from_content(self) -> str:
        """Derive the command id from the verb: there is one ledger, and it is closed once."""
        return derived_id(self.verb)


class _Grant(Command):
    allocation_id: Name | None = None
    """Names one allocation for ever; a fresh one is made if none is given."""
    quantities: Quantities
    """Pool by pool, all or nothing."""
    owner: Name
    """Who the resource is for."""
    ttl: Duration | None = None
    """Time to live; if None, the shortest default of the pools holds."""
    tags: Tags = Field(default_factory=dict)
    wait: Duration | None = None
    """How long to wait for it in the pools' queues rather than be refused for want of room; None: not at all."""

    def id_from_content(self) -> str | None:
        """Derive the command id from the allocation's, which names one allocation for ever, if it is given."""
        return derived_id(self.verb, self.allocation_id) if self.allocation_id else None


class Allocate(_Grant):
    """Hold quantities of one or more pools."""

    verb = "allocate"


class Reserve(_Grant):
    """Hold quantities until a deadline, to be confirmed or voided: the first of two phases."""

    verb = "reserve"


class Confirm(_OfAllocation):
    """Make a reservation an allocation; its time to live starts anew."""

    verb = "confirm"
    ttl: Duration | None = None


class Void(_OfAllocation):
    """Give a reservation up."""

    verb = "void"
    reason: Reason | None = None


class Renew(_OfAllocation):
    """Move an open allocation's deadline to now plus the time to live."""

    verb = "renew"
    ttl: Duration | None = None


class Resize(_OfAllocation):
    """Give an open allocation other quantities of pools that it has; pools not named keep theirs."""

    verb = "resize"
    quantities: Quantities


class Transfer(_OfAllocation):
    """Make another owner the owner of an open allocation."""

    verb = "transfer"
    to: Name


class Release(_OfAllocation):
    """End an allocation."""

    verb = "release"
    reason: Reason | None = None
    force: Literal[True] | None = None
    """A correction: whatever is open ends, a reservation too. It wants a reason, and asks for no holder's token."""

    @field_validator("force", mode="before")
    @classmethod
    def _check_force(cls, value: object, info: ValidationInfo) -> Literal[True] | None:
        # Run only where the field is given, after the other fields. Not forced is written as it always was: not at all.
        if value is None or value is False:
            return None
        if value is not True:
            message = "expected true or false"
        elif info.data.get("reason") is None:
            message = "expected a reason with it, for the log"
        elif info.data.get("token") is not None:
            message = "expected no token with it: force does not ask who holds the allocation"
        else:
            return True
        raise ValueError(message)


class Expire(Command):
    """Record the expiry of what is due, in one pool or in all."""

    verb = "expire"
    pool: PoolName | None = None
    limit: Quantity | None = None
    """About how many allocations, the earliest deadlines first; those of the last deadline go along. None: all."""


class Reclaim(_OfPool):
    """Record that a thing without an open right to it was taken back: what a manager found when it reconciled."""

    verb = "reclaim"
    allocation_id: Name
    """The right that the thing was made for; it must not be open, and need not have been granted."""
    reason: Reason | None = None


AllocationCommand = Confirm | Void | Renew | Resize | Transfer | Release
"""The commands about one allocation that exists."""

COMMANDS: Mapping[str, type[Command]] = {
    kind.verb: kind
    for kind in (
        OpenPool,
        ChangeLimits,
        ClosePool,
        CloseLedger,
        Allocate,
        Reserve,
        Confirm,
        Void,
        Renew,
        Resize,
        Transfer,
        Release,
        Expire,
        Reclaim,
    )
}
"""Every command by its verb."""


def command_from(fields: Mapping[str, Any]) -> Command:
    """Make a command from JSON values whose ``command`` is its verb; raises `Malformed`."""
    rest = dict(fields)
    verb = rest.pop("command", None)
    kind = COMMANDS.get(verb) if isinstance(verb, str) else None
    if kind is None:
        message = "command"
        raise Malformed(message, verb, f"expected one of {', '.join(COMMANDS)}")
    return kind(**rest)


def content(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a command's JSON values what a repeat must not change."""
    return {key: value for key, value in recorded.items() if key not in _NOT_CONTENT}
