"""The library's tracking recorder over a database of ours: for readers built on its projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, text, update

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdbook.infrastructure.database.database import Database

TABLE = Table(
    "tracking", MetaData(), Column("name", Text, primary_key=True), Column("position", BigInteger, nullable=False)
)
"""How far each reader has come."""


class SQLTracking(TrackingRecorder):
    """Positions by name, in a table that it makes itself. A position only grows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.changing() as connection:
            TABLE.create(connection, checkfirst=True)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record a position; raises the library's IntegrityError if one as high is there already."""
        with self._database.changing() as connection:
            before = position(connection, tracking.application_name)
            moved = before < tracking.notification_id and advance(
                connection, tracking.application_name, before, tracking.notification_id
            )
        if not moved:
            message = f"{tracking.application_name!r} is at {before} already"
            raise IntegrityError(message)

    def max_tracking_id(self, application_name: str) -> int | None:
        """Find the position recorded under a name; None if there is none."""
        with self._database.reading() as connection:
            return position(connection, application_name) or None


def position(connection: Connection, name: str) -> int:
    """Find the position recorded under a name; 0 if there is none."""
    return connection.execute(select(TABLE.c.position).where(TABLE.c.name == name)).scalar() or 0


def advance(connection: Connection, name: str, before: int, after: int) -> bool:
    """Move a position on if it is still where it was (compare and set); tell whether it was."""
    connection.execute(
        text("INSERT INTO tracking (name, position) VALUES (:name, 0) ON CONFLICT DO NOTHING"), {"name": name}
    )
    moved = update(TABLE).where(TABLE.c.name == name, TABLE.c.position == before).values(position=after)
    return connection.execute(moved).rowcount == 1
