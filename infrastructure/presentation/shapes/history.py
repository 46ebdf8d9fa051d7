"""The shapes of events, and of what each of them changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.values import instant_text
from holdbook.infrastructure.presentation.shapes.ledger import allocation_shape

if TYPE_CHECKING:
    from holdbook.domain.records import Recorded
    from holdbook.replay.history.stories import Page, StoryStep


def recorded_shape(recorded: Recorded) -> dict[str, Any]:
    """Shape an event with its envelope, under the names of the columns of the log."""
    return {
        "position": recorded.position,
        "stream_id": recorded.event.stream_id,
        "version": recorded.version,
        "type": type(recorded.event).__name__,
        "command_id": recorded.command_id,
        "ordinal": recorded.ordinal,
        "ordinals": recorded.ordinals,
        "allocation_id": recorded.event.subject,
        "occurred_at": instant_text(recorded.occurred_at),
        "recorded_at": instant_text(recorded.recorded_at),
        "actor": recorded.actor,
        "correlation_id": recorded.correlation_id,
        "causation_id": recorded.causation_id,
        "data": recorded.event.model_dump(mode="json"),
    }


def story_step_shape(step: StoryStep) -> dict[str, Any]:
    """Shape an event with its command, its allocation before and after it, and what it changed."""
    return {
        **recorded_shape(step.recorded),
        "command": step.command,
        "reason": step.reason,
        "before": step.before and allocation_shape(step.before),
        "after": step.after and allocation_shape(step.after),
        "changes": {name: change._asdict() for name, change in step.changes.items()},
    }


def page_step_shape(page: Page, step: StoryStep) -> dict[str, Any]:
    """Shape an event of a page, with the position to go on after to get the next one; None after the last of all."""
    following = page.next if step is page[-1] else step.recorded.position
    return {**story_step_shape(step), "as_of_position": page.position, "next": following}
