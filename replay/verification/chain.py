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

_REACH: Final = 2000
"""By how many places rows are tried elsewhere, to tell how many were taken out before them, or put in."""

_TRIES_MAX: Final = 200_000
"""How many hashes are computed, in all, to find out what was done."""

_RECENT: Final = 64
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
        self._before = before
        """The hash stored in the last row."""
        self._instead: bytes | None = None
        """The hash that the last row should have had, if it has another."""
        self._recent: deque[tuple[int, bytes]] = deque([(position, before)], maxlen=_RECENT)
        """The hashes stored in the last rows, by position."""
        self._moved = 0
        """How far rows were moved down since they were written; up, if it is below 0."""
        self._break: list[ChainBreak] = []
        self._tries = _TRIES_MAX
        self._breaks = TamperAnalysis(findings)
        self.canonical: bytes | None = None
        """The canonical bytes of the row that was followed last; None if no log has written it."""

    def follow_page(self, rows: Sequence[tuple[Any, ...]], texts: Sequence[bytes]) -> bool:
        """Check a page of rows, given their canonical bytes, if nothing is off; tell whether that is so."""
        if self._break or self._moved or self._instead or rows[0][0] != self.position + 1:
            return False
        before, sha256 = self._before, hashlib.sha256
        for row, text in zip(rows, texts, strict=True):
            hashed = sha256(before + text).digest()
            if hashed != row[-1]:
                return False
            before = hashed
        self.position, self._before = rows[-1][0], before
        self._recent.extend((row[0], row[-1]) for row in rows[-_RECENT:])
        return True

    def follow(self, row: StoredRow) -> bool:
        """Check the next row; tell whether rows are missing before it."""
        gap = row.position != self.position + 1
        if gap:
            self._end_break(self._moved)
            self._out_of_place(row)
        self.position = max(self.position, row.position)
        self.canonical = _canonical(row)
        tail = None if self.canonical is None else self.canonical[len(b"[%d" % row.position) :]
        wanted = _hashed(self._before, row.position + self._moved, tail)
        is_next = gap or (wanted is not None and row.hash == wanted)
        if is_next:
            self._end_break(self._moved)
        elif self._instead is not None and row.hash == _hashed(self._instead, row.position + self._moved, tail):
            self._end_break(self._moved, hash_only=len(self._break) == 1)
        elif not self._found_moved(row, tail):
            if len(self._break) == WAITING_MAX:
                self._end_break(self._moved)
            self._break.append(ChainBreak(row, tail, self._before, tuple(self._recent), self._moved))
        self._instead = wanted if self._break and self._break[-1].row is row else None
        self._before = row.hash if type(row.hash) is bytes else wanted or b""
        self._recent.append((row.position, self._before))
        return gap

    def end(self) -> None:
        """Say what was done to the rows whose hashes do not follow."""
        self._breaks.add(self._break, 0, at_end=True)
        self._breaks.settle((self.position + self._moved, self._before))

    def _found_moved(self, row: StoredRow, tail: bytes | None) -> bool:
        """Tell whether a row within a break follows the one before it at another place; the break ends there."""
        if not self._break or tail is None:
            return False
        for far in range(1, _REACH + 1):
            for moved in (self._moved + far, self._moved - far):
                self._tries -= 1
                if self._tries < 0:
                    return False
                if row.hash == _hashed(self._before, row.position + moved, tail):
                    self._end_break(moved)
                    return True
        return False

    def _end_break(self, moved: int, *, hash_only: bool = False) -> None:
        rows, self._break = self._break, []
        by, self._moved = moved - self._moved, moved
        if rows:
            self._breaks.add(rows, by, hash_only=hash_only)

    def _out_of_place(self, row: StoredRow) -> None:
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


def _hashed(before: bytes, position: int, tail: bytes | None) -> bytes | None:
    return None if tail is None else hashlib.sha256(b"%s[%d%s" % (before, position, tail)).digest()


class Versions:
    """Follows the versions of every stream."""

    def __init__(self, findings: Findings, start: int, version_at: Callable[[str, int], int]) -> None:
        self._findings = findings
        self._start = start
        """Position after which streams are followed."""
        self._version_at = version_at
        self.last: dict[str, int] = {}
        """The version of the last event, by stream."""
        self._instead: dict[str, int] = {}
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
        instead = self._instead.pop(stream_id, None)
        if instead is None or version != instead + 1:
            message = f"version {version} of stream {stream_id!r} follows version {expected - 1}"
            self._findings.add(position, Check.VERSIONS, message)
            self._instead[stream_id] = expected
