"""Proofs from the stored tree, each verified before it is given; bundles; and what `holdbook verify` reads of seals."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    from holdbook.infrastructure.seals.store import SealedLedger
    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.evidence.notes import VerifierKey

PAGE_ROWS = 5000
"""How many rows are read at a time."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The proof that one event is among those that a checkpoint was signed over."""

    sealed: Sealed
    row: StoredRow
    path: tuple[bytes, ...]

    @property
    def index(self) -> int:
        """The event's number among the tree's leaves, from 0."""
        return self.row.position - 1

    @property
    def text(self) -> str:
        """Write it as c2sp.org/tlog-proof; what is extra are the event's canonical bytes."""
        extra = b64encode(canonical_bytes(self.row)).decode()
        lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {self.index}", *map(encode_hash, self.path), ""]
        return "\n".join([*lines, str(self.sealed.signed.note)])

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
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
    """The proof that the log at one checkpoint is the beginning of the log at a later one."""

    first: Sealed
    second: Sealed
    path: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """Write it: the proof, then both checkpoints."""
        before, after = self.first.signed, self.second.signed
        begin = ["consistency", f"from {before.checkpoint.size}", f"to {after.checkpoint.size}"]
        return "\n".join([*begin, *map(encode_hash, self.path), "", str(before.note), str(after.note)])

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        sealed = {"first": self.first, "second": self.second}
        ends = {name: {**checkpoint_shape(one.signed), **one.fields} for name, one in sealed.items()}
        return {**ends, "proof": list(map(encode_hash, self.path))}


def checkpoint_shape(signed: Signed) -> dict[str, Any]:
    """Write what a checkpoint says."""
    one = signed.checkpoint
    return {"checkpoint": one.number, "size": one.size, "root": encode_hash(one.root)}


class Prover(SealStore):
    """Makes proofs."""

    def _sealed(self, number: int | None) -> Sealed:
        """Read a checkpoint, signed by a key that is known, with its keys; raises `NotSealed`."""
        signed, known = self.checkpoint(number).signed, self.keys()
        self.signers(signed, known)
        try:
            return Sealed.of(signed, known)
        except ValueError as error:
            raise NotSealed(f"checkpoint {signed.checkpoint.number}: {error}: run `holdbook verify`") from None

    def inclusion(self, position: int, number: int | None = None) -> Inclusion:
        """Prove that an event is in the log; raises `NotSealed` if no checkpoint covers it."""
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
        """Prove that a checkpoint goes on from another; both by their numbers."""
        if first > second:
            raise Malformed("--consistency", f"{first} {second}", "expected the earlier checkpoint first")
        before, after = self._sealed(first), self._sealed(second)
        return Consistency(before, after, self._path(before.signed, after.signed))

    def _path(self, before: Signed, after: Signed) -> tuple[bytes, ...]:
        one, other = before.checkpoint, after.checkpoint
        path = self.path(one.size, other.size)
        if not is_consistent(one.size, other.size, one.root, other.root, path):
            message = f"checkpoint {other.number} does not go on from checkpoint {one.number}"
            raise NotSealed(f"{message}, or the stored tree was altered: run `holdbook verify`")
        return path

    def path(self, first: int, second: int) -> tuple[bytes, ...]:
        """Make a proof of consistency between two sizes, which is not verified yet."""
        with self.database.reading() as connection:
            return tuple(consistency_proof(first, second, StoredTree(connection)))

    def _check_covered(self, position: int, sealed: Sealed) -> None:
        checkpoint = sealed.signed.checkpoint
        if position > checkpoint.size:
            message = f"position {position} is not sealed: checkpoint {checkpoint.number} covers the positions up to"
            raise NotSealed(f"{message} {checkpoint.size}; `holdbook seal` signs one of the log's present end")

    def _rows(self, first: int, last: int) -> Iterator[StoredRow]:
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
        """Write a bundle of the events from one position to another; raises `NotSealed` at the end if it is wrong."""
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
        """Read the earlier checkpoints at which one key handed over to the next, each with its proof."""
        for number in self.handovers():
            if number < sealed.signed.checkpoint.number:
                before = self._sealed(number)
                yield EarlierCheckpoint(before, self._path(before.signed, sealed.signed))


class SQLSeals:
    """The seals as `holdbook verify` reads them: nothing in them is trusted, and none that comes later is read."""

    def __init__(self, store: SealStore) -> None:
        self._store = store
        self._last = store.last_number()

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """List the public keys that are kept beside the checkpoints, those that are none left out."""
        return self._store.keys()

    def notes(self) -> Iterator[tuple[int, str]]:
        """Read the checkpoints in order: the number that each is kept under, and its note."""
        for stored in self._store.notes():
            if stored.number > self._last:
                return
            yield stored.number, str(stored.note)

    def leaves(self, after: int) -> Iterator[bytes]:
        """Read the stored hashes of the rows after a position, in order."""
        while found := self._leaves(after):
            yield from found
            after += len(found)

    def _leaves(self, after: int) -> Sequence[bytes]:
        with self._store.database.reading() as connection:
            return read_leaves(connection, after)

    def tree(self, size: int) -> CompactRange | None:
        """Give the stored tree over the first rows; None if it is not all there."""
        with self._store.database.reading() as connection:
            try:
                return compact_range(size, StoredTree(connection))
            except TreeDamaged:
                return None


def sealing_of(ledger: SealedLedger, trusted: Sequence[VerifierKey] = (), kept: Sequence[Signed] = ()) -> SealEvidence:
    """Give what `holdbook verify` compares a ledger's log with; a ledger in memory has no checkpoints of its own."""
    seals = SQLSeals(SealStore(ledger)) if isinstance(ledger.log, SQLEventLog) else None
    return SealEvidence(seals, trusted, kept)
