"""For all logs and all windows: usage is what comes of asking, at every moment of the window, what is held then."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook.replay.reports.usage import Grouping, UsageReport, usage_report
from support.busy import busy_log
from support.deciding import T0
from support.strategies import OWNERS, commands, quantities, small_limits

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook import MemoryEventLog

pytestmark = pytest.mark.untraced

Fields = dict[str, Any]
Key = tuple[str | None, str]

TEAMS = st.dictionaries(st.just("team"), st.sampled_from(["red", "blue"]), max_size=1)
GRANTS = st.fixed_dictionaries(
    {
        "command": st.sampled_from(["allocate", "reserve"]),
        "allocation_id": st.just("x"),
        "quantities": quantities,
        "owner": st.sampled_from(OWNERS),
        "tags": TEAMS,
        "ttl": st.integers(1, 20),
    }
)
STEPS = st.lists(
    st.tuples(commands | GRANTS, st.sampled_from([0, 0, 1, 2, 5, 0.000001, -1]), st.just("")),
    min_size=8,
    max_size=40,
)
MOMENTS = st.integers(-3, 90) | st.floats(0, 60)
BY = st.sampled_from(["owner", "pool", "tag:team"])


class Naive:
    """Usage, worked out anew at each moment at which anything may change: lists and dictionaries, nothing shared."""

    def __init__(self, log: MemoryEventLog, by: str, begin: datetime, end: datetime) -> None:
        self.rows = [(row, json.loads(row.data)) for row in log.rows(0, 10**9)]
        self.by = by
        self.begin, self.end = text(begin), text(end)
        self.microseconds: Counter[Key] = Counter()
        self.peaks: Counter[Key] = Counter()
        self.who: defaultdict[Key, set[str]] = defaultdict(set)
        self.refused: Counter[Key] = Counter()
        self.refused_quantities: Counter[Key] = Counter()
        times = {row.occurred_at for row, _ in self.rows}
        times |= {data["deadline"] for _, data in self.rows if data.get("deadline")}
        inside = sorted({self.begin, self.end} | {time for time in times if self.begin < time < self.end})
        for one, following in pairwise(inside):
            self.hold(one, micros(following) - micros(one))
        for row, data in self.rows:
            if row.type == "ValidationFailed" and self.begin <= row.occurred_at < self.end:
                self.refuse(row.position, data)

    def state(self, rows: list[tuple[Any, Fields]]) -> dict[tuple[str, str], Fields]:
        """Fold events into what each allocation has in each pool."""
        held: dict[tuple[str, str], Fields] = {}
        for row, data in rows:
            if row.type in {"Released", "Voided", "Expired"}:
                held[data["allocation_id"], data["pool"]]["ended"] = True
            elif "quantity" in data:
                held.setdefault((data["allocation_id"], data["pool"]), {}).update(data)
        return held

    def hold(self, moment: str, lasts: int) -> None:
        """Add what is held as of a moment, for as long as nothing changes."""
        held = self.state([(row, data) for row, data in self.rows if row.occurred_at <= moment])
        now: Counter[Key] = Counter()
        for (allocation_id, pool), one in held.items():
            if "ended" not in one and (one.get("deadline") is None or one["deadline"] > moment):
                key = self.group(pool, one), pool
                now[key] += one["quantity"]
                self.microseconds[key] += one["quantity"] * lasts
                self.who[key].add(allocation_id)
        self.peaks |= now

    def refuse(self, position: int, data: Fields) -> None:
        """Add what a refused command asked for."""
        asked = data["asked"]
        about = {"owner": asked.get("owner"), "tags": asked.get("tags", {})}
        if asked["command"] == "resize":
            known = self.state([(row, data) for row, data in self.rows if row.position < position])
            parts = [one for (allocation_id, _), one in known.items() if allocation_id == asked["allocation_id"]]
            about = parts[-1] if parts else about
        for pool, quantity in asked.get("quantities", {}).items():
            key = self.group(pool, about), pool
            self.refused[key] += 1
            self.refused_quantities[key] += quantity

    def group(self, pool: str, about: Fields) -> str | None:
        """Name the group."""
        named: str | None = {"owner": about["owner"], "pool": pool, "tag:team": about["tags"].get("team")}[self.by]
        return named

    def table(self) -> set[tuple[Any, ...]]:
        """Give what there is to tell, row by row."""
        return {
            (*key, self.microseconds[key], self.peaks[key], len(self.who[key]), self.refused[key], quantity)
            for key in self.who.keys() | self.refused.keys()
            for quantity in [self.refused_quantities[key]]
        }


def text(moment: datetime) -> str:
    """Write a time as the log does."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros(time: str) -> int:
    """Count the microseconds of a time of the log since midnight of the first day; no log here lasts two."""
    days = int(time[8:10]) if time.startswith("2026") else 0
    return ((days * 24 + int(time[11:13])) * 60 + int(time[14:16])) * 60_000_000 + int(time[17:19] + time[20:26])


def table(report: UsageReport) -> set[tuple[Any, ...]]:
    """Give a report's rows without units."""
    return {(one.group, one.pool, *one[3:]) for one in report.rows}


def sums(report: UsageReport) -> Counter[tuple[str, str]]:
    """Add up by pool what can be added up."""
    found: Counter[tuple[str, str]] = Counter()
    for one in report.rows:
        found[one.pool, "held"] += one.unit_microseconds
        found[one.pool, "refused"] += one.refused
        found[one.pool, "refused quantity"] += one.refused_quantity
    return +found


@settings(max_examples=40)
@given(small_limits, STEPS, BY, st.lists(MOMENTS, min_size=3, max_size=3))
def test_sums(limits: Fields, steps: Any, by: str, moments: list[float]) -> None:  # noqa: ANN401 - see STEPS
    """Whatever it is told apart by, a pool's sums are the same; and those of two windows are those of both in one."""
    log, _ = busy_log(limits, steps)
    begin, between, end = (T0 + timedelta(seconds=seconds + step) for step, seconds in enumerate(sorted(moments)))
    whole = sums(usage_report(log, Grouping("pool"), begin=begin, end=end))
    assert sums(usage_report(log, Grouping.parse(by), begin=begin, end=end)) == whole
    halves = [(begin, between), (between, end)]
    first, second = (sums(usage_report(log, Grouping.parse(by), begin=one, end=two)) for one, two in halves)
    assert first + second == whole


@settings(max_examples=30)
@given(small_limits, STEPS, BY)
def test_from_the_first_event(limits: Fields, steps: Any, by: str) -> None:  # noqa: ANN401 - see STEPS
    """Without a beginning it is from the first event on, whenever that was."""
    log, latest = busy_log(limits, steps)
    report = usage_report(log, Grouping.parse(by), end=latest + timedelta(days=1))
    assert report.begin == min(log.decode(row).occurred_at for row in log.rows(0, 10**9))
    assert report.position == len(log.rows(0, 10**9))
    assert table(report) == Naive(log, by, report.begin, report.end).table()


def window(one: float, other: float) -> tuple[datetime, datetime]:
    """Make a window of two times."""
    begin, end = sorted((T0 + timedelta(seconds=one), T0 + timedelta(seconds=other)))
    return begin, max(end, begin + timedelta(microseconds=1))
