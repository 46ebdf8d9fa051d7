"""The command `replay`: what happened in a window of time, step by step."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option, Typer

from holdbook.infrastructure.cli.terminal.files import whole_file
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, say_all, screen, show
from holdbook.infrastructure.cli.terminal.parsing import moment, name
from holdbook.infrastructure.cli.terminal.plot import plot_window
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.presentation.incident_page import write_page
from holdbook.infrastructure.presentation.shapes.reports import incident_shape, incident_step_shape
from holdbook.infrastructure.presentation.wording.history import incident_step_text
from holdbook.infrastructure.presentation.wording.reports import incident_lines, page_written_text
from holdbook.infrastructure.presentation.wording.values import level_change, number_text, time_text
from holdbook.replay.reports.incident import LAPSED, REFUSED, Incident, IncidentStep

top = Typer()

NUMBERS = ("quantity", "used", "limit", "allocations")
"""The columns of the table that hold numbers, beside the position."""

ROWS = 2000
"""The most steps that are listed if --rows is not given."""

STYLES = {REFUSED: "red", LAPSED: "magenta"}
"""The style of the kinds of steps that stand out."""


BeginOption = Annotated[
    str, Option("--from", metavar="TIME", help="Beginning of the window, such as 2026-01-31T14:00:00Z.")
]
EndOption = Annotated[str, Option("--to", metavar="TIME", help="End of the window: before this time.")]
PoolsOption = Annotated[
    list[str] | None, Option("--pool", metavar="NAME", help="Only what happened in this pool. May be repeated.")
]
PageOption = Annotated[
    Path | None, Option(metavar="FILE", help="Write one page to this file, whole or not at all. It needs no network.")
]
RowsOption = Annotated[int, Option(min=0, max=1_000_000, help="The most steps in the table, here and in the page.")]


@command(
    top,
    "replay",
    "holdbook replay --from 2026-01-31T14:00:00Z --to 2026-01-31T15:00:00Z --pool gpu",
    "holdbook replay --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z --html day.html",
)
def replay(  # noqa: PLR0913 - an option each
    begin: BeginOption,
    end: EndOption,
    pool: PoolsOption = None,
    html: PageOption = None,
    rows: RowsOption = ROWS,
    *,
    options: CommonOptions,
) -> None:
    """Replay a window of time: each event and refusal, with its pool before and after it, and a plot of each pool.

    Steps are in the order of the log. As JSON, all steps are printed, one line each, and then one line that sums the
    window up; with --html, that last line alone.
    """
    since, until = moment("from", begin), moment("to", end)
    names = {name("pool", one) for one in pool} if pool else None
    with options.open() as ledger:
        incident = Incident(ledger.log, since, until, names)
        with progress("replaying", silent=options.json, unit="events") as tell:
            if html is not None:
                with whole_file("--html", html) as file:
                    write_page(incident, file.write, rows=rows, shown=names or (), tell=tell)
            elif options.json:
                for step in incident.steps(tell):
                    emit(incident_step_shape(incident, step))
            else:
                listed = incident.read(rows, tell)
    if options.json:
        emit(incident_shape(incident, html=None if html is None else str(html)))
    elif html is not None:
        say_all(incident_lines(incident))
        say(page_written_text(incident, str(html)))
    else:
        _print_steps(incident, listed)
        _print_plots(incident, names or ())
        say_all(incident_lines(incident))


def _print_steps(incident: Incident, listed: Sequence[IncidentStep]) -> None:
    if listed:
        columns = ("position", "at", "pool", "event", "allocation", "owner", *NUMBERS, "actor", "")
        show(table(columns, map(_cells, listed), right=("position", *NUMBERS)))
    if len(listed) < incident.count:
        say(f"{len(listed):,} of {incident.count:,} steps; --rows for more, --json for all, --from for later ones")


def _cells(step: IncidentStep) -> tuple[str | Text, ...]:
    recorded = step.recorded
    return (
        number_text(recorded.position) if recorded else "",
        time_text(step.at),
        step.pool or "",
        Text(step.code or step.kind, style=STYLES.get(step.kind, "")),
        step.allocation_id or "",
        step.owner or "",
        number_text(step.quantity),
        *(level_change(step.before, step.after, field) for field in ("used", "capacity", "allocations")),
        (recorded.actor if recorded else "") or "",
        incident_step_text(step),
    )


def _print_plots(incident: Incident, named: Collection[str]) -> None:
    console = screen()
    for one in incident.pools.values():
        if one.is_eventful or one.name in named:
            say(f"\n{one.name}, in {one.unit or 'units'}")
            say(plot_window(one, incident.window, width=console.width, ascii_only=console.options.ascii_only))
