"""The options that commands share, in groups: a parameter that is a group becomes one option a field."""

from dataclasses import dataclass
from datetime import datetime
from os import getuid
from pwd import getpwuid
from typing import Annotated, Any

from typer import Argument, Option

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
class ReportOptions(CommonOptions):
    """What a command that prints rows takes."""

    csv: Annotated[bool, Option("--csv", help="Print CSV, with a header.")] = False

    @property
    def for_people(self) -> bool:
        """Tell whether neither JSON nor CSV is wanted."""
        return not (self.json or self.csv)

    def check_form(self) -> None:
        """Raise `Malformed` if both are wanted."""
        if self.json and self.csv:
            raise Malformed("csv", "--csv", "expected --json or --csv, not both")


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
