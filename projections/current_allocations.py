"""The view ``current_allocations``: what is held, one row an allocation and pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bursar.domain.allocation import token_of
from bursar.domain.events import AllocationEvent, Confirmed, Ending, Opening, Renewed, Reserved, Resized
from bursar.domain.values import canonical_json, instant_text
from bursar.projections.view import Change, Drop, Put, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bursar.domain.records import Recorded
    from bursar.projections.view import Find


class CurrentAllocations(View):
    """What is held: an allocation that has lapsed stays until its expiry is recorded (see ``deadline``)."""

    name = "current_allocations"
    columns = {  # noqa: RUF012 - read only
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
    }
    key = ("allocation_id", "pool")
    indexed = (("pool",), ("owner",))

    def changes(self, recorded: Recorded, _find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows."""
        event = recorded.event
        if not isinstance(event, AllocationEvent):
            return
        key = (event.allocation_id, event.pool)
        match event:
            case Opening():
                yield Put(_opened(event, recorded))
            case Ending():
                yield Drop(key)
            case Confirmed():
                deadline = event.deadline and instant_text(event.deadline)
                yield Change(key, {"state": "active", "deadline": deadline, "position": recorded.position})
            case Renewed():
                yield Change(key, {"deadline": instant_text(event.deadline), "position": recorded.position})
            case Resized():
                yield Change(key, {"quantity": event.quantity, "position": recorded.position})
            case _:  # Transferred
                yield Change(key, {"owner": event.owner, "position": recorded.position})


def _opened(event: Opening, recorded: Recorded) -> dict[str, object]:
    return {
        "allocation_id": event.allocation_id,
        "pool": event.pool,
        "owner": event.owner,
        "quantity": event.quantity,
        "state": "reserved" if isinstance(event, Reserved) else "active",
        "deadline": event.deadline and instant_text(event.deadline),
        "token": str(token_of(event, recorded.position)),
        "tags": canonical_json(event.tags),
        "opened_at": instant_text(recorded.occurred_at),
        "opened_by": recorded.actor,
        "position": recorded.position,
    }
