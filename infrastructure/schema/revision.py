"""Find and check the revision of a database's schema; `upgrade` changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import column, inspect, select, table

from holdbook.domain.errors import HoldbookError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

    from holdbook.infrastructure.database.database import Database

VERSION_TABLE: Final = "holdbook_schema"
"""The table in which Alembic keeps the revision. Other programs with Alembic may use the same database."""

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005")
"""All revisions, in order."""

HEAD: Final = REVISIONS[-1]
"""The revision that this version of Holdbook works with."""

_RECORDED: Final[Select[Any]] = select(column("version_num")).select_from(table(VERSION_TABLE))


class SchemaMismatch(HoldbookError):
    """The database's schema is not the one that this version of Holdbook works with."""

    def __init__(self, database: str, found: str | None, wanted: str, way_out: str) -> None:
        self.found = found
        """The database's revision; None if it holds no ledger."""
        self.wanted = wanted
        """The revision that this version works with."""
        state = f"is at schema {found}" if found else "holds no ledger"
        super().__init__(f"the database {database} {state}; this version of Holdbook wants {wanted}: {way_out}")


def current_revision(database: Database) -> str | None:
    """Find the revision that a database is at; None if it holds no ledger."""
    with database.reading() as connection:
        return revision_of(connection)


def require_current(database: Database) -> None:
    """Raise `SchemaMismatch` unless the database is at the revision that this version works with."""
    found, wanted = current_revision(database), HEAD
    if found is None:
        raise SchemaMismatch(
            database.name, found, wanted, "check the address, or make a ledger with `holdbook pool open`"
        )
    if found != wanted:
        way_out = (
            "run `holdbook db upgrade`" if found in REVISIONS else "it was made by a newer Holdbook; upgrade Holdbook"
        )
        raise SchemaMismatch(database.name, found, wanted, way_out)


def revision_of(connection: Connection) -> str | None:
    """Read the revision on a connection; None if the database holds no ledger."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(_RECORDED).scalar()
    return found
