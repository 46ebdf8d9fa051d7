"""Folding: what a run of events does to a view's rows in all, computed in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bursar.domain.errors import BursarError
from bursar.projections.view import Add, Drop, Set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from bursar.projections.view import Fact, Key, Row, Table, View

    Load = Callable[[Table, Collection[Key]], Mapping[Key, Row]]
    """Reads the last rows of a table whose keys begin so; those that there are, by what they were found by."""

KNOWN_ROWS_MAX: Final = 200_000
"""The most rows of a view that are kept between batches, to be found without reading them again."""


class HandlerFailed(BursarError):
    """A view's handler failed on an event."""

    def __init__(self, view: str, fact: Fact, error: BaseException) -> None:
        self.view = view
        self.position = fact.position
        self.event_type = fact.type
        super().__init__(
            f"view {view} failed on {fact.type} at position {fact.position}: {type(error).__name__}: {error}"
        )


class _Missing(Exception):
    """A handler looks for a row that is not known yet."""


class Known:
    """The rows that a view's handlers find, as the events so far have left them."""

    def __init__(self, view: View) -> None:
        self._rows: dict[Table, dict[Key, Row | None]] = {table: {} for table in view.tables if table.found_by}
        self._keys = {table: table.key_getter() for table in self._rows}
        self._begins = {table: table.find_getter() for table in self._rows}

    def find(self, table: Table, begin: Key) -> Row | None:
        """Find a row; raises `_Missing` if it has not been loaded."""
        try:
            return self._rows[table][begin]
        except KeyError:
            raise _Missing from None

    def load(self, needed: Iterable[tuple[Table, Key]], load: Load) -> None:
        """Load what is not known yet, a table at a time."""
        wanted: dict[Table, dict[Key, None]] = {}
        for table, begin in needed:
            if begin not in self._rows[table]:
                wanted.setdefault(table, {})[begin] = None
        for table, begins in wanted.items():
            found = load(table, begins.keys())
            for begin in begins:
                self._rows[table][begin] = found.get(begin)

    def note(self, table: Table, row: Row) -> None:
        """Take note of a row as it is now: of those that are found alike, the last by key is the one that is."""
        rows = self._rows.get(table)
        if rows is not None:
            begin = self._begins[table](row)
            last = rows.get(begin)
            if last is None or self._keys[table](last) <= self._keys[table](row):
                rows[begin] = row

    def forget(self, table: Table, key: Key) -> None:
        """Take note that a row is gone."""
        rows = self._rows.get(table)
        if rows is not None:
            rows[key] = None

    def clear(self) -> None:
        """Forget it all: somebody else has changed the rows."""
        for rows in self._rows.values():
            rows.clear()

    def trim(self) -> None:
        """Forget it all once it has become much: it is loaded again as it is needed."""
        if sum(map(len, self._rows.values())) > KNOWN_ROWS_MAX:
            self.clear()


class Net:
    """What a run of events does to one table in all: at most one change a row."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.added: dict[Key, Row] = {}
        """Rows that were not there before."""
        self.replaced: dict[Key, Row] = {}
        """Rows that may have been there before, as they are now."""
        self.dropped: set[Key] = set()
        """Keys of rows that are gone."""
        self._key_of = table.key_getter()

    def add(self, row: Row) -> None:
        """Fold a new row."""
        key = self._key_of(row)
        if key in self.dropped:
            self.dropped.remove(key)
            self.replaced[key] = row
        else:
            self.added[key] = row

    def set(self, row: Row) -> None:
        """Fold a row as it is now."""
        key = self._key_of(row)
        if key in self.added:
            self.added[key] = row
        else:
            self.replaced[key] = row

    def drop(self, key: Key) -> None:
        """Fold the end of a row."""
        if self.added.pop(key, None) is None:
            self.replaced.pop(key, None)
            self.dropped.add(key)


def fold(view: View, facts: Sequence[Fact], known: Known, load: Load) -> list[Net]:
    """Compute what events do to a view's tables, one net a table; raises `HandlerFailed`, naming the event."""
    nets = {table: Net(table) for table in view.tables}
    published, handlers, find = view.published, view.handlers, known.find
    for index, fact in enumerate(facts):
        handler = handlers.get(fact.type)
        if handler is None:
            continue
        try:
            try:
                changes = handler(fact, find)
            except _Missing:
                known.load(_needed(view, facts[index:]), load)
                changes = handler(fact, find)
            for change in changes:
                table = change.table or published
                if isinstance(change, Add):
                    nets[table].add(change.row)
                    known.note(table, change.row)
                elif isinstance(change, Set):
                    nets[table].set(change.row)
                    known.note(table, change.row)
                else:
                    nets[table].drop(change.key)
                    known.forget(table, change.key)
        except _Missing:
            error = LookupError("the handler looks for a row that the view's `needs` does not name")
            raise HandlerFailed(view.name, fact, error) from None
        except BursarError:
            raise
        except Exception as error:
            raise HandlerFailed(view.name, fact, error) from error
    return list(nets.values())


def _needed(view: View, facts: Sequence[Fact]) -> Iterable[tuple[Table, Key]]:
    handled = view.handlers.keys()
    return (needed for fact in facts if fact.type in handled for needed in view.needs(fact))


class WholeFold:
    """A view's rows as a plain fold of the log gives them: what generations are compared with.

    It shares the handlers with `fold`, and nothing else: no nets, no loading, no batches.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.rows: dict[Table, dict[Key, Row]] = {table: {} for table in view.tables}
        """Every table's rows by key."""
        self._keys = {table: table.key_getter() for table in view.tables}
        self._last: dict[Table, dict[Key, Key]] = {table: {} for table in view.tables if table.found_by}

    def add(self, fact: Fact) -> None:
        """Fold one more event; raises `HandlerFailed`."""
        handler = self.view.handlers.get(fact.type)
        if handler is None:
            return
        try:
            changes = handler(fact, self._find)
        except Exception as error:
            raise HandlerFailed(self.view.name, fact, error) from error
        for change in changes:
            table = change.table or self.view.published
            if isinstance(change, Drop):
                self.rows[table].pop(change.key, None)
            else:
                self._put(table, change.row)

    def _put(self, table: Table, row: Row) -> None:
        key = self._keys[table](row)
        self.rows[table][key] = row
        if table.found_by:
            last = self._last[table]
            begin = key[: len(table.found_by)]
            last[begin] = max(last.get(begin, key), key)

    def _find(self, table: Table, begin: Key) -> Row | None:
        key = self._last[table].get(begin)
        return None if key is None else self.rows[table].get(key)

    def clear(self, table: Table) -> None:
        """Forget a table's rows, once they were compared."""
        self.rows[table].clear()

    def clear_growing(self) -> None:
        """Forget the rows of tables that only grow: no handler finds them."""
        for table, rows in self.rows.items():
            if table.grows:
                rows.clear()
