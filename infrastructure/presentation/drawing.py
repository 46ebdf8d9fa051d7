"""Drawings of pools over a window of time: where the lines, bars and labels of a plot go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from holdbook.infrastructure.presentation.axes import scale_begins, short, time_ticks, value_ticks
from holdbook.infrastructure.presentation.wording.values import codes_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from holdbook.replay.reports.incident import Timeline
    from holdbook.replay.reports.timeline import Mark, Point, Window

WIDTH: Final = 1000
"""Width of a plot. All lengths here are in the plot's own units, of about a pixel each."""

TOP: Final = 12
"""Upper edge of the plot's area."""

BOTTOM: Final = 206
"""Lower edge of the plot's area, where the scale begins."""

LANE_TOP: Final = 216
"""Upper edge of the lane in which refusals are marked, below the area, if there are any."""

LANE_BOTTOM: Final = 242
"""Lower edge of that lane, on which its bars stand."""

LABELS_HEIGHT: Final = 40
"""Height of the labels of time, below the lane or the area."""

RIGHT: Final = 976
"""Right edge of the plot's area."""

LETTER: Final = 7.2
"""About the width of a digit."""

MARK_WIDTH: Final = 3.0
"""Width of a bar."""

MARK_HEIGHT_MIN: Final = 5.0
"""The least height of a bar, so that it can be seen."""

HEADROOM: Final = 0.05
"""Share of the area's height that stays free at its top."""


class Bar(NamedTuple):
    """A bar that stands for refusals that were near each other in time."""

    x: float
    y: float
    height: float
    title: str
    refused: int
    position: int
    """Position in the log of the first of them."""


class Plot(NamedTuple):
    """The drawing of one pool."""

    timeline: Timeline
    left: float
    floor: float
    """Height of the axis of time."""
    height: float
    cut: str
    """The value at which the scale begins, as text; empty for zero."""
    used: str
    """Path of the line of what was used."""
    area: str
    """Path around the surface below that line."""
    limit: str
    """Path of the line of the capacity."""
    refusals: list[Bar]
    times: list[tuple[float, str, str]]
    """Ticks of time: their place, their label, and what is written below it."""
    values: list[tuple[float, str]]
    """Ticks of quantities: their place and their label."""


class Scale(NamedTuple):
    """Turns moments and quantities into places in the plot."""

    window: Window
    left: float
    least: int
    most: int

    @classmethod
    def of(cls, timeline: Timeline, window: Window) -> Scale:
        """Choose the scale for a pool, with as little room on the left as its labels need."""
        least, most = timeline.bounds
        scale = cls(window, 0, scale_begins(least, most), max(most, 1))
        width = max(len(short(value)) for value in scale.values)
        return scale._replace(left=round(14 + LETTER * max(width, len("refused")), 1))

    @property
    def values(self) -> list[int]:
        """The quantities that are labelled."""
        return value_ticks(self.least, self.most)

    def x(self, at: datetime) -> float:
        """Give the place of a moment of the window, from the left."""
        return round(self.left + (RIGHT - self.left) * self.window.share(at), 1)

    def y(self, value: int) -> float:
        """Give the place of a quantity, from the top."""
        share = (value - self.least) / (self.most - self.least)
        return round(BOTTOM - (BOTTOM - TOP) * (1 - HEADROOM) * share, 1)

    def steps(self, points: Sequence[Point]) -> str:
        """Give the path of a line in steps, from the beginning of the window to its end."""
        drawn = [f"M{self.x(points[0].at)} {self.y(points[0].value)}"]
        for before, point in pairwise(points):
            across = f"H{self.x(point.at)}" if self.x(point.at) != self.x(before.at) else ""
            drawn.append(f"{across}V{self.y(point.value)}")
        return f"{''.join(drawn)}H{RIGHT}"


def plots(timelines: Sequence[Timeline], window: Window) -> Iterator[Plot]:
    """Draw pools, one below the other, on one axis of time."""
    scales = [Scale.of(timeline, window) for timeline in timelines]
    left = max((scale.left for scale in scales), default=0)
    for timeline, scale in zip(timelines, scales, strict=True):
        yield _plot(timeline, scale._replace(left=left))


def _plot(timeline: Timeline, scale: Scale) -> Plot:
    used, bars = scale.steps(timeline.used.points), _bars(list(timeline.refusals), scale)
    floor = LANE_BOTTOM if bars else BOTTOM
    return Plot(
        timeline=timeline,
        left=scale.left,
        floor=floor,
        height=floor + LABELS_HEIGHT,
        cut=short(scale.least) if scale.least else "",
        used=used,
        area=f"{used}V{BOTTOM}H{scale.left}Z",
        limit=scale.steps(timeline.capacity.points),
        refusals=bars,
        times=[(scale.x(tick.at), tick.label, tick.below) for tick in time_ticks(scale.window)],
        values=[(scale.y(value), short(value)) for value in scale.values],
    )


def _bars(marks: Sequence[Mark], scale: Scale) -> list[Bar]:
    most = max((mark.count for mark in marks), default=1)
    found = []
    for mark in marks:
        height = round(max(MARK_HEIGHT_MIN, (LANE_BOTTOM - LANE_TOP) * mark.count / most), 1)
        x = min(max(scale.x(mark.first) - MARK_WIDTH / 2, scale.left), RIGHT - MARK_WIDTH)
        found.append(Bar(round(x, 1), round(LANE_BOTTOM - height, 1), height, _title(mark), mark.count, mark.position))
    return found


def _title(mark: Mark) -> str:
    when = time_text(mark.first)
    if mark.last != mark.first:
        when = f"{when} to {time_text(mark.last)}"
    return f"{mark.count:,} refused, {when}: {codes_text(mark.codes)}"
