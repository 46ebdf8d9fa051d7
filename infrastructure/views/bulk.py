"""Read and write many rows of a view's table at a time, in the fastest way of each database."""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from holdbook.projections.generations import RowsRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from holdbook.projections.definition import Key, Row, Table
    from holdbook.projections.fold import TableChanges

_REFUSALS: Final = (
    *(psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException),
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
    *(OverflowError, TypeError, KeyError),
)
"""What drivers raise for rows that cannot be stored, unlike errors of a database that cannot be used."""


class Bulk(Protocol):
    """Reads and writes rows on the driver's own connection."""

    def find(self, driver: Any, table: Table, generation: int, begins: Collection[Key]) -> Iterator[Row]:  # noqa: ANN401 - either driver's connection
        """Read, for each of the beginnings of a key, the last row whose key begins so."""
        ...

    def write(self, driver: Any, changes: TableChanges, generation: int) -> None:  # noqa: ANN401 - either driver's connection
        """Write a table's changes; raises `RowsRefused` if the database refuses a row."""
        ...


class PostgresBulk:
    """Uses arrays of keys, and COPY. Prepares no statement: a plan made for a small table would be kept as it grows."""

    def find(
        self, driver: psycopg.Connection[Any], table: Table, generation: int, begins: Collection[Key]
    ) -> Iterator[Row]:
        """Read, for each of the beginnings of a key, the last row whose key begins so."""
        keys = ", ".join(f"{name}" for name in table.found_by)
        matches = " AND ".join(f"t.{name} = k.{name}" for name in table.found_by)
        last = ", ".join(f"t.{name} DESC" for name in table.key)
        statement = (
            f"SELECT found.* FROM unnest({_arrays(table, table.found_by)}) AS k({keys}) "  # noqa: S608 - own names
            f"CROSS JOIN LATERAL (SELECT {', '.join(f't.{name}' for name in table.columns)} "
            f"FROM {table.physical(generation)} t WHERE {matches} ORDER BY {last} LIMIT 1) found"
        )
        return _rows(table, driver.execute(statement, _columns(begins), prepare=False))

    def write(self, driver: psycopg.Connection[Any], changes: TableChanges, generation: int) -> None:
        """Write a table's changes; raises `RowsRefused`."""
        table, physical = changes.table, changes.table.physical(generation)
        try:
            gone = [*changes.dropped, *changes.replaced]
            if gone:
                keys = ", ".join(table.key)
                matches = " AND ".join(f"t.{name} = k.{name}" for name in table.key)
                statement = (
                    f"DELETE FROM {physical} t USING unnest({_arrays(table, table.key)}) AS k({keys}) "  # noqa: S608 - own names
                    f"WHERE {matches}"
                )
                driver.execute(statement, _columns(gone), prepare=False)
            if changes.added or changes.replaced:
                columns = tuple(table.columns)
                with (
                    driver.cursor() as cursor,
                    cursor.copy(f"COPY {physical} ({', '.join(columns)}) FROM STDIN") as copy,
                ):
                    for values in _values(changes):
                        copy.write_row(values)
        except _REFUSALS as error:
            raise _refused(table, error) from error


class SQLiteBulk:
    """Uses a statement for each row, as no statement has to travel to a server."""

    def find(self, driver: sqlite3.Connection, table: Table, generation: int, begins: Collection[Key]) -> Iterator[Row]:
        """Read, for each of the beginnings of a key, the last row whose key begins so."""
        matches = " AND ".join(f"{name} = ?" for name in table.found_by)
        last = ", ".join(f"{name} DESC" for name in table.key)
        statement = (
            f"SELECT {', '.join(table.columns)} FROM {table.physical(generation)} WHERE {matches} "  # noqa: S608 - own names
            f"ORDER BY {last} LIMIT 1"
        )
        for begin in begins:
            yield from _rows(table, driver.execute(statement, begin))

    def write(self, driver: sqlite3.Connection, changes: TableChanges, generation: int) -> None:
        """Write a table's changes; raises `RowsRefused`."""
        table, physical = changes.table, changes.table.physical(generation)
        try:
            gone = [*changes.dropped, *changes.replaced]
            if gone:
                matches = " AND ".join(f"{name} = ?" for name in table.key)
                driver.executemany(f"DELETE FROM {physical} WHERE {matches}", gone)  # noqa: S608 - own names
            marks = ", ".join("?" * len(table.columns))
            insert = f"INSERT INTO {physical} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608 - own names
            driver.executemany(insert, _values(changes))
        except _REFUSALS as error:
            raise _refused(table, error) from error


def _refused(table: Table, error: Exception) -> RowsRefused:
    return RowsRefused(f"the database refused a row of {table.name}: {type(error).__name__}: {str(error).strip()}")


def _values(changes: TableChanges) -> Iterator[Sequence[Any]]:
    values_of = itemgetter(*changes.table.columns)
    for rows in (changes.added, changes.replaced):
        yield from map(values_of, rows.values())


def _rows(table: Table, found: Any) -> Iterator[Row]:  # noqa: ANN401 - either driver's cursor
    columns = tuple(table.columns)
    return (dict(zip(columns, values, strict=True)) for values in found)


def _arrays(table: Table, names: Sequence[str]) -> str:
    return ", ".join("%s::text[]" if table.columns[name] is str else "%s::bigint[]" for name in names)


def _columns(keys: Collection[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
