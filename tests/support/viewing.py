"""Given what happened, then a view has these rows: the language that tests of views are written in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.views.view_events import view_event_of
from holdbook.projections.fold import KnownRows, WholeFold, fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from holdbook.domain.records import Recorded, StoredRow
    from holdbook.projections.definition import Key, Table, View, ViewEvent
    from holdbook.projections.fold import TableChanges
    from support.deciding import History

Row = dict[str, Any]


def facts_of(records: Iterable[Recorded]) -> list[ViewEvent]:
    """Read events as views do, by way of what is stored."""
    return facts_of_rows(map(EventMapper().to_row, records))


def facts_of_rows(rows: Iterable[StoredRow]) -> list[ViewEvent]:
    """Read rows of a log as views do."""
    mapper = EventMapper()
    return [view_event_of(mapper, row) for row in rows]


def rows_of(view: View, history: History, table: Table | None = None) -> list[Row]:
    """Fold events into a view: the rows of one of its tables, the published one if none is named, by their keys.

    As the engine folds them into a view that has no rows yet, and as the plain fold does that it is compared with.
    """
    facts, whole, tables = facts_of(history.records), WholeFold(view), Tables(view)
    tables.fold(facts)
    assert whole.fold(facts) == []
    assert tables.rows == whole.rows, "the two folds differ"
    rows = whole.rows[table or view.published]
    return [rows[key] for key in sorted(rows)]


class Tables:
    """A view's tables, as a database would keep them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.rows: dict[Table, dict[Key, Row]] = {table: {} for table in view.tables}
        """Every table's rows by key."""
        self.loads: list[tuple[str, list[Key]]] = []
        """What was asked for: the name of a table, and how the keys of the wanted rows begin."""

    def fold(self, facts: Sequence[ViewEvent]) -> None:
        """Fold events into rows, in one batch."""
        self.write(fold(self.view, facts, KnownRows(self.view), self.load))

    def load(self, table: Table, begins: Collection[Key]) -> dict[Key, Row]:
        """Read the last rows whose keys begin so, by what they were found by."""
        self.loads.append((table.name, list(begins)))
        begin_of, found = table.find_getter(), {}
        for _, row in sorted(self.rows[table].items()):
            if begin_of(row) in begins:
                found[begin_of(row)] = dict(row)
        return found

    def write(self, nets: Sequence[TableChanges]) -> None:
        """Change rows as nets say; a row that is new must not be there."""
        for net in nets:
            rows, key_of = self.rows[net.table], net.table.key_getter()
            for key in (*net.dropped, *net.replaced):
                rows.pop(key, None)
            for added in (net.added, net.replaced):
                assert not added.keys() & rows.keys(), "a row that is said to be new is there"
                assert all(key == key_of(row) and list(row) == list(net.table.columns) for key, row in added.items())
                rows.update({key: dict(row) for key, row in added.items()})


class PlainFold:
    """What the views should hold, from the log's stored text: it shares no code with them."""

    def __init__(self, rows: Iterable[StoredRow]) -> None:
        self.usage: dict[tuple[str, str], Row] = {}
        self.metrics: dict[tuple[str, str, str, str], Row] = {}
        """The counters, with how long what they count took."""
        self.since: dict[tuple[str, str], Row] = {}
        """The view's private table: since when what is held is held, by allocation and pool."""
        self.failures: list[Row] = []
        self._kinds: dict[str, str] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._capacity: dict[str, int] = {}
        for row in rows:
            data = json.loads(row.data)
            if row.type == "ValidationFailed":
                self._refused(row, data)
            elif row.type == "Reclaimed":  # the pool has no more and no less for that
                self._count(data["pool"], "reclaim", "done", "")
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
        if row.type == "LedgerClosed":
            self._count("", VERBS[row.type], "done", "")
            return
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
        self._time(row, data, self._count(pool, VERBS[row.type], "done", ""))
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

    def _count(self, *key: str) -> Row:
        pool, operation, outcome, code = key
        is_timed = outcome == "done" and operation in {"confirm", "release", "void", "expire"}
        one = self.metrics.setdefault(
            (pool, operation, outcome, code),
            {
                "resource_type": self._kinds.get(pool, ""), "pool": pool, "operation": operation, "outcome": outcome,
                "code": code, "count": 0, **dict.fromkeys(("milliseconds", *SECONDS), 0 if is_timed else None),
            },
        )  # fmt: skip
        one["count"] += 1
        return one

    def _time(self, row: StoredRow, data: Row, counter: Row) -> None:
        hold = str(data.get("allocation_id")), str(data["pool"])
        if row.type in {"Allocated", "Reserved"}:
            self.since[hold] = {"allocation_id": hold[0], "pool": hold[1], "opened_at": row.occurred_at}
        if counter["milliseconds"] is None:
            return
        began = datetime.fromisoformat(self.since[hold]["opened_at"])
        microseconds = round((datetime.fromisoformat(row.occurred_at) - began) / timedelta(microseconds=1))
        counter["milliseconds"] += microseconds // 1000
        for column, seconds in SECONDS.items():
            counter[column] += microseconds <= seconds * 10**6
        if row.type != "Confirmed":
            del self.since[hold]


VERBS = {
    "PoolOpened": "open_pool", "LimitsChanged": "change_limits", "PoolClosed": "close_pool",
    "LedgerClosed": "close_ledger", "Allocated": "allocate",
    "Reserved": "reserve", "Confirmed": "confirm", "Voided": "void", "Renewed": "renew", "Resized": "resize",
    "Transferred": "transfer", "Released": "release", "Expired": "expire",
}  # fmt: skip
"""What each event is counted as."""

SECONDS = {
    "le_1s": 1, "le_10s": 10, "le_1m": 60, "le_10m": 600, "le_1h": 3600, "le_6h": 21_600, "le_1d": 86_400,
    "le_7d": 604_800, "le_30d": 2_592_000,
}  # fmt: skip
"""The columns of the histogram, each with the most seconds that it counts."""


def _ratio(text: str) -> int:
    """Read a decimal in billionths."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))
