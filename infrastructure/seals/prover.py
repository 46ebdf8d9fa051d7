"""Inclusion and consistency proofs from the stored tree, bundles, and the seals as `holdbook verify` reads them.

A proof is verified before it is given. The proofs are those of RFC 9162.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import Malformed, NotFound
from holdbook.domain.records import StoredRow, canonical_bytes
from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.seals.store import NotSealed, SealStore
from holdbook.infrastructure.seals.tiles import StoredTree, TreeDamaged, read_leaves
from holdbook.replay.evidence.bundle import BundleHead, EarlierCheckpoint, Sealed, row_line
from holdbook.replay.evidence.merkle import (
    CompactRange,
    append_subtrees,
    compact_range,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    range_proof,
)
from holdbook.replay.evidence.notes import encode_hash
from holdbook.replay.verification.seal_check import SealEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.evidence.notes import VerifierKey

PAGE_ROWS: Final = 5000
"""How many rows are read from the log at a time."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The inclusion proof of an event: it is among those over which a checkpoint was signed."""

    sealed: Sealed
    row: StoredRow
    path: tuple[bytes, ...]

    @property
    def index(self) -> int:
        """The index of the event's leaf in the tree, from 0."""
        return self.row.position - 1

    @property
    def text(self) -> str:
        """Write it in the format of c2sp.org/tlog-proof, with the event's canonical bytes as the extra data."""
        extra = b64encode(canonical_bytes(self.row)).decode()
        lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {self.index}", *map(encode_hash, self.path), ""]
        return "\n".join([*lines, str(self.sealed.signed.note)])

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        canonical = canonical_bytes(self.row)
        return {
            "position": self.row.position,
            "index": self.index,
            "event": canonical.decode(),
            "leaf": encode_hash(leaf_hash(canonical)),
            "proof": list(map(encode_hash, self.path)),
            **checkpoint_shape(self.sealed.signed),
            **self.sealed.fields,
        }


@dataclass(frozen=True, slots=True)
class Consistency:
    """The consistency proof of two checkpoints: the log at the first is the beginning of the log at the second."""

    first: Sealed
    second: Sealed
    path: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """Write it as text: the proof, then both checkpoints."""
        before, after = self.first.signed, self.second.signed
        begin = ["consistency", f"from {before.checkpoint.size}", f"to {after.checkpoint.size}"]
        return "\n".join([*begin, *map(encode_hash, self.path), "", str(before.note), str(after.note)])

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        sealed = {"first": self.first, "second": self.second}
        ends = {name: {**checkpoint_shape(one.signed), **one.fields} for name, one in sealed.items()}
        return {**ends, "proof": list(map(encode_hash, self.path))}


def checkpoint_shape(signed: Signed) -> dict[str, Any]:
    """Give the content of a checkpoint as JSON values."""
    one = signed.checkpoint
    return {"checkpoint": one.number, "size": one.size, "root": encode_hash(one.root)}


class Prover(SealStore):
    """Makes proofs and bundles for a ledger."""

    def _sealed(self, number: int | None) -> Sealed:
        """Read a checkpoint, or the last one, with the keys that signed it; raises `NotFound` and `NotSealed`."""
        signed, known = self.checkpoint(number).signed, self.keys()
        self.signers(signed, known)
        try:
            return Sealed.of(signed, known)
        except ValueError as error:
            raise NotSealed(f"checkpoint {signed.checkpoint.number}: {error}: run `holdbook verify`") from None

    def inclusion(self, position: int, number: int | None = None) -> Inclusion:
        """Prove that a checkpoint, given by number or else the last one, covers the event at a position.

        Raises `NotFound`, and `NotSealed` if the checkpoint does not cover it or the proof does not hold.
        """
        sealed = self._sealed(number)
        checkpoint = sealed.signed.checkpoint
        self._check_covered(position, sealed)
        row = next(self._rows(position, position), None)
        if row is None:
            raise NotFound("event at position", str(position))
        with self.database.reading() as connection:
            path = inclusion_proof(position - 1, checkpoint.size, StoredTree(connection))
        if not is_included(leaf_hash(canonical_bytes(row)), position - 1, checkpoint.size, path, checkpoint.root):
            message = f"the event at position {position} is not the one that checkpoint {checkpoint.number} was signed"
            raise NotSealed(f"{message} over, or the stored tree was altered: run `holdbook verify`")
        return Inclusion(sealed, row, tuple(path))

    def consistency(self, first: int, second: int) -> Consistency:
        """Prove that a checkpoint goes on from an earlier one, both by number; raises `Malformed` and `NotSealed`."""
        if first > second:
            raise Malformed("--consistency", f"{first} {second}", "expected the earlier checkpoint first")
        before, after = self._sealed(first), self._sealed(second)
        return Consistency(before, after, self._verified_path(before.signed, after.signed))

    def _verified_path(self, before: Signed, after: Signed) -> tuple[bytes, ...]:
        """Make the consistency proof between two checkpoints, and verify it; raises `NotSealed`."""
        first, second = before.checkpoint, after.checkpoint
        path = self.path(first.size, second.size)
        if not is_consistent(first.size, second.size, first.root, second.root, path):
            message = f"checkpoint {second.number} does not go on from checkpoint {first.number}"
            raise NotSealed(f"{message}, or the stored tree was altered: run `holdbook verify`")
        return path

    def path(self, first: int, second: int) -> tuple[bytes, ...]:
        """Make a consistency proof between two sizes of the tree, without verifying it; raises `TreeDamaged`."""
        with self.database.reading() as connection:
            return tuple(consistency_proof(first, second, StoredTree(connection)))

    def _check_covered(self, position: int, sealed: Sealed) -> None:
        """Check that a checkpoint covers a position; raises `NotSealed`."""
        checkpoint = sealed.signed.checkpoint
        if position > checkpoint.size:
            message = f"position {position} is not sealed: checkpoint {checkpoint.number} covers the positions up to"
            raise NotSealed(f"{message} {checkpoint.size}; `holdbook seal` signs one of the log's present end")

    def _rows(self, first: int, last: int) -> Iterator[StoredRow]:
        """Read the rows from one position to another, as they are stored."""
        source = SQLRows(self.database)
        while first <= last and (page := source.page(first - 1, PAGE_ROWS, last)):
            yield from map(StoredRow._make, page)
            first = page[-1][0] + 1

    # Bundles

    def bundle(
        self,
        first: int,
        last: int | None = None,
        number: int | None = None,
        progress: Callable[[int, int], object] = lambda *_: None,
    ) -> Iterator[bytes]:
        """Write the lines of a bundle of the events from position ``first`` to ``last``, or to the checkpoint's end.

        The checkpoint is given by its ``number``, or is the last one. ``progress`` is called with the number of events
        written and the number of all. Raises `Malformed` and `NotSealed`; the latter also after the last line, if the
        events turn out not to be those that were signed, so that what was written must be thrown away.
        """
        sealed = self._sealed(number)
        checkpoint = sealed.signed.checkpoint
        last = checkpoint.size if last is None else last
        if first > last:
            raise Malformed("--from", first, f"expected a position up to {last}")
        self._check_covered(last, sealed)
        with self.database.reading() as connection:
            left, right = range_proof(first - 1, last, checkpoint.size, StoredTree(connection))
        yield BundleHead(sealed, first, last, tuple(left), tuple(right), tuple(self._handovers(sealed))).line
        tree = CompactRange()
        append_subtrees(tree, first - 1, left)
        for row in self._rows(first, last):
            tree.append(leaf_hash(canonical_bytes(row)))
            yield row_line(row)
            progress(row.position - first + 1, last - first + 1)
        if tree.size == last:
            append_subtrees(tree, checkpoint.size, right)
        if tree.root() != checkpoint.root:
            message = f"the events from position {first} to {last} are not those that checkpoint {checkpoint.number}"
            raise NotSealed(f"{message} was signed over, or the stored tree was altered: run `holdbook verify`")

    def _handovers(self, sealed: Sealed) -> Iterator[EarlierCheckpoint]:
        """Read the earlier checkpoints at which one key handed over to the next, each with its consistency proof."""
        for number in self.handovers():
            if number < sealed.signed.checkpoint.number:
                before = self._sealed(number)
                yield EarlierCheckpoint(before, self._verified_path(before.signed, sealed.signed))


class SQLSeals:
    """The seals as `holdbook verify` reads them: as they are stored, without those that are added meanwhile."""

    def __init__(self, store: SealStore) -> None:
        self._store = store
        self._last = store.last_number()

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """List the public keys that are kept beside the checkpoints, without rows that hold no key."""
        return self._store.keys()

    def notes(self) -> Iterator[tuple[int, str]]:
        """Read the checkpoints in order: the number under which each is stored, and its note."""
        for stored in self._store.notes():
            if stored.number > self._last:
                return
            yield stored.number, str(stored.note)

    def leaves(self, after: int) -> Iterator[bytes]:
        """Read the stored leaves of the rows after a position, in order, up to the first that is missing."""
        while found := self._leaves(after):
            yield from found
            after += len(found)

    def _leaves(self, after: int) -> Sequence[bytes]:
        with self._store.database.reading() as connection:
            return read_leaves(connection, after)

    def tree(self, size: int) -> CompactRange | None:
        """Read the stored tree over the first ``size`` rows; None if a part of it is missing."""
        with self._store.database.reading() as connection:
            try:
                return compact_range(size, StoredTree(connection))
            except TreeDamaged:
                return None


def sealing_of(
    ledger: LedgerInterface, trusted: Sequence[VerifierKey] = (), kept: Sequence[Signed] = ()
) -> SealEvidence:
    """Give what `holdbook verify` compares the log of a ledger with.

    These are the seals in its database (a ledger in memory has none), public keys from elsewhere that are to be
    ``trusted``, and checkpoints that were ``kept`` elsewhere.
    """
    seals = SQLSeals(SealStore(ledger)) if isinstance(ledger.log, SQLEventLog) else None
    return SealEvidence(seals, trusted, kept)
