"""Every error of Holdbook's own, under one base class; data as attributes, the way out in the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from holdbook.domain.refusals import RefusalCode, explain, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError


class HoldbookError(Exception):
    """Base class of every error that Holdbook raises on purpose."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])


class Malformed(HoldbookError, ValueError):
    """Something given is not well formed; nothing was decided and nothing was recorded."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        self.parameter = parameter
        """Dotted path of the field, such as ``quantities.gpu``."""
        self.value = value
        """What was given there."""
        self.expected = expected
        """What would have been well formed."""
        super().__init__(f"{parameter or 'input'}: {expected}; got {_shown(value)} ({type(value).__name__})")

    @classmethod
    def from_validation(cls, error: ValidationError) -> Self:
        """Translate pydantic's error, naming the first field at fault."""
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        if path[-1:] == ["[key]"]:
            path = path[:-2]  # the value is the key itself
        inner = first.get("ctx", {}).get("error")
        if isinstance(inner, Malformed):
            return cls(".".join([*path, inner.parameter] if inner.parameter else path), inner.value, inner.expected)
        expected = _EXPECTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        return cls(".".join(path), first["input"], expected)


class Refused(HoldbookError, ValueError):
    """A well-formed command was decided against the state and refused; the refusal is in the log.

    Repeating the command with the same id gives the same refusal; to try again, send a new command.
    """

    def __init__(self, code: RefusalCode, data: Mapping[str, Any], *, command_id: str, repeated: bool = False) -> None:
        self.code = code
        self.data = dict(data)
        """What the decision was made on: ``pool``, ``free``, ``limit`` and so on, by code."""
        self.transient = is_transient(code)
        """True if time or other holders' releases may lift it; False if somebody has to change something."""
        self.command_id = command_id
        self.repeated = repeated
        """True if this is the recorded outcome of an earlier command with the same id."""
        super().__init__(f"refused ({code}): {explain(code, data)}. {self._way_out()}")

    def _way_out(self) -> str:
        if self.repeated:
            return f"This is the recorded outcome of command {self.command_id!r}; to try again, give a new command id"
        return "It may succeed later" if self.transient else "It will not succeed as it is"


class CommandIdReused(HoldbookError):
    """A command id that was decided before came again with other content; nothing was recorded."""

    def __init__(self, command_id: str, field: str, recorded: object, given: object) -> None:
        self.command_id = command_id
        self.field = field
        """Dotted path of the first field that differs."""
        self.recorded = recorded
        self.given = given
        super().__init__(
            f"command id {command_id!r} was decided before with other content: {field} was {_shown(recorded)}, "
            f"now {_shown(given)}; give a new command its own id"
        )


class PoolAlreadyOpen(HoldbookError):
    """A pool of that name was opened before with other content; nothing was recorded."""

    def __init__(self, pool: str, field: str, present: object, given: object) -> None:
        self.pool = pool
        self.field = field
        self.present = present
        self.given = given
        super().__init__(
            f"pool {pool!r} was opened before with other content: {field} is {_shown(present)}, "
            f"given {_shown(given)}; use change_limits to change the limits of a pool"
        )


class NotFound(HoldbookError, LookupError):
    """The ledger holds nothing of that name."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"no {kind} {name!r} in this ledger")


class LogUnavailable(HoldbookError):
    """The database cannot be reached or used."""

    command_id: str | None = None
    """Id of the command that was being recorded, if one was: sent again with it, it is decided once."""

    def __init__(self, message: str | None = None, *, transient: bool = False) -> None:
        self.transient = transient
        """True if it may pass by itself: a server that starts again, a connection that broke."""
        super().__init__(message)

    def about(self, command_id: str) -> LogUnavailable:
        """Tell the caller of a command how to learn what became of it."""
        told = LogUnavailable(
            f"{self}; to learn what became of the command, send it again as command id {command_id!r}",
            transient=self.transient,
        )
        told.command_id = command_id
        told.__cause__ = self
        return told


class Overloaded(HoldbookError):
    """More commands wait than may; nothing of this one was recorded. Send it again later."""


class ProviderFault(HoldbookError, ValueError):
    """A provider of resources did what its port does not allow; what it may have made was taken back."""

    def __init__(self, provider: str, fault: str) -> None:
        self.provider = provider
        """The class of the provider."""
        self.fault = fault
        """What it did, and what was expected."""
        super().__init__(f"provider {provider}: {fault}")


class ProviderHung(HoldbookError, TimeoutError):
    """A provider of resources did not answer in time; it was told to stop."""

    def __init__(self, provider: str, what: str, seconds: float) -> None:
        self.provider = provider
        """The class of the provider."""
        self.what = what
        """What it was asked to do."""
        self.seconds = seconds
        """How long it was waited for."""
        super().__init__(
            f"provider {provider} did not {what} within {seconds:g} s, and was told to stop; "
            "look at the provider, or give it more time: reservation_ttl of the manager"
        )


class LogCorrupt(HoldbookError):
    """What the log holds cannot be right; run `holdbook verify`."""


class UnknownEvent(LogCorrupt):
    """The log holds an event type or schema version that this version of Holdbook does not know."""

    def __init__(self, event_type: str, schema_version: int, position: int) -> None:
        self.event_type = event_type
        self.schema_version = schema_version
        self.position = position
        super().__init__(
            f"event {event_type!r} of schema version {schema_version} at position {position} is not known "
            "to this version of Holdbook; upgrade Holdbook"
        )


_EXPECTED = {
    "missing": "expected a value, none is given",
    "extra_forbidden": "unknown field",
    "too_short": "expected at least one entry",
    "too_long": "too many entries",
}
"""What pydantic says too technically, by its type of error."""


def _shown(value: object, characters_max: int = 120) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number too long to show"
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
