"""The view ``validation_failures``: every refusal, with what was asked and what it was decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bursar.domain.events import ValidationFailed
from bursar.domain.values import canonical_json, instant_text
from bursar.projections.view import Change, Drop, Put, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bursar.domain.records import Recorded
    from bursar.projections.view import Find


class ValidationFailures(View):
    """Every refusal; rows are only ever added."""

    name = "validation_failures"
    columns = {  # noqa: RUF012 - read only
        "position": int,
        "occurred_at": str,
        "recorded_at": str,
        "operation": str,
        "code": str,
        "pool": str,
        "owner": str,
        "allocation_id": str,
        "actor": str,
        "asked": str,
        "data": str,
        "command_id": str,
        "correlation_id": str,
        "causation_id": str,
    }
    key = ("position",)
    indexed = (("occurred_at",), ("pool", "position"), ("owner", "position"))

    def changes(self, recorded: Recorded, _find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows."""
        event = recorded.event
        if not isinstance(event, ValidationFailed):
            return
        yield Put(
            {
                "position": recorded.position,
                "occurred_at": instant_text(recorded.occurred_at),
                "recorded_at": instant_text(recorded.recorded_at),
                "operation": asked(event, "command"),
                "code": event.code.value,
                "pool": event.pool,
                "owner": asked(event, "owner"),
                "allocation_id": event.allocation_id,
                "actor": recorded.actor,
                "asked": canonical_json(event.asked),
                "data": canonical_json(event.data),
                "command_id": recorded.command_id,
                "correlation_id": recorded.correlation_id,
                "causation_id": recorded.causation_id,
            }
        )


def asked(event: ValidationFailed, field: str) -> str | None:
    """Read a field of the command that was refused; None if it has none."""
    value = event.asked.get(field)
    return value if isinstance(value, str) else None
