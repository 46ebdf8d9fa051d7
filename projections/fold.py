"""Folding: compute in memory the changes that a run of events makes to a view's rows."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import HoldbookError
from holdbook.projections.definition import Add, Drop, Set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from holdbook.projections.definition import Find, Key, Row, Table, View, ViewEvent

    Load = Callable[[Table, Collection[Key]], Mapping[Key, Row]]
    """Reads rows of a table, given how their keys begin; gives the last such row for each beginning that has one."""

KNOWN_ROWS_MAX: Final = 200_000
"""The most rows of one view that stay in memory from batch to batch, so that they need not be read again."""


@contextmanager
def no_collections() -> Iterator[None]:
    """Turn the garbage collector off for a while: a batch makes hundreds of thousands of objects, none in a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class HandlerFailed(HoldbookError):
    """A view's handler raised an error on an event."""

    def __init__(self, view: str, event: ViewEvent, error: BaseException) -> None:
        self.view = view
        self.position = event.position
        self.event_type = event.type
        super().__init__(
            f"view {view} failed on {event.type} at position {event.position}: {type(error).__name__}: {error}"
        )


class _Missing(Exception):
    """A handler looks for a row that has not been loaded."""


class KnownRows:
    """The rows that a view's handlers look for, in memory, in the state in which the events so far have left them."""

    def __init__(self, view: View) -> None:
        self._rows: dict[Table, dict[Key, Row | None]] = {table: {} for table in view.tables if table.found_by}

    def rows_of(self, table: Table) -> dict[Key, Row | None] | None:
        """Give a table's rows by the values they are found by, None for a row that does not exist.

        Gives None for a table in which handlers look for nothing.
        """
        return self._rows.get(table)

    def find(self, table: Table, begin: Key) -> Row | None:
        """Find a row, or None if the table has none such; raises `_Missing` if it has not been loaded."""
        try:
            return self._rows[table][begin]
        except KeyError:
            raise _Missing from None

    def load(self, needed: Iterable[tuple[Table, Key]], load: Load) -> None:
        """Load the rows that are not known yet, each table's together."""
        wanted: dict[Table, dict[Key, None]] = {}
        for table, begin in needed:
            if begin not in self._rows[table]:
                wanted.setdefault(table, {})[begin] = None
        for table, begins in wanted.items():
            found = load(table, begins.keys())
            for begin in begins:
                self._rows[table][begin] = found.get(begin)

    def clear(self) -> None:
        """Forget every row, because another worker may have changed them."""
        for rows in self._rows.values():
            rows.clear()

    def trim(self) -> None:
        """Forget every row once there are more than `KNOWN_ROWS_MAX`; they are loaded again when they are needed."""
        if sum(map(len, self._rows.values())) > KNOWN_ROWS_MAX:
            self.clear()


class TableChanges:
    """What a run of events does to one table in the end: at most one change per row. Updates the known rows too."""

    def __init__(self, table: Table, known: dict[Key, Row | None] | None = None) -> None:
        self.table = table
        self.added: dict[Key, Row] = {}
        """Rows that were not in the table before."""
        self.replaced: dict[Key, Row] = {}
        """Rows that may have been in the table before, with their new values."""
        self.dropped: set[Key] = set()
        """Keys of rows that are to be removed."""
        self._key_of = table.key_getter()
        self._found_by_length = len(table.found_by)
        self._known_rows = known
        self._known_by_key = known if table.found_by == table.key else None
        """The known rows, if they are found by their whole key; else None."""

    @property
    def is_empty(self) -> bool:
        """Tell whether the table stays as it is."""
        return not (self.added or self.replaced or self.dropped)

    @property
    def by_kind(self) -> dict[type[Add | Set | Drop], Callable[[Any], None]]:
        """Give the method that applies each kind of change; `Add` and `Set` bring a row, `Drop` a key."""
        return {Add: self.add, Set: self.set, Drop: self.drop}

    def add(self, row: Row) -> None:
        """Apply the addition of a row."""
        key = self._key_of(row)
        if key in self.dropped:
            self.dropped.remove(key)
            self.replaced[key] = row
        else:
            self.added[key] = row
        if self._known_by_key is not None:
            self._known_by_key[key] = row
        elif self._known_rows is not None:
            self._remember_last(self._known_rows, key, row)

    def set(self, row: Row) -> None:
        """Apply a row's new values."""
        key = self._key_of(row)
        if key in self.added:
            self.added[key] = row
        else:
            self.replaced[key] = row
        if self._known_by_key is not None:
            self._known_by_key[key] = row
        elif self._known_rows is not None:
            self._remember_last(self._known_rows, key, row)

    def drop(self, key: Key) -> None:
        """Apply the removal of a row; raises ValueError if rows are found by less than their key."""
        if self.added.pop(key, None) is None:
            self.replaced.pop(key, None)
            self.dropped.add(key)
        if self._known_by_key is not None:
            self._known_by_key[key] = None
        elif self._known_rows is not None:
            raise ValueError(f"{self.table.name}: rows that are found by less than their key cannot be dropped")

    def _remember_last(self, known: dict[Key, Row | None], key: Key, row: Row) -> None:
        """Remember a row if its key is the last of those that begin as it does: that one is found."""
        last = known.get(key[: self._found_by_length])
        if last is None or self._key_of(last) <= key:
            known[key[: self._found_by_length]] = row


def fold(view: View, events: Sequence[ViewEvent], known: KnownRows, load: Load) -> list[TableChanges]:
    """Compute what events do to each of a view's tables.

    Rows that handlers look for are taken from ``known``, and loaded with ``load`` where they are missing. Raises
    `HandlerFailed`, which names the event, and what ``load`` raises.
    """
    by_table = {table: TableChanges(table, known.rows_of(table)) for table in view.tables}
    apply: dict[Table | None, Any] = {table: changes.by_kind for table, changes in by_table.items()}
    apply[None] = apply[view.published]
    handlers, find = view.handlers, known.find
    for index, event in enumerate(events):
        handler = handlers.get(event.type)
        if handler is None:
            continue
        is_loaded = False
        while True:
            try:
                for change in handler(event, find):
                    apply[change.table][type(change)](change[0])
                break
            except _Missing:
                if is_loaded:
                    error = LookupError("the handler looks for a row that the view's `needs` does not name")
                    raise HandlerFailed(view.name, event, error) from None
            except Exception as error:
                raise HandlerFailed(view.name, event, error) from error
            known.load(_rows_needed(view, events[index:]), load)
            is_loaded = True
    return list(by_table.values())


def _rows_needed(view: View, events: Sequence[ViewEvent]) -> Iterable[tuple[Table, Key]]:
    for event in events:
        if event.type in view.handlers:
            try:
                yield from view.needs(event)
            except Exception as error:
                raise HandlerFailed(view.name, event, error) from error


class WholeFold:
    """A view's rows as one plain fold of the whole log gives them; generations are compared with these.

    It shares the handlers with `fold` and nothing else: no `TableChanges`, no loading, no batches.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.rows: dict[Table, dict[Key, Row]] = {table: {} for table in view.tables}
        """The rows of each table by key."""
        self._keys = {table: table.key_getter() for table in view.tables}
        self._last_keys: dict[Table, dict[Key, Key]] = {
            table: {} for table in view.tables if table.found_by and table.found_by != table.key
        }
        """For tables whose rows are found by less than their key: the last key by its beginning."""

    def fold(self, events: Iterable[ViewEvent]) -> list[HandlerFailed]:
        """Fold events; gives an error for each event that a handler failed on, whose changes are left out."""
        failed = []
        handlers, find, drop = self._view.handlers, self._finder(), Drop
        put: dict[Table | None, Any] = {table: self._row_setter(table) for table in self._view.tables}
        put[None] = put[self._view.published]
        rows: dict[Table | None, dict[Key, Row]] = {None: self.rows[self._view.published]}
        for table in self._view.tables:
            rows[table] = self.rows[table]
        for event in events:
            handler = handlers.get(event.type)
            if handler is None:
                continue
            try:
                for change in handler(event, find):
                    if type(change) is drop:
                        rows[change.table].pop(change.key, None)
                    else:
                        put[change.table](change[0])
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                failed.append(HandlerFailed(self._view.name, event, error))
        return failed

    def _row_setter(self, table: Table) -> Callable[[Row], None]:
        rows, key_of, last = self.rows[table], self._keys[table], self._last_keys.get(table)
        lasts, length = {} if last is None else last, len(table.found_by)

        def put(row: Row) -> None:
            rows[key_of(row)] = row

        def put_and_remember_last(row: Row) -> None:
            key = key_of(row)
            rows[key] = row
            begin = key[:length]
            before = lasts.get(begin)
            if before is None or key > before:
                lasts[begin] = key

        return put if last is None else put_and_remember_last

    def _finder(self) -> Find:
        rows, lasts = self.rows, self._last_keys

        def find(table: Table, begin: Key) -> Row | None:
            last = lasts.get(table)
            return rows[table].get(begin if last is None else last.get(begin, begin))

        return find

    def clear(self, table: Table) -> None:
        """Forget a table's rows, once they have been compared."""
        self.rows[table].clear()

    def clear_growing(self) -> None:
        """Forget the rows of tables that only grow, because no handler looks for them."""
        for table, rows in self.rows.items():
            if table.grows:
                rows.clear()
