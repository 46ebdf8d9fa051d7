"""The command `usage`: who used how much in a window of time."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from rich.table import Table
from rich.text import Text
from typer import Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import ReportOptions
from holdbook.infrastructure.cli.terminal.output import emit, emit_csv, progress, say, show
from holdbook.infrastructure.cli.terminal.parsing import moment
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.presentation.shapes.reports import USAGE_COLUMNS, usage_row_shape, usage_shape
from holdbook.infrastructure.presentation.wording.reports import usage_text
from holdbook.replay.reports.usage import Grouping, UsageReport, UsageRow, usage_report

top = Typer()


@command(
    top,
    "usage",
    "holdbook usage --by owner --between 2026-01-01T00:00:00Z 2026-02-01T00:00:00Z",
    "holdbook usage --by tag:team --csv",
)
def usage(
    by: Annotated[
        str,
        Option("--by", metavar="owner|pool|tag:KEY", help="Add up for each owner, each pool, or each value of a tag."),
    ] = "pool",
    between: Annotated[
        tuple[str, str] | None,
        Option(
            "--between",
            metavar="TIME TIME",
            help="From the first time on and before the second, which may be now. Default: all.",
        ),
    ] = None,
    *,
    options: ReportOptions,
) -> None:
    """Add up what was held of each pool and what was refused, for each group; as JSON, one document.

    The sums are the unit-seconds held, the most held at the same time, the allocations, the commands refused, and the
    units that these asked for. They are read from the log, so they are exact. Reservations count as held; a hold ends
    at its deadline, even if its expiry is not recorded yet. `holdbook usage-over-time` shows one pool hour by hour.
    """
    options.check_form()
    grouping = Grouping.parse(by)
    begin, end = _window(between)
    with options.open() as ledger, progress("adding usage up", silent=not options.for_people, unit="events") as tell:
        report = usage_report(ledger.log, grouping, begin=begin, end=end, progress=tell)
    if options.json:
        emit(usage_shape(by, report))
    elif options.csv:
        emit_csv(USAGE_COLUMNS, map(usage_row_shape, report.rows))
    else:
        if report.rows:
            show(_table(grouping, report))
        say(usage_text(report))


def _window(between: tuple[str, str] | None) -> tuple[datetime | None, datetime]:
    """Read when the window begins and ends; raises `Malformed`."""
    if between is None:
        return None, system_clock()
    begin = moment("between", between[0])
    end = system_clock() if between[1] == "now" else moment("between", between[1])
    if begin >= end:
        raise Malformed("between", between[1], f"expected a time after {between[0]}")
    return begin, end


def _table(grouping: Grouping, report: UsageReport) -> Table:
    named = {"owner": "owner", "pool": "", "tag": grouping.key}[grouping.kind]
    columns = (named, "pool", "unit", "unit-seconds", "peak", "allocations", "refused", "refused quantity")
    return table(columns, _cells(report.rows, is_grouped=bool(named)), right=columns[3:])


def _cells(rows: Iterable[UsageRow], *, is_grouped: bool) -> Iterable[tuple[str | Text, ...]]:
    for row in rows:
        whole, point, rest = row.unit_seconds.partition(".")
        group = Text("none", style="dim") if row.group is None else row.group
        yield (
            group if is_grouped else "",  # by pool, the next column says it
            row.pool,
            row.unit or "",
            f"{int(whole):,}{point}{rest}",
            f"{row.peak:,}",
            f"{row.allocations:,}",
            f"{row.refused:,}",
            f"{row.refused_quantity:,}",
        )
