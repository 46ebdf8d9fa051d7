"""The commands `db upgrade`, `db current` and `db check`, about the schema of the database."""

from collections.abc import Callable
from contextlib import closing

from typer import Exit, Typer

from holdbook.domain.errors import LogUnavailable
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, say
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.opening import outdated_views
from holdbook.infrastructure.presentation.shapes.integrity import revision_shape, schema_check_shape
from holdbook.infrastructure.presentation.wording.integrity import (
    SCHEMA_IS_RIGHT,
    missing_view_text,
    other_revision_text,
    outdated_view_text,
    revision_text,
    schema_difference_text,
)
from holdbook.infrastructure.schema import revision as schema
from holdbook.infrastructure.views.publication import published_names
from holdbook.infrastructure.views.store import SQLStore
from holdbook.projections.views.catalogue import VIEWS

db = Typer(help="Show, upgrade and check the schema of the database.", epilog="Example  holdbook db check")


def _with_database(options: CommonOptions, work: Callable[[Database], None]) -> None:
    """Do something with the database, which need not hold a ledger, and close it."""
    with closing(Database(options.url)) as database:
        work(database)


@command(db, "upgrade", "holdbook db upgrade --database postgresql://ledger@host/holdbook")
def upgrade(options: CommonOptions) -> None:
    """Bring the schema up to date and publish the views."""
    from holdbook.infrastructure.schema import upgrade as migrating  # noqa: PLC0415 - Alembic takes long to import, and most commands do without it

    def work(database: Database) -> None:
        migrating.upgrade(database)
        _print_revision(database, as_json=options.json)

    _with_database(options, work)


@command(db, "current", "holdbook db current")
def current(options: CommonOptions) -> None:
    """Show the revision of the schema, and the one that this version of Holdbook works with."""
    _with_database(options, lambda database: _print_revision(database, as_json=options.json))


def _print_revision(database: Database, *, as_json: bool) -> None:
    found, expected = _revision(database), schema.HEAD
    if as_json:
        emit(revision_shape(found, expected))
    else:
        say(revision_text(found, expected))


def _revision(database: Database) -> str:
    """Find the revision that a database is at.

    Raises `LogUnavailable` if there is no such database, and `SchemaMismatch` if it holds no ledger.
    """
    if not database.exists():
        message = f"there is no database {database.name}"
        raise LogUnavailable(message)
    found = schema.current_revision(database)
    if found is None:
        schema.require_current(database)
    return str(found)


@command(db, "check", "holdbook db check")
def check(options: CommonOptions) -> None:
    """Check that the schema and the views are those that this version of Holdbook works with; exit code 1 if not."""

    def work(database: Database) -> None:
        problems = _problems(database)
        if options.json:
            emit(schema_check_shape(problems))
        else:
            for problem in problems or [SCHEMA_IS_RIGHT]:
                say(problem)
        if problems:
            raise Exit(1)

    _with_database(options, work)


def _problems(database: Database) -> list[str]:
    """Say in a sentence each how the schema or a view is not what this version of Holdbook works with."""
    found, expected = _revision(database), schema.HEAD
    if found != expected:
        return [other_revision_text(found, expected)]
    with database.reading() as connection:
        published = published_names(connection)
    from holdbook.infrastructure.schema import upgrade as migrating  # noqa: PLC0415 - Alembic takes long to import, and most commands do without it

    outdated = outdated_views(SQLStore(database).generations())
    missing = [view.name for view in VIEWS if view.name not in published]
    return [
        *map(schema_difference_text, migrating.differences(database)),
        *map(missing_view_text, missing),
        *(outdated_view_text(name) for name in outdated if name not in missing),
    ]
