"""Events in words: what each of them did to its allocation or its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.domain.events import AllocationEvent, PoolOpened, Reclaimed, ValidationFailed
from holdbook.domain.refusals import explain
from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone
from holdbook.infrastructure.presentation.wording.values import time_text, time_to_second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from holdbook.replay.history.stories import Page, StoryStep
    from holdbook.replay.reports.incident import IncidentStep

_ENDS: Final = {"released": "been released", "voided": "been voided", "expired": "expired"}
"""How a right had ended, after the word "had"."""


def page_text(page: Page) -> str:
    """Say how many events a page has, and at which position of the log that is true."""
    counted = f"{len(page):,} event{'s' * (len(page) != 1)}" if page else "no such events"
    return f"{counted}, as of position {page.position:,}"


def event_text(step: StoryStep) -> Sentence:
    """Say what the type of an event leaves open: why it refused, or what it changed, from what to what."""
    event = step.recorded.event
    if isinstance(event, ValidationFailed):
        return Sentence.of(explain(event.code, event.data))
    if isinstance(event, Reclaimed):
        had = "was never granted" if event.state is None else f"had {_ENDS[event.state]}"
        said = f"what was really held was taken back: its right {had}"
        return Sentence.of(", ".join(filter(None, (said, event.reason))))
    changes = _hold_changes(step, event) if isinstance(event, AllocationEvent) else _limit_changes(step)
    reason = [] if step.reason is None else [Sentence.of(step.reason)]
    return Sentence.joined(", ", [*changes, *reason])


def _hold_changes(step: StoryStep, event: AllocationEvent) -> Iterator[Sentence]:
    """Say the quantity, the owner and the deadline of a hold, each with what it was before."""
    before = step.before
    quantity, owner = (None, None) if before is None else (str(before.quantities.get(event.pool)), before.owner)
    yield Sentence.of(_change(quantity, str(event.quantity)), " for ", _change(owner, event.owner))
    if getattr(event, "forced", False):
        yield Sentence.of("by force")
    if not hasattr(event, "deadline"):
        return  # it leaves the deadline as it was
    until = None if before is None else _until(before.deadline)
    if event.deadline is not None or (before is not None and before.deadline is not None):
        yield Sentence.of("until ", _change(until, _until(event.deadline)))


def _until(deadline: datetime | None) -> str:
    return time_to_second(deadline) or "released"


def _limit_changes(step: StoryStep) -> Iterator[Sentence]:
    """Say the limits that an event of a pool changed; those of a pool that was opened have no value before."""
    for field, change in step.changes.items():
        if field.startswith("limits."):
            before, after = ("none" if value is None else str(value) for value in change)
            opened = isinstance(step.recorded.event, PoolOpened)
            yield Sentence.of(f"{field.removeprefix('limits.')} ", _change(None if opened else before, after))


def _change(before: str | None, after: str) -> Sentence:
    """Say a value, and before an arrow what it was, if it was something else."""
    return Sentence.of(after) if before in {None, after} else Sentence.of(f"{before} ", (f"→ {after}", Tone.NEW))


def incident_step_text(step: IncidentStep) -> str:
    """Say what a step of an incident has beside its columns: until when it holds, and its own words."""
    until = "" if step.deadline is None or step.deadline == step.at else f"until {time_text(step.deadline)}"
    return ", ".join(part for part in (until, step.words) if part)
