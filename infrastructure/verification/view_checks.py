"""Live generations of views, and the fold of the log that each should equal, in the form that verification takes."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from holdbook.domain.errors import LogCorrupt
from holdbook.infrastructure.log.raw_rows import page_statement, read_page
from holdbook.infrastructure.views.physical import SQLLook
from holdbook.infrastructure.views.store import SQLStore, list_generations
from holdbook.projections.definition import ViewEvent
from holdbook.projections.fold import WholeFold
from holdbook.projections.generations import live_generations
from holdbook.projections.views.catalogue import VIEWS
from holdbook.replay.verification.view_check import CheckedViews

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from holdbook.infrastructure.database.database import Database
    from holdbook.infrastructure.log.sql_log import SQLEventLog
    from holdbook.projections.definition import Key, Row, Table, View
    from holdbook.projections.generations import Generation

PAGE_EVENTS: Final = 10_000
"""How many events are read at a time."""

_COLUMNS: Final = (*ViewEvent._fields, "schema_version")


def views_of(log: SQLEventLog) -> CheckedViews:
    """Give the views to compare: the live generations that were built by the code of this version."""
    live = live_generations(SQLStore(log.database).generations())
    by_this_code = [view for view in VIEWS if view.name in live and live[view.name].fingerprint == view.fingerprint]
    views = [SQLView(log.database, view, live[view.name]) for view in by_this_code]
    return CheckedViews(views, UncheckedViewEvents(log).read)


class UncheckedViewEvents:
    """Reads view events of a log that may hold anything; leaves out what cannot be read."""

    def __init__(self, log: SQLEventLog) -> None:
        self._log = log
        self._page = page_statement(log.database, _COLUMNS)

    def read(self, after: int, upto: int) -> Iterator[tuple[Sequence[ViewEvent], int]]:
        """Read the view events after a position up to another, in pages, each with the position that it ends at."""
        while after < upto and (page := read_page(self._log.database, self._page, (after, upto, PAGE_EVENTS))):
            after = page[-1][0]
            yield self._decoded(page), after

    def _decoded(self, page: Sequence[tuple[Any, ...]]) -> list[ViewEvent]:
        """Make view events of rows, a column at a time, and row by row only where a page holds something unusual."""
        *envelope, texts, versions = zip(*page, strict=True)
        present, fields = self._log.mapper.present, self._log.mapper.fields
        kinds = list(zip(envelope[1], versions, strict=True))
        with suppress(ValueError, TypeError, LogCorrupt):
            if set(kinds) <= present:
                data = list(map(from_json, texts))
            else:
                rows = zip(kinds, texts, envelope[0], strict=True)
                data = [from_json(text) if kind in present else fields(*kind, text, at) for kind, text, at in rows]
            if set(map(type, data)) == {dict}:
                return list(map(ViewEvent._make, zip(*envelope, data, strict=True)))
        readable = []
        for row in page:
            with suppress(LogCorrupt, TypeError):
                readable.append(ViewEvent._make((*row[:10], fields(row[1], row[11], row[10], row[0]))))
        return readable


class SQLView:
    """A generation of a view, and the fold of the log that it should equal, kept in memory."""

    def __init__(self, database: Database, view: View, generation: Generation) -> None:
        self._database = database
        self._view = view
        self._generation = generation
        self._fold = WholeFold(view)
        self.name = view.name
        self.tables = view.tables

    @contextmanager
    def look(self) -> Iterator[SQLLook]:
        """Open a transaction that reads the generation's rows and its position."""
        with self._database.reading() as connection:
            number = self._generation.number
            present = (one for one in list_generations(connection) if (one.view, one.number) == (self.name, number))
            yield SQLLook(connection, number, next((one.position for one in present), 0))

    def fold(self, events: Sequence[ViewEvent]) -> Iterable[object]:
        """Fold events, without those that the generation was told to leave out; give what failed."""
        skipped = self._generation.skipped
        return self._fold.fold([one for one in events if one.position not in skipped] if skipped else events)

    def folded(self, table: Table) -> Mapping[Key, Row]:
        """Give the rows that a table should have, by key: those folded since it was last cleared."""
        return self._fold.rows[table]

    def clear(self, table: Table) -> None:
        """Forget the rows that a table should have, once they have been compared."""
        self._fold.clear(table)
