"""Explanations of refusals in words, and what other limits would have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone
from holdbook.infrastructure.presentation.wording.values import exact_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from holdbook.replay.simulation.explanation import Explanation, Holder, Obstacle
    from holdbook.replay.simulation.outcomes import Divergence
    from holdbook.replay.simulation.what_if import WhatIf

_VALUE_CHARACTERS_MAX: Final = 200
"""The most characters that are said of a value that differs."""


# Explanations


def obstacle_text(obstacle: Obstacle, asked_at: datetime) -> str:
    """Say why a request is refused; for an obstacle that comes only after others are gone, also from when on."""
    begin = "" if obstacle.since == asked_at else f"then, at {exact_time(obstacle.since)}, "
    return f"{begin}refused ({obstacle.code}): {obstacle}"


def more_holders_text(holders: Sequence[Holder]) -> str:
    """Say how many holders were left out, and how much they hold together."""
    return f"and {len(holders):,} more, which hold {_sum(holders):,}"


def outlook_text(explanation: Explanation) -> str:
    """Say whether and when a request would be granted, and at which position of the log that is true."""
    granted = f"it would be granted at {exact_time(explanation.moment)}"
    said = granted if explanation.granted else _refused_outlook(explanation)
    return f"{said}, as of position {explanation.position:,}"


def _refused_outlook(explanation: Explanation) -> str:
    if explanation.granted_at is not None:
        return f"granted from {exact_time(explanation.granted_at)} on, if nothing but expiry happens"
    last = explanation.obstacles[-1]
    if not last.transient:
        return "no expiry lifts this: somebody has to change something"
    lasting = [holder for holder in last.holders if holder.deadline is None]
    if last.code is RefusalCode.TOO_MANY_ALLOCATIONS:
        have = "has" if len(lasting) == 1 else "have"
        return f"no expiry will be enough: {len(lasting):,} of them {have} no deadline"
    return f"no expiry will be enough: {_sum(lasting):,} {last.data['unit']} are held without a deadline"


def _sum(holders: Sequence[Holder]) -> int:
    return sum(holder.quantity for holder in holders)


# What if


def decided_again_text(result: WhatIf) -> str:
    """Say that every command, decided again under the recorded limits, led to the recorded events."""
    again = f"{result.commands:,} command{'s' * (result.commands != 1)} decided again"
    return f"{again}: under the recorded limits they lead to the {result.events:,} events recorded"


def divergence_text(fault: Divergence) -> Sentence:
    """Say where the log differs from what its commands lead to."""
    recorded, again = (f"{value!s:.{_VALUE_CHARACTERS_MAX}}" for value in (fault.recorded, fault.again))
    return Sentence.of(
        ("the log does not follow from its commands: ", Tone.ALARM),
        f"position {fault.position}: {fault.field} is {recorded} in the log; decided again it is {again}",
    )


def other_limits_text(result: WhatIf) -> str:
    """Write the limits that were tried: ``gpu.total=12, gpu.max_size=none``."""
    limits = ((f"{pool}.{name}", value) for pool, values in result.limits.items() for name, value in values.items())
    return ", ".join(f"{limit}={'none' if value is None else value}" for limit, value in limits)


def flips_text(result: WhatIf) -> str:
    """Say how many commands would end otherwise, and which way."""
    if not result.flipped:
        return "no command ends otherwise"
    some = f"{result.flipped:,} command{'s end' if result.flipped != 1 else ' ends'} otherwise"
    gained = f"{result.gained:,} done that {_were(result.gained)} refused"
    lost = f"{result.lost:,} refused that {_were(result.lost)} done"
    return f"{some}, the first at position {result.flips[0].position:,}: {gained}, {lost}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
