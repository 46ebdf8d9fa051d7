"""What a view is: its columns, its key, and one pure handler from events to changes of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bursar.domain.records import Recorded

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

    @abstractmethod
    def changes(self, recorded: Recorded) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows; pure."""

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

    def key_of(self, row: Mapping[str, Any]) -> Key:
        """Read a row's key."""
        return tuple(row[column] for column in self.key)


@dataclass(slots=True)
class Net:
    """What a run of events does to a view in all: at most one change a row."""

    view: View
    puts: dict[Key, Row] = field(default_factory=dict)
    changed: dict[Key, Row] = field(default_factory=dict)
    drops: set[Key] = field(default_factory=set)

    def add(self, recorded: Recorded) -> None:
        """Fold one more event."""
        for change in self.view.changes(recorded):
            match change:
                case Put(row):
                    self.puts[self.view.key_of(row)] = row
                case Change(key, values) if key in self.puts:
                    self.puts[key] = {**self.puts[key], **values}
                case Change(key, values):
                    self.changed[key] = {**self.changed.get(key, {}), **values}
                case Drop(key) if key in self.puts:
                    del self.puts[key]
                case _:  # Drop
                    self.changed.pop(change.key, None)
                    self.drops.add(change.key)
