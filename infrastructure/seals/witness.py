"""Witnesses: they cosign checkpoints that go on from those they have cosigned before."""

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
    """A witness does not sign what it cannot vouch for."""


@dataclass(frozen=True, slots=True)
class SeenCheckpoint:
    """The largest checkpoint of one ledger that a witness has cosigned."""

    number: int
    size: int
    root: bytes
    keys: tuple[VerifierKey, ...]
    """The keys of the log that sign from there on."""

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        keys = list(map(str, self.keys))
        return {"number": self.number, "size": self.size, "root": encode_hash(self.root), "keys": keys}

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> SeenCheckpoint:
        """Read it; raises ValueError, TypeError or KeyError."""
        keys = tuple(map(VerifierKey.parse, fields["keys"]))
        return cls(int(fields["number"]), int(fields["size"]), decode_hash(fields["root"]), keys)


class Witness:
    """Signs checkpoints that go on from those that it has signed before, which it remembers in a file."""

    def __init__(self, path: Path, key: SignerKey) -> None:
        self.key = key
        self._path = path.with_name(f"{path.name}.seen")

    def seen(self, ledger_id: str) -> SeenCheckpoint | None:
        """Recall the last checkpoint of a ledger; raises `Malformed` for a file that is none of its own."""
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
        """Sign a checkpoint that a trusted key of the log has signed, and that goes on from the last one.

        ``handovers`` are the checkpoints at which one key handed over to another, in order; ``path`` gives a proof of
        consistency between two sizes. The first time, ``log_keys`` are trusted. Raises `NotCosigned`.
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
            _check_going_on(seen, signed, path)
        self._remember(
            checkpoint.ledger_id, SeenCheckpoint(checkpoint.number, checkpoint.size, checkpoint.root, _keys(trust))
        )
        return self.key.sign(signed.note.text, int(at.timestamp()))

    def _remember(self, ledger_id: str, seen: SeenCheckpoint) -> None:
        """Write down what is about to be signed: whoever stops in between has not signed it."""
        present = json.loads(self._path.read_text()) if self._path.exists() else {}
        part = self._path.with_name(f"{self._path.name}.part")
        with part.open("w") as file:
            json.dump({**present, ORIGIN + ledger_id: seen.as_dict()}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)


def _keys(trust: Trust) -> tuple[VerifierKey, ...]:
    return tuple(sorted(trust.keys, key=str))


def _check_going_on(seen: SeenCheckpoint, signed: Signed, path: Callable[[int, int], Sequence[bytes]]) -> None:
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
