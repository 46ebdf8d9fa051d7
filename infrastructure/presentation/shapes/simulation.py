"""The shapes of what would be decided otherwise: explanations of refusals, and what if."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from holdbook.replay.simulation.explanation import Explanation, Obstacle


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
