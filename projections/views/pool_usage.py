"""The view ``pool_usage``: the use, peak and capacity of each pool over time, in buckets of an hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.limits import Limits
from holdbook.domain.values import instant_text
from holdbook.projections.definition import Add, Set, Table, View

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from holdbook.projections.definition import Find, Key, Row, ViewEvent

BUCKET: Final = timedelta(hours=1)
"""The length of a bucket. Buckets begin on the hour, UTC."""

BUCKET_CHARACTERS: Final = len("2026-01-31T14")
"""How many characters at the beginning of an instant's text name its bucket."""

_TABLE: Final = Table(
    name="pool_usage",
    columns={
        "pool": str,
        "bucket": str,
        "used": int,
        "peak": int,
        "capacity": int,
        "allocations": int,
        "grants": int,
        "endings": int,
        "position": int,
    },
    key=("pool", "bucket"),
    indexed=(("bucket",),),
    found_by=("pool",),
)


def bucket_of(moment: datetime) -> str:
    """Give the name of the bucket that an instant is in: the instant at which the bucket begins, as text."""
    return bucket_named(instant_text(moment)[:BUCKET_CHARACTERS])


def bucket_named(begin: str) -> str:
    """Give a bucket's name from the characters with which the text of every instant in it begins."""
    return f"{begin}:00:00.000000Z"


def _limits_set(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    row, change = _bucket_row(event, find)
    row["capacity"] = Limits.model_validate(event.data["limits"]).capacity
    return (change,)


def _opened(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    row, change = _bucket_row(event, find)
    _change_use(row, event.data["quantity"])
    row["allocations"] += 1
    row["grants"] += 1
    return (change,)


def _ended(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    row, change = _bucket_row(event, find)
    _change_use(row, -event.data["quantity"])
    row["allocations"] -= 1
    row["endings"] += 1
    return (change,)


def _resized(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    row, change = _bucket_row(event, find)
    _change_use(row, event.data["quantity"] - event.data["previous_quantity"])
    return (change,)


def _touched(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    return (_bucket_row(event, find)[1],)


def _bucket_row(event: ViewEvent, find: Find) -> tuple[Row, Add | Set]:
    """Find the row of an event's bucket, or begin it from the pool's last row; gives the row and the change to make."""
    pool, bucket = event.data["pool"], bucket_named(event.occurred_at[:BUCKET_CHARACTERS])
    last = find(_TABLE, (pool,))
    if last is not None and bucket <= last["bucket"]:
        row = {**last, "position": event.position}
        return row, Set(row)
    used, capacity, allocations = (last["used"], last["capacity"], last["allocations"]) if last else (0, 0, 0)
    row = {
        "pool": pool,
        "bucket": bucket,
        "used": used,
        "peak": used,
        "capacity": capacity,
        "allocations": allocations,
        "grants": 0,
        "endings": 0,
        "position": event.position,
    }
    return row, Add(row)


def _change_use(row: Row, added: int) -> None:
    used = row["used"] + added
    row["used"] = used
    row["peak"] = max(row["peak"], used)


_HANDLERS: Final[dict[str, Any]] = {
    "PoolOpened": _limits_set,
    "LimitsChanged": _limits_set,
    "PoolClosed": _touched,
    "Allocated": _opened,
    "Reserved": _opened,
    "Confirmed": _touched,
    "Renewed": _touched,
    "Resized": _resized,
    "Transferred": _touched,
    "Released": _ended,
    "Voided": _ended,
    "Expired": _ended,
}


def _needs(event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    return ((_TABLE, (event.data["pool"],)),)


POOL_USAGE: Final = View(name="pool_usage", version=1, tables=(_TABLE,), handlers=_HANDLERS, needs=_needs)
"""Pools over time: one row for each bucket in which something happened in the pool, refusals aside.

The times of a pool's events never go back, so each row builds on the pool's last one.
"""
