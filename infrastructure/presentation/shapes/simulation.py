"""The shapes of what would be decided otherwise: explanations of refusals, and what if."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.commands import COMMANDS
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import instant_text
from holdbook.replay.simulation.what_if import DONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.replay.simulation.explanation import Explanation, Obstacle
    from holdbook.replay.simulation.what_if import Flip, PoolPeaks, Verdict, WhatIf
    from holdbook.replay.simulation.world import Peak


def explanation_shape(one: Explanation) -> dict[str, Any]:
    """Write what stands in the way of a request."""
    return {
        "granted": one.granted,
        "moment": instant_text(one.moment),
        "granted_at": one.granted_at and instant_text(one.granted_at),
        "obstacles": [_obstacle_shape(obstacle) for obstacle in one.obstacles],
        "position": one.position,
    }


def _obstacle_shape(one: Obstacle) -> dict[str, Any]:
    holders = [
        {**holder._asdict(), "deadline": holder.deadline and instant_text(holder.deadline)} for holder in one.holders
    ]
    return {
        "code": one.code.value,
        "pool": one.pool,
        "transient": one.transient,
        "message": str(one),
        "data": dict(one.data),
        "since": instant_text(one.since),
        "until": one.until and instant_text(one.until),
        "holders": holders,
    }


def what_if_shape(found: WhatIf) -> dict[str, Any]:
    """Write what other limits would have changed."""
    turns = ({"command": verb, "recorded": a, "what_if": b, "count": n} for (verb, a, b), n in found.turns.items())
    return {
        "ok": found.ok,
        "position": found.position,
        "from": found.since and instant_text(found.since),
        "to": found.until and instant_text(found.until),
        "set": found.limits,
        "events": found.events,
        "commands": found.commands,
        "outcomes": [
            {"command": verb, "outcome": outcome, "recorded": recorded, "what_if": other}
            for verb, outcome, recorded, other in outcome_counts(found)
        ],
        "turns": list(turns),
        "pools": [_pool_peaks_shape(one) for one in found.pools],
        "flipped": found.flipped,
        "gained": found.gained,
        "lost": found.lost,
        "flips": [_flip_shape(one) for one in found.flips],
        "fault": found.fault and found.fault._asdict(),
    }


def _pool_peaks_shape(one: PoolPeaks) -> dict[str, Any]:
    def peak(of: Peak) -> dict[str, Any]:
        return {"peak": of.used, "capacity": of.capacity, "at": of.at and instant_text(of.at)}

    return {"name": one.name, "unit": one.unit, "recorded": peak(one.recorded), "what_if": peak(one.what_if)}


def _flip_shape(one: Flip) -> dict[str, Any]:
    def verdict(of: Verdict) -> dict[str, Any]:
        return {"outcome": of.word, "message": of.message}

    return {
        "position": one.position,
        "occurred_at": instant_text(one.occurred_at),
        "command": one.command.verb,
        "allocation_id": one.allocation_id,
        "asked": one.command.as_dict(),
        "recorded": verdict(one.recorded),
        "what_if": verdict(one.what_if),
    }


def outcome_counts(found: WhatIf) -> Iterator[tuple[str, str, int, int]]:
    """List how many commands of each kind end how, both ways, in the order of the references."""
    present = found.recorded.keys() | found.what_if.keys()
    for verb in COMMANDS:
        for outcome in (DONE, *(code.value for code in RefusalCode)):
            if (verb, outcome) in present:
                yield verb, outcome, found.recorded[verb, outcome], found.what_if[verb, outcome]
