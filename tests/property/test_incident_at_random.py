"""For every log and every window of it: what is replayed is what was, at each moment, and fits the plot."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook.infrastructure.presentation.drawing import (
    BOTTOM,
    LANE_BOTTOM,
    LANE_TOP,
    MARK_WIDTH,
    RIGHT,
    TOP,
    Plot,
    plots,
)
from holdbook.replay.history.as_of import state_at
from holdbook.replay.reports.incident import REFUSED, Incident, IncidentStep, Level, Timeline
from holdbook.replay.reports.timeline import INTERVALS, Point, StepLine, Window, value_at
from support.deciding import T0
from support.incidents import log_of, replayed
from support.strategies import commands, small_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook import MemoryEventLog

pytestmark = pytest.mark.untraced

TICK = timedelta(microseconds=1)

pauses = st.sampled_from([0, 0.000001, 1, 3, 7, 60])
steps = st.lists(st.tuples(commands, pauses), min_size=5, max_size=40) | st.lists(
    st.tuples(commands, pauses | st.just(-50)), min_size=5, max_size=40
)
moments = st.integers(-10, 300).map(lambda seconds: T0 + timedelta(seconds=seconds))
limits_of_pools = st.lists(small_limits, min_size=2, max_size=3)


def window_of(draw: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    """Order two moments, the second after the first."""
    return min(draw), max(draw) + TICK


some_window = st.tuples(moments, moments).map(window_of)


def check_moments(log: MemoryEventLog, incident: Incident, steps: Sequence[IncidentStep]) -> None:
    """Compare use and capacity with the state as of each moment at which something happened, and just before it."""
    since, until = incident.window
    times = {since, until - TICK, *(step.at for step in steps), *(step.at - TICK for step in steps)}
    for moment in sorted(time for time in times if since <= time < until):
        state = state_at(log, moment)
        then = {one.name: one for one in state.statuses()}
        for name, timeline in incident.pools.items():
            wanted = (then[name].used, then[name].capacity) if name in then else (0, 0)
            assert (value_at(timeline.used.points, moment), value_at(timeline.capacity.points, moment)) == wanted


def check_steps(steps: Sequence[IncidentStep], *, in_order: bool) -> None:
    """See that each step goes on from where its pool was left, and that refusals were decided on what is shown.

    The second is so where the clock never went back: an earlier time may be recorded after a refusal.
    """
    levels: dict[str, Level] = {}
    for step in steps:
        if step.before is None or step.after is None:
            assert step.kind in {REFUSED, "LedgerClosed"}  # the others are about a pool
            continue
        assert step.pool is not None
        assert levels.setdefault(step.pool, step.before) == step.before
        levels[step.pool] = step.after
        if step.kind == REFUSED and in_order:
            assert step.recorded is not None
            data = step.recorded.event.data  # type: ignore[attr-defined]  # it is a refusal
            assert (data["used"], data["capacity"]) == (step.before.used, step.before.capacity)


@settings(max_examples=80)
@given(limits=limits_of_pools, steps=steps, window=some_window, page_rows=st.integers(1, 50))
def test_any_moment_is_as_it_was(
    limits: list[dict[str, Any]],
    steps: list[tuple[dict[str, Any], float]],
    window: tuple[datetime, datetime],
    page_rows: int,
) -> None:
    """At any moment of a window the lines are the state as of then; steps join up, and each event is one of them."""
    log = log_of(limits, steps)
    incident, found = replayed(log, *window, page_rows=page_rows)
    check_moments(log, incident, found)
    check_steps(found, in_order=all(seconds >= 0 for _, seconds in steps))
    inside = [one for one in map(log.decode, log.rows(limit=10**6)) if window[0] <= one.occurred_at < window[1]]
    assert [step.recorded for step in found if step.recorded] == inside
    assert incident.count == len(found)


@settings(max_examples=40)
@given(limits=limits_of_pools, steps=steps, window=some_window)
def test_one_pool_is_the_same_alone(
    limits: list[dict[str, Any]], steps: list[tuple[dict[str, Any], float]], window: tuple[datetime, datetime]
) -> None:
    """Replayed alone, a pool has the steps and the lines that it has among all."""
    log = log_of(limits, steps)
    together, every = replayed(log, *window)
    alone, own = replayed(log, *window, pools=["a"])
    assert own == [step for step in every if step.pool == "a" and step.before is not None]
    if "a" in together.pools:
        assert alone.pools["a"].used.points == together.pools["a"].used.points


# What is drawn

values = st.integers(0, 9) | st.integers(0, 2**63 - 1) | st.integers(10**6, 10**6 + 50)
window = Window(T0, T0 + timedelta(seconds=100))
changes = st.lists(st.tuples(st.integers(0, 100 * 10**6 - 1), values), max_size=60)


def line_of(changes: list[tuple[int, int]], points_max: int = 1000) -> tuple[StepLine, list[Point]]:
    """Let a line change at these microseconds, and list its changes."""
    line, points = StepLine(window, 5, points_max=points_max), [Point(T0, 5)]
    for micros, value in sorted(changes, key=lambda change: change[0]):
        at = T0 + timedelta(microseconds=micros)
        line.add(at, value)
        if value != points[-1].value:
            points.append(Point(at, value))
    return line, points


@given(changes)
def test_reduced_lines_keep_what_matters(changes: list[tuple[int, int]]) -> None:
    """However many its changes, a line keeps the least, the most and the last value of each part of the window."""
    line, points = line_of(changes, points_max=4)
    kept = line.points
    assert set(kept) <= set(points)
    if len(points) <= 4:
        assert kept == points
    for part in range(INTERVALS):
        whole = [point.value for point in points[1:] if window.part(point.at) == part]
        left = [point.value for point in kept[1:] if window.part(point.at) == part]
        assert bool(left) == bool(whole)
        if whole:
            assert (min(left), max(left), left[-1]) == (min(whole), max(whole), whole[-1])
            assert len(left) <= 3 or len(points) <= 4
    assert line.most.value == max(point.value for point in points)


def check_inside(plot: Plot) -> None:
    """See that nothing is drawn outside of the plot's area, or of the lane below it."""
    for path in (plot.used, plot.limit, plot.area):
        for command, place in re.findall(r"([HV])(-?[0-9.]+)", path):
            assert plot.left <= float(place) <= RIGHT if command == "H" else TOP <= float(place) <= BOTTOM
        start = re.match(r"M(-?[0-9.]+) (-?[0-9.]+)", path)
        assert start is not None
        assert float(start[1]) == plot.left
        assert TOP <= float(start[2]) <= BOTTOM
        assert re.fullmatch(r"M[0-9.]+ [0-9.]+([HV][0-9.]+)*Z?", path)
    assert all(TOP <= y <= BOTTOM for y, _ in plot.values)
    assert all(plot.left <= x <= RIGHT for x, _, _ in plot.times)
    for bar in plot.refusals:
        assert plot.left <= bar.x <= bar.x + MARK_WIDTH <= RIGHT
        assert LANE_TOP <= bar.y <= LANE_BOTTOM
        assert abs(bar.y + bar.height - LANE_BOTTOM) < 0.11
    assert len(plot.values) >= 2
    assert plot.height > plot.floor


@settings(max_examples=60)
@given(limits=limits_of_pools, steps=steps, window=some_window)
def test_what_is_drawn_stays_inside(
    limits: list[dict[str, Any]], steps: list[tuple[dict[str, Any], float]], window: tuple[datetime, datetime]
) -> None:
    """Lines, ticks and marks of any window are within the plot, on one axis of time."""
    incident, _ = replayed(log_of(limits, steps), *window)
    drawn = list(plots(list(incident.pools.values()), incident.window))
    for plot in drawn:
        check_inside(plot)
    assert len({plot.left for plot in drawn}) <= 1


@given(used=changes, capacity=changes)
def test_any_values_fit(used: list[tuple[int, int]], capacity: list[tuple[int, int]]) -> None:
    """The plot holds whatever quantities there may be, up to the greatest."""
    timeline = Timeline("p", window, None)
    timeline.used, timeline.capacity = line_of(used)[0], line_of(capacity)[0]
    (plot,) = plots([timeline], window)
    check_inside(plot)
