"""The log as it is stored, before any of it is trusted: pages of raw rows, and checks of their columns."""

from __future__ import annotations

import re
from operator import lt
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdbook.domain.records import StoredRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdbook.domain.ports import EventLog

    Page = Sequence[tuple[Any, ...]]
    """Rows, with values of any type in the order of the fields of `StoredRow`."""

BEFORE_ALL: Final = -(2**63)
"""A position below any that a table can hold; forged rows may have positions below 1."""

AFTER_ALL: Final = 2**63 - 1
"""The greatest position that a table can hold."""

HASH_BYTES: Final = 32
"""The length of a SHA-256 hash."""

PAGE_ROWS: Final = 5000
"""How many rows are read at a time."""


OPENINGS: Final = ("Allocated", "Reserved")
"""The types of events that begin a hold."""


class StoredLog(Protocol):
    """Reads the rows of a log as they are stored, whatever they contain; raises `LogUnavailable`."""

    def identity(self) -> tuple[str, int] | None:
        """Read the ledger's id and epoch; None if the ledger's own row is missing."""
        ...

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        ...

    def page(self, after: int, limit: int, upto: int) -> Page:
        """Read at most ``limit`` rows after one position and up to another; the page may end within a command."""
        ...

    def commands_again(self, after: int, upto: int, limit: int) -> Iterable[tuple[int, str]]:
        """Find commands recorded twice: first rows whose command id the first row of an earlier command has.

        Gives positions and command ids in order, at most ``limit``, of rows after one position and up to another.
        """
        ...

    def grants_again(self, after: int, upto: int, limit: int) -> Iterable[tuple[int, str]]:
        """Find allocations granted twice: grants that carry a command, for an id that another command granted before.

        Gives positions and allocation ids in order, at most ``limit``, of rows after one position and up to another.
        """
        ...

    def was_granted(self, allocation_id: str, before: int) -> bool:
        """Tell whether a grant of an allocation is recorded before a position."""
        ...

    def version_at(self, stream_id: str, position: int) -> int:
        """Find the version of a stream's last event up to a position; 0 if there is none."""
        ...


class RowsInMemory:
    """Reads rows from a list."""

    def __init__(self, rows: Sequence[StoredRow], ledger_id: str, epoch: int = 1) -> None:
        self._rows = rows
        self._identity = ledger_id, epoch

    def identity(self) -> tuple[str, int]:
        """Give the ledger's id and epoch."""
        return self._identity

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        return self._rows[-1].position if self._rows else 0

    def page(self, after: int, limit: int, upto: int) -> Page:
        """Give the next rows after a position."""
        return [row for row in self._rows if after < row.position <= upto][:limit]

    def commands_again(self, after: int, upto: int, limit: int) -> Iterable[tuple[int, str]]:
        """Find commands recorded twice."""
        firsts = ((row.position, row.command_id, str(row.position)) for row in self._rows if row.ordinal == 0)
        return _repeated(firsts, after, upto)[:limit]

    def grants_again(self, after: int, upto: int, limit: int) -> Iterable[tuple[int, str]]:
        """Find allocations granted twice."""
        grants = (
            (row.position, row.allocation_id, row.command_id)
            for row in self._rows
            if row.type in OPENINGS and row.command is not None and row.allocation_id is not None
        )
        return _repeated(grants, after, upto)[:limit]

    def was_granted(self, allocation_id: str, before: int) -> bool:
        """Tell whether a grant of an allocation is recorded before a position."""
        return any(
            row.allocation_id == allocation_id and row.type in OPENINGS and row.position < before for row in self._rows
        )

    def version_at(self, stream_id: str, position: int) -> int:
        """Find the version of a stream's last event up to a position."""
        return max((r.version for r in self._rows if r.stream_id == stream_id and r.position <= position), default=0)


def _repeated(entries: Iterable[tuple[int, str, str]], after: int, upto: int) -> list[tuple[int, str]]:
    """Find the entries between two positions whose key an earlier entry has, with another source."""
    seen: dict[str, str] = {}
    again = []
    for position, key, by in entries:
        if seen.setdefault(key, by) != by and after < position <= upto:
            again.append((position, key))
    return again


def rows_of(log: EventLog) -> RowsInMemory:
    """Give the rows of a log that no other program can change, such as one in memory."""
    with log.reading() as reader:
        return RowsInMemory(reader.rows_since(0), log.ledger_id, log.epoch)


def pages(stored: StoredLog, after: int, upto: int) -> Iterator[Page]:
    """Read the rows after one position and up to another, page by page."""
    while after < upto and (page := stored.page(after, PAGE_ROWS, upto)):
        yield page
        after = page[-1][0]


_INT, _TEXT, _MAYBE_TEXT = (int,), (str,), (str, NoneType)

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "position": _INT,
    "stream_id": _TEXT,
    "version": _INT,
    "type": _TEXT,
    "schema_version": _INT,
    "command_id": _TEXT,
    "ordinal": _INT,
    "ordinals": _INT,
    "allocation_id": _MAYBE_TEXT,
    "occurred_at": _TEXT,
    "recorded_at": _TEXT,
    "actor": _MAYBE_TEXT,
    "correlation_id": _MAYBE_TEXT,
    "causation_id": _MAYBE_TEXT,
    "command": _MAYBE_TEXT,
    "data": _TEXT,
    "hash": (bytes,),
}
"""The types that each column's values may have."""

is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").fullmatch
"""Tells whether a text is a time as the log writes it."""


_FIRSTS: Final = tuple(StoredRow._fields.index(name) for name in ("version", "ordinal", "ordinals"))
_TIMES: Final = tuple(StoredRow._fields.index(name) for name in ("occurred_at", "recorded_at"))


def are_sound(page: Page) -> bool:
    """Check the columns of all rows, a column at a time; gives whether every value has its type and range."""
    columns = list(zip(*page, strict=True))
    for kinds, column in zip(_KINDS.values(), columns, strict=True):
        if not set(map(type, column)) <= set(kinds):
            return False
    versions, ordinals, sizes = (columns[index] for index in _FIRSTS)
    times = {time for index in _TIMES for time in columns[index]}
    return (
        min(versions) >= 1
        and min(ordinals) >= 0
        and all(map(lt, ordinals, sizes))
        and set(map(len, columns[-1])) == {HASH_BYTES}
        and all(map(is_time, times))
    )


def fault_of(row: StoredRow) -> str | None:  # noqa: PLR0911 - one return per column
    """Describe the first column of a row whose value has a wrong type or range; None if there is none."""
    for (column, kinds), value in zip(_KINDS.items(), row, strict=True):
        if type(value) not in kinds:
            return _wrong(column, value, " or ".join(kind.__name__ for kind in kinds))
    if row.version < 1:
        return _wrong("version", row.version, "a number from 1")
    if not 0 <= row.ordinal < row.ordinals:
        return _wrong("ordinal", row.ordinal, f"a number from 0, below ordinals, which is {row.ordinals}")
    if not is_time(row.occurred_at):
        return _wrong("occurred_at", row.occurred_at, "a time as the log writes it")
    if not is_time(row.recorded_at):
        return _wrong("recorded_at", row.recorded_at, "a time as the log writes it")
    if len(row.hash) != HASH_BYTES:
        return _wrong("hash", row.hash, f"{HASH_BYTES} bytes")
    return None


def _wrong(column: str, value: object, expected: str) -> str:
    return f"column {column} is {value!r:.120}; expected {expected}"
