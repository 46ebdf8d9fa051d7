"""The shapes of what can be checked: verification, sealed checkpoints, proofs, bundles, and the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.infrastructure.presentation.wording.integrity import repair_text
from holdbook.infrastructure.seals.prover import checkpoint_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.infrastructure.seals.prover import Consistency, Inclusion
    from holdbook.infrastructure.seals.store import KeptCheckpoint
    from holdbook.projections.rebuild import Rebuilt
    from holdbook.replay.evidence.bundle import Proven
    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.evidence.notes import VerifierKey
    from holdbook.replay.verification.findings import Report


def verified_shape(report: Report) -> dict[str, Any]:
    """Shape what a verification found."""
    return report.as_dict()


def repaired_shape(report: Report, view: str, built: Rebuilt | None) -> dict[str, Any]:
    """Shape what a verification found, and what became of the repair of a view."""
    repaired = built is not None and built.published
    repair = {"view": view, "repaired": repaired, "told": repair_text(view, report, built)}
    return {**verified_shape(report), "repair": repair}


def signed_shape(signed: Signed) -> dict[str, Any]:
    """Shape a signed checkpoint."""
    return {**checkpoint_shape(signed), "note": str(signed.note)}


def sealed_shape(signed: Signed | None) -> dict[str, Any]:
    """Shape whether a checkpoint was signed, and which; None if there was nothing new to sign."""
    return {"sealed": signed is not None, **(signed_shape(signed) if signed else {})}


def kept_checkpoint_shape(kept: KeptCheckpoint) -> dict[str, Any]:
    """Shape a checkpoint as the ledger keeps it."""
    return {**signed_shape(kept.signed), "sealed_at": kept.sealed_at}


def cosigned_shape(signed: Signed, witness: VerifierKey) -> dict[str, Any]:
    """Shape a checkpoint that a witness has cosigned, and the witness's public key."""
    return {**signed_shape(signed), "key": str(witness)}


def key_shape(key: VerifierKey, file: str, signed: Signed | None) -> dict[str, Any]:
    """Shape a new key: its public key, the file of its private key, and the checkpoint that first names it, if any."""
    return {"key": str(key), "file": file, **(signed_shape(signed) if signed else {})}


def proof_shape(made: Inclusion | Consistency) -> dict[str, Any]:
    """Shape a proof that a checkpoint covers an event, or continues an earlier checkpoint."""
    return made.as_dict()


def proven_shape(proven: Proven) -> dict[str, Any]:
    """Shape what a bundle proves."""
    checkpoint = proven.checkpoint
    return {
        "ok": True,
        "ledger_id": checkpoint.ledger_id,
        "checkpoint": checkpoint.number,
        "size": checkpoint.size,
        "first": proven.first,
        "last": proven.last,
        "events": proven.events,
        "signed_by": list(proven.signed_by),
        "others": list(proven.others),
        "earlier": list(proven.earlier),
    }


def revision_shape(found: str, expected: str) -> dict[str, Any]:
    """Shape the schema's revision, and the one that this version of Holdbook works with."""
    return {"revision": found, "wanted": expected}


def schema_check_shape(problems: Sequence[str]) -> dict[str, Any]:
    """Shape what is wrong with the schema, in words."""
    return {"ok": not problems, "problems": problems}
