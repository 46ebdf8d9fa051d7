"""The options that commands share, in groups: a parameter that is a group becomes one option a field."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import wraps
from inspect import Parameter, signature
from os import getuid
from pwd import getpwuid
from typing import Annotated, Any

from typer import Argument, Context, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal import parsing
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.settings import Settings

AllocationId = Annotated[str, Argument(metavar="ID", help="Id of the allocation.", show_default=False)]
PoolArgument = Annotated[str, Argument(metavar="NAME", help="Name of the pool.", show_default=False)]
Quantities = Annotated[
    list[str], Argument(metavar="POOL=QUANTITY...", help="What is asked, in each pool's unit.", show_default=False)
]
TtlOption = Annotated[
    str | None,
    Option(metavar="TIME", help="Time to live: 90s, 30m, 2h, 1d, 1h30m, or seconds. Default: the pools' shortest."),
]
TagOption = Annotated[list[str] | None, Option("--tag", metavar="KEY=VALUE", help="A tag; may be repeated.")]
ReasonOption = Annotated[str | None, Option(metavar="TEXT", help="Why, for the log.")]
TokenOption = Annotated[
    str | None, Option(metavar="EPOCH:POSITION", help="Refuse unless the allocation has this fencing token.")
]

TrustedKeys = Annotated[
    list[str] | None,
    Option("--key", metavar="KEY|FILE", help="A public key that you trust, or a file with it; may be repeated."),
]


class ReaderGone(Exception):
    """Whoever read the standard output has closed it."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command takes."""

    settings: Settings
    database: Annotated[
        str | None,
        Option(
            metavar="URL", help="Address of the ledger. Default: HOLDBOOK_DATABASE_URL, else sqlite:///holdbook.db."
        ),
    ] = None
    json: Annotated[bool, Option("--json", help="Print JSON for programs.")] = False

    @property
    def url(self) -> str:
        """The address of the database."""
        return self.settings.database_url if self.database is None else self.database

    def open(self) -> Ledger:
        """Open a ledger that is there."""
        return Ledger.open(self.url, create=False)


@dataclass(frozen=True, kw_only=True)
class MomentOptions:
    """When to look at."""

    as_of: Annotated[
        str | None, Option("--as-of", metavar="TIME", help="As of 2026-01-31T14:03:00Z, say. Default: now.")
    ] = None
    at_position: Annotated[
        int | None, Option("--at-position", metavar="N", min=0, help="As of the command that ends at or before this.")
    ] = None

    @property
    def when(self) -> datetime | int | None:
        """The moment or the position; None for now. Raises `Malformed`."""
        if self.as_of is None:
            return self.at_position
        if self.at_position is not None:
            raise Malformed("at-position", self.at_position, "expected --as-of or --at-position, not both")
        return parsing.moment("as-of", self.as_of)


@dataclass(frozen=True, kw_only=True)
class WriteOptions(CommonOptions):
    """What a command that writes takes."""

    actor: Annotated[
        str | None,
        Option(metavar="NAME", help="Who issues the command. Default: HOLDBOOK_ACTOR, else the system's user."),
    ] = None

    @property
    def who(self) -> str:
        """Who issues the command; raises `Malformed`."""
        return parsing.name("actor", self.settings.actor or _system_user() if self.actor is None else self.actor)

    def open_as_actor(self, *, create: bool = False) -> Ledger:
        """Open a ledger to write to, if need be a new one."""
        return Ledger.open(self.url, create=create, actor=self.who)


@dataclass(frozen=True, kw_only=True)
class CommandOptions(WriteOptions):
    """What a command that issues one command of the ledger takes."""

    command_id: Annotated[
        str | None,
        Option(metavar="ID", help="Decided once: repeating the command with the same id gives the recorded outcome."),
    ] = None
    correlation_id: Annotated[str | None, Option(metavar="ID", help="What the command belongs to.")] = None
    causation_id: Annotated[str | None, Option(metavar="ID", help="What caused the command.")] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would happen; record nothing.")] = False

    @property
    def envelope(self) -> dict[str, Any]:
        """What the command carries besides its own fields."""
        ids = {"command_id": self.command_id, "correlation_id": self.correlation_id, "causation_id": self.causation_id}
        return {name: given for name, given in ids.items() if given is not None}


def _system_user() -> str:
    try:
        return getpwuid(getuid()).pw_name
    except KeyError:  # an account without a name, as in containers
        return f"uid-{getuid()}"


def command(app: Typer, name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command, its groups of options spread out, with examples under its help."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        word = "Example" if len(examples) == 1 else "Examples"
        app.command(name, epilog="\n\n".join(f"{word if n == 0 else ''}  {e}" for n, e in enumerate(examples)))(
            spread(function)
        )
        return function

    return register


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """Give a function one parameter for each field of its parameters that are groups."""
    given = signature(function).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in given.items() if is_dataclass(one.annotation)}
    flat = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=Context)]
    for name, one in given.items():
        if name in groups:
            flat += _options_of(groups[name])
        elif one.annotation is not Context:
            flat.append(one.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(*, context: Context, **values: object) -> None:
        for name, group in groups.items():
            inside = {field.name: values.pop(field.name) for field in fields(group) if field.name != "settings"}
            settings = {"settings": context.obj} if issubclass(group, CommonOptions) else {}
            values[name] = group(**settings, **inside)
        if "context" in given:
            values["context"] = context
        try:
            function(**values)
        except BrokenPipeError:
            raise ReaderGone from None

    run.__signature__ = signature(function).replace(parameters=flat)  # type: ignore[attr-defined]  # for Typer to read
    run.__annotations__ = {one.name: one.annotation for one in flat}
    return run


def _options_of(group: type[Any]) -> list[Parameter]:
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, annotation=field.type, default=field.default)
        for field in fields(group)
        if field.name != "settings"
    ]
