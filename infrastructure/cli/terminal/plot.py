"""Plots for the terminal: how much of a pool was used over time, its peaks, and its capacity, drawn in characters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.text import Text

from holdbook.domain.values import instant
from holdbook.infrastructure.presentation.axes import scale_begins
from holdbook.infrastructure.presentation.wording.values import time_to_second

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.replay.reports.incident import Timeline
    from holdbook.replay.reports.timeline import Window

HEIGHT: Final = 12
"""How many lines high the plot is, from its floor to the greatest value in it."""

WIDTH_MAX: Final = 100
"""The greatest width in characters, with the label."""

_STRETCH_MAX: Final = 4
"""The most characters that one column is wide."""


class PlotCharacters(NamedTuple):
    """The characters that a plot is drawn with."""

    used: str
    """From the lowest block to a full one: the top of a column is drawn in parts of a character."""
    peak: str
    capacity: str
    side: str
    corner: str
    floor: str
    refused: str


UNICODE: Final = PlotCharacters("▁▂▃▄▅▆▇█", "░", "─", "│", "└", "─", "×")  # noqa: RUF001 - a sign that is meant
ASCII: Final = PlotCharacters("#", ":", "-", "|", "+", "-", "x")


class Column(NamedTuple):
    """A stretch of time in a pool: its use and its capacity at the end, its greatest use, and its refusals."""

    used: int
    peak: int
    capacity: int
    refused: int = 0

    def above(self, floor: int) -> Column:
        """Give the column with its values counted from a floor."""
        return Column(self.used - floor, self.peak - floor, self.capacity - floor, self.refused)


class _Frame(NamedTuple):
    """What is written around the columns."""

    begin: str
    end: str
    span: str
    """How long a column is, in words."""
    floor: int = 0
    """The value that the columns stand on."""


def plot(buckets: Sequence[Mapping[str, Any]], *, width: int, ascii_only: bool = False) -> Text:
    """Draw the use of a pool hour by hour; where more hours than columns fit, each column stands for several.

    Takes rows of the view ``pool_usage`` in order, at least one.
    """
    most = max(max(one["peak"], one["capacity"]) for one in buckets)
    size = -(-len(buckets) // _columns_width(most, width))  # buckets in a column, rounded up
    columns = [_column(buckets[start : start + size]) for start in range(0, len(buckets), size)]
    begin, end = (time_to_second(instant(buckets[place]["bucket"])) for place in (0, -1))
    return _draw(columns, _Frame(begin, end, f"{size} hour{'s' * (size != 1)}"), width, ascii_only=ascii_only)


def _column(buckets: Sequence[Mapping[str, Any]]) -> Column:
    last = buckets[-1]
    return Column(last["used"], max(one["peak"] for one in buckets), last["capacity"])


def plot_window(timeline: Timeline, window: Window, *, width: int, ascii_only: bool = False) -> Text:
    """Draw the use of a pool in a window of time, in as many columns as fit, with its refusals marked below."""
    least, most = timeline.bounds
    count, floor = _columns_width(most, width), scale_begins(least, most)
    used, capacity = timeline.used.columns(count), timeline.capacity.columns(count)
    refused = timeline.refusals.columns(count)
    columns = [Column(*use, limit[0], marked) for use, limit, marked in zip(used, capacity, refused, strict=True)]
    apart = (window.until - window.since) / count
    span = f"{apart.total_seconds():g} s" if apart < timedelta(seconds=1) else str(apart).partition(".")[0]
    frame = _Frame(time_to_second(window.since), time_to_second(window.until), span, floor)
    return _draw(columns, frame, width, ascii_only=ascii_only)


def _top(most: int) -> int:
    """Give the value at the top of a plot."""
    return max(1, most)


def _columns_width(most: int, width: int) -> int:
    """Tell how many characters of a line are left for columns beside its label."""
    return max(1, min(width, WIDTH_MAX) - len(f"{_top(most):,}") - 2)


def _draw(columns: Sequence[Column], frame: _Frame, width: int, *, ascii_only: bool) -> Text:
    marks = ASCII if ascii_only else UNICODE
    top = _top(max(max(one.peak, one.capacity) for one in columns))
    margin = len(f"{top:,}")
    stretch = min(_STRETCH_MAX, _columns_width(top, width) // len(columns))
    drawn = Text()
    for level in range(HEIGHT, -1, -1):
        label = f"{top:,}" if level == HEIGHT - 1 else ""
        drawn.append(f"{label:>{margin}} {marks.side}")
        for column in columns:
            mark, style = _mark(column.above(frame.floor), level, top - frame.floor, marks)
            drawn.append(mark * stretch, style)
        drawn.append("\n")
    drawn.append(f"{f'{frame.floor:,}':>{margin}} {marks.corner}{marks.floor * stretch * len(columns)}\n")
    refused = any(column.refused for column in columns)
    if refused:
        crosses = "".join((marks.refused if column.refused else " ") * stretch for column in columns)
        drawn.append(f"{'':{margin + 2}}").append(crosses.rstrip(), "red").append("\n")
    length = max(stretch * len(columns) - len(frame.begin), len(frame.end) + 1)
    drawn.append(f"{'':{margin + 2}}{frame.begin}{frame.end:>{length}}\n")
    return drawn.append(_legend(marks, frame.span, refused=refused))


def _mark(column: Column, level: int, top: int, marks: PlotCharacters) -> tuple[str, str]:
    """Choose the character of a column at a level, and its style.

    The line of the capacity lies on the last character that a use of all of it would fill.
    """
    parts = len(marks.used)
    filled = -(-column.used * HEIGHT * parts // top) - level * parts
    if filled > 0:
        return marks.used[min(filled, parts) - 1], "green"
    if column.peak * HEIGHT > level * top:
        return marks.peak, "yellow"
    return (marks.capacity, "red") if column.capacity * HEIGHT // top == level else (" ", "")


def _legend(marks: PlotCharacters, span: str, *, refused: bool) -> str:
    more = f"  {marks.refused} refused" * refused
    return f"each column {span}: {marks.used[-1]} used at the end  {marks.peak} peak  {marks.capacity} capacity{more}"
