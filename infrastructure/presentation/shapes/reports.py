"""The shapes of reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.refusals import RefusalCode, explain, is_transient
from holdbook.domain.values import instant_text
from holdbook.projections.views.pool_usage import BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.replay.reports.incident import Incident, IncidentStep, Timeline
    from holdbook.replay.reports.usage import UsageReport, UsageRow


def failure_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row of ``validation_failures``, with the refusal in words."""
    code, data = RefusalCode(row["code"]), json.loads(row["data"])
    said = {"transient": is_transient(code), "message": explain(code, data)}
    return {**row, "asked": json.loads(row["asked"]), "data": data, **said}


def incident_step_shape(incident: Incident, step: IncidentStep) -> dict[str, Any]:
    """Write a step of an incident; of one that no event says, without what events have."""
    recorded = step.recorded
    return {
        "position": recorded and recorded.position,
        "occurred_at": instant_text(step.at),
        "recorded_at": instant_text(recorded.recorded_at) if recorded else None,
        "type": type(recorded.event).__name__ if recorded else step.kind,
        "pool": step.pool,
        "allocation_id": step.allocation_id,
        "owner": step.owner,
        "quantity": step.quantity,
        "deadline": step.deadline and instant_text(step.deadline),
        "actor": recorded and recorded.actor,
        "command_id": recorded and recorded.command_id,
        "code": step.code,
        "message": step.words or None,
        "before": step.before and step.before._asdict(),
        "after": step.after and step.after._asdict(),
        "as_of_position": incident.position,
    }


def incident_shape(incident: Incident, *, html: str | None = None) -> dict[str, Any]:
    """Write what a window comes to, and into which file it was written as a page, if it was."""
    shape = {
        "from": instant_text(incident.window.since),
        "to": instant_text(incident.window.until),
        "position": incident.position,
        "ledger_id": incident.ledger_id,
        "steps": incident.count,
        "refused_of_no_pool": dict(incident.unknown),
        "pools": [_timeline_shape(one) for one in incident.pools.values()],
    }
    return shape if html is None else {**shape, "html": html}


def _timeline_shape(one: Timeline) -> dict[str, Any]:
    return {
        "pool": one.name,
        "unit": one.unit,
        "before": one.before._asdict(),
        "after": one.after._asdict(),
        "peak": one.used.most.value,
        "peak_at": instant_text(one.used.most.at),
        "events": dict(one.events),
        "granted": one.granted,
        "ended": one.ended,
        "refused": dict(one.refusals.codes),
    }


USAGE_COLUMNS: Final = ("group", "pool", "unit", "unit_seconds", "peak", "allocations", "refused", "refused_quantity")
"""What is told of each group and pool."""


def usage_shape(by: str, report: UsageReport) -> dict[str, Any]:
    """Write who used how much in a window of time."""
    return {
        "by": by,
        "begin": report.begin and instant_text(report.begin),
        "end": instant_text(report.end),
        "position": report.position,
        "usage": [usage_row_shape(row) for row in report.rows],
    }


def usage_row_shape(row: UsageRow) -> dict[str, Any]:
    """Write what one group used of one pool."""
    return {column: getattr(row, column) for column in USAGE_COLUMNS}


def metrics_shape(position: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write rows of the view ``metrics``."""
    return {"position": position, "metrics": rows}


def usage_over_time_shape(pool: str, unit: str, position: int, buckets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a pool hour by hour."""
    about = {"pool": pool, "unit": unit, "bucket_seconds": int(BUCKET.total_seconds())}
    return {**about, "position": position, "buckets": buckets}
