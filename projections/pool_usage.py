"""The view ``pool_usage``: use, peak and capacity of each pool over time, in buckets of an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from bursar.domain.events import Ending, LimitsChanged, Opening, PoolOpened, Resized, ValidationFailed
from bursar.domain.values import instant_text
from bursar.projections.view import Change, Drop, Put, View

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bursar.domain.events import Event
    from bursar.domain.records import Recorded
    from bursar.projections.view import Find, Row

BUCKET: Final = timedelta(hours=1)
"""How long a bucket is; buckets begin on the hour, UTC."""

BUCKET_CHARACTERS: Final = len("2026-01-31T14")
"""How much of an instant's text names its bucket."""


class PoolUsage(View):
    """Pools over time: a row for each bucket in which something happened in the pool, refusals aside.

    The times of a pool's own events never go back, so each builds on the pool's last row. Those of refusals may: a
    refusal does not move its pool's time on.
    """

    name = "pool_usage"
    columns = {  # noqa: RUF012 - read only
        "pool": str,
        "bucket": str,
        "used": int,
        "peak": int,
        "capacity": int,
        "allocations": int,
        "grants": int,
        "endings": int,
        "position": int,
    }
    key = ("pool", "bucket")
    found_by = ("pool",)
    indexed = (("bucket",),)

    def changes(self, recorded: Recorded, find: Find) -> Iterable[Put | Change | Drop]:
        """Say what an event does to the rows."""
        event: Any = recorded.event
        if isinstance(event, ValidationFailed):
            return
        bucket = bucket_of(recorded.occurred_at)
        last = find((event.pool,))
        if last is None or last["bucket"] < bucket:
            begun = {"pool": event.pool, "bucket": bucket, **_after(_begun(last), event)}
            yield Put({**begun, "position": recorded.position})
        else:
            yield Change((event.pool, last["bucket"]), {**_after(last, event), "position": recorded.position})


def bucket_of(moment: datetime) -> str:
    """Name the bucket of an instant by the instant at which it begins."""
    return bucket_named(instant_text(moment)[:BUCKET_CHARACTERS])


def bucket_named(begin: str) -> str:
    """Name a bucket by the text that begins the text of every instant in it."""
    return f"{begin}:00:00.000000Z"


def _begun(last: Row | None) -> Row:
    """Begin a bucket with what the one before left."""
    used, capacity, allocations = (last["used"], last["capacity"], last["allocations"]) if last else (0, 0, 0)
    return {
        "used": used,
        "peak": used,
        "capacity": capacity,
        "allocations": allocations,
        "grants": 0,
        "endings": 0,
    }


def _after(row: Row, event: Event) -> Row:
    """Say what a bucket is like after an event."""
    used, capacity, allocations = row["used"], row["capacity"], row["allocations"]
    grants, endings = row["grants"], row["endings"]
    match event:
        case PoolOpened() | LimitsChanged():
            capacity = event.limits.capacity
        case Opening():
            used, allocations, grants = used + event.quantity, allocations + 1, grants + 1
        case Ending():
            used, allocations, endings = used - event.quantity, allocations - 1, endings + 1
        case Resized():
            used += event.quantity - event.previous_quantity
    return {
        "used": used,
        "peak": max(row["peak"], used),
        "capacity": capacity,
        "allocations": allocations,
        "grants": grants,
        "endings": endings,
    }
