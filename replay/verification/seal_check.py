"""Checks of checkpoints: each must be signed, and have the Merkle root of the rows that the log has now."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from holdbook.domain.errors import Malformed
from holdbook.replay.evidence.checkpoints import Signed, Trust
from holdbook.replay.evidence.merkle import CompactRange, leaf_hash
from holdbook.replay.evidence.notes import Kind
from holdbook.replay.verification.findings import Check, Harm, SealsChecked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.replay.evidence.notes import VerifierKey
    from holdbook.replay.verification.findings import Findings

UNKNOWN: Final = bytes(32)
"""Stands for the hash of a row that is missing or whose values no log writes."""


class Seals(Protocol):
    """The stored checkpoints and the stored Merkle tree, none of which is trusted."""

    @property
    def keys(self) -> Sequence[VerifierKey]:
        """The public keys that are stored with the checkpoints."""
        ...

    def notes(self) -> Iterator[tuple[int, str]]:
        """Read the checkpoints in order: the number under which each is stored, and its note."""
        ...

    def leaves(self, after: int) -> Iterator[bytes]:
        """Read the stored leaf hashes of the rows after a position, in order."""
        ...

    def tree(self, size: int) -> CompactRange | None:
        """Read the stored tree over the first rows; None if a part of it is missing."""
        ...


@dataclass(frozen=True, slots=True)
class SealEvidence:
    """What the rows of a log are compared with."""

    seals: Seals | None = None
    trusted: Sequence[VerifierKey] = ()
    """Public keys from outside the database, which are trusted."""
    kept: Sequence[Signed] = ()
    """Checkpoints that were kept outside the database."""


NOT_SEALED: Final = SealEvidence()


class SealCheck:
    """Computes the Merkle tree over the rows, and compares its root at the size of each checkpoint.

    Memory does not grow with the log. It has to be made before the end of the log is read, so that no checkpoint is
    newer than what is read.
    """

    def __init__(self, sealing: SealEvidence, findings: Findings, ledger_id: str) -> None:
        self._seals = seals = sealing.seals
        self._findings = findings
        self._ledger_id = ledger_id
        self._trusted = Trust(key for key in sealing.trusted if key.kind is Kind.NOTE)
        self._is_trusted = bool(self._trusted.keys)
        self._is_anchored = not self._is_trusted
        """Whether a trusted key has signed a checkpoint so far; older keys may have signed those before."""
        self._stored_trust = Trust(key for key in (seals.keys if seals else ()) if key.kind is Kind.NOTE)
        self._kept = {one.checkpoint.number: one for one in sealing.kept}
        self._tree = CompactRange()
        self._compared_size = 0
        """The size of the last checkpoint whose root has been compared."""
        self._first_difference: int | None = None
        """The position of the first row after that whose hash is not the stored one; None if there is none."""
        self._is_stopped = False
        """Whether comparing has stopped, because nothing more can be told about the rows that follow."""
        self._stored_leaves = seals.leaves(0) if seals else iter(())
        self._notes = self._sound_notes()
        self._checked = 0
        self._last_size = 0
        self._signers: dict[str, None] = {}
        self._next = next(self._notes, None)

    def begin(self, size: int) -> None:
        """Begin after a position whose checkpoint is trusted, with the stored tree."""
        while self._next is not None and self._next.checkpoint.size < size:
            self._next = next(self._notes, None)
        if self._seals is None or self._next is None:
            return
        tree = self._seals.tree(size)
        if tree is None:
            self._is_stopped = True
            self._add(
                None, f"the stored tree over the first {size} events is not there: run `holdbook seal`", Harm.TREE
            )
            return
        self._tree, self._compared_size = tree, size
        self._stored_leaves = self._seals.leaves(size)
        self._compare_reached()

    def add_row(self, position: int, canonical: bytes | None) -> None:
        """Add the next row by its canonical bytes; None for a row whose values no log writes."""
        while self._is_following and self._tree.size + 1 < position:
            self._append([UNKNOWN])  # a missing row
        if position == self._tree.size + 1:
            self._append([UNKNOWN if canonical is None else leaf_hash(canonical)])

    def add_page(self, position: int, texts: Sequence[bytes]) -> None:
        """Add rows by their canonical bytes; ``position`` is that of the first, and the others follow it."""
        if position == self._tree.size + 1 and self._is_following:
            self._append(list(map(leaf_hash, texts)))
            return
        for number, text in enumerate(texts, start=position):
            self.add_row(number, text)

    @property
    def _is_following(self) -> bool:
        """Tell whether there is a checkpoint left with which the next rows are compared."""
        return self._next is not None and not self._is_stopped

    def _append(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes to the tree, and compare at each checkpoint on the way."""
        while leaves and self._next is not None and not self._is_stopped:
            count = self._next.checkpoint.size - self._tree.size
            some, leaves = leaves[:count], leaves[count:]
            stored = list(islice(self._stored_leaves, len(some)))
            if self._first_difference is None and stored != some:
                pairs = enumerate(zip(stored, some, strict=False), start=self._tree.size + 1)
                self._first_difference = next((position for position, (one, other) in pairs if one != other), None)
            self._tree.extend(some)
            self._compare_reached()

    def _compare_reached(self) -> None:
        while self._next is not None and self._next.checkpoint.size == self._tree.size and not self._is_stopped:
            self._compare(self._next)
            self._count_and_go_on(self._next)

    def _count_and_go_on(self, signed: Signed) -> None:
        self._checked += 1
        self._last_size = signed.checkpoint.size
        self._next = next(self._notes, None)

    def _compare(self, signed: Signed) -> None:
        checkpoint = signed.checkpoint
        differs, self._first_difference = self._first_difference, None
        if self._tree.root() == checkpoint.root:
            if differs is not None:
                self._add(differs, _TREE_WRONG, Harm.TREE)
        else:
            self._explain(signed, differs)
        self._compared_size = checkpoint.size

    def _explain(self, signed: Signed, differs: int | None) -> None:
        """Report which rows are not those that were signed, as exactly as the stored tree can tell.

        If the stored tree has the signed root, comparing goes on from that; else it stops.
        """
        checkpoint = signed.checkpoint
        tree = self._seals.tree(checkpoint.size) if self._seals else None
        is_signed = tree is not None and tree.root() == checkpoint.root
        if is_signed and differs is not None:
            message = f"this is not the event that checkpoint {checkpoint.number} was signed over"
            self._add(differs, message, Harm.ALTERED)
        elif self._compared_size < checkpoint.size:
            first = self._compared_size + 1
            which = f"the events from position {first} to {checkpoint.size} are not"
            self._add(first, f"{which} those that checkpoint {checkpoint.number} was signed over", Harm.ALTERED)
        else:
            self._add(None, f"checkpoint {checkpoint.number} was signed over other {checkpoint.size:,} events")
        if tree is not None and is_signed:
            self._tree = tree
        self._is_stopped = not is_signed

    def end(self, head: int) -> SealsChecked | None:
        """Report checkpoints over more events than the log has; gives what was compared."""
        beyond = None
        while self._next is not None:
            beyond = self._next if self._next.checkpoint.size > head else beyond
            self._count_and_go_on(self._next)
        if beyond is not None:
            checkpoint = beyond.checkpoint
            message = f"checkpoint {checkpoint.number} was signed over {checkpoint.size:,} events"
            self._add(None, f"the log's end was cut off: it has {head:,} events, and {message}", Harm.CUT_TAIL)
        if self._is_trusted and not self._is_anchored:
            harm = None if self._checked else Harm.MISSING_CHECKPOINT
            self._add(None, "no checkpoint is signed by a key that you trust", harm)
        if not self._checked and not self._is_trusted:
            return None
        return SealsChecked(self._checked, self._last_size, tuple(self._signers), self._is_trusted)

    def _add(self, position: int | None, message: str, harm: Harm | None = None) -> None:
        self._findings.add(position, Check.SEALS, message, harm)

    # Reading checkpoints

    def _sound_notes(self) -> Iterator[Signed]:
        """Read the checkpoints that are signed and in order; report what is wrong with the others."""
        size = 0
        for signed in self._all_notes():
            checkpoint = signed.checkpoint
            fault = self._fault_of(signed)
            if fault is None and checkpoint.size < size:
                fault = f"it is over {checkpoint.size:,} events, one before it over {size:,}"
            if fault is not None:
                self._add(None, f"checkpoint {checkpoint.number} is forged: {fault}")
                continue
            size = checkpoint.size
            yield signed

    def _all_notes(self) -> Iterator[Signed]:
        """Read the stored checkpoints, and those kept outside where a stored one is missing or differs."""
        last = 0
        for number, note in self._seals.notes() if self._seals else ():
            yield from self._report_missing(last + 1, number)
            last = number
            try:
                signed = Signed.parse(note)
            except Malformed as error:
                self._add(None, f"checkpoint {number} cannot be read: {error.expected}")
                continue
            if signed.checkpoint.number != number:
                self._add(None, f"checkpoint {number} is forged: it says that it is {signed.checkpoint.number}")
                continue
            kept = self._kept.pop(number, None)
            if kept is not None and kept.note.text != signed.note.text:
                self._add(None, f"checkpoint {number} is not the one that was kept outside: one of them is forged")
                signed = kept
            yield signed
        yield from self._report_missing(last + 1, max(self._kept, default=0) + 1)

    def _report_missing(self, first: int, last: int) -> Iterator[Signed]:
        """Report the numbers ``first`` to ``last - 1`` as missing; give those checkpoints that were kept outside."""
        for number in sorted(number for number in self._kept if number < last):
            self._report_numbers(first, number)
            self._add(None, f"checkpoint {number} is missing, and was kept outside", Harm.MISSING_CHECKPOINT)
            yield self._kept.pop(number)
            first = number + 1
        self._report_numbers(first, last)

    def _report_numbers(self, first: int, last: int) -> None:
        if first < last:
            which = f"checkpoint {first} is" if last == first + 1 else f"checkpoints {first} to {last - 1} are"
            self._add(None, f"{which} missing", Harm.MISSING_CHECKPOINT)

    def _fault_of(self, signed: Signed) -> str | None:
        if signed.checkpoint.ledger_id != self._ledger_id:
            return "it is of another ledger"
        try:
            by = self._trusted.signers(signed)
            self._is_anchored = self._is_anchored or bool(by)
            by = by if self._is_trusted and self._is_anchored else self._stored_trust.signers(signed)
        except ValueError as error:
            return str(error)
        if not by:
            whose = "that you trust" if self._is_trusted and self._is_anchored else "that is known"
            return f"it is not signed by a key {whose}"
        self._signers |= dict.fromkeys(key.short for key in by)
        return None


_TREE_WRONG: Final = (
    "the stored tree has another hash here than the event, which is as it was signed: the tree was altered; "
    "delete the rows of seal_tiles, and `holdbook seal` makes them again"
)
