"""How a view is defined: its tables, its version, and one pure function per event type that gives changes of rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.values import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Row = dict[str, Any]
    Key = tuple[Any, ...]
    Find = Callable[["Table", "Key"], "Row | None"]
    """Finds the row of a table whose key begins with these values; the last by key if there are several, else None."""
    Handler = Callable[["ViewEvent", Find], Sequence["Add | Set | Drop"]]
    """Gives the changes that an event makes to a view's rows. Pure: it uses only the event and rows found."""


class ViewEvent(NamedTuple):
    """An event as a view's handlers get it: times as text, as they are stored; fields at the present schema version."""

    position: int
    type: str
    """The stored name of the event's type, such as ``Allocated``."""
    command_id: str
    ordinal: int
    ordinals: int
    occurred_at: str
    recorded_at: str
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    data: Mapping[str, Any]
    """The event's fields as JSON values, listed in `docs/reference/events.md`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A table of a view. Each generation has a physical table of its own, named ``gen_<name>_<generation>``."""

    name: str
    """For the first table, the view's published name; for any other, a name that begins with it."""
    columns: Mapping[str, type[str | int]]
    """The columns in order, with their types. Columns that are not in the key may be null."""
    key: tuple[str, ...]
    """The columns that identify a row."""
    indexed: tuple[tuple[str, ...], ...] = ()
    """Other groups of columns that get an index because readers look rows up by them."""
    found_by: tuple[str, ...] = ()
    """The columns by which handlers find rows: the whole key, or the key without its last column. Empty if none do."""

    @property
    def grows(self) -> bool:
        """Tell whether rows are only ever added, in the order of the log: that is so if the key is the position."""
        return self.key == ("position",)

    def physical(self, generation: int) -> str:
        """Give the name of a generation's physical table."""
        return f"gen_{self.name}_{generation}"

    def key_getter(self) -> Callable[[Row], Key]:
        """Give a function that reads a row's key."""
        return _tuple_getter(self.key)

    def find_getter(self) -> Callable[[Row], Key]:
        """Give a function that reads a row's values in the columns `found_by`."""
        return _tuple_getter(self.found_by)


def _tuple_getter(columns: Sequence[str]) -> Callable[[Row], Key]:
    if len(columns) == 1:
        (column,) = columns
        return lambda row: (row[column],)
    return itemgetter(*columns)


class Add(NamedTuple):
    """Adds a row whose key is not in the table."""

    row: Row
    table: Table | None = None
    """The table; None stands for the published one."""


class Set(NamedTuple):
    """Replaces a row that the handler has found; its key stays the same."""

    row: Row
    table: Table | None = None


class Drop(NamedTuple):
    """Removes the row that has this key, if there is one."""

    key: Key
    table: Table | None = None


def _needs_nothing(_event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """A published view, as code: a database holds generations that were built by it."""

    name: str
    """The published name, under which readers query the view."""
    version: int
    """To be raised with every change of what the handlers do. A change of the tables needs no other version."""
    tables: tuple[Table, ...]
    """The published table first, then tables that only the handlers use."""
    handlers: Mapping[str, Handler]
    """Handlers by the stored name of the event type. Events of other types change nothing."""
    needs: Callable[[ViewEvent], Iterable[tuple[Table, Key]]] = field(default=_needs_nothing)
    """Names every row that the event's handler may look for, so that the rows of a whole batch are loaded at once."""

    @property
    def published(self) -> Table:
        """The table that readers see under the published name."""
        return self.tables[0]

    @property
    def fingerprint(self) -> str:
        """Identify the code that builds the view: 16 hexadecimal digits of a SHA-256 over version and tables."""
        tables = [
            {
                "name": table.name,
                "columns": [[name, kind.__name__] for name, kind in table.columns.items()],
                "key": table.key,
                "indexed": table.indexed,
            }
            for table in self.tables
        ]
        text = canonical_json({"version": self.version, "tables": tables})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
