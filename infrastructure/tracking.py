"""How far each reader of the log has come: the library's tracking recorder, and compare-and-set for views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder
from sqlalchemy import delete, insert, select, text, update

from bursar.infrastructure.tables import generations
from bursar.infrastructure.tables import tracking as table

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from bursar.infrastructure.database import Database


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


class SQLStore:
    """Where views are kept: the projections' port on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.position = position
        self.advance = advance

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one moment of the database."""
        return self._database.reading()

    def changing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that commits at the block's end."""
        return self._database.changing()

    def exclusive(self) -> AbstractContextManager[Connection]:
        """Open a transaction that holds the log's lock: for changes of the views' tables themselves."""
        return self._database.writing()

    def forget(self, connection: Connection, name: str) -> None:
        """Drop the position recorded under a name."""
        connection.execute(delete(table).where(table.c.name == name))

    def generation(self, connection: Connection, view: str) -> int:
        """Find a view's live generation; 0 if it was never built."""
        live = select(generations.c.generation).where(generations.c.view == view)
        return connection.execute(live).scalar() or 0

    def publish(self, connection: Connection, view: str, generation: int) -> None:
        """Record a view's live generation."""
        connection.execute(delete(generations).where(generations.c.view == view))
        connection.execute(insert(generations).values(view=view, generation=generation))
