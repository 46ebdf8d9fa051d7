"""Checks that the log's positions have no gaps, its hash chain is unbroken, and its streams' versions have no gaps."""

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
"""By how many positions a row is tried elsewhere, to find out how many rows before it were removed or inserted."""

_HASHES_MAX: Final = 200_000
"""How many hashes are computed at most, over the whole log, to find that out."""

_RECENT_HASHES: Final = 64
"""How many hashes of rows before a break are kept."""


class Chain:
    """Follows positions and hashes from row to row; goes on from the stored hash, so that one fault gives one finding.

    A break is a run of rows whose hashes do not follow from the row before, up to the next one whose hash does. Where
    else these rows fit tells what was done to them: see `TamperAnalysis`.
    """

    def __init__(self, findings: Findings, before: bytes, position: int = 0) -> None:
        self._findings = findings
        self.position = position
        """The position of the last row."""
        self._last_hash = before
        """The hash that is stored in the last row."""
        self._expected_hash: bytes | None = None
        """The hash that the last row should have; None if it has that one."""
        self._recent_hashes: deque[tuple[int, bytes]] = deque([(position, before)], maxlen=_RECENT_HASHES)
        """The positions and stored hashes of the last rows."""
        self._shift = 0
        """How much higher the positions were at which the rows here were written; below 0 if they were lower."""
        self._broken_rows: list[ChainBreak] = []
        self._hashes_left = _HASHES_MAX
        self._analysis = TamperAnalysis(findings)
        self.canonical: bytes | None = None
        """The canonical bytes of the last row; None if its values cannot be written as such."""

    def follow_page(self, rows: Sequence[tuple[Any, ...]], texts: Sequence[bytes]) -> bool:
        """Check a page of rows, given their canonical bytes; if anything is wrong, give False and change nothing."""
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
        """Check the next row; gives whether there is a gap, or a step back, in the positions before it."""
        gap = row.position != self.position + 1
        if gap:
            self._end_break(self._shift)
            self._report_position(row)
        self.position = max(self.position, row.position)
        self.canonical = _canonical(row)
        body = None if self.canonical is None else self.canonical[len(b"[%d" % row.position) :]
        written_at = row.position + self._shift
        expected = _hash_of(self._last_hash, written_at, body)
        follows = gap or (expected is not None and row.hash == expected)
        if follows:
            self._end_break(self._shift)
        elif self._expected_hash is not None and row.hash == _hash_of(self._expected_hash, written_at, body):
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
        """Report what was done to the rows of the breaks that have not been explained yet."""
        self._analysis.add(self._broken_rows, 0, at_end=True)
        self._analysis.settle((self.position + self._shift, self._last_hash))

    def _follows_elsewhere(self, row: StoredRow, body: bytes | None) -> bool:
        """Tell whether a row in a break follows the row before it at another position; if so, the break ends."""
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
    """Give the canonical bytes of rows whose columns are sound; raises ValueError for text that is not Unicode."""
    return [to_json(row[:-1]) for row in rows]


def _canonical(row: StoredRow) -> bytes | None:
    try:
        return canonical_bytes(row)
    except (TypeError, ValueError):  # values that no log writes
        return None


def _hash_of(previous_hash: bytes, position: int, body: bytes | None) -> bytes | None:
    return None if body is None else hashlib.sha256(b"%s[%d%s" % (previous_hash, position, body)).digest()


class Versions:
    """Follows the versions of every stream."""

    def __init__(self, findings: Findings, start: int, version_at: Callable[[str, int], int]) -> None:
        self._findings = findings
        self._start = start
        """The position after which events are followed."""
        self._version_at = version_at
        self.last: dict[str, int] = {}
        """The version of each stream's last event."""
        self._expected_versions: dict[str, int] = {}
        """The version that a stream's last event should have, where it has another."""

    def follow(self, stream_id: str, version: int, position: int) -> None:
        """Check the version of a stream's next event."""
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
