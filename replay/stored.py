"""The log as it is stored, nothing in it trusted: pages of raw rows, and whether their columns hold what they may."""

from __future__ import annotations

import re
from types import NoneType
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bursar.domain.ports import EventLog
    from bursar.domain.records import StoredRow

BEFORE_ALL: Final = -(2**63)
"""A position before any that a table can hold: forged rows may stand below 1."""

AFTER_ALL: Final = 2**63 - 1
"""The last position that a table can hold."""

HASH_BYTES: Final = 32
"""Length of a SHA-256."""

PAGE_ROWS: Final = 5000
"""How many rows are read at a time."""


class StoredLog(Protocol):
    """Reads the log's rows as they are, whatever is in them; raises `LogUnavailable`."""

    def identity(self) -> tuple[str, int] | None:
        """Read the ledger's id and its epoch; None if the ledger's own row is not there."""
        ...

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        ...

    def page(self, after: int, limit: int, upto: int) -> Sequence[StoredRow]:
        """Read the next rows after a position, at most ``limit`` of them, up to a position, command or not."""
        ...


class TrustedLog:
    """Reads rows through the log itself: for logs that nobody else can reach, such as one in memory."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def identity(self) -> tuple[str, int]:
        """Read the ledger's id and its epoch."""
        return self._log.ledger_id, self._log.epoch

    def head(self) -> int:
        """Find the position of the last row; 0 in an empty log."""
        with self._log.reading() as reader:
            return reader.head

    def page(self, after: int, limit: int, upto: int) -> Sequence[StoredRow]:
        """Read about ``limit`` rows after a position, up to a position."""
        return self._log.rows(max(after, 0), limit, upto=upto)


def pages(stored: StoredLog, after: int, upto: int) -> Iterator[Sequence[StoredRow]]:
    """Read page after page of rows after a position, up to a position."""
    while after < upto and (page := stored.page(after, PAGE_ROWS, upto)):
        yield page
        after = page[-1].position


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
"""What each column may hold."""

_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").fullmatch


class Columns:
    """Tells what is wrong with a row's columns by themselves."""

    def __init__(self) -> None:
        self._sound: set[tuple[type, ...]] = set()
        """Combinations of types that were found to be right."""

    def fault(self, row: StoredRow) -> str | None:
        """Name the first column that cannot be right, and why; None if there is none."""
        types = tuple(map(type, row))
        if types not in self._sound:
            for (column, kinds), value in zip(_KINDS.items(), row, strict=True):
                if type(value) not in kinds:
                    return _wrong(column, value, " or ".join(kind.__name__ for kind in kinds))
            self._sound.add(types)
        return _fault_of_values(row)


def _fault_of_values(row: StoredRow) -> str | None:
    if row.version < 1:
        return _wrong("version", row.version, "a number from 1")
    if not 0 <= row.ordinal < row.ordinals:
        return _wrong("ordinal", row.ordinal, f"a number from 0, below ordinals, which is {row.ordinals}")
    if not _is_time(row.occurred_at):
        return _wrong("occurred_at", row.occurred_at, "a time as the log writes it")
    if not _is_time(row.recorded_at):
        return _wrong("recorded_at", row.recorded_at, "a time as the log writes it")
    if len(row.hash) != HASH_BYTES:
        return _wrong("hash", row.hash, f"{HASH_BYTES} bytes")
    return None


def _wrong(column: str, value: object, expected: str) -> str:
    return f"column {column} is {value!r:.120}; expected {expected}"
