"""Pools over a window of time, as drawings."""

from __future__ import annotations

import pytest

from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.presentation.drawing import (
    BOTTOM,
    LANE_BOTTOM,
    LANE_TOP,
    MARK_HEIGHT_MIN,
    MARK_WIDTH,
    RIGHT,
    TOP,
    plots,
)
from holdbook.replay.reports.incident import Timeline
from holdbook.replay.reports.timeline import StepLine, Window
from support.deciding import T0, after

WINDOW = Window(T0, after(100))


def timeline(used: int = 0, capacity: int = 10, *refused: float) -> Timeline:
    """Give a pool that is used to some extent, and when something was refused."""
    found = Timeline("gpu", WINDOW, None)
    found.used, found.capacity = StepLine(WINDOW, used), StepLine(WINDOW, capacity)
    for position, at in enumerate(refused):
        found.refusals.add(after(at), position, RefusalCode.POOL_EXHAUSTED)
    return found


def test_lines_are_steps() -> None:
    """A line goes on at its value until it changes, and then straight up or down."""
    one = timeline(5, 10)
    one.used.add(after(50), 10)
    one.used.add(after(50), 0)
    (plot,) = plots([one], WINDOW)
    middle, top = (plot.left + RIGHT) / 2, round(BOTTOM - (BOTTOM - TOP) * 0.95, 1)
    half = round(BOTTOM - (BOTTOM - TOP) * 0.95 / 2, 1)
    assert plot.used == f"M{plot.left} {half}H{middle:.1f}V{top}V{float(BOTTOM)}H{RIGHT}"
    assert plot.area == f"{plot.used}V{BOTTOM}H{plot.left}Z"
    assert plot.limit == f"M{plot.left} {top}H{RIGHT}"


def test_one_axis_of_time() -> None:
    """Pools of any sizes begin at one place, so that what is at one time is below one another."""
    few, many = plots([timeline(1, 2), timeline(1, 2_000_000)], WINDOW)
    assert few.left == many.left
    assert few.times == many.times
    assert few.left > next(plots([timeline(1, 2)], WINDOW)).left


def test_bars() -> None:
    """Bars are as high as their counts, one that is low can be seen, and none leaves the lane at its ends."""
    refused = [0.0] * 40 + [50.0] * 10 + [99.999999]
    (plot,) = plots([timeline(0, 10, *refused)], WINDOW)
    assert [(bar.refused, bar.height) for bar in plot.refusals] == [
        (40, LANE_BOTTOM - LANE_TOP),
        (10, (LANE_BOTTOM - LANE_TOP) / 4),
        (1, MARK_HEIGHT_MIN),
    ]
    assert (plot.refusals[0].x, plot.refusals[-1].x) == (plot.left, RIGHT - MARK_WIDTH)
    assert all(bar.y + bar.height == pytest.approx(LANE_BOTTOM) for bar in plot.refusals)


def test_no_lane_without_refusals() -> None:
    """The axis of time is right below the plot where nothing was refused."""
    without, with_some = plots([timeline(), timeline(0, 10, 5)], WINDOW)
    assert (without.floor, with_some.floor) == (BOTTOM, LANE_BOTTOM)
    assert with_some.height - without.height == LANE_BOTTOM - BOTTOM


@pytest.mark.parametrize(("used", "cut", "labels"), [(3, "", ["0", "2"]), (96, "95", ["95", "96"])])
def test_a_scale_that_does_not_begin_with_nothing_says_so(used: int, cut: str, labels: list[str]) -> None:
    """Near the limit the scale begins near it, and the plot tells where."""
    (plot,) = plots([timeline(used, 10 if used < 10 else 100)], WINDOW)
    assert plot.cut == cut
    assert [label for _, label in plot.values[:2]] == labels
    assert plot.values[0][0] == BOTTOM
