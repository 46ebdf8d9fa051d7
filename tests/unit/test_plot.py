"""What the plot of a pool shows."""

from __future__ import annotations

from typing import Any

import pytest

from bursar.infrastructure.cli.plot import HEIGHT, plot


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
