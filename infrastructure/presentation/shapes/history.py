"""The shapes of events and of what they changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.values import instant_text
from holdbook.infrastructure.presentation.shapes.ledger import allocation_shape

if TYPE_CHECKING:
    from holdbook.domain.records import Recorded
    from holdbook.replay.history.stories import Page, StoryStep


def recorded_shape(one: Recorded) -> dict[str, Any]:
    """Write an event with its envelope, under the names that `export` has for them."""
    return {
        "position": one.position,
        "stream_id": one.event.stream_id,
        "version": one.version,
        "type": type(one.event).__name__,
        "command_id": one.command_id,
        "ordinal": one.ordinal,
        "ordinals": one.ordinals,
        "allocation_id": one.event.subject,
        "occurred_at": instant_text(one.occurred_at),
        "recorded_at": instant_text(one.recorded_at),
        "actor": one.actor,
        "correlation_id": one.correlation_id,
        "causation_id": one.causation_id,
        "data": one.event.model_dump(mode="json"),
    }


def story_step_shape(step: StoryStep) -> dict[str, Any]:
    """Write an event, what it was before and after, and what changed."""
    return {
        **recorded_shape(step.recorded),
        "command": step.command,
        "reason": step.reason,
        "before": step.before and allocation_shape(step.before),
        "after": step.after and allocation_shape(step.after),
        "changes": {name: change._asdict() for name, change in step.changes.items()},
    }


def page_step_shape(page: Page, step: StoryStep) -> dict[str, Any]:
    """Write one event of a page, with what to go on after; that is null on the last event of all."""
    following = page.next if step is page[-1] else step.recorded.position
    return {**story_step_shape(step), "as_of_position": page.position, "next": following}
