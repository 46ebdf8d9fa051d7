"""The view ``allocation_history``: everything that happened to allocations, one row per event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.projections.definition import Add, Table, View

if TYPE_CHECKING:
    from holdbook.projections.definition import Find, ViewEvent

_TABLE: Final = Table(
    name="allocation_history",
    columns={
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
    },
    key=("position",),
    indexed=(("allocation_id", "position"), ("owner", "position")),
)

ABOUT_ALLOCATIONS: Final = (
    "Allocated",
    "Reserved",
    "Confirmed",
    "Renewed",
    "Resized",
    "Transferred",
    "Released",
    "Voided",
    "Expired",
    "ValidationFailed",
    "Reclaimed",
)


def _happened(event: ViewEvent, _find: Find) -> tuple[Add, ...]:
    get = event.data.get
    allocation_id = get("allocation_id")
    if allocation_id is None:  # the refusal of a command that names no allocation
        return ()
    row = {
        "position": event.position,
        "allocation_id": allocation_id,
        "pool": get("pool"),
        "event": event.type,
        "owner": get("owner"),
        "quantity": get("quantity"),
        "deadline": get("deadline"),
        "reason": get("reason"),
        "code": get("code"),
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "command_id": event.command_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    }
    return (Add(row),)


ALLOCATION_HISTORY: Final = View(
    name="allocation_history", version=1, tables=(_TABLE,), handlers=dict.fromkeys(ABOUT_ALLOCATIONS, _happened)
)
"""Everything that happened to allocations, refusals included; rows are only ever added."""
