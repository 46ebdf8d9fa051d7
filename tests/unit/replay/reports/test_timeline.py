"""Lines and marks over a window of time."""

from __future__ import annotations

from datetime import timedelta

from holdbook.domain.refusals import RefusalCode
from holdbook.replay.reports.timeline import POINTS_MAX, Point, RefusalMarks, StepLine, Window, value_at
from support.deciding import T0, after

WINDOW = Window(T0, after(300))


def test_parts_and_shares() -> None:
    """The first moment is in the first part, the last moment in the last one."""
    assert [WINDOW.part(after(seconds)) for seconds in (0, 0.999999, 1, 299.999999)] == [0, 0, 1, 299]
    assert [WINDOW.part(after(seconds), 2) for seconds in (149, 150)] == [0, 1]
    assert (WINDOW.share(T0), WINDOW.share(after(75))) == (0, 0.25)


def test_a_line_keeps_its_changes() -> None:
    """A line with few changes keeps each of them, even several at one moment; equal values are no change."""
    line = StepLine(WINDOW, 3)
    for seconds, value in ((10, 3), (10, 5), (10, 4), (20, 5), (299, 0)):
        line.add(after(seconds), value)
    assert line.points == [
        Point(T0, 3),
        *(Point(after(at), value) for at, value in ((10, 5), (10, 4), (20, 5), (299, 0))),
    ]
    assert (line.most, line.last) == (Point(after(10), 5), 0)
    assert [value_at(line.points, after(at)) for at in (0, 9, 10, 19.5, 20, 299, 300)] == [3, 3, 4, 4, 5, 0, 0]


def test_a_long_line_is_bounded() -> None:
    """A line with many changes is reduced to the points of a plot, and keeps its least and greatest values."""
    line = StepLine(WINDOW, 0)
    for step in range(20 * POINTS_MAX):
        line.add(T0 + timedelta(milliseconds=15 * step), 10 + step % 7)
    line.add(after(299.9999), 99)
    assert len(line._points) <= 2 * POINTS_MAX  # noqa: SLF001 - how much it takes is the claim
    assert POINTS_MAX * 0.8 < len(line.points) <= POINTS_MAX
    assert {point.value for point in line.points if point.at < after(100)} == {0, *range(10, 17)}
    assert line.points[-1] == line.most == Point(after(299.9999), 99)


def test_columns_of_a_line() -> None:
    """Each part of a line has the value at its end, and the greatest value in it, its first value included."""
    line = StepLine(WINDOW, 4)
    for seconds, value in ((100, 1), (110, 9), (120, 2), (299, 3)):
        line.add(after(seconds), value)
    assert line.columns(3) == [(4, 4), (2, 9), (3, 3)]
    assert line.columns(1) == [(3, 9)]
    assert StepLine(WINDOW, 7).columns(2) == [(7, 7), (7, 7)]


def test_marks_are_merged_with_their_count() -> None:
    """Refusals in one part of the window make one mark, in any order, and all are counted."""
    marks = RefusalMarks(WINDOW)
    exhausted, owner = RefusalCode.POOL_EXHAUSTED, RefusalCode.OWNER_EXHAUSTED
    for position, (seconds, code) in enumerate([(200.5, exhausted), (10.5, owner), (200.1, owner), (200.9, owner)], 7):
        marks.add(after(seconds), position, code)
    first, second = marks
    assert (first.first, first.last, first.position, first.count) == (after(10.5), after(10.5), 8, 1)
    assert (second.first, second.last, second.position, second.count) == (after(200.1), after(200.9), 7, 3)
    assert second.codes == {owner: 2, exhausted: 1}
    assert marks.codes == {owner: 3, exhausted: 1}
    assert marks.columns(3) == [1, 0, 3]
