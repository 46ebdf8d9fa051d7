"""Witnesses: they cosign a checkpoint only if it goes on from the last one that they cosigned."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdbook.domain.errors import HoldbookError, Malformed
from holdbook.replay.evidence.checkpoints import ORIGIN, Trust
from holdbook.replay.evidence.merkle import is_consistent
from holdbook.replay.evidence.notes import VerifierKey, decode_hash, encode_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.evidence.notes import NoteSignature, SignerKey


class NotCosigned(HoldbookError):
    """A witness refuses to sign, because it cannot vouch for the checkpoint."""


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The last checkpoint of a ledger that a witness has cosigned."""

    number: int
    size: int
    root: bytes
    keys: tuple[VerifierKey, ...]
    """The keys that may sign the log's checkpoints from there on."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        keys = list(map(str, self.keys))
        return {"number": self.number, "size": self.size, "root": encode_hash(self.root), "keys": keys}

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> SeenCheckpoint:
        """Make one of JSON values; raises ValueError, TypeError or KeyError if they are not those of one."""
        keys = tuple(map(VerifierKey.parse, fields["keys"]))
        return cls(int(fields["number"]), int(fields["size"]), decode_hash(fields["root"]), keys)


class Witness:
    """Cosigns checkpoints of any number of ledgers.

    For each ledger it remembers the last checkpoint that it has cosigned, in a file beside the file with its key.
    """

    def __init__(self, path: Path, key: SignerKey) -> None:
        self.key = key
        self._path = path.with_name(f"{path.name}.seen")

    def seen(self, ledger_id: str) -> SeenCheckpoint | None:
        """Give the last checkpoint of a ledger that it cosigned; raises `Malformed` if its file is not one it wrote."""
        try:
            fields = json.loads(self._path.read_text()).get(ORIGIN + ledger_id)
            return None if fields is None else SeenCheckpoint.parse(fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            expected = "expected the file in which the witness keeps what it has seen"
            raise Malformed("--key", str(self._path), expected) from None

    def cosign(
        self,
        signed: Signed,
        handovers: Iterable[Signed],
        path: Callable[[int, int], Sequence[bytes]],
        at: datetime,
        log_keys: Sequence[VerifierKey],
    ) -> NoteSignature:
        """Sign a checkpoint, if a trusted key of the log has signed it and it goes on from the last one cosigned.

        ``handovers`` are the checkpoints at which one key of the log handed over to the next, in order. ``path`` gives
        a consistency proof between two sizes of the tree. ``at`` becomes the time of the signature. The first
        checkpoint of a ledger must be signed by one of ``log_keys``, later ones by the keys that followed from those.
        Raises `NotCosigned`, and `Malformed` if the file of the witness is not one it wrote.
        """
        checkpoint = signed.checkpoint
        seen = self.seen(checkpoint.ledger_id)
        trust = Trust(log_keys if seen is None else seen.keys)
        after = checkpoint.number - 1 if seen is None else seen.number
        between = (one for one in handovers if after < one.checkpoint.number < checkpoint.number)
        try:
            signers = [trust.signers(one) for one in (*between, signed)]
        except ValueError as error:
            raise NotCosigned(f"checkpoint {checkpoint.number}: {error}") from None
        if not all(signers):
            raise NotCosigned(f"checkpoint {checkpoint.number} is not signed by a key that the witness trusts")
        if seen is not None:
            _check_goes_on(seen, signed, path)
        self._remember(
            checkpoint.ledger_id, SeenCheckpoint(checkpoint.number, checkpoint.size, checkpoint.root, _keys(trust))
        )
        return self.key.sign(signed.note.text, int(at.timestamp()))

    def _remember(self, ledger_id: str, seen: SeenCheckpoint) -> None:
        """Write down a checkpoint before it is signed, so that no signature is ever given out and forgotten."""
        present = json.loads(self._path.read_text()) if self._path.exists() else {}
        part = self._path.with_name(f"{self._path.name}.part")
        with part.open("w") as file:
            json.dump({**present, ORIGIN + ledger_id: seen.as_dict()}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)


def _keys(trust: Trust) -> tuple[VerifierKey, ...]:
    """List the keys that are trusted, sorted by their text."""
    return tuple(sorted(trust.keys, key=str))


def _check_goes_on(seen: SeenCheckpoint, signed: Signed, path: Callable[[int, int], Sequence[bytes]]) -> None:
    """Check that a checkpoint goes on from the last one that was cosigned; raises `NotCosigned`."""
    checkpoint = signed.checkpoint
    if checkpoint.number < seen.number:
        message = f"checkpoint {checkpoint.number} is older than checkpoint {seen.number}, which was cosigned last"
        raise NotCosigned(message)
    if checkpoint.number == seen.number and (checkpoint.size, checkpoint.root) != (seen.size, seen.root):
        raise NotCosigned(f"another checkpoint {seen.number} was cosigned: the log was rewritten")
    proof = path(seen.size, checkpoint.size) if seen.size <= checkpoint.size else ()
    if not is_consistent(seen.size, checkpoint.size, seen.root, checkpoint.root, proof):
        message = f"checkpoint {checkpoint.number} does not go on from checkpoint {seen.number}"
        raise NotCosigned(f"{message}, which was cosigned last: the log was rewritten")
