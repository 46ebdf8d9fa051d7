"""The log as views read it: pages of view events, which leave out the columns that no view needs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from sqlalchemy import func, select

from holdbook.domain.values import instant
from holdbook.infrastructure.database.tables import events
from holdbook.projections.definition import ViewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from holdbook.domain.records import StoredRow
    from holdbook.infrastructure.log.mapper import EventMapper
    from holdbook.infrastructure.log.sql_log import SQLEventLog

_COLUMNS: Final = (
    "position, type, command_id, ordinal, ordinals, occurred_at, recorded_at, actor, correlation_id, causation_id, "
    "data, schema_version"
)


class SQLViewEvents:
    """Reads view events from a log in a database: implements the projections' port `Source`."""

    def __init__(self, log: SQLEventLog) -> None:
        self._log = log
        mark = "?" if log.database.is_sqlite else "%s"
        self._page = (
            f"SELECT {_COLUMNS} FROM events WHERE position > {mark} AND position <= {mark} "  # noqa: S608 - own names
            f"ORDER BY position LIMIT {mark}"
        )

    def head(self) -> int:
        """Find the position of the last event; 0 in an empty log."""
        with self._log.database.reading() as connection:
            return connection.execute(select(func.max(events.c.position))).scalar() or 0

    def read_events(self, after: int, limit: int, upto: int) -> Sequence[ViewEvent]:
        """Read the events after a position, about ``limit``, to the end of a command, none after ``upto``."""
        with self._log.database.reading() as connection:
            driver: Any = connection.connection.dbapi_connection
            rows = driver.execute(self._page, (after, upto, limit)).fetchall()
            if len(rows) == limit:
                position, ordinal, ordinals = rows[-1][0], rows[-1][3], rows[-1][4]
                rest = position + ordinals - 1 - ordinal
                rows += driver.execute(self._page, (position, min(rest, upto), ordinals)).fetchall()
        return self._decoded(rows)

    def _decoded(self, rows: Sequence[tuple[Any, ...]]) -> list[ViewEvent]:
        """Make view events of rows, a column at a time; only data of an older version is looked at row by row.

        A page that holds something unreadable is read again row by row, to name the first such row.
        """
        if not rows:
            return []
        *envelope, texts, versions = zip(*rows, strict=True)
        with suppress(ValueError):
            data = list(map(from_json, texts))
            if set(map(type, data)) == {dict}:
                self._upcast(list(zip(envelope[1], versions, strict=True)), data, envelope[0])
                return list(map(ViewEvent._make, zip(*envelope, data, strict=True)))
        fields = self._log.mapper.fields
        return [ViewEvent._make((*row[:10], fields(row[1], row[11], row[10], row[0]))) for row in rows]

    def _upcast(self, kinds: Sequence[tuple[str, int]], data: list[dict[str, Any]], positions: Sequence[int]) -> None:
        """Bring to the present version, in place, the fields of those that are of another."""
        mapper = self._log.mapper
        others = set(kinds) - mapper.present
        if others:
            for index, kind in enumerate(kinds):
                if kind in others:
                    data[index] = mapper.upcast(*kind, data[index], positions[index])

    def recorded_at(self, position: int) -> datetime | None:
        """Tell when an event was recorded; None if there is none there."""
        with self._log.database.reading() as connection:
            found = connection.execute(select(events.c.recorded_at).where(events.c.position == position)).scalar()
        return None if found is None else instant(found)

    def watching(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Watch for commits: call what this gives with seconds to wait; it tells whether there may be news."""
        return self._log.watching()


def view_event_of(mapper: EventMapper, row: StoredRow) -> ViewEvent:
    """Make a view event of a stored row; raises `UnknownEvent` or `LogCorrupt`."""
    return ViewEvent(
        row.position,
        row.type,
        row.command_id,
        row.ordinal,
        row.ordinals,
        row.occurred_at,
        row.recorded_at,
        row.actor,
        row.correlation_id,
        row.causation_id,
        mapper.fields(row.type, row.schema_version, row.data, row.position),
    )
