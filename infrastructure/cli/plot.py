"""A plot for the terminal: what was used of a pool, and its peaks, against its capacity over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.text import Text

from bursar.domain.values import instant
from bursar.infrastructure.cli.output import when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEIGHT: Final = 12
"""Lines from nothing to the most there is."""

WIDTH_MAX: Final = 100
"""The most characters in a line."""

_STRETCH_MAX: Final = 4
"""The most characters for one column."""


class Marks(NamedTuple):
    """The characters that a plot is drawn with."""

    used: str
    """From the least part of a character to a full one."""
    peak: str
    capacity: str
    side: str
    corner: str
    floor: str


UNICODE: Final = Marks("▁▂▃▄▅▆▇█", "░", "─", "│", "└", "─")
ASCII: Final = Marks("#", ":", "-", "|", "+", "-")


class _Column(NamedTuple):
    """One or more buckets: what was used at their end, the peak, the capacity at their end."""

    used: int
    peak: int
    capacity: int


def plot(buckets: Sequence[Mapping[str, Any]], *, width: int, ascii_only: bool = False) -> Text:
    """Draw buckets in order, at least one; several to a column where there are more than fit."""
    marks = ASCII if ascii_only else UNICODE
    top = max(1, *(max(one["peak"], one["capacity"]) for one in buckets))
    margin = len(f"{top:,}")
    room = max(1, min(width, WIDTH_MAX) - margin - 2)
    size = -(-len(buckets) // room)
    columns = [_column(buckets[start : start + size]) for start in range(0, len(buckets), size)]
    stretch = min(_STRETCH_MAX, room // len(columns))
    drawn = Text()
    for level in range(HEIGHT, -1, -1):
        label = f"{top:,}" if level == HEIGHT - 1 else ""
        drawn.append(f"{label:>{margin}} {marks.side}")
        for column in columns:
            mark, style = _mark(column, level, top, marks)
            drawn.append(mark * stretch, style)
        drawn.append("\n")
    drawn.append(f"{0:>{margin}} {marks.corner}{marks.floor * stretch * len(columns)}\n")
    drawn.append(_axis(buckets, margin, stretch * len(columns)))
    return drawn.append(_legend(marks, size))


def _column(buckets: Sequence[Mapping[str, Any]]) -> _Column:
    last = buckets[-1]
    return _Column(last["used"], max(one["peak"] for one in buckets), last["capacity"])


def _mark(column: _Column, level: int, top: int, marks: Marks) -> tuple[str, str]:
    """Choose the mark of a column at a level: the capacity's line lies upon the last character that it fills."""
    parts = len(marks.used)
    filled = -(-column.used * HEIGHT * parts // top) - level * parts
    if filled > 0:
        return marks.used[min(filled, parts) - 1], "green"
    if column.peak * HEIGHT > level * top:
        return marks.peak, "yellow"
    return (marks.capacity, "red") if column.capacity * HEIGHT // top == level else (" ", "")


def _axis(buckets: Sequence[Mapping[str, Any]], margin: int, width: int) -> str:
    begin, end = (when(instant(buckets[place]["bucket"])) for place in (0, -1))
    return f"{'':{margin + 2}}{begin}{end:>{max(width - len(begin), len(end) + 1)}}\n"


def _legend(marks: Marks, hours: int) -> str:
    span = f"{hours} hour{'s' * (hours != 1)}"
    return f"each column {span}: {marks.used[-1]} used at the end  {marks.peak} peak  {marks.capacity} capacity"
