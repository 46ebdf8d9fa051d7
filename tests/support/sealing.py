"""Logs that are sealed, in memory: checkpoints over made-up leaves or over a story's rows, and bundles of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from holdbook import Ledger
from holdbook.domain.records import canonical_bytes, genesis
from holdbook.replay.evidence.bundle import BundleHead, EarlierCheckpoint, Sealed, row_line
from holdbook.replay.evidence.checkpoints import Checkpoint, Signed
from holdbook.replay.evidence.merkle import CompactRange, compact_range, consistency_proof, leaf_hash, range_proof
from holdbook.replay.evidence.notes import Kind, Note, SignerKey
from support.story import Clock, tell
from support.trees import Hashes, mth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.domain.records import StoredRow
    from holdbook.replay.evidence.notes import VerifierKey

LEDGER_ID = "0199-a"

OLD, NEW, OTHER = (SignerKey(name, Kind.NOTE, bytes([number]) * 32) for number, name in enumerate("ona", start=1))
WITNESS = SignerKey("w", Kind.WITNESS, bytes([9]) * 32)


def signed(
    leaves: Sequence[bytes],
    number: int,
    *by: SignerKey,
    key: SignerKey | None = None,
    ledger_id: str = LEDGER_ID,
    chain: bytes = bytes(32),
) -> Signed:
    """Sign a checkpoint over leaves."""
    made = Checkpoint(ledger_id, len(leaves), mth(leaves), number, chain, key.verifier if key else None)
    return Signed(made, Note(made.text, tuple(one.sign(made.text, 1_700_000_000) for one in by or (OLD,))))


class MemorySeals:
    """Checkpoints and a stored tree, as a database would keep them."""

    def __init__(self, checkpoints: Sequence[Signed], leaves: Sequence[bytes], *keys: SignerKey) -> None:
        self.kept = [(one.checkpoint.number, str(one.note)) for one in checkpoints]
        self.stored = list(leaves)
        self.top: list[bytes] | None = None
        """Leaves that the tree's upper levels are over, if others."""
        self.keys: Sequence[VerifierKey] = [one.verifier for one in keys or (OLD,)]

    def notes(self) -> Iterator[tuple[int, str]]:
        """Read the checkpoints."""
        return iter(self.kept)

    def leaves(self, after: int) -> Iterator[bytes]:
        """Read the stored leaves."""
        return iter(self.stored[after:])

    def tree(self, size: int) -> CompactRange | None:
        """Give the stored tree."""
        stored = self.stored if self.top is None else self.top
        return compact_range(size, Hashes(stored)) if size <= len(stored) else None


@cache
def story_rows() -> tuple[str, tuple[StoredRow, ...]]:
    """Give the id and the rows of a ledger in which everything has happened."""
    clock = Clock()
    with Ledger.in_memory(clock=clock) as ledger:
        tell(ledger, clock)
        return ledger.log.ledger_id, tuple(ledger.log.rows(limit=1000))


def story_leaves() -> list[bytes]:
    """Give the leaves of these rows."""
    return [leaf_hash(canonical_bytes(row)) for row in story_rows()[1]]


def story_checkpoint(size: int, number: int, *by: SignerKey, key: SignerKey | None = None) -> Signed:
    """Sign a checkpoint over the first of these rows."""
    ledger_id, rows = story_rows()
    chain = rows[size - 1].hash if size else genesis(ledger_id)
    return signed(story_leaves()[:size], number, *by, key=key, ledger_id=ledger_id, chain=chain)


def sealed(one: Signed) -> Sealed:
    """Name the keys of a checkpoint's signatures."""
    return Sealed.of(one, [key.verifier for key in (OLD, NEW, OTHER, WITNESS)])


def story_bundle(first: int, last: int, checkpoint: Signed, *earlier: Signed) -> list[bytes]:
    """Write a bundle of these rows."""
    at, size = Hashes(story_leaves()), checkpoint.checkpoint.size
    left, right = range_proof(first - 1, last, size, at)
    before = tuple(
        EarlierCheckpoint(sealed(one), tuple(consistency_proof(one.checkpoint.size, size, at))) for one in earlier
    )
    head = BundleHead(sealed(checkpoint), first, last, tuple(left), tuple(right), before)
    return [head.line, *(row_line(row) for row in story_rows()[1][first - 1 : last])]
