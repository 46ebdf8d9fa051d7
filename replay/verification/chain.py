"""What the log's numbers and hashes promise: dense positions, an unbroken chain, dense versions."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from holdbook.domain.records import canonical_bytes
from holdbook.replay.verification.findings import Check, Harm
from holdbook.replay.verification.tampering import WAITING_MAX, ChainBreak, TamperAnalysis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdbook.domain.records import StoredRow
    from holdbook.replay.verification.findings import Findings

_SHIFT_MAX: Final = 2000
"""By how many places rows are tried elsewhere, to tell how many were taken out before them, or put in."""

_HASHES_MAX: Final = 200_000
"""How many hashes are computed, in all, to find out what was done."""

_RECENT_HASHES: Final = 64
"""How many hashes before a break are kept."""


class Chain:
    """Follows positions and hashes from row to row; goes on from what is stored, so that one fault is one finding.

    Rows whose hashes do not follow, up to the next one whose hash does, are a break. What was done to them is told
    from where else they fit: see `TamperAnalysis`.
    """

    def __init__(self, findings: Findings, before: bytes, position: int = 0) -> None:
        self._findings = findings
        self.position = position
        """Position of the last row."""
        self._last_hash = before
        """The hash stored in the last row."""
        self._expected_hash: bytes | None = None
        """The hash that the last row should have had, if it has another."""
        self._recent_hashes: deque[tuple[int, bytes]] = deque([(position, before)], maxlen=_RECENT_HASHES)
        """The hashes stored in the last rows, by position."""
        self._shift = 0
        """How far rows were shift down since they were written; up, if it is below 0."""
        self._broken_rows: list[ChainBreak] = []
        self._hashes_left = _HASHES_MAX
        self._analysis = TamperAnalysis(findings)
        self.canonical: bytes | None = None
        """The canonical bytes of the row that was followed last; None if no log has written it."""

    def follow_page(self, rows: Sequence[tuple[Any, ...]], texts: Sequence[bytes]) -> bool:
        """Check a page of rows, given their canonical bytes, if nothing is off; tell whether that is so."""
        if self._broken_rows or self._shift or self._expected_hash or rows[0][0] != self.position + 1:
            return False
        before, sha256 = self._last_hash, hashlib.sha256
        for row, text in zip(rows, texts, strict=True):
            hashed = sha256(before + text).digest()
            if hashed != row[-1]:
                return False
            before = hashed
        self.position, self._last_hash = rows[-1][0], before
        self._recent_hashes.extend((row[0], row[-1]) for row in rows[-_RECENT_HASHES:])
        return True

    def follow(self, row: StoredRow) -> bool:
        """Check the next row; tell whether rows are missing before it."""
        gap = row.position != self.position + 1
        if gap:
            self._end_break(self._shift)
            self._report_position(row)
        self.position = max(self.position, row.position)
        self.canonical = _canonical(row)
        body = None if self.canonical is None else self.canonical[len(b"[%d" % row.position) :]
        expected = _hash_of(self._last_hash, row.position + self._shift, body)
        follows = gap or (expected is not None and row.hash == expected)
        if follows:
            self._end_break(self._shift)
        elif self._expected_hash is not None and row.hash == _hash_of(
            self._expected_hash, row.position + self._shift, body
        ):
            self._end_break(self._shift, hash_only=len(self._broken_rows) == 1)
        elif not self._follows_elsewhere(row, body):
            if len(self._broken_rows) == WAITING_MAX:
                self._end_break(self._shift)
            self._broken_rows.append(ChainBreak(row, body, self._last_hash, tuple(self._recent_hashes), self._shift))
        self._expected_hash = expected if self._broken_rows and self._broken_rows[-1].row is row else None
        self._last_hash = row.hash if type(row.hash) is bytes else expected or b""
        self._recent_hashes.append((row.position, self._last_hash))
        return gap

    def end(self) -> None:
        """Say what was done to the rows whose hashes do not follow."""
        self._analysis.add(self._broken_rows, 0, at_end=True)
        self._analysis.settle((self.position + self._shift, self._last_hash))

    def _follows_elsewhere(self, row: StoredRow, body: bytes | None) -> bool:
        """Tell whether a row within a break follows the one before it at another place; the break ends there."""
        if not self._broken_rows or body is None:
            return False
        for distance in range(1, _SHIFT_MAX + 1):
            for shift in (self._shift + distance, self._shift - distance):
                self._hashes_left -= 1
                if self._hashes_left < 0:
                    return False
                if row.hash == _hash_of(self._last_hash, row.position + shift, body):
                    self._end_break(shift)
                    return True
        return False

    def _end_break(self, shift: int, *, hash_only: bool = False) -> None:
        rows, self._broken_rows = self._broken_rows, []
        shift_change, self._shift = shift - self._shift, shift
        if rows:
            self._analysis.add(rows, shift_change, hash_only=hash_only)

    def _report_position(self, row: StoredRow) -> None:
        first, last = self.position + 1, row.position - 1
        if row.position < 1:
            self._findings.add(row.position, Check.POSITIONS, "the log's positions begin at 1", Harm.INSERTED)
        elif last < first:
            message = f"position {row.position} comes a second time"
            self._findings.add(row.position, Check.POSITIONS, message, Harm.INSERTED)
        else:
            missing = f"position {first} is" if first == last else f"positions {first} to {last} are"
            self._findings.add(first, Check.POSITIONS, f"{missing} missing from the log")


def canonical_texts(rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """Write rows whose columns are sound as `canonical_bytes` does; raises ValueError for text that is none."""
    return [to_json(row[:-1]) for row in rows]


def _canonical(row: StoredRow) -> bytes | None:
    try:
        return canonical_bytes(row)
    except (TypeError, ValueError):  # what no log has written
        return None


def _hash_of(previous_hash: bytes, position: int, body: bytes | None) -> bytes | None:
    return None if body is None else hashlib.sha256(b"%s[%d%s" % (previous_hash, position, body)).digest()


class Versions:
    """Follows the versions of every stream."""

    def __init__(self, findings: Findings, start: int, version_at: Callable[[str, int], int]) -> None:
        self._findings = findings
        self._start = start
        """Position after which streams are followed."""
        self._version_at = version_at
        self.last: dict[str, int] = {}
        """The version of the last event, by stream."""
        self._expected_versions: dict[str, int] = {}
        """The versions that the last events of some streams should have had."""

    def follow(self, stream_id: str, version: int, position: int) -> None:
        """Check the next event of a stream."""
        before = self.last.get(stream_id)
        if before is None:
            before = self._version_at(stream_id, self._start) if self._start else 0
        expected = before + 1
        self.last[stream_id] = version
        if version == expected:
            return
        instead = self._expected_versions.pop(stream_id, None)
        if instead is None or version != instead + 1:
            message = f"version {version} of stream {stream_id!r} follows version {expected - 1}"
            self._findings.add(position, Check.VERSIONS, message)
            self._expected_versions[stream_id] = expected
