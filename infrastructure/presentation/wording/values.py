"""Words for values: times, numbers, quantities, tags, and what a value was before a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from datetime import datetime

    from holdbook.domain.refusals import RefusalCode
    from holdbook.replay.reports.incident import Level


def time_to_second(at: datetime | None) -> str:
    """Write a time in UTC, cut to the second: ``2026-01-31 14:03:00Z``; nothing for no time."""
    return "" if at is None else f"{instant_text(at)[:19].replace('T', ' ')}Z"


def time_text(at: datetime) -> str:
    """Write a time in UTC in full, without the microseconds if they are zero."""
    text = instant_text(at)[:-1].replace("T", " ")
    return f"{text.removesuffix('.000000')}Z"


def exact_time(at: datetime) -> str:
    """Write a time in UTC in full, in the form in which it can be given back: ``2026-01-31T14:03:00Z``."""
    return instant_text(at).replace(".000000Z", "Z")


def number_text(value: int | None) -> str:
    """Write a number with commas between its thousands; nothing for no number."""
    return "" if value is None else f"{value:,}"


def quantities_text(quantities: Mapping[str, int]) -> str:
    """Write quantities in the order of the pools' names: ``cpu=8000 gpu=2``."""
    return " ".join(f"{pool}={quantity}" for pool, quantity in sorted(quantities.items()))


def tags_text(tags: Mapping[str, str]) -> str:
    """Write tags in the order of their names: ``job=42 team=vision``."""
    return " ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def codes_text(codes: Counter[RefusalCode]) -> str:
    """Write how many refusals have each code, the most frequent code first."""
    return ", ".join(f"{code} {count:,}" for code, count in codes.most_common())


def level_change(before: Level | None, after: Level | None, field: str) -> str:
    """Write one field of a pool before a step and after it, with an arrow between the two if they differ."""
    if before is None or after is None:
        return ""
    one, other = (f"{getattr(level, field):,}" for level in (before, after))
    return one if one == other else f"{one} → {other}"
