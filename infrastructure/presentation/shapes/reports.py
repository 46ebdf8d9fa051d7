"""The shapes of reports: incidents, usage, metrics, refusals."""

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

USAGE_COLUMNS: Final = ("group", "pool", "unit", "unit_seconds", "peak", "allocations", "refused", "refused_quantity")
"""What is told of each group and pool, in the order of the columns."""


def incident_step_shape(incident: Incident, step: IncidentStep) -> dict[str, Any]:
    """Shape a step of an incident; a hold that lapsed without an event has no position, actor or command id."""
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
    """Shape the summary of a window of time; ``html`` names the file that its page was written to, if it was."""
    shape = {
        "from": instant_text(incident.window.since),
        "to": instant_text(incident.window.until),
        "position": incident.position,
        "ledger_id": incident.ledger_id,
        "steps": incident.count,
        "refused_of_no_pool": dict(incident.unknown),
        "pools": [_timeline_shape(timeline) for timeline in incident.pools.values()],
    }
    return shape if html is None else {**shape, "html": html}


def _timeline_shape(timeline: Timeline) -> dict[str, Any]:
    return {
        "pool": timeline.name,
        "unit": timeline.unit,
        "before": timeline.before._asdict(),
        "after": timeline.after._asdict(),
        "peak": timeline.used.most.value,
        "peak_at": instant_text(timeline.used.most.at),
        "events": dict(timeline.events),
        "granted": timeline.granted,
        "ended": timeline.ended,
        "refused": dict(timeline.refusals.codes),
    }


def usage_shape(by: str, report: UsageReport) -> dict[str, Any]:
    """Shape a report of who used how much; ``by`` is the grouping as it was asked for."""
    return {
        "by": by,
        "begin": report.begin and instant_text(report.begin),
        "end": instant_text(report.end),
        "position": report.position,
        "usage": [usage_row_shape(row) for row in report.rows],
    }


def usage_row_shape(row: UsageRow) -> dict[str, Any]:
    """Shape what one group used of one pool."""
    return {column: getattr(row, column) for column in USAGE_COLUMNS}


def metrics_shape(position: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shape rows of the view ``metrics``, with the position of the log that they are true at."""
    return {"position": position, "metrics": rows}


def usage_over_time_shape(pool: str, unit: str, position: int, buckets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shape the use of a pool hour by hour, with the position of the log that it is true at."""
    about = {"pool": pool, "unit": unit, "bucket_seconds": int(BUCKET.total_seconds())}
    return {**about, "position": position, "buckets": buckets}


def failure_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """Shape a row of the view ``validation_failures``, with the refusal in words and whether it is transient."""
    code, data = RefusalCode(row["code"]), json.loads(row["data"])
    said = {"transient": is_transient(code), "message": explain(code, data)}
    return {**row, "asked": json.loads(row["asked"]), "data": data, **said}
