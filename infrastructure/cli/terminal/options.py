"""The arguments and options that several commands share. A dataclass here is a group of options, one for each field."""

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
    list[str],
    Argument(
        metavar="POOL=QUANTITY...", help="How much of each pool, in the pool's unit, such as gpu=2.", show_default=False
    ),
]
TtlOption = Annotated[
    str | None,
    Option(
        metavar="TIME",
        help="How long it is held: 90s, 30m, 2h, 1d, 1h30m, or seconds. Default: the pools' shortest default.",
    ),
]
TagOption = Annotated[
    list[str] | None, Option("--tag", metavar="KEY=VALUE", help="A tag for the allocation. May be repeated.")
]
TagFilter = Annotated[
    list[str] | None, Option("--tag", metavar="KEY=VALUE", help="Only allocations with this tag. May be repeated.")
]
ReasonOption = Annotated[str | None, Option(metavar="TEXT", help="Why. It is recorded in the log.")]
TokenOption = Annotated[
    str | None, Option(metavar="EPOCH:POSITION", help="Do it only if the allocation has this fencing token.")
]

TrustedKeys = Annotated[
    list[str] | None,
    Option("--key", metavar="KEY|FILE", help="A public key that you trust, or a file that holds one. May be repeated."),
]


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The options of every command that opens a ledger."""

    settings: Settings
    database: Annotated[
        str | None,
        Option(
            metavar="URL",
            help="Address of the ledger's database. Default: HOLDBOOK_DATABASE_URL, or else sqlite:///holdbook.db.",
        ),
    ] = None
    json: Annotated[bool, Option("--json", help="Print JSON, for programs.")] = False

    @property
    def url(self) -> str:
        """The address of the database."""
        return self.settings.database_url if self.database is None else self.database

    def open(self) -> Ledger:
        """Open a ledger that exists; raises `SchemaMismatch` or `LogUnavailable` if there is none."""
        return Ledger.open(self.url, create=False)


@dataclass(frozen=True, kw_only=True)
class MomentOptions:
    """The options of commands that can show the past."""

    as_of: Annotated[
        str | None,
        Option(
            "--as-of",
            metavar="TIME",
            help="Show it as it was at this time, such as 2026-01-31T14:03:00Z. Default: now.",
        ),
    ] = None
    at_position: Annotated[
        int | None,
        Option(
            "--at-position",
            metavar="N",
            min=0,
            help="Show it as it was after the last command up to this position of the log.",
        ),
    ] = None

    @property
    def when(self) -> datetime | int | None:
        """The moment or the position of the log to look at; None for now. Raises `Malformed` if both are given."""
        if self.as_of is None:
            return self.at_position
        if self.at_position is not None:
            raise Malformed("at-position", self.at_position, "expected --as-of or --at-position, not both")
        return parsing.moment("as-of", self.as_of)


@dataclass(frozen=True, kw_only=True)
class ReportOptions(CommonOptions):
    """The options of commands that print rows, and can print them as CSV."""

    csv: Annotated[bool, Option("--csv", help="Print CSV, with a line of column names.")] = False

    @property
    def for_people(self) -> bool:
        """Whether neither JSON nor CSV was asked for."""
        return not (self.json or self.csv)

    def check_form(self) -> None:
        """Raise `Malformed` if both JSON and CSV were asked for."""
        if self.json and self.csv:
            raise Malformed("csv", "--csv", "expected --json or --csv, not both")


@dataclass(frozen=True, kw_only=True)
class WriteOptions(CommonOptions):
    """The options of commands that write to a ledger."""

    actor: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Who issues the command. Default: HOLDBOOK_ACTOR, or else your user name on this system.",
        ),
    ] = None

    @property
    def who(self) -> str:
        """The actor who issues the command; raises `Malformed` for a name that is not well formed."""
        return parsing.name("actor", self.settings.actor or _system_user() if self.actor is None else self.actor)

    def open_as_actor(self, *, create: bool = False) -> Ledger:
        """Open a ledger to write to; with ``create``, make it first if there is none."""
        return Ledger.open(self.url, create=create, actor=self.who)


@dataclass(frozen=True, kw_only=True)
class CommandOptions(WriteOptions):
    """The options of commands that issue one command of the ledger."""

    command_id: Annotated[
        str | None,
        Option(
            metavar="ID",
            help="Id of this command. It is decided once: sent again with the same id, it gets the same answer.",
        ),
    ] = None
    correlation_id: Annotated[
        str | None, Option(metavar="ID", help="Id of what the command belongs to, such as a request or a job.")
    ] = None
    causation_id: Annotated[str | None, Option(metavar="ID", help="Id of what caused the command.")] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would happen, and record nothing.")] = False

    @property
    def envelope(self) -> dict[str, Any]:
        """The ids that the command carries beside its own fields, those that were given."""
        ids = {"command_id": self.command_id, "correlation_id": self.correlation_id, "causation_id": self.causation_id}
        return {name: given for name, given in ids.items() if given is not None}


def _system_user() -> str:
    try:
        return getpwuid(getuid()).pw_name
    except KeyError:  # an account without a name, as in containers
        return f"uid-{getuid()}"
