"""Checkpoints: what a log says of itself, signed; c2sp.org/tlog-checkpoint with lines of our own.

::

    holdbook/<ledger id>
    <size: how many events there are>
    <root of the Merkle tree over them, base64>
    number <which checkpoint this is: 1, 2, 3 …>
    chain <hash of the last event, base64>
    key <the public key that signs from the next one on>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from holdbook.domain.errors import Malformed
from holdbook.replay.evidence.notes import Kind, Note, VerifierKey, decode_hash, encode_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

ORIGIN: Final = "holdbook/"
"""What the origin of every ledger begins with; its id follows."""

_LINES: Final = re.compile(
    r"holdbook/(?P<ledger>[^\n]+)\n(?P<size>[1-9][0-9]{0,18})\n(?P<root>\S{44})\n"
    r"number (?P<number>[1-9][0-9]{0,18})\nchain (?P<chain>\S{44})\n(?:key (?P<key>\S+)\n)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one signed statement says."""

    ledger_id: str
    size: int
    """How many events the log had: the position of its last."""
    root: bytes
    """Root of the Merkle tree over the canonical bytes of these events."""
    number: int
    """Which of the ledger's checkpoints this is, from 1."""
    chain: bytes
    """The hash of the last event."""
    key: VerifierKey | None = None
    """The key that signs from the next checkpoint on, if it is to be another."""

    @property
    def text(self) -> str:
        """The text that is signed."""
        key = f"key {self.key}\n" if self.key else ""
        return (
            f"{ORIGIN}{self.ledger_id}\n{self.size}\n{encode_hash(self.root)}\n"
            f"number {self.number}\nchain {encode_hash(self.chain)}\n{key}"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note; raises `Malformed`."""
        found = _LINES.fullmatch(text)
        expected = "expected a checkpoint of a ledger: origin, size, root, number, chain"
        if found is None:
            raise Malformed("checkpoint", text, expected)
        try:
            made = cls(
                ledger_id=found["ledger"],
                size=int(found["size"]),
                root=decode_hash(found["root"]),
                number=int(found["number"]),
                chain=decode_hash(found["chain"]),
                key=VerifierKey.parse(found["key"]) if found["key"] else None,
            )
        except ValueError:
            raise Malformed("checkpoint", text, expected) from None
        if made.key is not None and made.key.kind is not Kind.NOTE:
            raise Malformed("checkpoint", text, "expected a key that signs, not a witness's")
        return made


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint with its signatures, which say nothing before they are verified."""

    checkpoint: Checkpoint
    note: Note

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a checkpoint with its signatures; raises `Malformed`."""
        parsed = Note.parse(note)
        return cls(Checkpoint.parse(parsed.text), parsed)


class Trust:
    """The keys that are trusted to sign a ledger's checkpoints, as one hands over to the next.

    A checkpoint with a line ``key`` that a trusted key has signed, and the named key too, makes that key trusted, and
    it alone, in place of those that signed.
    """

    def __init__(self, keys: Iterable[VerifierKey]) -> None:
        self.keys = frozenset(keys)

    def signers(self, signed: Signed) -> Collection[VerifierKey]:
        """List the trusted keys of the log that signed; empty if none did, ValueError if a signature is wrong."""
        note = signed.note
        by = [key for key in note.signed_by(sorted(self.keys, key=str)) if key.kind is Kind.NOTE]
        successor = signed.checkpoint.key
        if not by or successor is None:
            return by
        if not note.signed_by([successor]):
            raise ValueError(f"it names {successor.short} as the next key, which has not signed it")
        self.keys = self.keys.difference(by) | {successor}
        return by
