"""Upgrade, downgrade and compare the schema with Alembic, whose scripts are in the installed package.

Alembic takes longer to import than most commands take to run: what only opens a ledger imports `revision` instead.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from holdbook.domain.errors import LogUnavailable
from holdbook.infrastructure.database.tables import metadata
from holdbook.infrastructure.schema.revision import HEAD, VERSION_TABLE, revision_of
from holdbook.infrastructure.views.store import prepare
from holdbook.projections.views.catalogue import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from holdbook.infrastructure.database.database import Database


def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to a revision; with the last one, also publish views that have no generation yet.

    Processes that do so at the same time wait for each other. Raises `LogUnavailable` if the database is not there.
    """
    with _migrating(database) as (connection, config):
        command.upgrade(config, revision)
        if revision_of(connection) == HEAD:
            prepare(connection, VIEWS)


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes everything, the views included.

    Raises `LogUnavailable` if the database is not there.
    """
    with _migrating(database) as (_, config):
        command.downgrade(config, revision)


def differences(database: Database) -> list[object]:
    """List the differences, as Alembic finds them, between the database's schema and `tables.metadata`."""
    with database.reading() as connection:
        options = {"version_table": VERSION_TABLE, "include_name": _is_ours, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Tell Alembic to leave out tables of other programs, and those of views."""
    return kind != "table" or name in metadata.tables


@contextmanager
def _migrating(database: Database) -> Iterator[tuple[Connection, Config]]:
    """Open a transaction that holds the log's lock, and give it to Alembic; raises `LogUnavailable` for no file."""
    if not database.exists():
        message = f"the database {database.name} is not there"
        raise LogUnavailable(message)
    with database.writing() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        yield connection, config


def alembic_config() -> Config:
    """Make Alembic's configuration, which says where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(files("holdbook.migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
