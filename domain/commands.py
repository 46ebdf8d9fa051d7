"""The commands: requests to change the ledger, one class for each kind.

A command is checked when it is made: a field that is missing, unknown or out of range raises `Malformed`. Whether the
ledger's state allows it is decided later. The codes that a class lists under *Refused* are members of `RefusalCode`;
any command about one open allocation may also be refused as ``allocation_not_found``, ``allocation_ended`` or
``token_mismatch``. A ``reason`` says why, in up to 1,000 characters.
"""

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
"""Fields that a repeat of a command, sent again with its command id, may change."""


class Command(BaseModel):
    """The fields that every command has. Making any command raises `Malformed`, naming the first field at fault."""

    # Caches the canonical text. A slot is no field: a copy made with `model_copy` does not take it over, so a copy with
    # other fields computes its own text, and equality and dumps leave it out.
    __slots__ = ("_text",)
    model_config = ConfigDict(frozen=True, extra="forbid")
    verb: ClassVar[str]
    """The command's name in a workload file."""

    command_id: Name | None = None
    """Names this request, which is decided once: sent again with the same id, it gets the recorded outcome.

    If None, the ledger derives one (see `id_from_content`) or makes a fresh one.
    """
    actor: Name | None = None
    """Who issues the command; None: the actor that the ledger was opened with."""
    correlation_id: Name | None = None
    """What the command belongs to, in the caller's words: a request, a job, a ticket."""
    causation_id: Name | None = None
    """What caused the command, in the caller's words."""
    at: At | None = None
    """When it was issued, up to the year 9800. Only imports give it; live commands take the ledger's clock."""

    def __init__(self, /, **data: object) -> None:
        try:  # what `BaseModel.__init__` does, without the cost of calling it
            self.__pydantic_validator__.validate_python(data, self_instance=self)
        except ValidationError as error:
            raise Malformed.from_validation(error) from None

    def as_dict(self) -> dict[str, Any]:
        """Write the command as JSON values, with its verb under ``command``.

        Fields that are None are left out, and so is the command id, which the log keeps in a column of its own.
        """
        fields, values = {**self.__dict__, "command": self.verb}, {}
        for name, write in _field_writers(type(self)):
            value = fields[name]
            if value is not None:
                values[name] = write(value) if write else value
        return values

    def canonical(self) -> str:
        """Write the command as canonical JSON: the text that the log records."""
        try:
            text: str = _TEXT_SLOT.__get__(self)
        except AttributeError:
            text = _canonical(self.as_dict())
            _TEXT_SLOT.__set__(self, text)
        return text

    def id_from_content(self) -> str | None:
        """Derive the command id from the fields, for kinds that can be done only once for what they name; else None.

        Then a retry without a command id has the same id as the first attempt.
        """
        return None


_TEXT_SLOT: Final = Command.__dict__["_text"]
"""The descriptor of the slot, for direct use: reading an empty slot through the model is slow, and setting it fails."""


def _canonical(fields: dict[str, Any]) -> str:
    """Write JSON values, whose keys are sorted already, as canonical JSON.

    pydantic's writer is faster, but writes fractions in another form than Python's `json`, whose form is in the log.
    """
    if "limits" in fields or any(isinstance(fields.get(name), float) for name in ("ttl", "wait")):
        return canonical_json(fields)
    return to_json(fields).decode()


@cache
def _field_writers(kind: type[Command]) -> list[tuple[str, Callable[[Any], object] | None]]:
    """List the fields to write of a kind of command, sorted, each with the function that makes it a JSON value."""
    return [(name, _WRITERS.get(name)) for name in sorted({*kind.model_fields, "command"} - {"command_id"})]


def _sorted_by_key(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in sorted(values)}


def _limits_given(limits: Limits) -> dict[str, Any]:
    return limits.model_dump(mode="json", exclude_none=True)


_WRITERS: Mapping[str, Callable[[Any], object]] = {
    "at": instant_text,
    "expected": _limits_given,
    "limits": _limits_given,
    "quantities": _sorted_by_key,
    "tags": _sorted_by_key,
    "token": str,
    "ttl": seconds,
    "wait": seconds,
}
"""The function that makes a field's value a JSON value; the fields not listed here hold JSON values already."""


class _OfPool(Command):
    """A command about one pool."""

    pool: PoolName
    """Name of the pool: a name without ``=``."""


class _OfAllocation(Command):
    """A command about one open allocation."""

    allocation_id: Name
    token: FencingToken | None = None
    """Precondition: the allocation has this fencing token. None: any holder may send the command."""


class OpenPool(_OfPool):
    """Open a pool: a named quantity of one resource type, in one unit, under limits.

    Nothing happens if the pool is open with this content, now or when it was opened. Raises `PoolAlreadyOpen` if it is
    open with other content. Refused: ``ledger_closed``, ``pool_closed``.
    """

    verb = "open_pool"
    resource_type: Name
    """What kind of resource it is, such as ``gpu``."""
    unit: Name = "unit"
    """What the pool counts in, such as ``device``."""
    limits: Limits

    def id_from_content(self) -> str:
        """Derive the command id from the pool's name, which names one pool for ever."""
        return derived_id(self.verb, self.pool)


class ChangeLimits(_OfPool):
    """Replace all limits of a pool. Allocations keep what they hold, even where it is more than the limits now allow.

    Refused: ``pool_not_found``, ``pool_closed``, ``limits_moved``.
    """

    verb = "change_limits"
    limits: Limits
    """All limits from now on; one that is left out no longer applies."""
    expected: Limits | None = None
    """Precondition: these are the present limits, so that of two people who change them at once the second is told."""


class ClosePool(_OfPool):
    """Close a pool for ever; what is held of it may still end. Refused: ``pool_not_found``, ``pool_closed``."""

    verb = "close_pool"
    reason: Reason | None = None


class CloseLedger(Command):
    """Close the ledger for ever, and every open pool; what is held may still end. Never refused."""

    verb = "close_ledger"
    reason: Reason | None = None

    def id_from_content(self) -> str:
        """Derive the command id from the verb alone: there is one ledger, and it is closed once."""
        return derived_id(self.verb)


class _Grant(Command):
    """A command that asks for an allocation, of all the quantities named or of none."""

    allocation_id: Name | None = None
    """Id of the new allocation, which names it for ever; None: the ledger makes a fresh one."""
    quantities: Quantities
    """How much of each pool, by pool's name: 1 to 256 pools, each quantity from 1, in the pool's unit."""
    owner: Name
    """Who the resource is for."""
    ttl: Duration | None = None
    """Time to live, above 0 and up to about a hundred years; None: the shortest default of the pools, if any."""
    tags: Tags = Field(default_factory=dict)
    """Up to 256 names with values, recorded with the allocation, to find it by."""
    wait: Duration | None = None
    """How long to wait in the pools' queues if the refusal would be transient; None: do not wait, be refused."""

    def id_from_content(self) -> str | None:
        """Derive the command id from the allocation id, which names one allocation for ever; None if none is given."""
        return derived_id(self.verb, self.allocation_id) if self.allocation_id else None


class Allocate(_Grant):
    """Hold quantities of one or more pools, until they are released or their time to live is over.

    Refused: ``pool_not_found``, ``allocation_id_taken``, ``pool_closed``, ``ttl_required`` (by a pool that has
    ``max_ttl`` and no default), ``ttl_too_long``, ``below_min_size``, ``above_max_size``, ``not_a_step``,
    ``above_capacity``, ``above_per_owner``, ``too_many_allocations``, ``owner_exhausted``, ``pool_exhausted``,
    ``queued_behind``.
    """

    verb = "allocate"


class Reserve(_Grant):
    """Hold quantities until a deadline by which they must be confirmed: the first of two phases.

    A reservation that is neither confirmed nor voided expires at its deadline. Refused as `Allocate` is, and with
    ``ttl_required`` by any pool if neither the command nor a pool gives a time to live.
    """

    verb = "reserve"


class Confirm(_OfAllocation):
    """Make a reservation an allocation, the second of two phases. Its time to live begins anew.

    Refused: ``not_reserved``, ``ttl_required`` (by a pool that has ``max_ttl`` and no default), ``ttl_too_long``.
    """

    verb = "confirm"
    ttl: Duration | None = None
    """Time to live from now; None: the shortest default of the pools, else it never ends by itself."""


class Void(_OfAllocation):
    """Give up a reservation that was not confirmed. Refused: ``not_reserved``."""

    verb = "void"
    reason: Reason | None = None


class Renew(_OfAllocation):
    """Move the deadline of an open allocation or reservation to now plus the time to live.

    Refused: ``pool_closed``, ``ttl_required``, ``ttl_too_long``.
    """

    verb = "renew"
    ttl: Duration | None = None
    """Time to live from now; None: the shortest default of the pools, and one of them must have one."""


class Resize(_OfAllocation):
    """Change how much an open allocation holds of some of its pools. Less is always accepted; more is checked.

    Refused: ``pool_not_found``, ``pool_not_in_allocation``; and where it asks for more, ``pool_closed``,
    ``below_min_size``, ``above_max_size``, ``not_a_step``, ``above_capacity``, ``above_per_owner``,
    ``owner_exhausted``, ``pool_exhausted``.
    """

    verb = "resize"
    quantities: Quantities
    """The new quantities, from 1, by pool's name; the pools not named keep theirs."""


class Transfer(_OfAllocation):
    """Give an open allocation another owner; its token stays. Refused: ``above_per_owner``, ``owner_exhausted``."""

    verb = "transfer"
    to: Name
    """The new owner."""


class Release(_OfAllocation):
    """End an allocation. Refused: ``not_confirmed``, for a reservation, which is voided or released with ``force``."""

    verb = "release"
    reason: Reason | None = None
    force: Literal[True] | None = None
    """A correction by an operator: ends an allocation or a reservation, whoever holds it.

    It needs a reason, for the log, and takes no token. False is accepted, and means None.
    """

    @field_validator("force", mode="before")
    @classmethod
    def _check_force(cls, value: object, info: ValidationInfo) -> Literal[True] | None:
        # Runs only if the field is given, and after the fields above it. False becomes None, which is not written: the
        # text of a release without force is the same as before the field existed, and so is an id derived from it.
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
    """Record the expiry of the allocations that are due, in one pool or in all. Refused: ``pool_not_found``.

    Limits hold without it: every command first expires what is due in the pools that it touches. It keeps the log and
    the views up to date while nothing else happens.
    """

    verb = "expire"
    pool: PoolName | None = None
    """Expire what is due in this pool; None: in all pools."""
    limit: Quantity | None = None
    """About how many allocations to expire, from 1, the earliest deadlines first; None: all that are due.

    There may be more, as all that have the same deadline as the last one expire together.
    """


class Reclaim(_OfPool):
    """Record that a resource manager took back a real thing that no open allocation gave a right to.

    No pool changes. Refused: ``pool_not_found``, ``pool_not_in_allocation``, ``not_ended``.
    """

    verb = "reclaim"
    allocation_id: Name
    """Id of the allocation that the thing was made for. It has ended, or it was never granted at all."""
    reason: Reason | None = None


AllocationCommand = Confirm | Void | Renew | Resize | Transfer | Release
"""The commands about one open allocation."""

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
"""Every kind of command by its verb."""


def command_from(fields: Mapping[str, Any]) -> Command:
    """Make a command from JSON values that have its verb under ``command``; raises `Malformed`."""
    rest = dict(fields)
    verb = rest.pop("command", None)
    kind = COMMANDS.get(verb) if isinstance(verb, str) else None
    if kind is None:
        raise Malformed("command", verb, f"expected one of {', '.join(COMMANDS)}")
    return kind(**rest)


def content(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Select, of a command's JSON values, those that a repeat with the same command id must not change."""
    return {key: value for key, value in recorded.items() if key not in _NOT_CONTENT}
