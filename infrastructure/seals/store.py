"""What the database keeps of sealing: checkpoints, the keys that signed them, and cosignatures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, NotFound
from holdbook.domain.values import instant_text
from holdbook.infrastructure.database.tables import checkpoints, cosignatures, seal_keys
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import Kind, VerifierKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from holdbook.domain.ports import EventLog
    from holdbook.infrastructure.database.database import Database
    from holdbook.replay.evidence.notes import NoteSignature

_PAGE_CHECKPOINTS: Final = 1000
_NUMBER_MAX: Final = 2**63 - 1


class NotSealed(HoldbookError):
    """It cannot be sealed, or is not sealed yet."""


class SealedLedger(Protocol):
    """A ledger whose log is sealed; see `holdbook.infrastructure.ledger.Ledger`."""

    @property
    def log(self) -> EventLog:
        """The ledger's log."""
        ...


class KeptCheckpoint(NamedTuple):
    """A checkpoint as the database keeps it."""

    signed: Signed
    sealed_at: str


class StoredNote(NamedTuple):
    """A checkpoint as it is stored, whatever it is."""

    number: int
    note: str
    sealed_at: str
    cosignatures: Sequence[str]


def _kept(stored: StoredNote) -> KeptCheckpoint:
    signed = Signed.parse("".join([stored.note, *(f"{line}\n" for line in stored.cosignatures)]))
    if signed.checkpoint.number != stored.number:
        raise NotSealed(f"the checkpoint kept as number {stored.number} is another: run `holdbook verify`")
    return KeptCheckpoint(signed, stored.sealed_at)


class SealStore:
    """What the database keeps of sealing."""

    def __init__(self, ledger: SealedLedger) -> None:
        if not isinstance(ledger.log, SQLEventLog):
            message = "a ledger in memory cannot be sealed"
            raise LogUnavailable(message)
        self.ledger_id = ledger.log.ledger_id
        self.database: Database = ledger.log.database

    def keys(self) -> list[VerifierKey]:
        """List the public keys of those who signed, the oldest first; one that is none is left out."""
        return [key for key, _ in self._keys()]

    def _keys(self) -> Iterator[tuple[VerifierKey, int]]:
        listed = select(seal_keys.c.key, seal_keys.c.since).order_by(seal_keys.c.since, seal_keys.c.key)
        with self.database.reading() as connection:
            found = connection.execute(listed).all()
        for key, since in found:
            with suppress(Malformed):
                yield VerifierKey.parse(key), since

    def handovers(self) -> list[int]:
        """List the checkpoints that a key signed first, and another key before it: there it was handed over to."""
        return list(dict.fromkeys(since for key, since in self._keys() if key.kind is Kind.NOTE))[1:]

    def last_number(self) -> int:
        """Find the number of the last checkpoint; 0 if there is none."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(checkpoints.c.number))).scalar() or 0

    def checkpoint(self, number: int | None = None) -> KeptCheckpoint:
        """Read a checkpoint, the last if no number is given; raises `NotFound`, `NotSealed` if there is none at all."""
        if number is None:
            number = self.last_number()
            if number == 0:
                raise NotSealed("nothing is sealed yet: run `holdbook seal`")
        found = self._page(number - 1, 1) if 0 < number <= _NUMBER_MAX else []
        if not found or found[0].number != number:
            raise NotFound("checkpoint", str(number))
        return _kept(found[0])

    def checkpoints(self) -> Iterator[KeptCheckpoint]:
        """Read the checkpoints in order, with their cosignatures."""
        return map(_kept, self.notes())

    def notes(self) -> Iterator[StoredNote]:
        """Read what is kept of each checkpoint, in order."""
        after = 0
        while page := self._page(after, _PAGE_CHECKPOINTS):
            yield from page
            after = page[-1].number

    def _page(self, after: int, limit: int) -> list[StoredNote]:
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
        """List the ledger's keys that signed a checkpoint; raises `NotSealed` if none did, or a signature is wrong."""
        known = self.keys() if known is None else known
        try:
            by = [key for key in signed.note.signed_by(known) if key.kind is Kind.NOTE]
        except ValueError as error:
            raise NotSealed(f"checkpoint {signed.checkpoint.number} is forged: {error}") from None
        if not by:
            raise NotSealed(f"checkpoint {signed.checkpoint.number} is not signed by a key that is known")
        return by

    def keep(self, signed: Signed, by: Sequence[VerifierKey], at: datetime) -> bool:
        """Keep a checkpoint and the keys that signed it; False if another of its number was there first."""
        number = signed.checkpoint.number
        row = {"number": number, "size": signed.checkpoint.size, "note": str(signed.note)}
        with self.database.changing() as connection:
            is_first = _insert_new(connection, checkpoints, {**row, "sealed_at": instant_text(at)})
            for key in by if is_first else ():
                _insert_new(connection, seal_keys, {"key": str(key), "since": number})
        return is_first

    def add_cosignature(self, number: int, key: VerifierKey, signature: NoteSignature, at: datetime) -> bool:
        """Keep a witness's signature of a checkpoint; False if its first one is there already."""
        row = {"checkpoint": number, "key": str(key), "line": str(signature), "cosigned_at": instant_text(at)}
        with self.database.changing() as connection:
            _insert_new(connection, seal_keys, {"key": str(key), "since": number})
            return _insert_new(connection, cosignatures, row)


def _insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless one with its key is there; tell whether it was inserted."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).values(row).on_conflict_do_nothing()
    return connection.execute(adding, execution_options={"preserve_rowcount": True}).rowcount == 1
