"""The database's schema: made, upgraded and checked with Alembic from the installed package."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from bursar.domain.errors import BursarError, LogUnavailable
from bursar.infrastructure.generations import prepare
from bursar.infrastructure.tables import metadata
from bursar.projections.catalogue import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from bursar.infrastructure.database import Database

VERSION_TABLE: Final = "bursar_schema"
"""Where Alembic keeps the schema's revision; a name of our own, as other programs may use the database too."""


class SchemaMismatch(BursarError):
    """The database's schema is not the one that this version of Bursar works with."""

    def __init__(self, database: str, found: str | None, wanted: str, way_out: str) -> None:
        self.found = found
        """The database's revision; None if it holds no ledger."""
        self.wanted = wanted
        state = f"is at schema {found}" if found else "holds no ledger"
        super().__init__(f"the database {database} {state}; this version of Bursar wants {wanted}: {way_out}")


def head_revision() -> str:
    """Find the schema revision that this version of Bursar works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current_revision(database: Database) -> str | None:
    """Find the database's schema revision; None if it holds no ledger."""
    with database.reading() as connection:
        return _revision(connection)


def require_current(database: Database) -> None:
    """Raise `SchemaMismatch` unless the database is at the revision that this version works with."""
    found, wanted = current_revision(database), head_revision()
    if found is None:
        raise SchemaMismatch(
            database.name, found, wanted, "check the address, or make a ledger with `bursar pool open`"
        )
    if found != wanted:
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        way_out = "run `bursar db upgrade`" if found in known else "it was made by a newer Bursar; upgrade Bursar"
        raise SchemaMismatch(database.name, found, wanted, way_out)


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema up to a revision and publish the views; several processes at once take turns."""
    with _migrating(database) as (connection, config):
        command.upgrade(config, revision)
        if _revision(connection) == head_revision():
            prepare(connection, VIEWS)


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes everything, the views included."""
    with _migrating(database) as (_, config):
        command.downgrade(config, revision)


def differences(database: Database) -> list[object]:
    """List how the database's schema differs from what this version of Bursar expects; empty if it does not."""
    with database.reading() as connection:
        options = {"version_table": VERSION_TABLE, "include_name": _is_ours, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name in metadata.tables


@contextmanager
def _migrating(database: Database) -> Iterator[tuple[Connection, Config]]:
    if not database.exists():
        message = f"the database {database.name} is not there"
        raise LogUnavailable(message)
    with database.writing() as connection:
        config = _config()
        config.attributes["connection"] = connection
        yield connection, config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("bursar.migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
