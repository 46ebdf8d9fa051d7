"""The view ``allocation_history``: everything that happened to allocations, one row an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bursar.domain.events import ValidationFailed
from bursar.domain.values import instant_text
from bursar.projections.view import Change, Drop, Put, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bursar.domain.records import Recorded
    from bursar.projections.view import Find


class AllocationHistory(View):
    """Everything that happened to allocations, refusals too; rows are only ever added."""

    name = "allocation_history"
    columns = {  # noqa: RUF012 - read only
        "position": int,
        "allocation_id": str,
        "pool": str,
        "event": str,
        "owner": str,
        "quantity": int,
        "deadline": str,
        "reason": str,
        "code": str,
        "occurred_at": str,
        "recorded_at": str,
        "actor": str,
        "command_id": str,
        "correlation_id": str,
        "causation_id": str,
    }
    key = ("position",)
    indexed = (("allocation_id", "position"), ("owner", "position"))

    def changes(self, recorded: Recorded, _find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows."""
        event = recorded.event
        if event.subject is None:
            return
        deadline = getattr(event, "deadline", None)
        yield Put(
            {
                "position": recorded.position,
                "allocation_id": event.subject,
                "pool": getattr(event, "pool", None),
                "event": type(event).__name__,
                "owner": getattr(event, "owner", None),
                "quantity": getattr(event, "quantity", None),
                "deadline": deadline and instant_text(deadline),
                "reason": getattr(event, "reason", None),
                "code": event.code.value if isinstance(event, ValidationFailed) else None,
                "occurred_at": instant_text(recorded.occurred_at),
                "recorded_at": instant_text(recorded.recorded_at),
                "actor": recorded.actor,
                "command_id": recorded.command_id,
                "correlation_id": recorded.correlation_id,
                "causation_id": recorded.causation_id,
            }
        )
