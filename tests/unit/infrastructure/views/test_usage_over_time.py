"""A pool over time without gaps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from holdbook import Malformed
from holdbook.infrastructure.views.usage_over_time import COLUMNS, usage_over_time


def row(hour: int, used: int, peak: int | None = None) -> dict[str, Any]:
    """Make a row of the view."""
    return {
        "pool": "gpu",
        "bucket": f"2026-01-01T{hour:02}:00:00.000000Z",
        "used": used,
        "peak": used if peak is None else peak,
        "capacity": 8,
        "allocations": 1,
        "grants": 1,
        "endings": 2,
        "position": hour,
    }


def at(hour: int, minute: int = 0) -> datetime:
    """Tell a time of that day."""
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC)


def told(*rows: dict[str, Any], refusals: dict[int, int] | None = None, **options: Any) -> list[tuple[int, ...]]:  # noqa: ANN401 - options of many types
    """Tell hour, used, peak, grants and refusals of each bucket."""
    counted = {row(hour, 0)["bucket"]: count for hour, count in (refusals or {}).items()}
    found = usage_over_time(rows, counted, **options)
    assert all(tuple(one) == COLUMNS for one in found)
    return [(int(one["bucket"][11:13]), one["used"], one["peak"], one["grants"], one["refusals"]) for one in found]


def test_gaps_are_filled() -> None:
    """An hour in which nothing happened has what the one before left, and nothing granted."""
    assert told(row(1, 3, 5), row(4, 2)) == [(1, 3, 5, 1, 0), (2, 3, 3, 0, 0), (3, 3, 3, 0, 0), (4, 2, 2, 1, 0)]


def test_a_pool_that_is_not_there() -> None:
    """No rows, no hours, whatever was refused."""
    assert told(refusals={3: 1}) == []


def test_refusals_count() -> None:
    """They prolong the time that is told, and those from before the opening do not."""
    assert told(row(1, 3), refusals={0: 7, 1: 2, 3: 4}) == [(1, 3, 3, 1, 2), (2, 3, 3, 0, 0), (3, 3, 3, 0, 4)]


def test_from_a_time() -> None:
    """From within a gap the state is the one that it has then; not from before the pool's opening."""
    assert told(row(1, 3, 5), row(4, 2), since=at(3, 59)) == [(3, 3, 3, 0, 0), (4, 2, 2, 1, 0)]
    assert told(row(3, 1), since=at(0)) == [(3, 1, 1, 1, 0)]


@pytest.mark.parametrize(("until", "last"), [(at(3), 2), (at(3, 1), 3), (at(6), 5)])
def test_to_a_time(until: datetime, last: int) -> None:
    """Every hour that begins before it."""
    assert [one[0] for one in told(row(1, 3), until=until)] == list(range(1, last + 1))


def test_nothing_in_between() -> None:
    """An end before the beginning leaves nothing, at the calendar's ends too."""
    assert told(row(1, 3), since=at(5), until=at(4)) == []
    assert told(row(1, 3), until=datetime.min.replace(tzinfo=UTC)) == []
    end = datetime.max.replace(tzinfo=UTC)
    assert len(told(row(1, 3), since=end, until=end)) == 1


def test_too_much() -> None:
    """More than anybody could read is an error that says how much it is."""
    with pytest.raises(Malformed, match=r"at most 100,000 hours, not 8,\d{3},\d{3}"):
        told(row(1, 3), until=datetime(3000, 1, 1, tzinfo=UTC))
