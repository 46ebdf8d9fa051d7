"""An incident as one HTML page: plots, marks, the table of steps. It needs nothing but itself, and no script."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from bursar.domain.events import EVENTS, Ending
from bursar.domain.values import instant_text
from bursar.infrastructure.axes import short, time_ticks, value_ticks
from bursar.replay.incident import LAPSED, REFUSED

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from bursar.replay.incident import Incident, Level, Step, Timeline
    from bursar.replay.window import Mark, Point, Window

ENDINGS: Final = (*(kind for kind, event in EVENTS.items() if issubclass(event, Ending)), LAPSED)
"""The kinds of steps in which holds end."""

WIDTH: Final = 1000
"""Width of a plot; all lengths are in the plot's own units, about pixels."""

TOP: Final = 12
"""Where the plot's area begins."""

BOTTOM: Final = 206
"""Where it ends: nothing is used."""

LANE_TOP: Final = 216
"""Where the lane of refusals begins, below the area, if there are any."""

LANE_BOTTOM: Final = 242
"""Where it ends: the floor that its bars stand on."""

LABELS_HEIGHT: Final = 40
"""Room for the labels of time below the lane, or below the area."""

RIGHT: Final = 976
"""Where the area ends on the right."""

LETTER: Final = 7.2
"""About how wide a digit is."""

MARK_WIDTH: Final = 3.0
"""Width of a bar."""

MARK_HEIGHT_MIN: Final = 5.0
"""Height of the bar of a single refusal."""

HEADROOM: Final = 0.05
"""How much of the area is left free above what is in it."""

CUT: Final = 0.5
"""The scale does not begin with nothing where all that is drawn is above this share of the most."""


class Bar(NamedTuple):
    """A mark of refusals."""

    x: float
    y: float
    height: float
    title: str
    count: int
    position: int
    """Position of the first in the log."""


class Plot(NamedTuple):
    """What is drawn of a pool."""

    timeline: Timeline
    left: float
    floor: float
    """Where the axis of time is."""
    height: float
    cut: str
    """Where the scale begins, if not with nothing."""
    used: str
    """Path of the line."""
    area: str
    """Path around what is below it."""
    limit: str
    refusals: list[Bar]
    times: list[tuple[float, str, str]]
    """Ticks: where, and what they are called."""
    values: list[tuple[float, str]]


class Scale(NamedTuple):
    """From moments and quantities to places in the plot."""

    window: Window
    left: float
    least: int
    most: int

    @classmethod
    def of(cls, timeline: Timeline, window: Window) -> Scale:
        """Choose what fits a pool, with as little room for labels as they take."""
        points = [*timeline.used.points, *timeline.capacity.points]
        least, most = min(point.value for point in points), max(point.value for point in points)
        begin = value_ticks(least, most)[0] if CUT * most < least < most else 0
        scale = cls(window, 0, begin, max(most, 1))
        width = max(len(short(value)) for value in scale.values)
        return scale._replace(left=round(14 + LETTER * max(width, len("refused")), 1))

    @property
    def values(self) -> list[int]:
        """The values that are labelled."""
        return value_ticks(self.least, self.most)

    def x(self, at: datetime) -> float:
        """Place a moment of the window."""
        return round(self.left + (RIGHT - self.left) * self.window.share(at), 1)

    def y(self, value: int) -> float:
        """Place a quantity."""
        share = (value - self.least) / (self.most - self.least)
        return round(BOTTOM - (BOTTOM - TOP) * (1 - HEADROOM) * share, 1)

    def steps(self, points: Sequence[Point]) -> str:
        """Draw a line in steps, from the window's beginning to its end."""
        drawn = [f"M{self.x(points[0].at)} {self.y(points[0].value)}"]
        for before, point in pairwise(points):
            across = f"H{self.x(point.at)}" if self.x(point.at) != self.x(before.at) else ""
            drawn.append(f"{across}V{self.y(point.value)}")
        return f"{''.join(drawn)}H{RIGHT}"


def plots(timelines: Sequence[Timeline], window: Window) -> Iterator[Plot]:
    """Lay the pools' plots out, one below the other on one axis of time."""
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
    room = LANE_BOTTOM - LANE_TOP - MARK_HEIGHT_MIN
    found = []
    for mark in marks:
        height = round(MARK_HEIGHT_MIN + room * (mark.count - 1) / max(most - 1, 1), 1)
        x = min(max(scale.x(mark.first) - MARK_WIDTH / 2, scale.left), RIGHT - MARK_WIDTH)
        found.append(Bar(round(x, 1), round(LANE_BOTTOM - height, 1), height, _title(mark), mark.count, mark.position))
    return found


def _title(mark: Mark) -> str:
    when = time_text(mark.first)
    if mark.last != mark.first:
        when = f"{when} to {time_text(mark.last)}"
    return f"{mark.count:,} refused, {when}: {codes_text(mark.codes)}"


def codes_text(codes: Counter[str]) -> str:
    """Say how many there are of each, the most first."""
    return ", ".join(f"{code} {count:,}" for code, count in codes.most_common())


def time_text(at: datetime) -> str:
    """Write a time, to the second where it is whole."""
    text = instant_text(at)[:-1].replace("T", " ")
    return f"{text.removesuffix('.000000')}Z"


def number(value: int | None) -> str:
    """Write a number with its thousands apart."""
    return "" if value is None else f"{value:,}"


def change(before: Level | None, after: Level | None, field: str) -> str:
    """Say what something of a pool was before a step and is after it; once where it is the same."""
    if before is None or after is None:
        return ""
    one, other = (f"{getattr(level, field):,}" for level in (before, after))
    return one if one == other else f"{one} → {other}"


def words(step: Step) -> str:
    """Say what there is to say of a step beside what has its place."""
    if step.code is not None:
        return f"{step.code}: {step.words}"
    until = "" if step.deadline is None or step.deadline == step.at else f"until {time_text(step.deadline)}"
    return ", ".join(part for part in (until, step.words) if part)


def write_page(
    incident: Incident,
    write: Callable[[str], object],
    *,
    rows: int,
    shown: Collection[str] = (),
    tell: Callable[[int, int], object] = lambda *_: None,
) -> None:
    """Read an incident's steps and write its page, with so many rows at most in its table.

    Pools in which nothing happened are only named, but for those to be ``shown`` all the same.
    """
    steps = incident.steps(tell)
    table = list(islice(steps, rows))
    for _ in steps:
        pass
    drawn = [one for one in incident.pools.values() if one.is_eventful or one.name in shown]
    rendered = (
        _environment()
        .get_template("incident.html")
        .generate(
            incident=incident,
            window=incident.window,
            plots=list(plots(drawn, incident.window)),
            kinds=[kind for kind in ENDINGS if any(one.events[kind] for one in drawn)],
            idle=[one.name for one in incident.pools.values() if not (one.is_eventful or one.name in shown)],
            table=table,
            linked={step.recorded.position for step in table if step.recorded},
        )
    )
    for part in rendered:
        write(part)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("bursar.infrastructure", "pages"),
        autoescape=True,  # what comes from the log is text, whatever it looks like
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": number, "time": time_text, "codes": codes_text, "words": words}
    found.globals |= {
        "change": change,
        "WIDTH": WIDTH,
        "TOP": TOP,
        "BOTTOM": BOTTOM,
        "LANE_TOP": LANE_TOP,
        "RIGHT": RIGHT,
        "MARK_WIDTH": MARK_WIDTH,
        "LAPSED": LAPSED,
        "REFUSED": REFUSED,
    }
    return found
