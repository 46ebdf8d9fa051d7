"""What the database keeps of sealing: checkpoints, the keys that signed them, and cosignatures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select

from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, NotFound
from holdbook.domain.values import instant_text
from holdbook.infrastructure.database.tables import checkpoints, cosignatures, seal_keys, upsert
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import Kind, VerifierKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.infrastructure.database.database import Database
    from holdbook.replay.evidence.notes import NoteSignature

_PAGE_CHECKPOINTS: Final = 1000
"""How many checkpoints are read at a time."""

_NUMBER_MAX: Final = 2**63 - 1
"""The largest number that a database can compare with."""


class NotSealed(HoldbookError):
    """The log cannot be sealed, or what is asked for is not sealed yet, or a seal is wrong."""


class KeptCheckpoint(NamedTuple):
    """A checkpoint with its cosignatures, and when it was sealed, as the database keeps it."""

    signed: Signed
    sealed_at: str


class StoredNote(NamedTuple):
    """A row of a checkpoint with the lines of its cosignatures, as they are stored; nothing is checked."""

    number: int
    note: str
    sealed_at: str
    cosignatures: Sequence[str]


def _parse(stored: StoredNote) -> KeptCheckpoint:
    """Parse a stored checkpoint; raises `Malformed`, and `NotSealed` if it was signed under another number."""
    signed = Signed.parse("".join([stored.note, *(f"{line}\n" for line in stored.cosignatures)]))
    if signed.checkpoint.number != stored.number:
        raise NotSealed(f"the checkpoint kept as number {stored.number} is another: run `holdbook verify`")
    return KeptCheckpoint(signed, stored.sealed_at)


class SealStore:
    """Reads and writes the tables of checkpoints, keys and cosignatures."""

    def __init__(self, ledger: LedgerInterface) -> None:
        if not isinstance(ledger.log, SQLEventLog):
            message = "a ledger in memory cannot be sealed"
            raise LogUnavailable(message)
        self.ledger_id = ledger.log.ledger_id
        self.database: Database = ledger.log.database

    def keys(self) -> list[VerifierKey]:
        """List the public keys that have signed, oldest first, without rows that hold no key."""
        return [key for key, _ in self._keys_by_first_use()]

    def _keys_by_first_use(self) -> Iterator[tuple[VerifierKey, int]]:
        """Read the keys, each with the number of the first checkpoint that it signed, in that order."""
        listed = select(seal_keys.c.key, seal_keys.c.since).order_by(seal_keys.c.since, seal_keys.c.key)
        with self.database.reading() as connection:
            found = connection.execute(listed).all()
        for key, since in found:
            with suppress(Malformed):
                yield VerifierKey.parse(key), since

    def handovers(self) -> list[int]:
        """List the numbers of the checkpoints at which one key of the log handed over to the next."""
        return list(dict.fromkeys(since for key, since in self._keys_by_first_use() if key.kind is Kind.NOTE))[1:]

    def last_number(self) -> int:
        """Find the number of the last checkpoint; 0 if there is none."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(checkpoints.c.number))).scalar() or 0

    def checkpoint(self, number: int | None = None) -> KeptCheckpoint:
        """Read a checkpoint, or the last one; raises `NotFound`, and `NotSealed` if there is none or it is wrong."""
        if number is None:
            number = self.last_number()
            if number == 0:
                raise NotSealed("nothing is sealed yet: run `holdbook seal`")
        found = self._page(number - 1, 1) if 0 < number <= _NUMBER_MAX else []
        if not found or found[0].number != number:
            raise NotFound("checkpoint", str(number))
        return _parse(found[0])

    def checkpoints(self) -> Iterator[KeptCheckpoint]:
        """Read all checkpoints in order; raises `Malformed` and `NotSealed` for one that is wrong."""
        return map(_parse, self.notes())

    def notes(self) -> Iterator[StoredNote]:
        """Read all checkpoints in order, as they are stored."""
        after = 0
        while page := self._page(after, _PAGE_CHECKPOINTS):
            yield from page
            after = page[-1].number

    def _page(self, after: int, limit: int) -> list[StoredNote]:
        """Read the next checkpoints after a number, each with its cosignatures in the order in which they came."""
        page = select(checkpoints.c.number, checkpoints.c.note, checkpoints.c.sealed_at)
        page = page.where(checkpoints.c.number > after).order_by(checkpoints.c.number).limit(limit)
        with self.database.reading() as connection:
            found = connection.execute(page).all()
            if not found:
                return []
            lines: dict[int, list[str]] = {}
            within = cosignatures.c.checkpoint.between(found[0].number, found[-1].number)
            listed = select(cosignatures.c.checkpoint, cosignatures.c.line).where(within)
            for number, line in connection.execute(listed.order_by(cosignatures.c.cosigned_at, cosignatures.c.key)):
                lines.setdefault(number, []).append(line)
        return [StoredNote(row.number, row.note, row.sealed_at, lines.get(row.number, [])) for row in found]

    def signers(self, signed: Signed, known: Sequence[VerifierKey] | None = None) -> list[VerifierKey]:
        """List the log's keys that signed a checkpoint, out of those that are known: the stored ones, unless given.

        Raises `NotSealed` if none of them did, or if a signature is wrong.
        """
        known = self.keys() if known is None else known
        try:
            by = [key for key in signed.note.signed_by(known) if key.kind is Kind.NOTE]
        except ValueError as error:
            raise NotSealed(f"checkpoint {signed.checkpoint.number} is forged: {error}") from None
        if not by:
            raise NotSealed(f"checkpoint {signed.checkpoint.number} is not signed by a key that is known")
        return by

    def keep(self, signed: Signed, by: Sequence[VerifierKey], at: datetime) -> bool:
        """Store a checkpoint and the keys that signed it; False if there is one of its number already."""
        number = signed.checkpoint.number
        row = {"number": number, "size": signed.checkpoint.size, "note": str(signed.note)}
        with self.database.changing() as connection:
            is_first = _insert_new(connection, checkpoints, {**row, "sealed_at": instant_text(at)})
            for key in by if is_first else ():
                _insert_new(connection, seal_keys, {"key": str(key), "since": number})
        return is_first

    def add_cosignature(self, number: int, key: VerifierKey, signature: NoteSignature, at: datetime) -> bool:
        """Store a witness's signature of a checkpoint; False if this witness has signed it before."""
        row = {"checkpoint": number, "key": str(key), "line": str(signature), "cosigned_at": instant_text(at)}
        with self.database.changing() as connection:
            _insert_new(connection, seal_keys, {"key": str(key), "since": number})
            return _insert_new(connection, cosignatures, row)


def _insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless there is one with its key; tell whether it was inserted."""
    adding = upsert(connection, table).values(row).on_conflict_do_nothing()
    return connection.execute(adding, execution_options={"preserve_rowcount": True}).rowcount == 1
