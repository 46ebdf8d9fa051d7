"""Verification, views, and the database's schema."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Annotated

from rich.table import Table
from rich.text import Text
from sqlalchemy import inspect
from typer import Argument, Context, Exit, Typer

from bursar.domain.errors import LogUnavailable
from bursar.infrastructure import schema
from bursar.infrastructure.cli.options import Common, command, spread
from bursar.infrastructure.cli.output import emit, progress, say, show, table
from bursar.infrastructure.database import Database
from bursar.infrastructure.verification import verify_ledger
from bursar.projections.engine import VIEWS, ViewStatus
from bursar.replay.findings import Report

top = Typer()
projections = Typer(help="Operate the published views; without a command, their status.")
db = Typer(help="Make, upgrade and check the database's schema.")


@command(top, "verify", "bursar verify", "bursar verify --json")
def verify(options: Common) -> None:
    """Check every promise on the whole log; exit code 1 if one is broken."""
    with options.open() as ledger, progress("verifying", silent=options.json) as tell:
        report = verify_ledger(ledger, tell)
    if options.json:
        emit(report.as_dict())
    else:
        _tell_report(report)
    if not report.ok:
        raise Exit(1)


def _tell_report(report: Report) -> None:
    for finding in report.findings:
        place = f"position {finding.position}: " if finding.position is not None else ""
        say(Text.assemble((f"{finding.check.value}: ", "red"), f"{place}{finding.message}"))
    if report.more:
        say(f"and {report.more:,} more")
    views = "".join(f", {view.name} ({view.rows:,} rows)" for view in report.views)
    read = f"{report.events:,} events{views} and {report.snapshots:,} snapshots"
    if report.ok:
        say(Text.assemble(("every promise holds", "green"), f": {read} checked"))
    else:
        count = len(report.findings) + report.more
        say(Text.assemble((f"{count:,} broken promise{'s' * (count != 1)}", "bold red"), f": {read} checked"))


# Views


def _show_status(options: Common) -> None:
    with options.open() as ledger:
        found = ledger.projector().status()
    if options.json:
        emit({"views": [asdict(one) for one in found]})
    else:
        show(_status_table(found))


def _status_table(found: list[ViewStatus]) -> Table:
    columns = ("view", "generation", "position", "behind")
    rows = ((one.name, str(one.generation), f"{one.position:,}", f"{one.behind:,}") for one in found)
    return table(columns, rows, right=columns[1:])


@projections.callback(invoke_without_command=True, epilog="Example  bursar projections")
@spread
def projections_group(context: Context, options: Common) -> None:
    """Operate the published views; without a command, their status."""
    if context.invoked_subcommand is None:
        _show_status(options)


@command(projections, "status", "bursar projections status --json")
def status(options: Common) -> None:
    """Tell how far each view has come; as JSON, one document."""
    _show_status(options)


@command(projections, "rebuild", "bursar projections rebuild current_allocations")
def rebuild(
    name: Annotated[str, Argument(metavar="NAME", help="Name of the view.", show_default=False)], options: Common
) -> None:
    """Build a view anew from the log and publish it; readers keep the old one meanwhile."""
    with options.open() as ledger, progress(f"rebuilding {name}", silent=options.json) as tell:
        built = ledger.projector().rebuild(name, tell)
    if options.json:
        emit(asdict(built))
    else:
        say(f"{built.name}: generation {built.generation} is published, true up to position {built.position:,}")


# The schema


def _with_database(options: Common, work: Callable[[Database], None]) -> None:
    with closing(Database(options.url)) as database:
        work(database)


@command(db, "upgrade", "bursar db upgrade --database postgresql://ledger@host/bursar")
def upgrade(options: Common) -> None:
    """Bring the schema up to date and publish the views."""

    def work(database: Database) -> None:
        schema.upgrade(database)
        _tell_revision(database, as_json=options.json)

    _with_database(options, work)


@command(db, "current", "bursar db current")
def current(options: Common) -> None:
    """Print the schema's revision and the one this version of Bursar wants."""
    _with_database(options, lambda database: _tell_revision(database, as_json=options.json))


def _tell_revision(database: Database, *, as_json: bool) -> None:
    found, wanted = _revision(database), schema.head_revision()
    if as_json:
        emit({"revision": found, "wanted": wanted})
    else:
        say(f"{found} (up to date)" if found == wanted else f"{found}; this version of Bursar wants {wanted}")


def _revision(database: Database) -> str:
    """Find the revision; raises `SchemaMismatch` if there is none, `LogUnavailable` if there is no database."""
    if not database.exists():
        message = f"there is no database {database.name}"
        raise LogUnavailable(message)
    found = schema.current_revision(database)
    if found is None:
        schema.require_current(database)
    return str(found)


@command(db, "check", "bursar db check")
def check(options: Common) -> None:
    """Check that the schema is the one that this version of Bursar wants; exit code 1 if not."""

    def work(database: Database) -> None:
        problems = _problems(database)
        if options.json:
            emit({"ok": not problems, "problems": problems})
        else:
            for problem in problems or ["the schema is as it should be"]:
                say(problem)
        if problems:
            raise Exit(1)

    _with_database(options, work)


def _problems(database: Database) -> list[str]:
    found, wanted = _revision(database), schema.head_revision()
    if found != wanted:
        return [f"the schema is at {found}; this version of Bursar wants {wanted}: run `bursar db upgrade`"]
    with database.reading() as connection:
        published = set(inspect(connection).get_view_names())
    differences = [f"the schema differs: {difference}" for difference in schema.differences(database)]
    missing = [f"the view {view.name} is missing" for view in VIEWS if view.name not in published]
    return differences + missing
