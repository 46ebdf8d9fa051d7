"""The engine: reads the log in batches of whole commands, folds in memory, writes rows and position together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from bursar.domain.errors import LogUnavailable, NotFound
from bursar.projections.allocation_history import AllocationHistory
from bursar.projections.current_allocations import CurrentAllocations
from bursar.projections.metrics import Metrics
from bursar.projections.pool_usage import PoolUsage
from bursar.projections.validation_failures import ValidationFailures
from bursar.projections.view import Known, Net, View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Table

    from bursar.domain.ports import EventLog
    from bursar.domain.records import Recorded
    from bursar.projections.view import Key, Row

VIEWS: Final[tuple[View, ...]] = (
    CurrentAllocations(),
    AllocationHistory(),
    PoolUsage(),
    Metrics(),
    ValidationFailures(),
)
"""Every published view."""

BATCH_EVENTS: Final = 2000
"""About how many events are folded and written in one transaction."""


class Store(Protocol):
    """Where views are kept: transactions, and the books on positions and live generations."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one moment of the database."""
        ...

    def changing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that commits at the block's end."""
        ...

    def exclusive(self) -> AbstractContextManager[Connection]:
        """Open a transaction that nobody else's exclusive one overlaps."""
        ...

    def position(self, connection: Connection, name: str) -> int:
        """Find the position recorded under a name; 0 if there is none."""
        ...

    def advance(self, connection: Connection, name: str, before: int, after: int) -> bool:
        """Move a position on if it is still where it was; tell whether it was."""
        ...

    def forget(self, connection: Connection, name: str) -> None:
        """Drop the position recorded under a name."""
        ...

    def generation(self, connection: Connection, view: str) -> int:
        """Find a view's live generation; 0 if it was never built."""
        ...

    def publish(self, connection: Connection, view: str, generation: int) -> None:
        """Record a view's live generation."""
        ...


def prepare(connection: Connection, store: Store, views: Sequence[View] = VIEWS) -> None:
    """Make and publish the first generation of every view that has none."""
    for view in views:
        if not store.generation(connection, view.name):
            view.table(1).create(connection)
            switch(connection, store, view, 1)


def switch(connection: Connection, store: Store, view: View, generation: int) -> None:
    """Point a view's published name at a generation."""
    selected = f"SELECT {', '.join(view.columns)} FROM {view.table(generation).name}"  # noqa: S608 - names of our own
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"DROP VIEW IF EXISTS {view.name}"))
        connection.execute(text(f"CREATE VIEW {view.name} AS {selected}"))
    else:
        connection.execute(text(f"CREATE OR REPLACE VIEW {view.name} AS {selected}"))
    store.publish(connection, view.name, generation)


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """How far a view has come."""

    name: str
    generation: int
    position: int
    """Position in the log up to which the view is true."""
    behind: int
    """Events of the log that it has not seen."""


class Projector:
    """Keeps the views of one database in step with its log."""

    def __init__(
        self, log: EventLog, store: Store, views: Sequence[View] = VIEWS, *, batch_events: int = BATCH_EVENTS
    ) -> None:
        self._log = log
        self._store = store
        self._batch_events = batch_events
        self.views = {view.name: view for view in views}

    def status(self) -> list[ViewStatus]:
        """Tell how far each view has come."""
        with self._log.reading() as reader:
            head = reader.head
        with self._store.reading() as connection:
            return [self._status(connection, view, head) for view in self.views.values()]

    def _status(self, connection: Connection, view: View, head: int) -> ViewStatus:
        generation = self._store.generation(connection, view.name)
        position = self._store.position(connection, view.table(generation).name)
        return ViewStatus(view.name, generation, position, max(head - position, 0))

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Bring every view up to the log's present end; ``progress`` is told events done and events in all.

        A view that the database does not have yet is made, last of all. Raises `LogUnavailable`.
        """
        found = self.status()
        for status in found:
            if status.generation:
                self._build(self.views[status.name], status.generation, progress)
        missing = [self.views[status.name] for status in found if not status.generation]
        if missing:
            self._make(missing)
            for view in missing:
                self._build(view, 1, progress)

    def _make(self, views: Sequence[View]) -> None:
        """Make views that came with a newer Bursar than the one that made the database."""
        try:
            with self._store.exclusive() as connection:
                prepare(connection, self._store, views)
        except LogUnavailable as error:
            names = ", ".join(view.name for view in views)
            way_out = "run `bursar db upgrade` as an account that may make tables"
            message = f"the views {names} are not there yet and could not be made: {way_out}: {error}"
            raise LogUnavailable(message) from error

    def rebuild(self, name: str, progress: Callable[[int, int], None] | None = None) -> ViewStatus:
        """Build a view's next generation from the first event, publish it, and drop the one before.

        An interrupted rebuild goes on where it stopped. Raises `NotFound` for a view that is not published.
        """
        if name not in self.views:
            raise NotFound("view", name)
        view = self.views[name]
        with self._store.exclusive() as connection:
            prepare(connection, self._store, [view])
            live = self._store.generation(connection, name)
            view.table(live + 1).create(connection, checkfirst=True)
        published = False
        while not published:
            self._build(view, live + 1, progress)
            with self._store.exclusive() as connection:
                published = self._publish(connection, view, live)
        return next(status for status in self.status() if status.name == name)

    def _publish(self, connection: Connection, view: View, live: int) -> bool:
        """Put the next generation in the place of the live one, unless that is ahead of it; tell whether it is done."""
        if self._store.generation(connection, view.name) != live:
            return True  # another process was first, with the same rows
        before, after = view.table(live), view.table(live + 1)
        if self._store.position(connection, after.name) < self._store.position(connection, before.name):
            return False
        switch(connection, self._store, view, live + 1)
        self._store.forget(connection, before.name)  # then the table: in the order in which writers take the two
        before.drop(connection)
        return True

    def _build(self, view: View, generation: int, progress: Callable[[int, int], None] | None) -> None:
        table = view.table(generation)
        with self._log.reading() as reader:
            head = reader.head
        with self._store.reading() as connection:
            position = self._store.position(connection, table.name)
        known = Known(view)
        while position < head:
            rows = self._log.rows(position, self._batch_events)
            records = [self._log.decode(row) for row in rows]
            with self._store.changing() as connection:
                moved = self._store.advance(connection, table.name, position, rows[-1].position)
                if self._store.generation(connection, view.name) > generation:  # replaced meanwhile, its table is gone
                    self._store.forget(connection, table.name)
                    return
                if moved:
                    write(connection, table, _folded(view, known, records, partial(_last, connection, view, table)))
                    position = rows[-1].position
                else:  # another process was first: go on from where it came to
                    position = self._store.position(connection, table.name)
                    known.clear()
            if progress:
                progress(min(position, head), head)


def _folded(view: View, known: Known, records: Sequence[Recorded], load: Callable[[Key], Row | None]) -> Net:
    net = Net(view, known, load)
    for recorded in records:
        net.add(recorded)
    return net


def _last(connection: Connection, view: View, table: Table, begin: Key) -> Row | None:
    """Find the last row whose key begins so."""
    key = [table.c[column] for column in view.key]
    matches = (column == value for column, value in zip(key, begin, strict=False))
    ordered = select(table).where(*matches).order_by(*(column.desc() for column in key)).limit(1)
    found = connection.execute(ordered).mappings().first()
    return None if found is None else {str(name): value for name, value in found.items()}


def write(connection: Connection, table: Table, net: Net) -> None:
    """Write net changes in bulk."""
    matches = [table.c[column] == bindparam(f"key_{column}") for column in net.view.key]
    if net.drops:
        connection.execute(delete(table).where(*matches), [_key(net.view, key) for key in sorted(net.drops)])
    if net.puts:
        connection.execute(insert(table), list(net.puts.values()))
    by_columns: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for key, values in net.changed.items():
        by_columns.setdefault(tuple(sorted(values)), []).append({**_key(net.view, key), **values})
    for columns, changed in by_columns.items():
        connection.execute(update(table).where(*matches).values({c: bindparam(c) for c in columns}), changed)


def _key(view: View, key: tuple[object, ...]) -> dict[str, object]:
    return {f"key_{column}": value for column, value in zip(view.key, key, strict=True)}
