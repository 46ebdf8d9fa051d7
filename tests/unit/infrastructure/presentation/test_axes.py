"""Where ticks are, and what they are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdbook.infrastructure.presentation.axes import scale_begins, short, time_ticks, value_ticks
from holdbook.replay.reports.timeline import Window


def window(begin: str, end: str) -> Window:
    """Read a window."""
    return Window(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end)))


def labels(begin: str, end: str) -> list[tuple[str, str]]:
    """Label a window."""
    return [(tick.label, tick.below) for tick in time_ticks(window(begin, end))]


@pytest.mark.parametrize(
    ("begin", "end", "first", "count"),
    [
        ("2026-01-31T00:00:00", "2026-02-01T00:00:00", [("00:00", "2026-01-31"), ("03:00", "")], 8),
        ("2026-01-31T23:20:00", "2026-02-01T00:20:00", [("23:20", "2026-01-31"), ("23:30", "")], 6),
        ("2026-01-31T23:59:50", "2026-02-01T00:00:30", [("23:59:50", "2026-01-31"), ("23:59:55", "")], 8),
        ("2026-01-31T10:00:00", "2026-01-31T10:00:00.000003", [("00 s", "2026-01-31 10:00"), ("00.000001 s", "")], 3),
        ("2026-01-31T10:00:07.2", "2026-01-31T10:00:07.7", [("07.2 s", "2026-01-31 10:00"), ("07.3 s", "")], 5),
        ("2026-01-28T05:00:00", "2026-02-04T05:00:00", [("29 Jan", "2026"), ("30 Jan", "")], 7),
        ("2025-11-20T00:00:00", "2026-02-20T00:00:00", [("24 Nov", "2025"), ("8 Dec", ""), ("22 Dec", "")], 7),
        ("2025-02-10T00:00:00", "2026-02-20T00:00:00", [("Mar", "2025"), ("May", ""), ("Jul", "")], 6),
        ("2020-02-10T00:00:00", "2032-02-20T00:00:00", [("2022", ""), ("2024", "")], 6),
        ("0001-01-01T00:00:00", "0004-01-01T00:00:00", [("Jan", "0001"), ("Jul", ""), ("Jan", "0002")], 6),
        ("0001-01-01T00:00:00", "9999-01-01T00:00:00", [("2000", ""), ("4000", "")], 4),
    ],
)
def test_times_are_round(begin: str, end: str, first: list[tuple[str, str]], count: int) -> None:
    """A window of any length has a handful of ticks at round times, named as far as they differ."""
    found = labels(begin, end)
    assert len(found) == count
    assert found[: len(first)] == first


def test_the_day_is_named_where_it_changes() -> None:
    """What a label is part of is told at the first tick and wherever it becomes another."""
    assert labels("2026-01-31T23:20:00", "2026-02-01T00:20:00") == [
        ("23:20", "2026-01-31"),
        ("23:30", ""),
        ("23:40", ""),
        ("23:50", ""),
        ("00:00", "2026-02-01"),
        ("00:10", ""),
    ]


def test_ticks_are_in_the_window() -> None:
    """However long a window, its ticks are in it, in order, and not too many."""
    begin = datetime(2026, 1, 31, 13, 7, 11, 123456, tzinfo=UTC)
    length = timedelta(microseconds=1)
    while length < timedelta(days=2_000_000):
        ticks = [tick.at for tick in time_ticks(Window(begin, begin + length))]
        assert all(begin <= at < begin + length for at in ticks)
        assert ticks == sorted(set(ticks))
        assert len(ticks) <= 10
        assert ticks
        length *= 3


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [
        (0, 1, [0, 1]),
        (0, 8, [0, 2, 4, 6, 8]),
        (0, 24_848, [0, 5_000, 10_000, 15_000, 20_000]),
        (23_360, 24_848, [23_000, 23_500, 24_000, 24_500]),
        (0, 2**63 - 1, [n * 2 * 10**18 for n in range(5)]),
    ],
)
def test_values_are_round(least: int, most: int, ticks: list[int]) -> None:
    """A handful of round values, the first not above the least, none above the most."""
    assert value_ticks(least, most) == ticks


@pytest.mark.parametrize(
    ("least", "most", "begins"),
    [
        (0, 8, 0),
        (4, 8, 0),
        (5, 8, 4),
        (8, 8, 0),
        (23_360, 24_848, 23_000),
        (23_000, 24_848, 22_500),
        (12_424, 24_848, 0),
    ],
)
def test_a_scale_begins_near_what_is_shown(least: int, most: int, begins: int) -> None:
    """With nothing; but where all values are above half of the most, and differ, with a round value below them."""
    assert scale_begins(least, most) == begins


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (24_848, "24,848"),
        (9_999_999, "9,999,999"),
        (10**7, "10 M"),
        (2 * 10**18, "2 E"),
        (12_345_678, "12.35 M"),
    ],
)
def test_numbers_in_little_room(value: int, text: str) -> None:
    """A number that is long is written with a suffix."""
    assert short(value) == text
