"""A window of time and values over it, reduced to as many points as can be drawn, however much happened."""

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
"""How many parts of equal length a window has, for reducing lines and for grouping refusals."""

POINTS_MAX: Final = 1000
"""The most points that a line has before it is reduced."""


class Window(NamedTuple):
    """The time from ``since`` to just before ``until``."""

    since: datetime
    until: datetime

    def part(self, at: datetime, parts: int = INTERVALS) -> int:
        """Find the number of the part that a moment is in, from 0, if the window is cut into so many equal parts."""
        return (at - self.since) * parts // (self.until - self.since)

    def share(self, at: datetime) -> float:
        """Tell how much of the window has passed at a moment, from 0 to 1."""
        return (at - self.since) / (self.until - self.since)


class Point(NamedTuple):
    """A value, and the moment from which it holds."""

    at: datetime
    value: int


class StepLine:
    """A value that changes in steps; if it has too many, only some steps of each part of the window are kept.

    These are the least, the greatest and the last value: the M4 aggregation of Jugel et al. (VLDB 2014) without the
    first value, which in a line of steps is the last one of the part before.
    """

    def __init__(self, window: Window, value: int, *, points_max: int = POINTS_MAX) -> None:
        self._window = window
        self._points_max = points_max
        self._points = [Point(window.since, value)]
        self.last = value
        """The value at the end."""
        self.most = self._points[0]
        """The greatest value, and when it was reached first."""

    def add(self, at: datetime, value: int) -> None:
        """Add a change of the value; it must not be earlier than the change before."""
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
        """The points of the line, the beginning first, reduced if there are more than can be drawn."""
        return list(self._reduced()) if len(self._points) > self._points_max else self._points

    def _reduced(self) -> Iterator[Point]:
        # Reducing twice gives the same, because the least, greatest and last point of each part are kept.
        yield self._points[0]
        for _, group in groupby(self._points[1:], lambda point: self._window.part(point.at)):
            points = list(group)
            by_value = sorted(range(len(points)), key=lambda index: points[index].value)
            for index in sorted({by_value[0], by_value[-1], len(points) - 1}):
                yield points[index]

    def columns(self, count: int) -> list[tuple[int, int]]:
        """Give, for each of so many equal parts of the window, the value at its end and the greatest value in it."""
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
    """Find the value of a line at a moment in its window."""
    return points[bisect_right(points, at, key=lambda point: point.at) - 1].value


@dataclass(slots=True)
class Mark:
    """Refusals that are close together in time."""

    first: datetime
    last: datetime
    position: int
    """The position in the log of the first of them."""
    codes: Counter[RefusalCode] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many refusals there are."""
        return self.codes.total()


class RefusalMarks:
    """The refusals of a window, grouped by the part of the window that they are in."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._by_part: dict[int, Mark] = {}

    def add(self, at: datetime, position: int, code: RefusalCode) -> None:
        """Count a refusal."""
        mark = self._by_part.setdefault(self._window.part(at), Mark(at, at, position))
        mark.first, mark.last = min(mark.first, at), max(mark.last, at)
        mark.codes[code] += 1

    def __iter__(self) -> Iterator[Mark]:
        """Give the groups in the order of time."""
        return (mark for _, mark in sorted(self._by_part.items()))

    @property
    def codes(self) -> Counter[RefusalCode]:
        """How many refusals there are of each code."""
        return sum((mark.codes for mark in self._by_part.values()), Counter())

    def columns(self, count: int) -> list[int]:
        """Count the refusals in each of so many equal parts; a group counts where its first refusal was."""
        found = [0] * count
        for mark in self._by_part.values():
            found[self._window.part(mark.first, count)] += mark.count
        return found
