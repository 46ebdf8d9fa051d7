"""The command `projections` and its subcommands, about the published views; and `events check`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Annotated, Any

from rich.table import Table
from typer import Argument, Context, Exit, Option, Typer

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions, WriteOptions
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, say_all, show, tell_failure
from holdbook.infrastructure.cli.terminal.registration import command, spread
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes.operation import (
    dry_run_shape,
    generation_shape,
    pruned_shape,
    rebuilt_shape,
    status_shape,
    view_status_shape,
    views_shape,
)
from holdbook.infrastructure.presentation.wording.operation import (
    dry_run_lines,
    going_on_text,
    pruned_lines,
    rebuilt_lines,
    republished_text,
    status_lines,
    view_remarks,
)
from holdbook.infrastructure.presentation.wording.values import time_to_second
from holdbook.infrastructure.views.dry_run import rehearse
from holdbook.projections.projector import ViewStatus
from holdbook.projections.views.catalogue import VIEWS

projections = Typer()
events = Typer(help="Check the events themselves.", epilog="Example  holdbook events check")

ViewName = Annotated[str, Argument(metavar="NAME", help="Name of the view.", show_default=False)]
AnyView = Annotated[str | None, Argument(metavar="[NAME]", help="Name of the view.", show_default=False)]
AllViews = Annotated[bool, Option("--all", help="Every view.")]


@dataclass(frozen=True, kw_only=True)
class RebuildOptions(CommonOptions):
    """The options of `projections rebuild`."""

    dry_run: Annotated[bool, Option("--dry-run", help="Run the handlers over the whole log, and write nothing.")] = (
        False
    )
    accept_differences: Annotated[
        bool,
        Option("--accept-differences", help="Publish even if rows differ from the live ones, because those are wrong."),
    ] = False


def _names(name: str | None, *, every: bool) -> tuple[str, ...]:
    """Give the names of the views that are chosen, none for all; raises `Malformed` unless it is one or all."""
    if (name is None) is not every:
        raise Malformed("NAME", name, "expected the name of a view, or --all")
    return () if name is None else (name,)


def _show_status(options: CommonOptions) -> None:
    with options.open() as ledger:
        projector = ledger.projector()
        found, skips = projector.status(), projector.skips()
    if options.json:
        emit(status_shape(found, skips))
        return
    show(_status_table(found))
    say_all(status_lines(found, skips))


def _status_table(found: Sequence[ViewStatus]) -> Table:
    columns = ("view", "generation", "position", "behind", "for", "events/s", "moved", "")
    rows = (
        (
            one.name,
            str(one.generation),
            f"{one.position:,}",
            f"{one.behind:,}",
            f"{one.behind_seconds:,.1f} s" if one.behind else "",
            "" if one.rate is None else f"{one.rate:,}",
            time_to_second(one.moved_at),
            view_remarks(one),
        )
        for one in found
    )
    return table(columns, rows, right=columns[1:6])


@projections.callback(invoke_without_command=True, epilog="Example  holdbook projections")
@spread
def projections_group(context: Context, options: CommonOptions) -> None:
    """Show and manage the published views; without a subcommand, show their status."""
    if context.invoked_subcommand is None:
        _show_status(options)


@command(projections, "status", "holdbook projections status --json")
def status(options: CommonOptions) -> None:
    """Show how far each view has come, how fast, and on what it failed; as JSON, one document."""
    _show_status(options)


def _announcer(options: CommonOptions) -> Callable[[str], object]:
    """Give a function that prints what is being done, for people only."""
    return str if options.json else lambda text: say(text, errors=True)


@command(
    projections,
    "rebuild",
    "holdbook projections rebuild current_allocations",
    "holdbook projections rebuild --all --dry-run",
)
def rebuild(name: AnyView = None, every: AllViews = False, *, options: RebuildOptions) -> None:  # noqa: FBT002 - an option
    """Rebuild a view from the log beside the live one, compare the two, and publish the new one.

    Readers and writers are not held up. A rebuild that was interrupted goes on where it stopped. The new rows are
    compared with the live ones, in the columns that both have, and with an independent fold of the log. If a row
    differs, nothing is published, the first differing rows are printed, and the exit code is 1. The generation that was
    live is kept for `rollback`.
    """
    names = _names(name, every=every)
    with options.open() as ledger:
        projector = ledger.projector(_announcer(options))
        if options.dry_run:
            _dry_run(ledger, [projector.view(one) for one in names] or VIEWS, options)
            return
        with progress("rebuilding", silent=options.json, unit="events") as tell:
            built = projector.rebuild(*names, accept_differences=options.accept_differences, progress=tell)
    if options.json:
        emit(rebuilt_shape(built))
    for one in () if options.json else built:
        say_all(rebuilt_lines(one))
    if not all(one.published for one in built):
        raise Exit(1)


def _dry_run(ledger: Ledger, views: Sequence[Any], options: CommonOptions) -> None:
    """Read every event, build views from it in memory, and print what failed; raises `Exit` if anything did."""
    with progress("reading", silent=options.json, unit="events") as tell:
        found = list(rehearse(ledger.log, views, tell))  # type: ignore[arg-type]  # every log of ours is one
    if options.json:
        emit(dry_run_shape(found))
    else:
        say_all(dry_run_lines(found, [view.name for view in views]))
    if found:
        raise Exit(1)


@command(projections, "rollback", "holdbook projections rollback current_allocations")
def rollback(name: ViewName, options: CommonOptions) -> None:
    """Publish again the generation that was live before the last rebuild, in one transaction; keep the other one."""
    with options.open() as ledger:
        live = ledger.projector().roll_back(name)
    if options.json:
        emit(generation_shape(live))
    else:
        say(republished_text(live))


@command(projections, "prune", "holdbook projections prune current_allocations", "holdbook projections prune --all")
def prune(name: AnyView = None, every: AllViews = False, *, options: CommonOptions) -> None:  # noqa: FBT002 - an option
    """Remove the generations that are kept for `rollback`, and those that failed a comparison."""
    names = _names(name, every=every)
    with options.open() as ledger:
        removed = ledger.projector().prune(*names)
    if options.json:
        emit(pruned_shape(removed))
    else:
        say_all(pruned_lines(removed))


def _print_going_on(now: ViewStatus, options: CommonOptions) -> None:
    if options.json:
        emit(view_status_shape(now))
    else:
        say(going_on_text(now))


@command(projections, "retry", "holdbook projections retry metrics")
def retry(name: ViewName, options: CommonOptions) -> None:
    """Let a view that failed on an event try again; the exit code is 1 if it fails again."""
    with options.open() as ledger:
        _print_going_on(ledger.projector().retry(name), options)


@command(
    projections, "skip", "holdbook projections skip metrics 1042 --reason 'ticket 77: written by a broken release'"
)
def skip(
    name: ViewName,
    position: Annotated[
        int, Argument(metavar="POSITION", min=1, help="Position of the event in the log.", show_default=False)
    ],
    reason: Annotated[str, Option(metavar="TEXT", help="Why. It is recorded for auditors.")],
    options: WriteOptions,
) -> None:
    """Let a view leave out the event on which it failed; which event, why and by whom is recorded."""
    with options.open() as ledger:
        now = ledger.projector().skip(name, position, reason=reason, actor=options.who)
        _print_going_on(now, options)


@command(projections, "follow", "holdbook projections follow")
def follow(options: CommonOptions) -> None:
    """Keep the views up to date as commands are recorded, until interrupted."""

    def print_error(error: HoldbookError) -> None:
        tell_failure(error, as_json=options.json)

    with options.open() as ledger:
        projector = ledger.projector(_announcer(options))
        if options.json:
            emit(views_shape(projector.status()))
        else:
            say(f"following {len(projector.views)} views; interrupt to stop", errors=True)
        projector.follow(Event(), print_error)


@command(events, "check", "holdbook events check", "holdbook events check --json")
def check(options: CommonOptions) -> None:
    """Read every event in the newest version of its type, write nothing, and list those that cannot be read."""
    with options.open() as ledger:
        _dry_run(ledger, (), options)
