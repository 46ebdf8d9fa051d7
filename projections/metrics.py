"""The view ``metrics``: how often each operation was done, and how often and why it was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bursar.domain.events import (
    Allocated,
    Confirmed,
    Event,
    Expired,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)
from bursar.projections.validation_failures import asked
from bursar.projections.view import Change, Drop, Put, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bursar.domain.records import Recorded
    from bursar.projections.view import Find

DONE: Final = "done"
REFUSED: Final = "refused"

NONE: Final = ""
"""Where there is no pool, no resource type, no code: a key has no NULL."""

OPERATIONS: Final[dict[type[Event], str]] = {
    PoolOpened: "open_pool",
    LimitsChanged: "change_limits",
    PoolClosed: "close_pool",
    Allocated: "allocate",
    Reserved: "reserve",
    Confirmed: "confirm",
    Voided: "void",
    Renewed: "renew",
    Resized: "resize",
    Transferred: "transfer",
    Released: "release",
    Expired: "expire",
}
"""What was done where an event was recorded; of a refusal, it is what was asked."""


class Metrics(View):
    """Counters: one count an event, so an allocation over three pools counts once in each.

    The resource type of a pool is that of its opening, whose counter is found by its key.
    """

    name = "metrics"
    columns = {  # noqa: RUF012 - read only
        "resource_type": str,
        "pool": str,
        "operation": str,
        "outcome": str,
        "code": str,
        "count": int,
    }
    key = ("pool", "operation", "outcome", "code")
    found_by = key

    def changes(self, recorded: Recorded, find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows."""
        key = _counter(recorded.event)
        row = find(key)
        if row is None:
            named = dict(zip(self.key, key, strict=True))
            yield Put({"resource_type": _resource_type(recorded.event, key[0], find), **named, "count": 1})
        else:
            yield Change(key, {"count": row["count"] + 1})


def _counter(event: Event) -> tuple[str, str, str, str]:
    if isinstance(event, ValidationFailed):
        pool = event.pool if event.known and event.pool else NONE
        return pool, asked(event, "command") or NONE, REFUSED, event.code.value
    return getattr(event, "pool", NONE), OPERATIONS[type(event)], DONE, NONE


def _resource_type(event: Event, pool: str, find: Find) -> str:
    if isinstance(event, PoolOpened):
        return event.resource_type
    opening = find((pool, OPERATIONS[PoolOpened], DONE, NONE))
    return opening["resource_type"] if opening else NONE
