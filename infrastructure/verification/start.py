"""Find the signed checkpoint from which to verify what is new in a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdbook.domain.errors import LogCorrupt, Malformed, NotFound
from holdbook.infrastructure.seals.key_files import read_checkpoint
from holdbook.infrastructure.seals.store import NotSealed
from holdbook.replay.evidence.checkpoints import Signed, Trust
from holdbook.replay.evidence.notes import Kind
from holdbook.replay.history.as_of import state_at
from holdbook.replay.verification.verifier import Start

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.replay.evidence.notes import VerifierKey
    from holdbook.replay.verification.seal_check import SealEvidence


def start_at(ledger: LedgerInterface, sealing: SealEvidence, given: str) -> Start:
    """Start at a checkpoint, given by its number or as a file's path; the pools' state there is read from the log.

    Raises `Malformed` if it is no checkpoint of this ledger, `NotFound` if no checkpoint has that number, `NotSealed`
    if no trusted key has signed it, and `LogCorrupt` if the state cannot be read.
    """
    outside = None if given.isdecimal() else read_checkpoint("since", Path(given))
    checkpoint = _signed(sealing, outside, given).checkpoint
    if checkpoint.ledger_id != ledger.log.ledger_id:
        raise Malformed("since", given, f"expected a checkpoint of ledger {ledger.log.ledger_id}")
    with ledger.log.reading() as reader:
        is_there = checkpoint.size <= reader.head
    if not is_there:  # verification reports that
        return Start(checkpoint.size, checkpoint.chain, {})
    state = state_at(ledger.log, checkpoint.size)
    if state.position != checkpoint.size:
        raise LogCorrupt(f"checkpoint {checkpoint.number} ends within a command, at position {checkpoint.size}")
    return Start(checkpoint.size, checkpoint.chain, state.pools)


def _signed(sealing: SealEvidence, outside: Signed | None, given: str) -> Signed:
    """Find a checkpoint, given by number or from outside, and check that a trusted key has signed it.

    A key is trusted too if a trusted key handed over to it in an earlier checkpoint. Raises `NotFound` or `NotSealed`.
    """
    seals = sealing.seals
    keys = sealing.trusted or (seals.keys if seals else ())
    trust = Trust(key for key in keys if key.kind is Kind.NOTE)
    number = int(given) if outside is None else outside.checkpoint.number
    found = outside
    for kept_under, note in seals.notes() if seals else ():
        if kept_under > number or (kept_under == number and outside is not None):
            break
        signed = _readable(note)
        if kept_under == number:
            found = signed
        elif signed is not None:
            _signers(trust, signed)
    if found is None:
        raise NotFound("checkpoint", given)
    if found.checkpoint.number != number or not _signers(trust, found):
        raise NotSealed(f"checkpoint {number} is not signed by a key that is trusted: verify the whole log")
    return found


def _readable(note: str) -> Signed | None:
    try:
        return Signed.parse(note)
    except Malformed:
        return None


def _signers(trust: Trust, signed: Signed) -> Collection[VerifierKey]:
    try:
        return trust.signers(signed)
    except ValueError:  # a signature is wrong
        return ()
