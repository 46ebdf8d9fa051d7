"""What a view is: its columns, its key, and one pure handler from events to changes of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, column
from sqlalchemy import table as table_clause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import TableClause

    from bursar.domain.records import Recorded

    Find = Callable[["Key"], "Row | None"]
    """Finds the last row whose key begins with these values; None if there is none."""

Key = tuple[Any, ...]
Row = dict[str, Any]

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


@dataclass(frozen=True, slots=True)
class Put:
    """A new row."""

    row: Row


@dataclass(frozen=True, slots=True)
class Change:
    """Other values in some columns of the row that has this key."""

    key: Key
    values: Row


@dataclass(frozen=True, slots=True)
class Drop:
    """The row that has this key goes."""

    key: Key


class View(ABC):
    """A published view. Its physical tables are named ``gen_<name>_<generation>``."""

    name: ClassVar[str]
    """The published name."""
    columns: ClassVar[Mapping[str, type[str | int]]]
    """The columns in order; every one but those of the key may be null."""
    key: ClassVar[tuple[str, ...]]
    """The columns that tell rows apart."""
    indexed: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Further columns, or groups of them, that readers look rows up by."""
    found_by: ClassVar[tuple[str, ...]] = ()
    """The columns that begin the key by which `changes` finds the view's own rows; such a view drops none."""

    @abstractmethod
    def changes(self, recorded: Recorded, find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows; pure but for ``find``.

        ``find`` takes values of the columns ``found_by`` and gives the last row, by key, that has them, as the events
        before this one have left it.
        """

    def table(self, generation: int) -> Table:
        """Describe the physical table of a generation."""
        name = f"gen_{self.name}_{generation}"
        table = Table(
            name,
            MetaData(),
            *(
                Column(
                    column, _TEXT if kind is str else BigInteger, primary_key=column in self.key, autoincrement=False
                )
                for column, kind in self.columns.items()
            ),
        )
        for group in self.indexed:
            Index(f"ix_{name}_{'_'.join(group)}", *(table.c[column] for column in group))
        return table

    def published(self) -> TableClause:
        """Name the view and its columns as readers know them."""
        return table_clause(self.name, *map(column, self.columns))

    def key_of(self, row: Mapping[str, Any]) -> Key:
        """Read a row's key."""
        return tuple(row[column] for column in self.key)


class Known:
    """The rows that a view's handler finds, as the events so far have left them; what is not known yet is loaded."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._length = len(view.found_by)
        self._rows: dict[Key, Row | None] = {}

    def find(self, begin: Key, load: Find) -> Row | None:
        """Find the last row whose key begins so."""
        if begin not in self._rows:
            self._rows[begin] = load(begin)
        return self._rows[begin]

    def put(self, row: Row, load: Find) -> None:
        """Take note of a new row."""
        if self._length:
            key = self._view.key_of(row)
            last = self.find(key[: self._length], load)
            if last is None or self._view.key_of(last) <= key:
                self._rows[key[: self._length]] = row

    def change(self, key: Key, values: Row, load: Find) -> None:
        """Take note of other values in a row."""
        if self._length:
            last = self.find(key[: self._length], load)
            if last is not None and self._view.key_of(last) == key:
                self._rows[key[: self._length]] = {**last, **values}

    def clear(self) -> None:
        """Forget it all: somebody else has changed the rows."""
        self._rows.clear()


def nothing(_begin: Key) -> None:
    """Load from a view that has no rows yet."""


@dataclass(slots=True)
class Net:
    """What a run of events does to a view in all: at most one change a row."""

    view: View
    known: Known
    load: Find = nothing
    puts: dict[Key, Row] = field(default_factory=dict)
    changed: dict[Key, Row] = field(default_factory=dict)
    drops: set[Key] = field(default_factory=set)

    def add(self, recorded: Recorded) -> None:
        """Fold one more event."""
        for change in self.view.changes(recorded, self._find):
            match change:
                case Put(row):
                    self.puts[self.view.key_of(row)] = row
                    self.known.put(row, self.load)
                case Change(key, values):
                    self._change(key, values)
                    self.known.change(key, values, self.load)
                case Drop(key) if key in self.puts:
                    del self.puts[key]
                case _:  # Drop
                    self.changed.pop(change.key, None)
                    self.drops.add(change.key)

    def _find(self, begin: Key) -> Row | None:
        return self.known.find(begin, self.load)

    def _change(self, key: Key, values: Row) -> None:
        if key in self.puts:
            self.puts[key] = {**self.puts[key], **values}
        else:
            self.changed[key] = {**self.changed.get(key, {}), **values}
