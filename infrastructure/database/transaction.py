"""The transaction that appends to the log: a protocol that each database implements, and the SQL that both share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from holdbook.domain.records import StoredRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from holdbook.domain.records import LogPosition

COLUMNS: Final = ", ".join(StoredRow._fields)
"""The columns of ``events``, in the order of `StoredRow`."""

LAST: Final = "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1"
"""Finds where the log ends."""

HAS_QUEUE: Final = "EXISTS (SELECT 1 FROM queue)"
"""Tells whether the queue has entries, those of processes that have ended included."""


class Transaction(Protocol):
    """An open transaction that holds the log's lock: nobody else appends until it ends."""

    connection: Connection
    """The connection that it runs on, for statements of other tables."""
    head: int
    """Position of the log's last row; 0 if the log is empty."""
    head_hash: bytes | None
    """Hash of the log's last row; None if the log is empty."""
    has_queue: bool
    """Whether commands wait in the queue."""
    news: Sequence[StoredRow] | None
    """The rows after the position that `Connector.begin` was given; None if they have not been read with the lock."""

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Insert rows at the log's end. They may be sent only with the commit."""
        ...

    def vouch(self) -> None:
        """Make the commit, also one that changes nothing, wait until the rows that are there already are durable."""
        ...

    def commit(self) -> None:
        """Commit. What was inserted is durable when this returns; subscribers are woken."""
        ...


class Connector(Protocol):
    """Connects to one kind of database for the log's transactions, and begins them."""

    deadline: float | None
    """When to stop waiting for the database, on the clock of `time.monotonic`; None: no limit of the caller's."""

    def connect(self) -> Any:  # noqa: ANN401 - either driver's connection
        """Open a connection for the log's transactions."""
        ...

    def begin(self, connection: Connection, since: int | None) -> Transaction:
        """Begin a transaction: take the log's lock, then look where the log ends.

        With ``since``, the rows after that position may be read in the same trip.
        """
        ...

    def append_if(self, connection: Connection, end: LogPosition, rows: Sequence[StoredRow]) -> bool:
        """Append rows and commit if the log ends at ``end`` and the queue is empty; tell whether it was done."""
        ...
