"""A row of the log, its canonical bytes, the chain of hashes, and the event as read back from it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import to_json

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook.domain.events import Event

LOG_FORMAT: Final = 1
"""Version of the row format that `canonical_bytes` and `genesis` define."""


class StoredRow(NamedTuple):
    """One row of the table ``events``, its columns in order."""

    position: int
    stream_id: str
    version: int
    type: str
    schema_version: int
    command_id: str
    ordinal: int
    ordinals: int
    allocation_id: str | None
    occurred_at: str
    recorded_at: str
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    command: str | None
    data: str
    hash: bytes

    @property
    def ends_command(self) -> bool:
        """Tell whether this is the last row of its command."""
        return self.ordinal == self.ordinals - 1


class LogPosition(NamedTuple):
    """Where a row is in the log, and its hash, which no other row there, and no other log up to there, can have."""

    position: int
    hash: bytes

    @classmethod
    def of(cls, row: StoredRow) -> LogPosition:
        """Name the place of a row."""
        return cls(row.position, row.hash)


_IN_COLUMNS: Final = frozenset({int, str, type(None)})
"""What a row is made of. Anything else could be written as one of these are: bytes as the text that they spell."""


def canonical_bytes(row: StoredRow) -> bytes:
    """Write a row as RFC 8785 canonical JSON: the array of its columns in order, all but the hash, in UTF-8.

    Raises TypeError or ValueError for what no log has written.
    """
    columns = row[:-1]
    if not _IN_COLUMNS.issuperset(map(type, columns)):
        message = f"a row of the log holds whole numbers, text and None, not {columns}"
        raise TypeError(message)
    return to_json(columns)


def genesis(ledger_id: str) -> bytes:
    """Compute the hash before the first row: SHA-256 of ``holdbook-log-1`` NUL and the ledger's id."""
    return hashlib.sha256(f"holdbook-log-{LOG_FORMAT}\0{ledger_id}".encode()).digest()


def chain_hash(previous: bytes, row: StoredRow) -> bytes:
    """Compute a row's hash: SHA-256 of the 32 bytes of the hash before it and the row's canonical bytes."""
    return hashlib.sha256(previous + canonical_bytes(row)).digest()


class Recorded(NamedTuple):
    """An event in the log, with its envelope."""

    position: int
    """Number in the whole log, from 1, without gaps."""
    version: int
    """Number within its stream, from 1."""
    command_id: str
    ordinal: int
    """Number within its command, from 0."""
    ordinals: int
    """How many events the command has."""
    occurred_at: datetime
    recorded_at: datetime
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    command: str | None
    """The whole command as canonical JSON, on the first event that is the command's own; else None."""
    event: Event
