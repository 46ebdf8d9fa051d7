"""Sealing: the Merkle tree built after commit, off the write path, and checkpoints of it, signed.

The tree grows in short transactions of its own, each of so many rows. A sealer that is killed goes on where it was; two
at once build the same, and of two checkpoints of one number the first is kept.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, NotFound
from holdbook.domain.records import StoredRow, canonical_bytes, genesis
from holdbook.domain.values import instant_text
from holdbook.infrastructure.database.tables import checkpoints, cosignatures, events, seal_keys
from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.seals.tiles import StoredTree, TreeEdge
from holdbook.replay.evidence.checkpoints import Checkpoint, Signed
from holdbook.replay.evidence.merkle import leaf_hash, root
from holdbook.replay.evidence.notes import Kind, Note, VerifierKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, Table

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.infrastructure.database.database import Database
    from holdbook.replay.evidence.notes import NoteSignature, SignerKey

BATCH_ROWS: Final = 5000
"""How many rows are hashed and written at a time."""

_PAGE_CHECKPOINTS: Final = 1000
_NUMBER_MAX: Final = 2**63 - 1


class NotSealed(HoldbookError):
    """It cannot be sealed, or is not sealed yet."""


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

    def __init__(self, ledger: LedgerInterface) -> None:
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


class Sealer(SealStore):
    """Builds the tree, and signs checkpoints."""

    def build(self, progress: Callable[[int, int], object] = lambda *_: None) -> int:
        """Bring the tree up to the log's end; give its size. Raises `NotSealed` if the log is not whole."""
        source = SQLRows(self.database)
        head = source.head()
        with self.database.reading() as connection:
            edge = TreeEdge.load(connection)
            chain = self._chain_at(connection, edge.size)
        if edge.size and edge.chain != chain:
            expected = f"the event at position {edge.size} is not the one that the tree was built over"
            raise NotSealed(f"{expected}: the log was changed; run `holdbook verify`")
        while page := source.page(edge.size, BATCH_ROWS, head):
            for row in map(StoredRow._make, page):
                chain = _grow(edge, row, chain)
            with self.database.changing() as connection:
                edge.save(connection)
            progress(edge.size, head)
        return edge.size

    def _chain_at(self, connection: Connection, position: int) -> bytes:
        if position == 0:
            return genesis(self.ledger_id)
        found = connection.execute(select(events.c.hash).where(events.c.position == position)).scalar()
        if found is None:
            raise NotSealed(f"there is no event at position {position}, and there was one: run `holdbook verify`")
        return bytes(found)

    def seal(
        self,
        signer: SignerKey,
        at: datetime,
        *,
        old: SignerKey | None = None,
        progress: Callable[[int, int], object] = lambda *_: None,
    ) -> Signed | None:
        """Sign a checkpoint of the log's present end; None if there is nothing new to sign.

        With ``old``, that key hands over to the signer: both sign, also if nothing is new.
        """
        last = self._last()
        _check_key(signer, old, self._present_keys(last))
        size = self.build(progress)
        if size == 0 or (last is not None and size == last.checkpoint.size and old is None):
            return None
        number = last.checkpoint.number + 1 if last else 1
        with self.database.reading() as connection:
            if last is not None:
                self._check_going_on(connection, last.checkpoint)
            made = Checkpoint(
                ledger_id=self.ledger_id,
                size=size,
                root=root(size, StoredTree(connection)),
                number=number,
                chain=self._end_of_command(connection, size),
                key=None if old is None else signer.verifier,
            )
        by = [signer] if old is None else [old, signer]
        note = Note(made.text, tuple(one.sign(made.text) for one in by))
        signed = Signed(made, note)
        if self._keep(signed, [one.verifier for one in by], at):
            return signed
        return self.seal(signer, at, old=old, progress=progress)  # another was quicker

    def check_handover(self, old: SignerKey) -> None:
        """Check that a key is the one that may hand over to another; raises `NotSealed`."""
        last = self._last()
        _check_key(old, old, self._present_keys(last))

    def _last(self) -> Signed | None:
        return self.checkpoint().signed if self.last_number() else None

    def _present_keys(self, last: Signed | None) -> list[VerifierKey] | None:
        """List the keys that may sign what follows a checkpoint; None if anybody may."""
        if last is None:
            return None
        signers = self.signers(last)
        return signers if last.checkpoint.key is None else [last.checkpoint.key]

    def _check_going_on(self, connection: Connection, last: Checkpoint) -> None:
        """Check that the tree that was built begins with the one that was signed last."""
        if root(last.size, StoredTree(connection)) != last.root or self._chain_at(connection, last.size) != last.chain:
            expected = f"the log does not go on from what checkpoint {last.number} was signed over"
            raise NotSealed(f"{expected}; nothing is signed: run `holdbook verify`")

    def _end_of_command(self, connection: Connection, size: int) -> bytes:
        """Give the hash of the last event, which must be the last of its command."""
        found = select(events.c.hash, events.c.ordinal, events.c.ordinals).where(events.c.position == size)
        chain, ordinal, ordinals = connection.execute(found).one()
        if ordinal != ordinals - 1:
            raise NotSealed(f"the log ends within a command, at position {size}: run `holdbook verify`")
        return bytes(chain)

    def _keep(self, signed: Signed, by: Sequence[VerifierKey], at: datetime) -> bool:
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


def _check_key(signer: SignerKey, old: SignerKey | None, present: Sequence[VerifierKey] | None) -> None:
    """Check that a key may sign, or hand over; none has signed yet if there are no present ones."""
    if present is None:
        if old is not None:
            raise NotSealed("nothing is sealed yet, so there is no key to hand over from: seal with the new one")
        return
    given = signer if old is None else old
    if given.verifier not in present:
        names = " or ".join(key.short for key in present)
        way_out = "to go on with another key, `holdbook seal key NAME --out NEW --rotate OLD`"
        raise NotSealed(f"this ledger is sealed with the key {names}, not {given.verifier.short}: {way_out}")


def _grow(edge: TreeEdge, row: StoredRow, before: bytes) -> bytes:
    """Append one row to the tree; give its hash in the chain."""
    position = edge.size + 1
    if row.position != position:
        raise NotSealed(f"the event at position {position} is missing from the log: run `holdbook verify`")
    try:
        canonical = canonical_bytes(row)
    except (TypeError, ValueError) as error:
        raise NotSealed(f"position {position} holds what no log has written, {error}: run `holdbook verify`") from None
    chain = hashlib.sha256(before + canonical).digest()
    if row.hash != chain:
        raise NotSealed(f"the hash of position {position} does not follow from the one before: run `holdbook verify`")
    edge.append(leaf_hash(canonical), chain)
    return chain


def _insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row unless one with its key is there; tell whether it was inserted."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).values(row).on_conflict_do_nothing()
    return connection.execute(adding, execution_options={"preserve_rowcount": True}).rowcount == 1
