"""What the plot of a pool shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.cli.terminal.plot import HEIGHT, plot, plot_window
from holdbook.replay.reports.incident import Timeline
from holdbook.replay.reports.timeline import StepLine, Window
from support.deciding import T0, after


def buckets(*values: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Make buckets of used, peak and capacity."""
    return [
        {"bucket": f"2026-01-{n // 24 + 1:02}T{n % 24:02}:00:00.000000Z", "used": used, "peak": peak, "capacity": most}
        for n, (used, peak, most) in enumerate(values)
    ]


def lines(*values: tuple[int, int, int], width: int = 80, **options: bool) -> list[str]:
    """Draw, line by line."""
    return plot(buckets(*values), width=width, **options).plain.splitlines()


def columns(drawn: list[str]) -> list[str]:
    """Read the columns of the plot, from below."""
    area = [line[line.index("│") + 1 :] for line in drawn if "│" in line]
    return ["".join(level).strip() for level in zip(*reversed(area), strict=True)][::4]


def test_use_against_capacity() -> None:
    """Bars for what is used, shades up to the peak, the capacity's line above what it allows."""
    assert columns(lines((12, 12, 12), (6, 9, 12), (0, 0, 12), (12, 12, 6))) == [
        "█" * 12 + "─",
        "█" * 6 + "░" * 3 + "   ─",
        "─",
        "█" * 12,
    ]


def test_a_little_is_seen() -> None:
    """One of very many shows as the least mark; parts of a line are drawn in eighths."""
    assert [column[0] for column in columns(lines((1, 1, 10**18), (0, 0, 10**18)))] == ["▁", "─"]
    assert columns(lines((3, 3, 24)))[0].startswith("█▄")


def test_an_empty_pool() -> None:
    """Nothing at all can be drawn too."""
    drawn = lines((0, 0, 0))
    assert columns(drawn) == ["─"]
    assert len(drawn) == HEIGHT + 4


def test_the_axes_are_named() -> None:
    """The most there is, nothing, the first bucket and the last."""
    drawn = lines(*[(1, 1, 24_848)] * 30)
    assert drawn[1].startswith("24,848 │")
    assert drawn[-3].startswith("     0 └")
    assert drawn[-2].split("Z")[0].strip() == "2026-01-01 00:00:00"
    assert drawn[-2].endswith("  2026-01-02 05:00:00Z")
    assert drawn[-1] == "each column 1 hour: █ used at the end  ░ peak  ─ capacity"


@pytest.mark.parametrize("width", [1, 20, 80, 1000])
def test_many_buckets_share_columns(width: int) -> None:
    """Where more buckets are than fit, a column has the peak of its buckets and the end of the last."""
    drawn = lines(*[(0, 5, 10)] * 99, (10, 10, 10), width=width)
    area = [line for line in drawn if "│" in line]
    assert all(len(line) <= max(width, 5) for line in area)
    assert area[1][-1] == "█"
    if width == 20:
        assert drawn[-1].startswith("each column 7 hours:")


def test_ascii() -> None:
    """A terminal that knows no more gets no more."""
    drawn = lines((6, 9, 12), ascii_only=True)
    assert all(line.isascii() for line in drawn)
    assert [line[-1] for line in drawn[:13]] == ["-", " ", " ", " ", *":::", *"######"]


def over_window(
    used: list[tuple[float, int]], capacity: int, *refused: float, seconds: float = 400, width: int = 48
) -> str:
    """Draw a pool over a window of so many seconds: its use from moments on, and when something was refused."""
    window = Window(T0, T0 + timedelta(seconds=seconds))
    timeline = Timeline("gpu", window, None)
    timeline.used, timeline.capacity = StepLine(window, used[0][1]), StepLine(window, capacity)
    for at, value in used[1:]:
        timeline.used.add(after(at), value)
    for position, at in enumerate(refused):
        timeline.refusals.add(after(at), position, RefusalCode.POOL_EXHAUSTED)
    return plot_window(timeline, window, width=width).plain


def test_a_window() -> None:
    """A pool over any window has as many columns as fit: use at the end of each, the most in it, and the limit."""
    drawn = over_window([(0, 0), (110, 12), (115, 6), (200, 12)], 12, width=44)
    lines = drawn.splitlines()
    assert len(lines) == HEIGHT + 4
    area = [line[line.index("│") + 1 :] for line in lines if "│" in line]
    columns = ["".join(level).strip() for level in zip(*reversed(area), strict=True)]
    assert [columns[place] for place in (10, 11, 19, 20)] == [
        "─",
        "█" * 6 + "░" * 6 + "─",
        "█" * 6 + " " * 6 + "─",
        "█" * 12 + "─",
    ]
    assert lines[-2].split() == ["2026-01-01", "00:00:00Z", "2026-01-01", "00:06:40Z"]
    assert lines[-1] == "each column 0:00:10: █ used at the end  ░ peak  ─ capacity"


def test_refusals_are_marked_in_a_window() -> None:
    """Below the plot there is a cross where something was refused."""
    lines = over_window([(0, 0)], 12, 5, 6, 399, width=44).splitlines()
    assert lines[-3] == f"{'':4}×{'':38}×"  # noqa: RUF001 - a sign that is meant
    assert lines[-1].endswith("× refused")  # noqa: RUF001 - the same
    assert len(lines) == HEIGHT + 5


def test_a_window_near_the_limit() -> None:
    """Where all values are near the limit, the plot begins near them and says with what."""
    lines = over_window([(0, 96), (200, 98)], 100, width=45).splitlines()
    assert lines[-3].startswith(" 95 └")
    assert lines[1].startswith("100 │")
    assert [line[5] for line in lines if "│" in line].count("█") == 2
    assert [line[-1] for line in lines if "│" in line].count("█") == 7


def test_a_short_window() -> None:
    """Columns of less than a second say so."""
    assert "each column 0.01 s:" in over_window([(0, 1)], 3, seconds=0.4, width=43)
