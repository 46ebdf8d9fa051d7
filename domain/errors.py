"""The errors that Holdbook raises on purpose, under one base class; other rooms add their own.

An error has its data as attributes, and a message that says what was expected, what was found, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from holdbook.domain.refusals import RefusalCode, explain, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError


class HoldbookError(Exception):
    """Base class of every error that Holdbook raises on purpose.

    An error made without a message has the first line of its class's docstring as its message.
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])


class Malformed(HoldbookError, ValueError):
    """A value that the caller gave is not well formed; nothing was decided and nothing was recorded.

    Raised when a command, a limit or an argument is missing, unknown, of the wrong type or out of range. The way out is
    to correct the parameter that the message names.
    """

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        self.parameter = parameter
        """Dotted path of the field, such as ``quantities.gpu``; empty if the input as a whole is at fault."""
        self.value = value
        """The value that was given there."""
        self.expected = expected
        """What was expected instead, as part of a sentence."""
        super().__init__(f"{parameter or 'input'}: {expected}; got {_shown(value)} ({type(value).__name__})")

    @classmethod
    def from_validation(cls, error: ValidationError) -> Self:
        """Make it from an error of pydantic's, about the first field at fault."""
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        if path[-1:] == ["[key]"]:
            path = path[:-2]  # a key is at fault: name the mapping; the value shown is the key
        inner = first.get("ctx", {}).get("error")
        if isinstance(inner, Malformed):
            return cls(".".join([*path, inner.parameter] if inner.parameter else path), inner.value, inner.expected)
        expected = _EXPECTED.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        return cls(".".join(path), first["input"], expected)


class Refused(HoldbookError, ValueError):
    """A well-formed command was refused, because the ledger's state does not allow it; the refusal is in the log.

    The same command with the same id is refused again, with the recorded outcome. To try again, send a new command: at
    once after changing what the refusal names, or later if it is ``transient``.
    """

    def __init__(self, code: RefusalCode, data: Mapping[str, Any], *, command_id: str, repeated: bool = False) -> None:
        self.code = code
        self.data = dict(data)
        """What the decision was made on, such as ``pool``, ``free`` and ``limit``; it depends on the code."""
        self.transient = is_transient(code)
        """True if the reason may go by itself, when other holds end; False if somebody has to change something."""
        self.command_id = command_id
        """Id of the command that was refused."""
        self.repeated = repeated
        """True if the command had been refused before, and this is its recorded outcome."""
        super().__init__(f"refused ({code}): {explain(code, data)}. {self._way_out()}")

    def _way_out(self) -> str:
        if self.repeated:
            return f"This is the recorded outcome of command {self.command_id!r}; to try again, give a new command id"
        return "It may succeed later" if self.transient else "It will not succeed as it is"


class CommandIdReused(HoldbookError):
    """A command has the id of an earlier command with other content; nothing was recorded.

    The way out is to give every new command an id of its own.
    """

    def __init__(self, command_id: str, field: str, recorded: object, given: object) -> None:
        self.command_id = command_id
        self.field = field
        """Dotted path of the first field that differs."""
        self.recorded = recorded
        """The value of that field in the earlier command, which the log has."""
        self.given = given
        """The value of that field in the command given now."""
        super().__init__(
            f"command id {command_id!r} was decided before with other content: {field} was {_shown(recorded)}, "
            f"now {_shown(given)}; give a new command its own id"
        )


class PoolAlreadyOpen(HoldbookError):
    """A pool of that name is open with another resource type, unit or limits; nothing was recorded.

    The way out is to use another name, or `ChangeLimits` to change the limits.
    """

    def __init__(self, pool: str, field: str, present: object, given: object) -> None:
        self.pool = pool
        self.field = field
        """Dotted path of the first field that differs, such as ``limits.total``."""
        self.present = present
        """The pool's present value of that field."""
        self.given = given
        """The value given for it."""
        super().__init__(
            f"pool {pool!r} was opened before with other content: {field} is {_shown(present)}, "
            f"given {_shown(given)}; use change_limits to change the limits of a pool"
        )


class NotFound(HoldbookError, LookupError):
    """The ledger has nothing of the name that a reader asked for; look it up in the ledger's lists."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        """What was asked for, such as ``pool`` or ``allocation``."""
        self.name = name
        """Its name or id."""
        super().__init__(f"no {kind} {name!r} in this ledger")


class LogUnavailable(HoldbookError):
    """The database cannot be reached or used.

    If that happened while a command was being recorded, nobody knows yet whether it was. The way out is to send the
    command again with the same ``command_id``: it is decided once, and the answer says what became of it.
    """

    command_id: str | None = None
    """Id of the command that was being recorded; None if the error is not about a command."""

    def __init__(self, message: str | None = None, *, transient: bool = False) -> None:
        self.transient = transient
        """True if it may pass by itself, as when a server is restarting or a connection broke."""
        super().__init__(message)

    def about(self, command_id: str) -> LogUnavailable:
        """Make the same error for the caller of one command, with the id to send it again with."""
        told = LogUnavailable(
            f"{self}; to learn what became of the command, send it again as command id {command_id!r}",
            transient=self.transient,
        )
        told.command_id = command_id
        told.__cause__ = self
        return told


class Overloaded(HoldbookError):
    """Too many commands wait already; this one was not recorded. Send it again later."""


class ProviderFault(HoldbookError, ValueError):
    """A resource provider broke the rules of `ResourceProvider`; what it may have made was taken back.

    The way out is to correct the provider.
    """

    def __init__(self, provider: str, fault: str) -> None:
        self.provider = provider
        """Name of the provider's class."""
        self.fault = fault
        """What it did, and what was expected of it."""
        super().__init__(f"provider {provider}: {fault}")


class ProviderHung(HoldbookError, TimeoutError):
    """A resource provider did not answer in time, and its call was cancelled.

    The way out is to find out what it waits for, or to give the manager a longer ``reservation_ttl``.
    """

    def __init__(self, provider: str, what: str, seconds: float) -> None:
        self.provider = provider
        """Name of the provider's class."""
        self.what = what
        """What it was asked to do, such as ``make a 'port'``."""
        self.seconds = seconds
        """How long the manager waited for it."""
        super().__init__(
            f"provider {provider} did not {what} within {seconds:g} s, and was told to stop; "
            "look at the provider, or give it more time: reservation_ttl of the manager"
        )


class LogCorrupt(HoldbookError):
    """What the log holds cannot be right; run `holdbook verify`.

    Raised when an event or a snapshot that is read contradicts what comes before it. No command is decided on it.
    """


class UnknownEvent(LogCorrupt):
    """The log holds an event type or schema version that this version of Holdbook does not know.

    A newer version wrote it. The way out is to upgrade Holdbook.
    """

    def __init__(self, event_type: str, schema_version: int, position: int) -> None:
        self.event_type = event_type
        """The type's stored name."""
        self.schema_version = schema_version
        self.position = position
        """Position of the event in the log."""
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
"""Plainer words for some of pydantic's errors, by pydantic's name for the type of error."""


def _shown(value: object, characters_max: int = 120) -> str:
    """Show a value in a message, cut off after so many characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write whole numbers of several thousand digits
        return "a number too long to show"
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
