"""Sealing: building the Merkle tree over the log, and signing checkpoints of it.

The tree is built after events were committed, so that no writer waits for it, in short transactions of `BATCH_ROWS`
rows. If a sealer is killed, the next one goes on after the last of these. Two sealers at the same time build the same
tree; of two checkpoints with the same number, the first is kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from holdbook.domain.records import StoredRow, canonical_bytes, genesis
from holdbook.infrastructure.database.tables import events
from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.infrastructure.seals.store import NotSealed, SealStore
from holdbook.infrastructure.seals.tiles import StoredTree, TreeEdge
from holdbook.replay.evidence.checkpoints import Checkpoint, Signed
from holdbook.replay.evidence.merkle import leaf_hash, root
from holdbook.replay.evidence.notes import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from holdbook.replay.evidence.notes import SignerKey, VerifierKey

BATCH_ROWS: Final = 5000
"""How many rows are hashed and written in one transaction."""


class Sealer(SealStore):
    """Builds the tree over the log of a ledger, and signs checkpoints of it."""

    def build(self, progress: Callable[[int, int], object] = lambda *_: None) -> int:
        """Extend the tree to the log's present end, and give its size.

        ``progress`` is called after each transaction with the size of the tree and the position of the log's end.
        Raises `NotSealed` if the chain of hashes is broken, and `LogUnavailable`.
        """
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
                chain = _append(edge, row, chain)
            with self.database.changing() as connection:
                edge.save(connection)
            progress(edge.size, head)
        return edge.size

    def _chain_at(self, connection: Connection, position: int) -> bytes:
        """Read the hash, in the chain, of the event at a position; at 0, the genesis."""
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

        With ``old``, that key hands over to the signer: both sign, even if there is nothing new. Raises `NotSealed` if
        the key may not sign, or if the log is not the one that was signed before.
        """
        last = self._last()
        _check_key(signer, old, self._present_keys(last))
        size = self.build(progress)
        if size == 0 or (last is not None and size == last.checkpoint.size and old is None):
            return None
        number = last.checkpoint.number + 1 if last else 1
        with self.database.reading() as connection:
            if last is not None:
                self._check_goes_on(connection, last.checkpoint)
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
        if self.keep(signed, [one.verifier for one in by], at):
            return signed
        # Another sealer has stored a checkpoint of this number first: look again whether there is something to sign.
        return self.seal(signer, at, old=old, progress=progress)

    def check_handover(self, old: SignerKey) -> None:
        """Check that a key is the present one, so that it may hand over to another; raises `NotSealed`."""
        last = self._last()
        _check_key(old, old, self._present_keys(last))

    def _last(self) -> Signed | None:
        """Read the last checkpoint; None if there is none."""
        return self.checkpoint().signed if self.last_number() else None

    def _present_keys(self, last: Signed | None) -> list[VerifierKey] | None:
        """List the keys that may sign what follows a checkpoint; None, for the first one, means that any key may."""
        if last is None:
            return None
        signers = self.signers(last)
        return signers if last.checkpoint.key is None else [last.checkpoint.key]

    def _check_goes_on(self, connection: Connection, last: Checkpoint) -> None:
        """Check that the tree begins with the one that was signed last; raises `NotSealed`."""
        if root(last.size, StoredTree(connection)) != last.root or self._chain_at(connection, last.size) != last.chain:
            expected = f"the log does not go on from what checkpoint {last.number} was signed over"
            raise NotSealed(f"{expected}; nothing is signed: run `holdbook verify`")

    def _end_of_command(self, connection: Connection, size: int) -> bytes:
        """Give the hash of the last event; raises `NotSealed` if more events of its command should follow."""
        found = select(events.c.hash, events.c.ordinal, events.c.ordinals).where(events.c.position == size)
        chain, ordinal, ordinals = connection.execute(found).one()
        if ordinal != ordinals - 1:
            raise NotSealed(f"the log ends within a command, at position {size}: run `holdbook verify`")
        return bytes(chain)


def _check_key(signer: SignerKey, old: SignerKey | None, present: Sequence[VerifierKey] | None) -> None:
    """Check that the signer may sign or the old key may hand over; ``present`` is None if nothing is signed yet."""
    if present is None:
        if old is not None:
            raise NotSealed("nothing is sealed yet, so there is no key to hand over from: seal with the new one")
        return
    given = signer if old is None else old
    if given.verifier not in present:
        names = " or ".join(key.short for key in present)
        way_out = "to go on with another key, `holdbook seal key NAME --out NEW --rotate OLD`"
        raise NotSealed(f"this ledger is sealed with the key {names}, not {given.verifier.short}: {way_out}")


def _append(edge: TreeEdge, row: StoredRow, before: bytes) -> bytes:
    """Append one row to the tree, and give its hash in the chain; raises `NotSealed` if the chain is broken there."""
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
