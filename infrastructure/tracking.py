"""How far readers that are built on the library's own projections have come: its tracking recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder
from sqlalchemy import select, text, update

from holdbook.infrastructure.database.tables import tracking as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdbook.infrastructure.database.database import Database


class SQLTracking(TrackingRecorder):
    """Positions by name; they only grow."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """Find the position recorded under a name."""
        with self._database.reading() as connection:
            return position(connection, application_name) or None


def position(connection: Connection, name: str) -> int:
    """Find the position recorded under a name; 0 if there is none."""
    return connection.execute(select(table.c.position).where(table.c.name == name)).scalar() or 0


def advance(connection: Connection, name: str, before: int, after: int) -> bool:
    """Move a position on if it is still where it was (compare and set); tell whether it was."""
    connection.execute(
        text("INSERT INTO tracking (name, position) VALUES (:name, 0) ON CONFLICT DO NOTHING"), {"name": name}
    )
    moved = update(table).where(table.c.name == name, table.c.position == before).values(position=after)
    return connection.execute(moved).rowcount == 1
