"""Checkpoints: signed statements of a log's size and Merkle root, as c2sp.org/tlog-checkpoint defines them.

The lines after the third are extension lines of our own::

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
"""How the origin of every ledger begins; the ledger's id follows."""

_LINES: Final = re.compile(
    r"holdbook/(?P<ledger>[^\n]+)\n(?P<size>[1-9][0-9]{0,18})\n(?P<root>\S{44})\n"
    r"number (?P<number>[1-9][0-9]{0,18})\nchain (?P<chain>\S{44})\n(?:key (?P<key>\S+)\n)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says."""

    ledger_id: str
    size: int
    """How many events the log had, which is the position of the last one."""
    root: bytes
    """The root of the Merkle tree over the canonical bytes of these events."""
    number: int
    """The checkpoint's number among those of the ledger, from 1."""
    chain: bytes
    """The hash of the last event in the hash chain."""
    key: VerifierKey | None = None
    """The key that signs from the next checkpoint on; None if it stays the same."""

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
        """Read a checkpoint from the text of a note; raises `Malformed`."""
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
    """A checkpoint with its signatures, none of which has been verified yet."""

    checkpoint: Checkpoint
    note: Note

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a signed note whose text is a checkpoint; raises `Malformed`."""
        parsed = Note.parse(note)
        return cls(Checkpoint.parse(parsed.text), parsed)


class Trust:
    """The keys that are trusted to sign a ledger's checkpoints, and how one key hands over to the next.

    If a checkpoint names the next key in a line ``key``, and both a trusted key and the named key have signed it, the
    named key is trusted from then on in place of those that signed.
    """

    def __init__(self, keys: Iterable[VerifierKey]) -> None:
        self.keys = frozenset(keys)

    def signers(self, signed: Signed) -> Collection[VerifierKey]:
        """List the trusted keys of a log that signed a checkpoint, and follow a handover to the next key.

        Gives none if no trusted key signed. Raises ValueError if a signature is wrong, or if the next key has not
        signed.
        """
        note = signed.note
        by = [key for key in note.signed_by(sorted(self.keys, key=str)) if key.kind is Kind.NOTE]
        successor = signed.checkpoint.key
        if not by or successor is None:
            return by
        if not note.signed_by([successor]):
            raise ValueError(f"it names {successor.short} as the next key, which has not signed it")
        self.keys = self.keys.difference(by) | {successor}
        return by
