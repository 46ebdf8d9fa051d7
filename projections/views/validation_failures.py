"""The view ``validation_failures``: every refusal, with the command's fields and the data that the decision used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.values import canonical_json
from holdbook.projections.definition import Add, Table, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdbook.projections.definition import Find, ViewEvent

_TABLE: Final = Table(
    name="validation_failures",
    columns={
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
    },
    key=("position",),
    indexed=(("occurred_at",), ("pool", "position"), ("owner", "position")),
)


def _refused(event: ViewEvent, _find: Find) -> tuple[Add]:
    data = event.data
    row = {
        "position": event.position,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "operation": field_asked(data, "command"),
        "code": data["code"],
        "pool": data["pool"],
        "owner": field_asked(data, "owner"),
        "allocation_id": data["allocation_id"],
        "actor": event.actor,
        "asked": canonical_json(data["asked"]),
        "data": canonical_json(data["data"]),
        "command_id": event.command_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    }
    return (Add(row),)


def field_asked(refusal: Mapping[str, Any], field: str) -> str | None:
    """Read a text field of the command that was refused; None if it has no such field."""
    value = refusal["asked"].get(field)
    return value if isinstance(value, str) else None


VALIDATION_FAILURES: Final = View(
    name="validation_failures", version=1, tables=(_TABLE,), handlers={"ValidationFailed": _refused}
)
"""Every refusal; rows are only ever added."""
