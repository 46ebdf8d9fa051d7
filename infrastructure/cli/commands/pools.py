"""The commands about pools and the queue for what they hold."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from typer import Option, Typer

from holdbook.domain.commands import ChangeLimits, ClosePool, OpenPool
from holdbook.domain.limits import Limits
from holdbook.infrastructure.cli.issue import decide, issue
from holdbook.infrastructure.cli.terminal.options import (
    CommandOptions,
    CommonOptions,
    MomentOptions,
    PoolArgument,
    ReasonOption,
)
from holdbook.infrastructure.cli.terminal.output import emit, say, show
from holdbook.infrastructure.cli.terminal.parsing import limit, name
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import limits_sheet, pool_table, table
from holdbook.infrastructure.presentation.shapes.ledger import as_of, pool_shape, pools_shape, queue_shape
from holdbook.infrastructure.presentation.wording.ledger import NO_POOLS, NOBODY_WAITS
from holdbook.infrastructure.presentation.wording.values import quantities_text, time_to_second
from holdbook.replay.history.as_of import state_at

top = Typer()
pool = Typer(
    help="Open, change and close pools.",
    epilog="Example  holdbook pool open gpu --type gpu --unit device --total 8",
)


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """The options for the limits of a pool beside its total."""

    reserved: Annotated[str | None, Option(metavar="N", help="How much of the total is kept back.")] = None
    overcommit: Annotated[
        str | None, Option(metavar="X", help="How many times what is not kept back may be granted, such as 1.5.")
    ] = None
    min_size: Annotated[str | None, Option(metavar="N|none", help="The least that one allocation may hold.")] = None
    max_size: Annotated[str | None, Option(metavar="N|none", help="The most that one allocation may hold.")] = None
    step: Annotated[str | None, Option(metavar="N|none", help="Grant only multiples of this.")] = None
    max_allocations: Annotated[str | None, Option(metavar="N|none", help="The most allocations at the same time.")] = (
        None
    )
    per_owner: Annotated[str | None, Option(metavar="N|none", help="The most that one owner may hold.")] = None
    default_ttl: Annotated[
        str | None, Option(metavar="TIME|none", help="Time to live of a request that gives none.")
    ] = None
    max_ttl: Annotated[
        str | None, Option(metavar="TIME|none", help="The longest time to live that a request may give.")
    ] = None

    def given(self, total: str | None = None) -> dict[str, Any]:
        """Read the limits that were given; None stands for one that is lifted. Raises `Malformed`."""
        texts = {"total": total, **asdict(self)}
        return {name: limit(name, text) for name, text in texts.items() if text is not None}


@command(pool, "open", "holdbook pool open gpu --type gpu --unit device --total 8 --max-size 4")
def open_pool(  # noqa: PLR0913 - a command's fields, each an option
    pool_name: PoolArgument,
    resource_type: Annotated[
        str, Option("--type", metavar="TEXT", help="Type of the resource, such as gpu.", show_default=False)
    ],
    total: Annotated[str, Option(metavar="N", help="How many units there are.", show_default=False)],
    unit: Annotated[str, Option(metavar="TEXT", help="Unit that quantities are counted in.")] = "unit",
    *,
    limits: LimitOptions,
    options: CommandOptions,
) -> None:
    """Open a pool; if there is no database yet, make one."""
    content = {"pool": pool_name, "resource_type": resource_type, "unit": unit, "limits": Limits(**limits.given(total))}
    issue(options, OpenPool(**content, **options.envelope), create=True)


@command(pool, "limits", "holdbook pool limits gpu", "holdbook pool limits gpu --total 10 --max-size none")
def pool_limits(
    pool_name: PoolArgument,
    total: Annotated[str | None, Option(metavar="N", help="How many units there are.")] = None,
    *,
    limits: LimitOptions,
    options: CommandOptions,
) -> None:
    """Show the limits of a pool, or change those that are given; the value none lifts a limit.

    Limits that are not given stay as they are. The change is refused if somebody else changes them at the same time.
    """
    changes = limits.given(total)
    pool_name = name("NAME", pool_name)
    with options.open_as_actor() as ledger:
        status = ledger.pool(pool_name)
        if changes:
            limits_then = Limits(**{**status.limits.model_dump(), **changes})
            change = ChangeLimits(pool=pool_name, limits=limits_then, expected=status.limits, **options.envelope)
            decide(ledger, options, change)
        elif options.json:
            emit(as_of(pool_shape(status), status.as_of_position))
        else:
            show(limits_sheet(status.limits))


@command(pool, "close", "holdbook pool close gpu --reason retired")
def close_pool(pool_name: PoolArgument, reason: ReasonOption = None, *, options: CommandOptions) -> None:
    """Close a pool for ever: nothing more is granted from it, and what is held goes on until it ends."""
    issue(options, ClosePool(pool=pool_name, reason=reason, **options.envelope))


@command(top, "queue", "holdbook queue", "holdbook queue --pool gpu --json")
def queue(
    pool_name: Annotated[
        str | None, Option("--pool", metavar="NAME", help="Only commands that wait for this pool.")
    ] = None,
    *,
    options: CommonOptions,
) -> None:
    """List the commands that wait, in the order in which they are served; as JSON, one document."""
    with options.open() as ledger:
        found = ledger.queue(pool_name)
    if options.json:
        emit(queue_shape(found))
    elif found:
        columns = ("place", "asks for", "owner", "since", "until", "command id")
        cells = (
            (
                f"{place:,}",
                quantities_text(one.quantities),
                one.owner,
                time_to_second(one.since),
                time_to_second(one.until),
                one.command_id,
            )
            for place, one in enumerate(found, start=1)
        )
        show(table(columns, cells, right=("place",)))
    else:
        say(NOBODY_WAITS)


@command(top, "pools", "holdbook pools", "holdbook pools --as-of 2026-01-31T14:03:00Z --json")
def pools(past: MomentOptions, *, options: CommonOptions) -> None:
    """List the pools, as they are or as they were; as JSON, one document."""
    when = past.when
    with options.open() as ledger:
        found = ledger.pools() if when is None else state_at(ledger.log, when).statuses()
    if options.json:
        emit(pools_shape(found))
    elif found:
        show(pool_table(found))
    elif when is None:
        say("no pools; open one with: holdbook pool open NAME --type TYPE --total N")
    else:
        say(NO_POOLS)
