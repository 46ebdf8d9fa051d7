"""The view ``current_allocations``: what is held, one row per allocation and pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from holdbook.projections.definition import Add, Drop, Set, Table, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.projections.definition import Find, Key, Row, ViewEvent

_TABLE: Final = Table(
    name="current_allocations",
    columns={
        "allocation_id": str,
        "pool": str,
        "owner": str,
        "quantity": int,
        "state": str,
        "deadline": str,
        "token": str,
        "tags": str,
        "opened_at": str,
        "opened_by": str,
        "position": int,
    },
    key=("allocation_id", "pool"),
    indexed=(("pool",), ("owner",)),
    found_by=("allocation_id", "pool"),
)


def hold_of(event: ViewEvent) -> Key:
    """Give the key of the hold that an event is about: its allocation's id and its pool."""
    return event.data["allocation_id"], event.data["pool"]


def _opened(event: ViewEvent, _find: Find) -> tuple[Add]:
    data = event.data
    row = {
        "allocation_id": data["allocation_id"],
        "pool": data["pool"],
        "owner": data["owner"],
        "quantity": data["quantity"],
        "state": "reserved" if event.type == "Reserved" else "active",
        "deadline": data["deadline"],
        "token": f"{data['epoch']}:{event.position - data['pools'].index(data['pool'])}",  # the text form of `Token`
        "tags": to_json(dict(sorted(data["tags"].items()))).decode(),  # canonical JSON, as all is text
        "opened_at": event.occurred_at,
        "opened_by": event.actor,
        "position": event.position,
    }
    return (Add(row),)


def _ended(event: ViewEvent, _find: Find) -> tuple[Drop]:
    return (Drop(hold_of(event)),)


def _confirmed(event: ViewEvent, find: Find) -> tuple[Set]:
    return _changed(event, find, {"state": "active", "deadline": event.data["deadline"]})


def _renewed(event: ViewEvent, find: Find) -> tuple[Set]:
    return _changed(event, find, {"deadline": event.data["deadline"]})


def _resized(event: ViewEvent, find: Find) -> tuple[Set]:
    return _changed(event, find, {"quantity": event.data["quantity"]})


def _transferred(event: ViewEvent, find: Find) -> tuple[Set]:
    return _changed(event, find, {"owner": event.data["owner"]})


def _changed(event: ViewEvent, find: Find, values: Row) -> tuple[Set]:
    row = find(_TABLE, hold_of(event))
    if row is None:
        allocation_id, pool = hold_of(event)
        raise LookupError(f"allocation {allocation_id!r} holds nothing of pool {pool!r}")
    return (Set({**row, **values, "position": event.position}),)


_CHANGING: Final = {"Confirmed": _confirmed, "Renewed": _renewed, "Resized": _resized, "Transferred": _transferred}


def _needs(event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    return ((_TABLE, hold_of(event)),) if event.type in _CHANGING else ()


_HANDLERS: Final[dict[str, Any]] = {
    "Allocated": _opened,
    "Reserved": _opened,
    **_CHANGING,
    "Released": _ended,
    "Voided": _ended,
    "Expired": _ended,
}

CURRENT_ALLOCATIONS: Final = View(
    name="current_allocations", version=1, tables=(_TABLE,), handlers=_HANDLERS, needs=_needs
)
"""What is held. An allocation whose deadline has passed stays until its expiry is recorded (see ``deadline``)."""
