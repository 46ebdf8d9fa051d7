"""Words for an incident, wherever it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections import Counter
    from datetime import datetime

    from holdbook.domain.refusals import RefusalCode
    from holdbook.replay.reports.incident import IncidentStep, Level


def codes_text(codes: Counter[RefusalCode]) -> str:
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


def words(step: IncidentStep) -> str:
    """Say what there is to say of a step beside what has its place."""
    until = "" if step.deadline is None or step.deadline == step.at else f"until {time_text(step.deadline)}"
    return ", ".join(part for part in (until, step.words) if part)
