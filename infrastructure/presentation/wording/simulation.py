"""What would be decided otherwise, in words: explanations of refusals, and what other limits would have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone
from holdbook.infrastructure.presentation.wording.values import exact_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from holdbook.replay.simulation.explanation import Explanation, Holder, Obstacle
    from holdbook.replay.simulation.what_if import Divergence, WhatIf

_VALUE_CHARACTERS_MAX = 200
"""How much of a value is said of a log that does not follow from its commands."""


# Explanations


def obstacle_text(obstacle: Obstacle, asked_at: datetime) -> str:
    """Say why a request is refused, and from when on if that is later than it was asked."""
    begin = "" if obstacle.since == asked_at else f"then, at {exact_time(obstacle.since)}, "
    return f"{begin}refused ({obstacle.code}): {obstacle}"


def more_holders_text(holders: Sequence[Holder]) -> str:
    """Say how many holders were left out, and how much they hold together."""
    return f"and {len(holders):,} more, which hold {_sum(holders):,}"


def outlook_text(one: Explanation) -> str:
    """Say whether and when a request would be granted, and at which position of the log that is true."""
    said = f"it would be granted at {exact_time(one.moment)}" if one.granted else _refused_outlook(one)
    return f"{said}, as of position {one.position:,}"


def _refused_outlook(one: Explanation) -> str:
    if one.granted_at is not None:
        return f"granted from {exact_time(one.granted_at)} on, if nothing but expiry happens"
    last = one.obstacles[-1]
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


def decided_again_text(found: WhatIf) -> str:
    """Say that every command, decided again under the recorded limits, led to the recorded events."""
    again = f"{found.commands:,} command{'s' * (found.commands != 1)} decided again"
    return f"{again}: under the recorded limits they lead to the {found.events:,} events recorded"


def divergence_text(fault: Divergence) -> Sentence:
    """Say where the log differs from what its commands lead to."""
    recorded, again = (f"{value!s:.{_VALUE_CHARACTERS_MAX}}" for value in (fault.recorded, fault.again))
    return Sentence.of(
        ("the log does not follow from its commands: ", Tone.ALARM),
        f"position {fault.position}: {fault.field} is {recorded} in the log; decided again it is {again}",
    )


def other_limits_text(found: WhatIf) -> str:
    """Write the limits that were tried: ``gpu.total=12, gpu.max_size=none``."""
    limits = ((f"{pool}.{name}", value) for pool, values in found.limits.items() for name, value in values.items())
    return ", ".join(f"{limit}={'none' if value is None else value}" for limit, value in limits)


def flips_text(found: WhatIf) -> str:
    """Say how many commands would end otherwise, and which way."""
    if not found.flipped:
        return "no command ends otherwise"
    some = f"{found.flipped:,} command{'s end' if found.flipped != 1 else ' ends'} otherwise"
    gained = f"{found.gained:,} done that {_were(found.gained)} refused"
    lost = f"{found.lost:,} refused that {_were(found.lost)} done"
    return f"{some}, the first at position {found.flips[0].position:,}: {gained}, {lost}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
