"""The log's own transaction, and the SQL that both databases share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.records import StoredRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from holdbook.infrastructure.database.postgres import PostgresTransactions
    from holdbook.infrastructure.database.sqlite import SQLiteTransactions

COLUMNS: Final = ", ".join(StoredRow._fields)

LAST: Final = "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1"
"""Where the log ends."""

HAS_QUEUE: Final = "EXISTS (SELECT 1 FROM queue)"
"""Whether anybody waits, or did before it was gone."""


@dataclass(slots=True)
class Appending:
    """A transaction that holds the log's lock."""

    transactions: PostgresTransactions | SQLiteTransactions
    connection: Connection
    driver: Any
    position: int
    """Where the log ends; 0 if it is empty."""
    hash: bytes | None
    """Hash of its last row; None if it is empty."""
    has_queue: bool
    """Whether anybody waits for anything."""
    news: Sequence[StoredRow] | None
    """The rows after the position that was asked for, if they are few enough to be read with the lock."""
    has_rows: bool = False
    """Whether rows were inserted, so that subscribers are to be woken."""
    pending: Sequence[StoredRow] = ()
    """Rows that are few enough to be inserted with the commit."""

    def insert(self, rows: Sequence[StoredRow]) -> None:
        """Insert rows in bulk."""
        self.transactions.insert(self, rows)

    def vouch(self) -> None:
        """Have the commit wait for whatever the rows that are there already have to wait for."""
        self.transactions.vouch(self)
