"""The rows of the log: their columns, their canonical bytes, their chain of hashes, and the event read from a row."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import to_json

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook.domain.events import Event

LOG_FORMAT: Final = 1
"""Version of the format that `canonical_bytes`, `genesis` and `chain_hash` define."""


class StoredRow(NamedTuple):
    """One row of the table ``events``, with its columns in order: an event in its envelope, as the log stores it."""

    position: int
    """The event's number in the whole log, from 1, without gaps."""
    stream_id: str
    version: int
    """The event's number within its stream, from 1."""
    type: str
    """Name of the event's class."""
    schema_version: int
    command_id: str
    ordinal: int
    """The event's number within its command, from 0."""
    ordinals: int
    """How many events the command has."""
    allocation_id: str | None
    """The allocation that the event is about; None if it is about none."""
    occurred_at: str
    """UTC, as `instant_text` writes it; so is ``recorded_at``."""
    recorded_at: str
    actor: str | None
    correlation_id: str | None
    causation_id: str | None
    command: str | None
    """The whole command as canonical JSON, on the first event that is the command's own; else None."""
    data: str
    """The event's fields as JSON."""
    hash: bytes
    """SHA-256 over the hash before it and the other columns: see `chain_hash`."""

    @property
    def ends_command(self) -> bool:
        """Tell whether this is the last row of its command."""
        return self.ordinal == self.ordinals - 1


class LogPosition(NamedTuple):
    """A position in the log with the hash of the row there.

    The hash covers all rows up to there: two logs that agree in it have the same rows up to this position.
    """

    position: int
    hash: bytes

    @classmethod
    def of(cls, row: StoredRow) -> LogPosition:
        """Give the position and the hash of a row."""
        return cls(row.position, row.hash)


_COLUMN_TYPES: Final = frozenset({int, str, type(None)})
"""The types of a row's values. Another type could be written as the same bytes as one of them: b"a" as "a"."""


def canonical_bytes(row: StoredRow) -> bytes:
    """Write a row as canonical JSON (RFC 8785): an array of its columns in order, without the hash, in UTF-8.

    Raises TypeError for a value of another type than a log has, and ValueError for text that UTF-8 cannot write.
    """
    columns = row[:-1]
    if not _COLUMN_TYPES.issuperset(map(type, columns)):
        message = f"a row of the log holds whole numbers, text and None, not {columns}"
        raise TypeError(message)
    return to_json(columns)


def genesis(ledger_id: str) -> bytes:
    """Compute the hash before the first row: SHA-256 of ``holdbook-log-1`` NUL and the ledger's id."""
    return hashlib.sha256(f"holdbook-log-{LOG_FORMAT}\0{ledger_id}".encode()).digest()


def chain_hash(previous: bytes, row: StoredRow) -> bytes:
    """Compute a row's hash: SHA-256 over the 32 bytes of the hash before it, followed by the row's canonical bytes."""
    return hashlib.sha256(previous + canonical_bytes(row)).digest()


class Recorded(NamedTuple):
    """An event in its envelope, as read from a row of the log."""

    position: int
    """The event's number in the whole log, from 1, without gaps."""
    version: int
    """The event's number within its stream, from 1."""
    command_id: str
    """Id of the command that recorded it."""
    ordinal: int
    """The event's number within its command, from 0."""
    ordinals: int
    """How many events the command has."""
    occurred_at: datetime
    """When it happened, in UTC: the time that its command was decided at, or for an expiry the deadline."""
    recorded_at: datetime
    """When it was written to the log, in UTC."""
    actor: str | None
    """Who issued the command."""
    correlation_id: str | None
    """What the command belongs to, in the caller's words."""
    causation_id: str | None
    """What caused the command, in the caller's words."""
    command: str | None
    """The whole command as canonical JSON, on the first event that is the command's own; else None."""
    event: Event
