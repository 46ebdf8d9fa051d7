"""The commands that read the published views: `metrics`, `failures` and `usage-over-time`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from rich.text import Text
from typer import Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import instant
from holdbook.infrastructure.cli.issue import catch_up
from holdbook.infrastructure.cli.terminal.options import PoolArgument, ReportOptions
from holdbook.infrastructure.cli.terminal.output import emit, emit_csv, progress, say, screen, show
from holdbook.infrastructure.cli.terminal.parsing import moment, name
from holdbook.infrastructure.cli.terminal.plot import plot
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes.ledger import as_of
from holdbook.infrastructure.presentation.shapes.reports import failure_shape, metrics_shape, usage_over_time_shape
from holdbook.infrastructure.presentation.wording.reports import (
    NO_METRICS,
    SHARES,
    lasted_text,
    refusals_text,
    usage_over_time_text,
)
from holdbook.infrastructure.presentation.wording.values import time_to_second
from holdbook.infrastructure.views.queries import Published
from holdbook.infrastructure.views.usage_over_time import COLUMNS, usage_over_time
from holdbook.projections.views.metrics import METRICS
from holdbook.projections.views.validation_failures import VALIDATION_FAILURES

top = Typer()


@contextmanager
def _up_to_date(options: ReportOptions) -> Iterator[tuple[Ledger, Published]]:
    """Open a ledger and bring its views up to date; raises `Malformed` if --json and --csv are both given."""
    options.check_form()
    with options.open() as ledger:
        with progress("bringing the views up to date", silent=not options.for_people) as tell:
            catch_up(ledger, tell)
        yield ledger, Published(ledger)


@dataclass(frozen=True, kw_only=True)
class RefusalOptions:
    """The options that choose refusals."""

    pool: Annotated[str | None, Option(metavar="NAME", help="Only refusals by this pool.")] = None
    owner: Annotated[str | None, Option(metavar="NAME", help="Only what was asked for this owner.")] = None
    actor: Annotated[str | None, Option(metavar="NAME", help="Only what this actor asked.")] = None
    code: Annotated[str | None, Option(metavar="CODE", help="Only refusals with this code.")] = None
    since: Annotated[
        str | None, Option(metavar="TIME", help="Only from this time on, such as 2026-01-31T14:03:00Z.")
    ] = None
    until: Annotated[str | None, Option(metavar="TIME", help="Only before this time.")] = None

    @property
    def column_values(self) -> dict[str, str]:
        """The values that columns of the view must have, by column; raises `Malformed`."""
        given = {"pool": self.pool, "owner": self.owner, "actor": self.actor}
        names = {field: name(field, text) for field, text in given.items() if text is not None}
        if self.code is None:
            return names
        if self.code not in set(RefusalCode):
            raise Malformed("code", self.code, f"expected one of {', '.join(RefusalCode)}")
        return {**names, "code": self.code}


def _moment_or_none(parameter: str, text: str | None) -> datetime | None:
    """Read a time, if one is given; raises `Malformed`."""
    return None if text is None else moment(parameter, text)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options for serving metrics."""

    serve: Annotated[
        str | None,
        Option(
            metavar="[HOST:]PORT",
            help="Serve metrics to Prometheus until interrupted. Port 0 is any free port. Default host: 127.0.0.1.",
        ),
    ] = None
    follow: Annotated[bool, Option("--follow", help="With --serve: also keep the views up to date.")] = False


@command(
    top,
    "metrics",
    "holdbook metrics",
    "holdbook metrics --by-pool --csv",
    "holdbook metrics --serve 9464 --follow",
)
def metrics(
    by_pool: Annotated[bool, Option("--by-pool", help="Count each pool separately.")] = False,  # noqa: FBT002 - an option
    *,
    options: ReportOptions,
    served: ServeOptions,
) -> None:
    """Count operations by resource type, outcome and refusal code; as JSON, one document.

    An operation on several pools counts once for each of them. With --serve, these numbers and others about the pools,
    the views and the log are served to Prometheus, as the database has them, until the process is interrupted.
    """
    if served.serve is not None:
        if by_pool or options.csv:
            raise Malformed("serve", served.serve, "expected no --by-pool and no --csv beside it")
        from holdbook.infrastructure.cli.metrics_server import serve  # noqa: PLC0415 - most commands need no server

        serve(served.serve, options, follow=served.follow)
        return
    if served.follow:
        raise Malformed(
            "follow", "--follow", "expected --serve beside it; to keep the views: holdbook projections follow"
        )
    with _up_to_date(options) as (_, published):
        answer = published.metrics(by_pool=by_pool)
    found = list(answer.rows)
    if options.json:
        emit(metrics_shape(answer.position, found))
    elif options.csv:
        emit_csv([column for column in METRICS.published.columns if by_pool or column != "pool"], found)
    elif found:
        _print_metrics(found, by_pool=by_pool)
    else:
        say(NO_METRICS)


def _print_metrics(found: Sequence[Mapping[str, Any]], *, by_pool: bool) -> None:
    named = ["resource_type", *(["pool"] if by_pool else []), "operation", "outcome", "code"]
    counts = ([*(row[column] for column in named), f"{row['count']:,}"] for row in found)
    show(table([column.replace("_", " ") for column in [*named, "count"]], counts, right=("count",)))
    timed = [row for row in found if row.get("milliseconds") is not None]
    if timed:
        say("")
        columns = [*named[:-2], "count", "mean", *(f"{share} within" for share in SHARES)]
        times = ([*(row[column] for column in named[:-2]), f"{row['count']:,}", *lasted_text(row)] for row in timed)
        show(table([column.replace("_", " ") for column in columns], times, right=columns[len(named) - 2 :]))


@command(
    top,
    "failures",
    "holdbook failures --pool gpu --code pool_exhausted",
    "holdbook failures --since 2026-01-31T00:00:00Z --csv",
)
def failures(chosen: RefusalOptions, options: ReportOptions) -> None:
    """List refusals in the order of the log, with what was asked and why it was refused; as JSON, one line each."""
    column_values = chosen.column_values
    since, until = _moment_or_none("since", chosen.since), _moment_or_none("until", chosen.until)
    with _up_to_date(options) as (_, published):
        answer = published.failures(column_values, since=since, until=until)
        if options.json:
            for row in answer.rows:
                emit(as_of(failure_shape(row), answer.position))
        elif options.csv:
            emit_csv(list(VALIDATION_FAILURES.published.columns), answer.rows)
        else:
            _print_failures(list(answer.rows))


def _print_failures(found: Sequence[Mapping[str, Any]]) -> None:
    if found:
        columns = ("position", "occurred at", "asked", "owner", "actor", "code", "why")
        show(table(columns, map(_failure_cells, map(failure_shape, found)), right=("position",)))
    say(refusals_text(len(found)))


def _failure_cells(row: Mapping[str, Any]) -> tuple[str | Text, ...]:
    style = "yellow" if row["transient"] else "red"
    return (
        f"{row['position']:,}",
        time_to_second(instant(row["occurred_at"])),
        row["operation"] or "",
        row["owner"] or "",
        row["actor"] or "",
        Text(row["code"], style=style),
        row["message"],
    )


@command(
    top,
    "usage-over-time",
    "holdbook usage-over-time gpu",
    "holdbook usage-over-time gpu --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z --csv",
)
def usage(
    pool_name: PoolArgument,
    begin: Annotated[
        str | None,
        Option(
            "--from",
            metavar="TIME",
            help="From the hour of this time on, such as 2026-01-31T14:03:00Z. Default: when the pool was opened.",
        ),
    ] = None,
    end: Annotated[
        str | None,
        Option("--to", metavar="TIME", help="Before this time. Default: the last hour in which something happened."),
    ] = None,
    *,
    options: ReportOptions,
) -> None:
    """Plot how much of a pool was used against its capacity, hour by hour; as JSON, one document.

    It is read from the view pool_usage. `holdbook usage` tells exactly who used how much in a window of time.
    """
    pool_name = name("NAME", pool_name)
    since, until = _moment_or_none("from", begin), _moment_or_none("to", end)
    with _up_to_date(options) as (ledger, published):
        unit = ledger.pool(pool_name).unit
        answer, refusals = published.usage(pool_name)
        buckets = usage_over_time(list(answer.rows), refusals, since=since, until=until)
    if options.json:
        emit(usage_over_time_shape(pool_name, unit, answer.position, buckets))
    elif options.csv:
        emit_csv(COLUMNS, buckets)
    else:
        if buckets:
            console = screen()
            say(plot(buckets, width=console.width, ascii_only=console.options.ascii_only))
        say(usage_over_time_text(pool_name, unit, buckets))
