"""Publish views: SQL views with stable names that point at live generations, switched without blocking readers."""

from __future__ import annotations

from random import uniform
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from sqlalchemy import inspect, text

from holdbook.domain.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from holdbook.infrastructure.database.database import Database

_Result = TypeVar("_Result")

LOCK_MILLISECONDS: Final = 100
"""How long one try of a switch waits for readers of the view; new readers wait behind it as long."""

PATIENCE_SECONDS: Final = 60.0
"""How long a switch is tried again before it is given up."""

_PAUSE_SECONDS: Final = (0.05, 0.5)
"""The least and the most time between two tries."""

_GRANTS: Final = text(
    """
    SELECT a.privilege_type, a.is_grantable, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, NULL
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.oid = CAST(:name AS regclass)
    UNION ALL
    SELECT a.privilege_type, a.is_grantable, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
        quote_ident(t.attname)
    FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) a
    WHERE t.attrelid = CAST(:name AS regclass) AND t.attnum > 0 AND NOT t.attisdropped
    """
)
"""Reads the grants on a view: privilege, whether it may be granted on, grantee, and the column, if on one only."""


def patiently(database: Database, work: Callable[[Connection], _Result]) -> _Result:
    """Run ``work`` in a transaction that needs locks which readers hold, without having other readers wait behind it.

    On PostgreSQL a try ends after `LOCK_MILLISECONDS` without a lock, and is repeated for up to `PATIENCE_SECONDS`.
    Raises `LogUnavailable` then.
    """
    until = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with database.changing() as connection:
                if not database.is_sqlite:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                return work(connection)
        except LogUnavailable as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            if monotonic() > until:
                raise LogUnavailable(
                    f"transactions have kept the view in use for {PATIENCE_SECONDS:g} s; end them (the server's view "
                    "pg_stat_activity shows them) and try again: what was built stays built",
                    transient=True,
                ) from error
            sleep(uniform(*_PAUSE_SECONDS))  # noqa: S311 - at random, so that two programs do not collide every time


def point(connection: Connection, name: str, physical: str) -> None:
    """Point a published name at a physical table; grants on the name stay.

    Raises `LogUnavailable` if the view is to lose columns that other views depend on.
    """
    columns = _columns_of(connection, physical)
    named = ", ".join(column for column, _ in columns)
    selected = f"{name} AS SELECT {named} FROM {physical}"  # noqa: S608 - own names
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE VIEW {selected}")
        return
    present = _columns_of(connection, name) if name in published_names(connection) else []
    if columns[: len(present)] == present:
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {selected}")
        return
    grants = connection.execute(_GRANTS, {"name": name}).all()
    try:
        connection.exec_driver_sql(f"DROP VIEW {name}")
    except Exception as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, psycopg.errors.DependentObjectsStillExist):
            raise LogUnavailable(
                f"the view {name} is to lose columns, and others depend on it: {cause.diag.message_detail}; drop those "
                "first, and make them again afterwards"
            ) from error
        raise
    connection.exec_driver_sql(f"CREATE VIEW {selected}")
    for privilege, may_grant, grantee, column in grants:
        if column is None or column.strip('"') in dict(columns):
            of = f"({column}) " if column else ""
            passed = " WITH GRANT OPTION" if may_grant else ""
            connection.exec_driver_sql(f"GRANT {privilege} {of}ON {name} TO {grantee}{passed}")


def published_names(connection: Connection) -> set[str]:
    """List the names of all SQL views in a database, those of other programs included."""
    return set(inspect(connection).get_view_names())


def _columns_of(connection: Connection, name: str) -> list[tuple[str, type]]:
    """List the names and the types of a table's or a view's columns."""
    return [(str(column["name"]), type(column["type"])) for column in inspect(connection).get_columns(name)]
