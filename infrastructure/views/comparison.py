"""Compare two generations of a view at the same position, in the columns that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, column, func, inspect, or_, select
from sqlalchemy import table as table_clause

from holdbook.infrastructure.database.tables import generations
from holdbook.projections.generations import GenerationComparison

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, FromClause, Select

    from holdbook.infrastructure.database.database import Database
    from holdbook.projections.definition import Table, View
    from holdbook.projections.generations import Generation

DIFFERENCES_MAX: Final = 10
"""The most differences that are reported."""

PIECE_ROWS: Final = 50_000
"""How many positions of a table that only grows are compared in one transaction."""


def compare(database: Database, view: View, live: Generation, building: Generation) -> GenerationComparison | None:
    """Compare two generations; None if they are not at the same position.

    A table that only grows is compared piece by piece, every other one in a single transaction.
    """
    with database.reading() as connection:
        position = _common_position(connection, live, building)
        if position is None:
            return None
        pairs = [pair for table in view.tables if (pair := _Pair.of(connection, table, live, building))]
        whole = [pair for pair in pairs if not pair.table.grows]
        rows = sum(pair.count(connection) for pair in whole)
        found = [line for pair in whole for line in pair.differences(connection)]
    for after in range(0, position, PIECE_ROWS):
        piece = (after, min(after + PIECE_ROWS, position))
        for pair in pairs:
            if pair.table.grows and len(found) < DIFFERENCES_MAX:
                with database.reading() as connection:
                    rows += pair.count(connection, piece)
                    found += pair.differences(connection, piece)
    return GenerationComparison(position, rows, tuple(found[:DIFFERENCES_MAX]))


def _common_position(connection: Connection, live: Generation, building: Generation) -> int | None:
    both = select(generations.c.position).where(
        generations.c.view == live.view, generations.c.generation.in_((live.number, building.number))
    )
    found = connection.execute(both).scalars().all()
    return found[0] if len(found) == 2 and found[0] == found[1] else None  # noqa: PLR2004 - the two generations


class _Pair:
    """One table of a view, in two generations: ``live`` and ``building``."""

    def __init__(self, table: Table, columns: Sequence[str], live: FromClause, building: FromClause) -> None:
        self.table = table
        self._columns = [name for name in columns if name not in table.key]
        self._live = live
        self._building = building
        self._same_key = and_(*(live.c[name] == building.c[name] for name in table.key))

    @classmethod
    def of(cls, connection: Connection, table: Table, live: Generation, building: Generation) -> _Pair | None:
        """Describe a table of both; None if the live generation does not have it, or has it with another key."""
        inspector = inspect(connection)
        name = table.physical(live.number)
        if not inspector.has_table(name):
            return None
        present = {str(one["name"]) for one in inspector.get_columns(name)}
        if tuple(inspector.get_pk_constraint(name)["constrained_columns"]) != table.key:
            return None
        common = [one for one in table.columns if one in present]
        sides = ((name, "live"), (table.physical(building.number), "next"))
        clauses = (table_clause(one, *map(column, common)).alias(alias) for one, alias in sides)
        return cls(table, common, *clauses)

    def count(self, connection: Connection, piece: tuple[int, int] | None = None) -> int:
        """Count the rows of the new generation; with a piece, those after its first and up to its second position."""
        counted = _within(select(func.count()).select_from(self._building), self._building, piece)
        return int(connection.execute(counted).scalar_one())

    def differences(self, connection: Connection, piece: tuple[int, int] | None = None) -> Iterator[str]:
        """Describe the first differences, in values or rows that only one side has; with a piece, only within it."""
        key = [self._building.c[name] for name in self.table.key]
        values = [side.c[name] for name in self._columns for side in (self._live, self._building)]
        gone = self._live.c[self.table.key[0]].is_(None)
        unlike = (self._building.c[name].is_distinct_from(self._live.c[name]) for name in self._columns)
        both = select(gone, *key, *values).select_from(self._building.outerjoin(self._live, self._same_key))
        both = _within(both.where(or_(gone, *unlike)), self._building, piece).order_by(*key).limit(DIFFERENCES_MAX)
        for is_new, *found in connection.execute(both):
            where, rest = self._named(found[: len(key)]), found[len(key) :]
            if is_new:
                yield f"{where} is not in the live generation"
                continue
            for name, old, new in zip(self._columns, rest[::2], rest[1::2], strict=True):
                if old != new:
                    yield f"{where}: {name} is {old!r} in the live generation, {new!r} in the new one"
        key = [self._live.c[name] for name in self.table.key]
        lost = select(*key).select_from(self._live.outerjoin(self._building, self._same_key))
        lost = lost.where(self._building.c[self.table.key[0]].is_(None))
        lost = _within(lost, self._live, piece).order_by(*key).limit(DIFFERENCES_MAX)
        for row in connection.execute(lost):
            yield f"{self._named(row)} is in the live generation only"

    def _named(self, key: Sequence[object]) -> str:
        named = (f"{name} {value!r}" for name, value in zip(self.table.key, key, strict=True))
        return f"{self.table.name} at {', '.join(named)}"


def _within(query: Select[Any], side: FromClause, piece: tuple[int, int] | None) -> Select[Any]:
    if piece is None:
        return query
    return query.where(side.c.position > piece[0], side.c.position <= piece[1])
