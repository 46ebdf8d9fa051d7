"""Axes of a plot: at which values their ticks are, and how these are labelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.replay.reports.timeline import Window

TIME_TICKS_MAX: Final = 9
"""About the most ticks on an axis of time; there may be one more."""

VALUE_TICKS_MAX: Final = 5
"""The most ticks above the first one on an axis of values."""

CUT: Final = 0.5
"""A scale begins above zero if all values are above this share of the greatest one."""

_ROUND: Final = (1, 2, 5)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=31)
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
"""The moment from which ticks are counted. It is a Monday, so ticks that are weeks apart are on Mondays."""

_STEPS: Final = (
    *(timedelta(microseconds=digit * 10**power) for power in range(6) for digit in _ROUND),
    *(timedelta(seconds=number) for number in (1, 2, 5, 10, 15, 30)),
    *(timedelta(minutes=number) for number in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=number) for number in (1, 2, 3, 6, 12)),
    *(timedelta(days=number) for number in (1, 2, 7, 14)),
)
"""The distances that ticks of time may have, up to two weeks."""

_STEPS_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12000, 24000)
"""The distances in months that ticks of time may have, where days are too many."""

_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_SUFFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
"""The suffixes for the powers of a thousand."""

_SHORT_MAX: Final = 10_000_000
"""The least number that is written with a suffix."""


class Tick(NamedTuple):
    """A labelled place on an axis of time."""

    at: datetime
    label: str
    below: str
    """The day or the year that the label is in, if the tick before was in another; else empty."""


def time_ticks(window: Window) -> list[Tick]:
    """Choose round times in a window, and label them."""
    apart = (window.until - window.since) / TIME_TICKS_MAX
    step = next((step for step in _STEPS if step >= apart), None)
    if step is not None:
        first = window.since + (_BEGINNING - window.since) % step
        moments = [first + number * step for number in range(max(0, -((first - window.until) // step)))]
        return list(_ticks(moments, step))
    months = next(months for months in _STEPS_MONTHS if months * _MONTH >= apart)
    return list(_ticks(list(_months(window, months)), months * _MONTH))


def _months(window: Window, step: int) -> Iterator[datetime]:
    first = -(-(window.since.year * 12 + window.since.month - 1) // step) * step
    for number in range(first, window.until.year * 12 + window.until.month, step):
        at = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        if window.since <= at < window.until:
            yield at


def _ticks(moments: list[datetime], step: timedelta) -> Iterator[Tick]:
    last = ""
    for at in moments:
        label, below = _label(at, step)
        yield Tick(at, label, below if below != last else "")
        last = below


def _label(at: datetime, step: timedelta) -> tuple[str, str]:
    text = instant_text(at)
    if step >= 12 * _MONTH:
        return text[:4], ""
    if step >= _MONTH:
        return _NAMES[at.month - 1], text[:4]
    if step >= _DAY:
        return f"{at.day} {_NAMES[at.month - 1]}", text[:4]
    if step >= 60 * _SECOND:
        return text[11:16], text[:10]
    if step >= _SECOND:
        return text[11:19], text[:10]
    return f"{text[17:26].rstrip('0').rstrip('.')} s", text[:16].replace("T", " ")


def value_ticks(least: int, most: int) -> list[int]:
    """Choose round values from the last one that is at most the least value, up to the greatest value."""
    step, power = 1, 0
    while step * VALUE_TICKS_MAX < most - least:
        power += 1
        step = _ROUND[power % len(_ROUND)] * 10 ** (power // len(_ROUND))
    return list(range(least // step * step, most + 1, step))


def scale_begins(least: int, most: int) -> int:
    """Choose where a scale begins: at zero, or if all values are near the greatest, at a round value below them."""
    return value_ticks(least - 1, most)[0] if CUT * most < least < most else 0


def short(value: int) -> str:
    """Write a number in little room: a long one with four digits at most and a suffix, such as 12.35 M."""
    if value < _SHORT_MAX:
        return f"{value:,}"
    power = (len(str(value)) - 1) // 3
    return f"{value / 1000**power:.4g} {_SUFFIXES[power]}"
