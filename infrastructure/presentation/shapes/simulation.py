"""The shapes of explanations of refusals, and of what other limits would have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.commands import COMMANDS
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import instant_text
from holdbook.replay.simulation.outcomes import DONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.replay.simulation.explanation import Explanation, Holder, Obstacle
    from holdbook.replay.simulation.outcomes import Flip, PoolPeaks, Verdict
    from holdbook.replay.simulation.what_if import WhatIf
    from holdbook.replay.simulation.world import Peak


def explanation_shape(explanation: Explanation) -> dict[str, Any]:
    """Shape whether a request would be granted, and the obstacles in its way."""
    return {
        "granted": explanation.granted,
        "moment": instant_text(explanation.moment),
        "granted_at": explanation.granted_at and instant_text(explanation.granted_at),
        "obstacles": [_obstacle_shape(obstacle) for obstacle in explanation.obstacles],
        "position": explanation.position,
    }


def _obstacle_shape(obstacle: Obstacle) -> dict[str, Any]:
    return {
        "code": obstacle.code.value,
        "pool": obstacle.pool,
        "transient": obstacle.transient,
        "message": str(obstacle),
        "data": dict(obstacle.data),
        "since": instant_text(obstacle.since),
        "until": obstacle.until and instant_text(obstacle.until),
        "holders": [_holder_shape(holder) for holder in obstacle.holders],
    }


def _holder_shape(holder: Holder) -> dict[str, Any]:
    return {**holder._asdict(), "deadline": holder.deadline and instant_text(holder.deadline)}


def what_if_shape(result: WhatIf) -> dict[str, Any]:
    """Shape what other limits would have changed."""
    turns = ({"command": verb, "recorded": a, "what_if": b, "count": n} for (verb, a, b), n in result.turns.items())
    return {
        "ok": result.ok,
        "position": result.position,
        "from": result.since and instant_text(result.since),
        "to": result.until and instant_text(result.until),
        "set": result.limits,
        "events": result.events,
        "commands": result.commands,
        "outcomes": [
            {"command": verb, "outcome": outcome, "recorded": recorded, "what_if": other}
            for verb, outcome, recorded, other in outcome_counts(result)
        ],
        "turns": list(turns),
        "pools": [_pool_peaks_shape(pool) for pool in result.pools],
        "flipped": result.flipped,
        "gained": result.gained,
        "lost": result.lost,
        "flips": [_flip_shape(flip) for flip in result.flips],
        "fault": result.fault and result.fault._asdict(),
    }


def _pool_peaks_shape(pool: PoolPeaks) -> dict[str, Any]:
    return {
        "name": pool.name,
        "unit": pool.unit,
        "recorded": _peak_shape(pool.recorded),
        "what_if": _peak_shape(pool.what_if),
    }


def _peak_shape(peak: Peak) -> dict[str, Any]:
    return {"peak": peak.used, "capacity": peak.capacity, "at": peak.at and instant_text(peak.at)}


def _flip_shape(flip: Flip) -> dict[str, Any]:
    return {
        "position": flip.position,
        "occurred_at": instant_text(flip.occurred_at),
        "command": flip.command.verb,
        "allocation_id": flip.allocation_id,
        "asked": flip.command.as_dict(),
        "recorded": _verdict_shape(flip.recorded),
        "what_if": _verdict_shape(flip.what_if),
    }


def _verdict_shape(verdict: Verdict) -> dict[str, Any]:
    return {"outcome": verdict.word, "message": verdict.message}


def outcome_counts(result: WhatIf) -> Iterator[tuple[str, str, int, int]]:
    """Count the commands by verb and outcome: those recorded so, and those decided so under the other limits.

    Verbs come in the order of the reference of commands, outcomes in that of refusals, after those that were done.
    """
    present = result.recorded.keys() | result.what_if.keys()
    for verb in COMMANDS:
        for outcome in (DONE, *(code.value for code in RefusalCode)):
            if (verb, outcome) in present:
                yield verb, outcome, result.recorded[verb, outcome], result.what_if[verb, outcome]
