"""The commands that change allocations; each issues one command of the ledger."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Final

from typer import Option, Typer

from holdbook.domain.commands import Allocate, Confirm, Expire, Release, Renew, Reserve, Resize, Transfer, Void
from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.domain.handling.outcome import Outcome
from holdbook.infrastructure.cli.issue import catch_up, issue
from holdbook.infrastructure.cli.terminal.options import (
    AllocationId,
    CommandOptions,
    Quantities,
    ReasonOption,
    TagOption,
    TokenOption,
    TtlOption,
)
from holdbook.infrastructure.cli.terminal.output import emit, say, tell_failure
from holdbook.infrastructure.cli.terminal.parsing import duration, pairs, quantities
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.signals import stopping
from holdbook.infrastructure.leases.sweeper import SWEEP_ALLOCATIONS, Sweeper
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes.ledger import outcome_shape
from holdbook.infrastructure.presentation.wording.ledger import outcome_text

top = Typer()

WATCH_PATIENCE_SECONDS: Final = 5.0
"""Seconds that a worker waits within one command for a database that is away.

It is short because the worker tries again by itself, and looks at signals in between.
"""

OwnerOption = Annotated[str, Option(metavar="NAME", help="Who the resource is for.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class GrantOptions:
    """The options of `allocate` and `reserve`."""

    ttl: TtlOption = None
    tag: TagOption = None
    allocation_id: Annotated[
        str | None, Option("--id", metavar="ID", help="Id of the allocation. Default: a new one.")
    ] = None
    wait: Annotated[
        str | None,
        Option(
            metavar="TIME",
            help="Wait at most this long, first come, first served, for what is not free now: 30s, 5m, 1h30m.",
        ),
    ] = None

    def fields(self, words: list[str], owner: str) -> dict[str, Any]:
        """Give the fields of the command; raises `Malformed`."""
        return {
            "quantities": quantities(words),
            "owner": owner,
            "ttl": duration("ttl", self.ttl),
            "tags": pairs("tags", "KEY=VALUE", self.tag),
            "allocation_id": self.allocation_id,
            "wait": duration("wait", self.wait),
        }


@command(
    top,
    "allocate",
    "holdbook allocate gpu=2 cpu=8000 --owner trainer-17 --ttl 30m --tag job=42",
    "holdbook allocate gpu=1 --owner trainer-17 --id job-42 --dry-run",
    "holdbook allocate gpu=8 --owner trainer-18 --wait 10m",
)
def allocate(asked: Quantities, owner: OwnerOption, grant: GrantOptions, *, options: CommandOptions) -> None:
    """Allocate quantities from one or more pools: all of them, or nothing."""
    issue(options, Allocate(**grant.fields(asked, owner), **options.envelope))


@command(top, "reserve", "holdbook reserve gpu=2 --owner trainer-17 --ttl 60s --id job-42")
def reserve(asked: Quantities, owner: OwnerOption, grant: GrantOptions, *, options: CommandOptions) -> None:
    """Reserve quantities until a deadline; before then, confirm the reservation or void it."""
    issue(options, Reserve(**grant.fields(asked, owner), **options.envelope))


@command(top, "confirm", "holdbook confirm job-42 --ttl 30m")
def confirm(name: AllocationId, ttl: TtlOption = None, token: TokenOption = None, *, options: CommandOptions) -> None:
    """Turn a reservation into an allocation; its time to live starts again."""
    issue(options, Confirm(allocation_id=name, ttl=duration("ttl", ttl), token=token, **options.envelope))


@command(top, "void", "holdbook void job-42 --reason 'the provider failed'")
def void(
    name: AllocationId, reason: ReasonOption = None, token: TokenOption = None, *, options: CommandOptions
) -> None:
    """Give up a reservation."""
    issue(options, Void(allocation_id=name, reason=reason, token=token, **options.envelope))


@command(top, "renew", "holdbook renew job-42 --ttl 30m --token 1:42")
def renew(name: AllocationId, ttl: TtlOption = None, token: TokenOption = None, *, options: CommandOptions) -> None:
    """Renew an allocation: its new deadline is the time now plus the time to live."""
    issue(options, Renew(allocation_id=name, ttl=duration("ttl", ttl), token=token, **options.envelope))


@command(top, "resize", "holdbook resize job-42 gpu=4")
def resize(name: AllocationId, asked: Quantities, token: TokenOption = None, *, options: CommandOptions) -> None:
    """Change how much an allocation holds of its pools; what it holds of pools that are not named stays."""
    fields: dict[str, Any] = {"allocation_id": name, "quantities": quantities(asked), "token": token}
    issue(options, Resize(**fields, **options.envelope))


@command(top, "transfer", "holdbook transfer job-42 --to trainer-18")
def transfer(
    name: AllocationId,
    to: Annotated[str, Option(metavar="NAME", help="The new owner.", show_default=False)],
    token: TokenOption = None,
    *,
    options: CommandOptions,
) -> None:
    """Give an allocation to another owner."""
    issue(options, Transfer(allocation_id=name, to=to, token=token, **options.envelope))


@command(
    top,
    "release",
    "holdbook release job-42 --reason done",
    "holdbook release job-42 --force --reason 'its service is gone, ticket 311'",
)
def release(
    name: AllocationId,
    reason: ReasonOption = None,
    token: TokenOption = None,
    force: Annotated[  # noqa: FBT002 - an option
        bool, Option("--force", help="End whatever is open under this id, a reservation too. Needs --reason.")
    ] = False,
    *,
    options: CommandOptions,
) -> None:
    """End an allocation.

    With --force the release is recorded as a correction, with its actor and reason.
    """
    issue(options, Release(allocation_id=name, reason=reason, token=token, force=force, **options.envelope))


@dataclass(frozen=True, kw_only=True)
class ExpireOptions(CommandOptions):
    """The options of `expire`."""

    pool: Annotated[str | None, Option(metavar="NAME", help="Only this pool. Default: all pools.")] = None
    limit: Annotated[
        int | None, Option(metavar="N", help="About how many allocations, the earliest deadlines first. Default: all.")
    ] = None
    watch: Annotated[
        bool, Option("--watch", help="Go on until interrupted, and record each expiry soon after its deadline.")
    ] = False
    interval: Annotated[
        str, Option(metavar="TIME", help="With --watch: the longest time to sleep between two looks.")
    ] = "1s"
    batch: Annotated[
        int, Option(metavar="N", help="With --watch: about how many allocations to expire in one command.")
    ] = SWEEP_ALLOCATIONS

    def check_watch(self) -> None:
        """Raise `Malformed` if an option is given that does not go with --watch."""
        for name in ("pool", "limit", "command_id", "dry_run"):
            given = getattr(self, name)
            if given:
                raise Malformed(f"--{name.replace('_', '-')}", given, "expected none with --watch: it sweeps all pools")


@command(
    top,
    "expire",
    "holdbook expire",
    "holdbook expire --pool gpu --limit 100",
    "holdbook expire --watch --interval 5s",
)
def expire(options: ExpireOptions) -> None:
    """Record the expiry of allocations whose deadline has passed.

    Limits hold even if nobody runs this; it brings the views up to date. With --watch it goes on, some allocations at a
    time, and waits while the database is away. Any number of such workers may run at the same time.
    """
    if options.watch:
        _sweep(options)
    else:
        issue(options, Expire(pool=options.pool, limit=options.limit, **options.envelope))


def _sweep(options: ExpireOptions) -> None:
    """Run a sweeper until SIGINT or SIGTERM, and print each command that expired something."""
    options.check_watch()
    seconds = duration("--interval", options.interval)
    ledger = Ledger.open(options.url, create=False, actor=options.who, patience=WATCH_PATIENCE_SECONDS)
    with ledger, stopping() as stop:

        def print_outcome(outcome: Outcome) -> None:
            if options.json:
                emit(outcome_shape(sweeper.command, outcome, dry_run=False))
            else:
                say(outcome_text(sweeper.command, outcome, dry_run=False))
            sys.stdout.flush()
            catch_up(ledger)

        def print_error(error: HoldbookError) -> None:
            tell_failure(error, as_json=options.json)

        sweeper = Sweeper(ledger, interval=seconds or 0, batch=options.batch, tell=print_outcome, **options.envelope)
        if not options.json:
            say("expiring what is due; interrupt to stop", errors=True)
        sweeper.run(stop, print_error)
