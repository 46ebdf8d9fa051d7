"""A window of time, and values over it: as many steps as can be drawn, whatever happened, however long the window."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from holdbook.domain.refusals import RefusalCode

INTERVALS: Final = 300
"""How many parts a window has for a line that is reduced, and for refusals that are marked together."""

POINTS_MAX: Final = 1000
"""The most points of a line that is kept as it is."""


class Window(NamedTuple):
    """Time from a moment to just before another."""

    since: datetime
    until: datetime

    def part(self, at: datetime, parts: int = INTERVALS) -> int:
        """Find the part that a moment is in, of so many, from 0."""
        return (at - self.since) * parts // (self.until - self.since)

    def share(self, at: datetime) -> float:
        """Tell how much of the window is over at a moment, from 0 to 1."""
        return (at - self.since) / (self.until - self.since)


class Point(NamedTuple):
    """A value from a moment on."""

    at: datetime
    value: int


class StepLine:
    """A value that changes in steps. Where it has many, each part of the window keeps its least, its most, its last."""

    def __init__(self, window: Window, value: int, *, points_max: int = POINTS_MAX) -> None:
        self._window = window
        self._points_max = points_max
        self._points = [Point(window.since, value)]
        self.last = value
        """The value at the end."""
        self.most = self._points[0]
        """The greatest value, and when it was reached first."""

    def add(self, at: datetime, value: int) -> None:
        """Let the value change, not before it changed last."""
        if value == self.last:
            return
        self.last = value
        self._points.append(Point(at, value))
        if value > self.most.value:
            self.most = self._points[-1]
        if len(self._points) > 2 * self._points_max:
            self._points = list(self._reduced())

    @property
    def points(self) -> Sequence[Point]:
        """Every change, the beginning first; no more than can be drawn."""
        return list(self._reduced()) if len(self._points) > self._points_max else self._points

    def _reduced(self) -> Iterator[Point]:
        # What was reduced before is reduced to the same: its least, most and last are still there.
        yield self._points[0]
        for _, group in groupby(self._points[1:], lambda point: self._window.part(point.at)):
            points = list(group)
            by_value = sorted(range(len(points)), key=lambda index: points[index].value)
            for index in sorted({by_value[0], by_value[-1], len(points) - 1}):
                yield points[index]

    def columns(self, count: int) -> list[tuple[int, int]]:
        """Cut the window into so many equal parts: the value at the end of each, and the most in it."""
        points, found = self.points, []
        index, value = 0, points[0].value
        for part in range(count):
            most = value
            while index < len(points) and self._window.part(points[index].at, count) <= part:
                value = points[index].value
                most = max(most, value)
                index += 1
            found.append((value, most))
        return found


def value_at(points: Sequence[Point], at: datetime) -> int:
    """Read a line at a moment of its window."""
    return points[bisect_right(points, at, key=lambda point: point.at) - 1].value


@dataclass(slots=True)
class Mark:
    """Refusals near one another in time."""

    first: datetime
    last: datetime
    position: int
    """Position of the first in the log."""
    codes: Counter[RefusalCode] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.codes.total()


class RefusalMarks:
    """The refusals of a window, those of each part of it together."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._by_part: dict[int, Mark] = {}

    def add(self, at: datetime, position: int, code: RefusalCode) -> None:
        """Count a refusal."""
        mark = self._by_part.setdefault(self._window.part(at), Mark(at, at, position))
        mark.first, mark.last = min(mark.first, at), max(mark.last, at)
        mark.codes[code] += 1

    def __iter__(self) -> Iterator[Mark]:
        """Give the marks in the order of time."""
        return (mark for _, mark in sorted(self._by_part.items()))

    @property
    def codes(self) -> Counter[RefusalCode]:
        """How many there are of each code."""
        return sum((mark.codes for mark in self._by_part.values()), Counter())

    def columns(self, count: int) -> list[int]:
        """Cut the window into so many equal parts: how many each has, by the time of the first of each mark."""
        found = [0] * count
        for mark in self._by_part.values():
            found[self._window.part(mark.first, count)] += mark.count
        return found
