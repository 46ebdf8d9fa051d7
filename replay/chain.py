"""What the log's numbers and hashes promise: dense positions, an unbroken chain, dense versions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from bursar.domain.records import canonical_bytes
from bursar.replay.findings import Check

if TYPE_CHECKING:
    from bursar.domain.records import StoredRow
    from bursar.replay.findings import Findings

_BROKEN: Final = (
    "the hash does not follow from the hash before it and what the row says: "
    "this row was altered, or it or the row before it was put in the place of another"
)


class Chain:
    """Follows positions and hashes from row to row; goes on from what is stored, so that one fault is one finding."""

    def __init__(self, findings: Findings, genesis: bytes) -> None:
        self._findings = findings
        self.position = 0
        """Position of the last row."""
        self._before = genesis
        """The hash stored in the last row."""
        self._instead: bytes | None = None
        """The hash that the last row should have had, if it has another."""
        self.canonical: bytes | None = None
        """The canonical bytes of the last row; None if no log has written it."""

    def follow(self, row: StoredRow) -> bool:
        """Check the next row; tell whether rows are missing before it."""
        gap = row.position != self.position + 1
        if gap:
            self._out_of_place(row)
        self.position = max(self.position, row.position)
        self.canonical = _canonical(row)
        wanted = self._hash_after(self._before)
        instead = self._hash_after(self._instead) if self._instead else None
        sound = gap or (wanted is not None and row.hash in (wanted, instead))
        self._before = row.hash if type(row.hash) is bytes else wanted or b""
        self._instead = None if sound else wanted
        if not sound:
            self._findings.add(row.position, Check.CHAIN, _BROKEN)
        return gap

    def _hash_after(self, before: bytes) -> bytes | None:
        return None if self.canonical is None else hashlib.sha256(before + self.canonical).digest()

    def _out_of_place(self, row: StoredRow) -> None:
        first, last = self.position + 1, row.position - 1
        if last < first:
            self._findings.add(row.position, Check.POSITIONS, "the log's positions begin at 1")
            return
        missing = f"position {first} is" if first == last else f"positions {first} to {last} are"
        self._findings.add(first, Check.POSITIONS, f"{missing} missing from the log")


def _canonical(row: StoredRow) -> bytes | None:
    try:
        return canonical_bytes(row)
    except (TypeError, ValueError):  # what no log has written
        return None


class Versions:
    """Follows the versions of every stream."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._last: dict[str, int] = {}
        self._instead: dict[str, int] = {}
        """The versions that the last events of some streams should have had."""

    def follow(self, stream_id: str, version: int, position: int) -> None:
        """Check the next event of a stream."""
        expected = self._last.get(stream_id, 0) + 1
        self._last[stream_id] = version
        if version == expected:
            return
        instead = self._instead.pop(stream_id, None)
        if instead is None or version != instead + 1:
            message = f"version {version} of stream {stream_id!r} follows version {expected - 1}"
            self._findings.add(position, Check.VERSIONS, message)
            self._instead[stream_id] = expected
