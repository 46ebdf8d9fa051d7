"""The view ``metrics``: how often each operation was done or refused, how long holds lasted and confirming took."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from holdbook.projections.definition import Add, Drop, Set, Table, View
from holdbook.projections.views.current_allocations import hold_of
from holdbook.projections.views.validation_failures import field_asked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.projections.definition import Find, Key, Row, ViewEvent

DONE: Final = "done"
REFUSED: Final = "refused"

NONE: Final = ""
"""Stands for no pool, no resource type or no code, because a key column cannot be null."""

OPERATIONS: Final = {
    "PoolOpened": "open_pool",
    "LimitsChanged": "change_limits",
    "PoolClosed": "close_pool",
    "LedgerClosed": "close_ledger",
    "Allocated": "allocate",
    "Reserved": "reserve",
    "Confirmed": "confirm",
    "Voided": "void",
    "Renewed": "renew",
    "Resized": "resize",
    "Transferred": "transfer",
    "Released": "release",
    "Expired": "expire",
    "Reclaimed": "reclaim",
}
"""The operation that an event of each type records. The operation of a refusal is the command that was refused."""

LASTED: Final = {
    "le_1s": timedelta(seconds=1),
    "le_10s": timedelta(seconds=10),
    "le_1m": timedelta(minutes=1),
    "le_10m": timedelta(minutes=10),
    "le_1h": timedelta(hours=1),
    "le_6h": timedelta(hours=6),
    "le_1d": timedelta(days=1),
    "le_7d": timedelta(days=7),
    "le_30d": timedelta(days=30),
}
"""The histogram's columns, each with its upper bound. As in Prometheus, a column counts all that lasted no longer."""

_COLUMNS: Final = tuple(LASTED)
_BOUNDS: Final = tuple(LASTED.values())
_MILLISECOND: Final = timedelta(milliseconds=1)

TIMED: Final = frozenset({"confirm", "release", "void", "expire"})
"""Operations with a histogram: the time from reserving to confirming, or from the grant to its end."""

_TABLE: Final = Table(
    name="metrics",
    columns={
        "resource_type": str,
        "pool": str,
        "operation": str,
        "outcome": str,
        "code": str,
        "count": int,
        "milliseconds": int,
        **dict.fromkeys(LASTED, int),
    },
    key=("pool", "operation", "outcome", "code"),
    found_by=("pool", "operation", "outcome", "code"),
)

_HOLDS: Final = Table(
    name="metrics_holds",
    columns={"allocation_id": str, "pool": str, "opened_at": str},
    key=("allocation_id", "pool"),
    found_by=("allocation_id", "pool"),
)
"""When each hold began, for as long as it is held."""


def _counted(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    return (_count(_counter(event), event, find),)


def _opened(event: ViewEvent, find: Find) -> tuple[Add | Set, Add]:
    allocation_id, pool = hold_of(event)
    hold = {"allocation_id": allocation_id, "pool": pool, "opened_at": event.occurred_at}
    return _count(_counter(event), event, find), Add(hold, _HOLDS)


def _confirmed(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    counted = _count(_counter(event), event, find)
    _add_duration(counted.row, event, find)
    return (counted,)


def _ended(event: ViewEvent, find: Find) -> tuple[Add | Set, Drop]:
    counted = _count(_counter(event), event, find)
    _add_duration(counted.row, event, find)
    return counted, Drop(hold_of(event), _HOLDS)


def _refused(event: ViewEvent, find: Find) -> tuple[Add | Set]:
    return (_count(_refusal_counter(event), event, find),)


def _counter(event: ViewEvent) -> Key:
    return event.data.get("pool", NONE), OPERATIONS[event.type], DONE, NONE


def _refusal_counter(event: ViewEvent) -> Key:
    data = event.data
    pool = data["pool"] if data["known"] and data["pool"] else NONE
    return pool, field_asked(data, "command") or NONE, REFUSED, data["code"]


def _count(key: Key, event: ViewEvent, find: Find) -> Add | Set:
    row = find(_TABLE, key)
    if row is None:
        return Add(_new_counter(event, key, find))
    row = row.copy()
    row["count"] += 1
    return Set(row)


def _new_counter(event: ViewEvent, key: Key, find: Find) -> Row:
    named = dict(zip(_TABLE.key, key, strict=True))
    times = dict.fromkeys(("milliseconds", *LASTED), 0 if named["operation"] in TIMED and key[2] == DONE else None)
    return {"resource_type": _resource_type(event, key[0], find), **named, "count": 1, **times}


def _resource_type(event: ViewEvent, pool: str, find: Find) -> str:
    if event.type == "PoolOpened":
        return str(event.data["resource_type"])
    opening = find(_TABLE, _opening_counter(pool))
    return opening["resource_type"] if opening else NONE


def _opening_counter(pool: str) -> Key:
    return pool, OPERATIONS["PoolOpened"], DONE, NONE


def _add_duration(row: Row, event: ViewEvent, find: Find) -> None:
    """Add the time since the hold began to a counter's histogram; raises LookupError if there is no such hold."""
    hold = find(_HOLDS, hold_of(event))
    if hold is None:
        allocation_id, pool = hold_of(event)
        raise LookupError(f"allocation {allocation_id!r} holds nothing of pool {pool!r}")
    lasted = datetime.fromisoformat(event.occurred_at) - datetime.fromisoformat(hold["opened_at"])
    row["milliseconds"] += lasted // _MILLISECOND
    for column in _COLUMNS[bisect_left(_BOUNDS, lasted) :]:
        row[column] += 1


def _needs(event: ViewEvent) -> Iterable[tuple[Table, Key]]:
    key = _refusal_counter(event) if event.type == "ValidationFailed" else _counter(event)
    yield _TABLE, key
    yield _TABLE, _opening_counter(key[0])
    if _HANDLERS[event.type] in {_confirmed, _ended}:
        yield _HOLDS, hold_of(event)


_HANDLERS: Final[dict[str, Any]] = {
    **dict.fromkeys(OPERATIONS, _counted),
    "Allocated": _opened,
    "Reserved": _opened,
    "Confirmed": _confirmed,
    "Released": _ended,
    "Voided": _ended,
    "Expired": _ended,
    "ValidationFailed": _refused,
}

METRICS: Final = View(name="metrics", version=3, tables=(_TABLE, _HOLDS), handlers=_HANDLERS, needs=_needs)
"""Counters. Each event counts once, so an allocation over three pools counts once in each of them.

The resource type of a pool is read from the counter of its opening.
"""
