"""Given what happened, then a view has these rows: the language that tests of views are written in."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bursar.projections.view import Known, Net

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bursar.domain.records import StoredRow
    from bursar.projections.view import View
    from support.deciding import History

Row = dict[str, Any]


def rows_of(view: View, history: History) -> list[Row]:
    """Fold events into a view: its rows in the order of their keys."""
    net = Net(view, Known(view))
    for recorded in history.records:
        net.add(recorded)
    assert not net.changed, "a view that began empty changes only rows that it has put"
    return [net.puts[key] for key in sorted(net.puts)]


class PlainFold:
    """What the views should hold, from the log's stored text: it shares no code with them."""

    def __init__(self, rows: Iterable[StoredRow]) -> None:
        self.usage: dict[tuple[str, str], Row] = {}
        self.metrics: dict[tuple[str, str, str, str], Row] = {}
        self.failures: list[Row] = []
        self._kinds: dict[str, str] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._capacity: dict[str, int] = {}
        for row in rows:
            data = json.loads(row.data)
            if row.type == "ValidationFailed":
                self._refused(row, data)
            else:
                self._happened(row, data)

    def _refused(self, row: StoredRow, data: Row) -> None:
        pool = data["pool"] if data["known"] else ""
        self._count(pool, data["asked"]["command"], "refused", data["code"])
        self.failures.append(
            {
                "position": row.position, "occurred_at": row.occurred_at, "recorded_at": row.recorded_at,
                "operation": data["asked"]["command"], "code": data["code"], "pool": data["pool"],
                "owner": data["asked"].get("owner"), "allocation_id": data["allocation_id"], "actor": row.actor,
                "asked": data["asked"], "data": data["data"], "command_id": row.command_id,
                "correlation_id": row.correlation_id, "causation_id": row.causation_id,
            }
        )  # fmt: skip

    def _happened(self, row: StoredRow, data: Row) -> None:
        pool = data["pool"]
        held = self._held.setdefault(pool, {})
        before = sum(held.values())
        grants = endings = 0
        if row.type == "PoolOpened":
            self._kinds[pool] = data["resource_type"]
        if row.type in {"PoolOpened", "LimitsChanged"}:
            limits = data["limits"]
            exact = (limits["total"] - limits.get("reserved", 0)) * _ratio(limits["overcommit"])
            self._capacity[pool] = exact // 10**9
        elif row.type in {"Allocated", "Reserved"}:
            held[data["allocation_id"]] = data["quantity"]
            grants = 1
        elif row.type in {"Released", "Voided", "Expired"}:
            del held[data["allocation_id"]]
            endings = 1
        elif row.type == "Resized":
            held[data["allocation_id"]] = data["quantity"]
        self._count(pool, VERBS[row.type], "done", "")
        moment = datetime.fromisoformat(row.occurred_at)
        hour = moment.replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        begun = {"pool": pool, "bucket": hour, "peak": before, "grants": 0, "endings": 0}
        one = self.usage.setdefault((pool, hour), begun)
        one["used"] = sum(held.values())
        one["peak"] = max(one["peak"], one["used"])
        one["capacity"] = self._capacity[pool]
        one["allocations"] = len(held)
        one["grants"] += grants
        one["endings"] += endings
        one["position"] = row.position

    def _count(self, *key: str) -> None:
        pool, operation, outcome, code = key
        one = self.metrics.setdefault(
            (pool, operation, outcome, code),
            {
                "resource_type": self._kinds.get(pool, ""), "pool": pool, "operation": operation, "outcome": outcome,
                "code": code, "count": 0,
            },
        )  # fmt: skip
        one["count"] += 1


VERBS = {
    "PoolOpened": "open_pool", "LimitsChanged": "change_limits", "PoolClosed": "close_pool", "Allocated": "allocate",
    "Reserved": "reserve", "Confirmed": "confirm", "Voided": "void", "Renewed": "renew", "Resized": "resize",
    "Transferred": "transfer", "Released": "release", "Expired": "expire",
}  # fmt: skip
"""What each event is counted as."""


def _ratio(text: str) -> int:
    """Read a decimal in billionths."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))
