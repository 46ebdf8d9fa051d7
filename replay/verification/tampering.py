"""Finds out what was done to rows whose hashes do not follow, from where else these fit and which checks they fail."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from holdbook.replay.verification.findings import Check, Harm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdbook.domain.records import StoredRow
    from holdbook.replay.verification.findings import Findings

WAITING_MAX: Final = 64
"""How many such rows are kept, to find out whether they are in each other's places."""

_DOES_NOT_FOLLOW: Final = "the hash does not follow from the hash before it and what the row says"


class ChainBreak(NamedTuple):
    """A row whose hash does not follow from the row before it."""

    row: StoredRow
    body: bytes | None
    """The row's canonical bytes after the position, with which they begin; None if no log writes such values."""
    previous_hash: bytes
    """The hash that is stored in the row before it."""
    recent_hashes: Sequence[tuple[int, bytes]]
    """The positions and stored hashes of the rows before it."""
    shift: int
    """How much higher the positions were at which the rows around it were written; below 0 if they were lower."""

    @property
    def position(self) -> int:
        """The position that the row has now."""
        return self.row.position

    def fits(self, previous_hash: bytes, position: int) -> bool:
        """Tell whether the row's hash follows from a hash at a position."""
        if self.body is None:
            return False
        return self.row.hash == hashlib.sha256(b"%s[%d%s" % (previous_hash, position, self.body)).digest()


@dataclass(frozen=True, slots=True)
class _BrokenRun:
    """Rows, one after another, whose hashes do not follow."""

    rows: Sequence[ChainBreak]
    shift_change: int
    """How much more the rows after it are shifted than those before it."""
    hash_only: bool
    """Whether only the stored hash was altered: the next row follows from the hash that belongs to the row."""
    at_end: bool
    """Whether the run reaches to the end of the log."""


class TamperAnalysis:
    """Reports what was done to such rows, with one finding for each act where possible."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._waiting: list[_BrokenRun] = []
        self._rows_waiting = 0

    def add(
        self, rows: Sequence[ChainBreak], shift_change: int, *, hash_only: bool = False, at_end: bool = False
    ) -> None:
        """Add a run of such rows; the rows after it are shifted by so many positions more than those before it."""
        if self._rows_waiting + len(rows) > WAITING_MAX:
            self.settle()
        if rows:
            self._waiting.append(_BrokenRun(rows, shift_change, hash_only, at_end))
            self._rows_waiting += len(rows)

    def settle(self, end: tuple[int, bytes] | None = None) -> None:
        """Report what was done to the runs so far; ``end`` is where the log's last row was written, and its hash."""
        runs, self._waiting, self._rows_waiting = self._waiting, [], 0
        placed = _find_places(runs, [] if end is None else [end])
        remaining = []
        while runs:
            count = _count_shuffled_runs(runs, placed)
            if count:
                self._report_shuffled(runs[0].rows[0].position, runs[count - 1].rows[-1].position)
                runs = runs[count:]
                continue
            run, *runs = runs
            if run.shift_change > 0:
                self._report_hole(run.rows[0].position, run.shift_change)
            elif run.shift_change < 0:
                last = run.rows[-1].position - _is_original(run.rows[-1], -run.shift_change)
                self._report_inserted(last + 1 + run.shift_change, last)
            elif run.at_end and (inserted := _count_inserted_before_end(run.rows, placed)):
                self._report_inserted(run.rows[-1].position - inserted, run.rows[-1].position - 1)
            else:
                remaining.append(run)
        self._settle_unshifted(remaining, placed)

    def _settle_unshifted(self, runs: Sequence[_BrokenRun], placed: Mapping[int, ChainBreak]) -> None:
        """Report what was done to runs that no shift explains: their rows were exchanged or altered."""
        standing = {one.position + one.shift for run in runs for one in run.rows}
        self._report_reordered({at: one.position + one.shift for at, one in placed.items() if at in standing})
        for run in runs:
            left = [one for one in run.rows if one.position + one.shift not in placed]
            for _, group in groupby(enumerate(left), key=lambda pair: pair[1].position - pair[0]):
                self._report_altered(_BrokenRun([one for _, one in group], 0, run.hash_only, run.at_end))

    # Findings

    def _report_hole(self, position: int, count: int) -> None:
        were = "one event was" if count == 1 else f"{count} events were"
        message = (
            f"{were} taken out before this row, and the rows after were numbered anew: "
            f"their hashes follow only at the positions that they had, {count} further on"
        )
        self._findings.add(position, Check.CHAIN, message, Harm.HOLE)

    def _report_inserted(self, first: int, last: int) -> None:
        were = "this row was" if first == last else f"positions {first} to {last} were"
        message = f"{were} put in, and the rows after numbered anew: their hashes follow as if it were not there"
        self._findings.add(first, Check.CHAIN, message, Harm.INSERTED)

    def _report_reordered(self, placed: Mapping[int, int]) -> None:
        moved = {place: now for place, now in placed.items() if place != now}
        while moved:
            first = min(moved)
            cycle, place = [first], moved.pop(first)
            while place in moved:
                cycle.append(place)
                place = moved.pop(place)
            cycle = sorted({*cycle, place})
            message = (
                f"the events at positions {' and '.join(map(str, cycle))} stand in each other's places: "
                "each has the hash that belongs to another of these positions"
            )
            self._findings.add(cycle[0], Check.CHAIN, message, Harm.REORDER)

    def _report_shuffled(self, first: int, last: int) -> None:
        message = f"the events from here to about position {last} stand in another order, each with its place's hash"
        self._findings.add(first, Check.CHAIN, message, Harm.REORDER)

    def _report_altered(self, run: _BrokenRun) -> None:
        first, last = run.rows[0].position, run.rows[-1].position
        if run.hash_only:
            message = "the hash was altered: the next row follows from the one that belongs to what this row says"
            self._findings.add(first, Check.CHAIN, message)
        elif run.at_end:
            self._report_at_end(first, last)
        elif first != last:
            message = f"{_DOES_NOT_FOLLOW}, from here to position {last}: these rows were altered"
            self._findings.add(first, Check.CHAIN, message)
        elif self._other_failed_checks(first - 1) and not self._other_failed_checks(first):
            message = (
                f"this row was altered, and its hash made anew: the hash at position {first} does not follow from it"
            )
            self._findings.add(first - 1, Check.CHAIN, message)
        else:
            other = f"the row before it was, and its hash made anew (position {first - 1})"
            if first == 1:
                other = "the ledger's id in ledger_meta was"
            self._findings.add(first, Check.CHAIN, f"{_DOES_NOT_FOLLOW}: this row was altered, or {other}")

    def _report_at_end(self, first: int, last: int) -> None:
        """Report rows at the end of the log: one that fails further checks was appended, any other was altered."""
        other_checks = self._other_failed_checks(first)
        where = "and the log ends here" if first == last else f"from here to the log's end, position {last}"
        message = f"{_DOES_NOT_FOLLOW}, {where}: "
        if len(other_checks) > 1:
            failed = ", ".join(sorted(check.value for check in other_checks))
            message += f"appended rather than altered, as it fails other checks too ({failed})"
            self._findings.add(first, Check.CHAIN, message, Harm.INSERTED)
        else:
            message += "altered rather than appended, as little else is wrong with it; the hash cannot tell which"
            self._findings.add(first, Check.CHAIN, message)

    def _other_failed_checks(self, position: int) -> frozenset[Check]:
        return frozenset(self._findings.checks_at(position) - {Check.CHAIN, Check.POSITIONS, Check.LIMITS})


def _find_places(runs: Iterable[_BrokenRun], ends: list[tuple[int, bytes]]) -> dict[int, ChainBreak]:
    """Find the position at which each of these rows was written, by following the hashes from every known one."""
    runs = [run for run in runs if not run.hash_only]
    ends += [(run.rows[0].position - 1 + run.rows[0].shift, run.rows[0].previous_hash) for run in runs]
    left = [one for run in runs for one in run.rows]
    placed: dict[int, ChainBreak] = {}
    while ends:
        position, before = ends.pop()
        found = next((one for one in left if one.fits(before, position + 1)), None)
        if found is not None:
            left.remove(found)
            placed[position + 1] = found
            ends.append((position + 1, found.row.hash))
    return placed


def _count_shuffled_runs(runs: Sequence[_BrokenRun], placed: Mapping[int, ChainBreak]) -> int:
    """Count the first runs that are explained by rows in another order, without missing or new rows; 0 if none are."""
    place_of = {one.position: place for place, one in placed.items()}
    base = runs[0].rows[0].shift
    shift = furthest = 0
    for count, run in enumerate(runs, start=1):
        shift += run.shift_change
        places = [place_of.get(one.position) for one in run.rows]
        if not run.shift_change or None in places:
            return 0
        furthest = max(furthest, *(place for place in places if place is not None))
        if not shift and furthest <= run.rows[-1].position + base:
            return count
    return len(runs)  # rows that were last are elsewhere now


def _is_original(one: ChainBreak, count: int) -> bool:
    """Tell whether a row is an original one that follows ``count`` inserted rows, and not an inserted row."""
    place = one.position + one.shift - count
    before = dict(one.recent_hashes).get(one.position - count - 1)
    return before is None or one.fits(before, place)


def _count_inserted_before_end(rows: Sequence[ChainBreak], placed: Mapping[int, ChainBreak]) -> int:
    """Count the rows inserted before the last row, if its hash follows from that of the row before them; else 0."""
    last = rows[-1]
    if last.position + last.shift in placed:  # rows were exchanged
        return 0
    for position, before in reversed(last.recent_hashes[:-1]):
        if last.fits(before, position + 1 + last.shift):
            return last.position - position - 1
    return 0
