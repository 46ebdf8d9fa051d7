"""What a view is: its tables, its version, and one pure handler an event type, from events to changes of rows."""

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
    """Finds the last row of a table whose key begins with these values; None if there is none."""
    Handler = Callable[["ViewEvent", Find], Sequence["Add | Set | Drop"]]
    """Says what an event does to rows. Pure: it looks at nothing but the event and what it finds."""


class ViewEvent(NamedTuple):
    """An event as handlers take it: as it is stored, all times as text, its fields at the present schema version."""

    position: int
    type: str
    """The stored type name."""
    command_id: str
    ordinal: int
    ordinals: int
    occurred_at: str
    recorded_at: str
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    data: Mapping[str, Any]
    """The event's fields, as `docs/reference/events.md` lists them, in JSON's types."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A table of a view. Each generation of it is a physical table, named ``gen_<name>_<generation>``."""

    name: str
    """Of the first table, the published name; of any other, a name of its own that begins with it."""
    columns: Mapping[str, type[str | int]]
    """The columns in order; every one but those of the key may be null."""
    key: tuple[str, ...]
    """The columns that tell rows apart."""
    indexed: tuple[tuple[str, ...], ...] = ()
    """Further columns, or groups of them, that readers look rows up by."""
    found_by: tuple[str, ...] = ()
    """The columns that begin the key by which handlers find rows: the whole key, or all of it but its last column."""

    @property
    def grows(self) -> bool:
        """Tell whether rows are only ever added, in the order of the log: its key is the position."""
        return self.key == ("position",)

    def physical(self, generation: int) -> str:
        """Name the physical table of a generation."""
        return f"gen_{self.name}_{generation}"

    def key_getter(self) -> Callable[[Row], Key]:
        """Give a function that reads a row's key."""
        return _tuple_getter(self.key)

    def find_getter(self) -> Callable[[Row], Key]:
        """Give a function that reads the values by which a row is found."""
        return _tuple_getter(self.found_by)


def _tuple_getter(columns: Sequence[str]) -> Callable[[Row], Key]:
    if len(columns) == 1:
        (column,) = columns
        return lambda row: (row[column],)
    return itemgetter(*columns)


class Add(NamedTuple):
    """A row that was not there."""

    row: Row
    table: Table | None = None
    """None: the published one."""


class Set(NamedTuple):
    """A row, found before, as it is from now on; its key is the same."""

    row: Row
    table: Table | None = None


class Drop(NamedTuple):
    """The row that has this key, if there is one, goes."""

    key: Key
    table: Table | None = None


def _needs_nothing(_event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """A published view."""

    name: str
    """The published name."""
    version: int
    """Goes up with every change of what the handlers say; a change of the tables is seen without it."""
    tables: tuple[Table, ...]
    """The published table, then those that only the handlers use."""
    handlers: Mapping[str, Handler]
    """By stored type name; events of other types do nothing."""
    needs: Callable[[ViewEvent], Iterable[tuple[Table, Key]]] = field(default=_needs_nothing)
    """Names all that an event's handler may find, so that a batch's rows are loaded together."""

    @property
    def published(self) -> Table:
        """The table that the published name shows."""
        return self.tables[0]

    @property
    def fingerprint(self) -> str:
        """Name the code that builds the view: 16 hexadecimal digits of a SHA-256 over its tables and its version."""
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
