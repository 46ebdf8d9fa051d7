"""What `--json` prints: times as in the log, tokens as ``epoch:position``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bursar.domain.commands import Allocate, Command, Reserve
from bursar.domain.refusals import RefusalCode, explain, is_transient
from bursar.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bursar.domain.allocation import Allocation
    from bursar.domain.batch import Outcome, PoolStatus
    from bursar.domain.errors import Refused
    from bursar.domain.records import Recorded
    from bursar.replay.incident import Incident, Step, Timeline


def allocation_shape(one: Allocation) -> dict[str, Any]:
    """Write an allocation."""
    return {
        "id": one.id,
        "owner": one.owner,
        "state": one.state.value,
        "quantities": dict(one.quantities),
        "deadline": _time(one.deadline),
        "token": str(one.token),
        "tags": dict(one.tags),
        "opened_at": _time(one.opened_at),
        "ended_at": _time(one.ended_at),
        "reason": one.reason,
    }


def pool_shape(one: PoolStatus) -> dict[str, Any]:
    """Write a pool."""
    return {
        "name": one.name,
        "resource_type": one.resource_type,
        "unit": one.unit,
        "capacity": one.capacity,
        "used": one.used,
        "free": one.free,
        "allocations": one.allocations,
        "closed": one.closed,
        "limits": one.limits.model_dump(mode="json"),
    }


def recorded_shape(one: Recorded) -> dict[str, Any]:
    """Write an event with its envelope, under the names that `export` has for them."""
    return {
        "position": one.position,
        "stream_id": one.event.stream_id,
        "version": one.version,
        "type": type(one.event).__name__,
        "command_id": one.command_id,
        "ordinal": one.ordinal,
        "ordinals": one.ordinals,
        "allocation_id": one.event.subject,
        "occurred_at": _time(one.occurred_at),
        "recorded_at": _time(one.recorded_at),
        "actor": one.actor,
        "correlation_id": one.correlation_id,
        "causation_id": one.causation_id,
        "data": one.event.model_dump(mode="json"),
    }


def outcome_shape(command: Command, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Write what became of a command; of a dry run, without the ids and positions that nobody will see again."""
    allocation = outcome.allocation and allocation_shape(outcome.allocation)
    if allocation and dry_run and not outcome.repeated and isinstance(command, Allocate | Reserve):
        allocation |= {"id": command.allocation_id, "token": None}
    return {
        "outcome": "done",
        "command": command.verb,
        "dry_run": dry_run,
        "command_id": command.command_id if dry_run else outcome.command_id,
        "repeated": outcome.repeated,
        "position": None if dry_run else outcome.position,
        "allocation": allocation,
        "pool": outcome.pool and pool_shape(outcome.pool),
        "expired": list(outcome.expired),
    }


def refusal_shape(refusal: Refused, *, dry_run: bool = False) -> dict[str, Any]:
    """Write a refusal."""
    return {
        "outcome": "refused",
        "dry_run": dry_run,
        "command_id": refusal.command_id,
        "repeated": refusal.repeated,
        "code": refusal.code.value,
        "transient": refusal.transient,
        "message": str(refusal),
        "data": refusal.data,
    }


def failure_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row of ``validation_failures``, with the refusal in words."""
    code, data = RefusalCode(row["code"]), json.loads(row["data"])
    said = {"transient": is_transient(code), "message": explain(code, data)}
    return {**row, "asked": json.loads(row["asked"]), "data": data, **said}


def step_shape(step: Step) -> dict[str, Any]:
    """Write a step of an incident; of one that no event says, without what events have."""
    recorded = step.recorded
    return {
        "position": recorded and recorded.position,
        "occurred_at": _time(step.at),
        "recorded_at": _time(recorded and recorded.recorded_at),
        "type": type(recorded.event).__name__ if recorded else step.kind,
        "pool": step.pool,
        "allocation_id": step.allocation_id,
        "owner": step.owner,
        "quantity": step.quantity,
        "deadline": _time(step.deadline),
        "actor": recorded and recorded.actor,
        "command_id": recorded and recorded.command_id,
        "code": step.code,
        "message": step.words or None,
        "before": step.before and step.before._asdict(),
        "after": step.after and step.after._asdict(),
    }


def incident_shape(incident: Incident) -> dict[str, Any]:
    """Write what a window comes to."""
    return {
        "from": _time(incident.window.since),
        "to": _time(incident.window.until),
        "position": incident.position,
        "ledger_id": incident.ledger_id,
        "steps": incident.count,
        "refused_of_no_pool": dict(incident.unknown),
        "pools": [_timeline_shape(one) for one in incident.pools.values()],
    }


def _timeline_shape(one: Timeline) -> dict[str, Any]:
    return {
        "pool": one.name,
        "unit": one.unit,
        "before": one.before._asdict(),
        "after": one.after._asdict(),
        "peak": one.used.most.value,
        "peak_at": _time(one.used.most.at),
        "events": dict(one.events),
        "granted": one.granted,
        "ended": one.ended,
        "refused": dict(one.refusals.codes),
    }


def error_shape(error: Exception, exit_code: int) -> dict[str, Any]:
    """Write an error with the data it carries."""
    data = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return {"error": {"type": type(error).__name__, "message": str(error), "exit_code": exit_code, **data}}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else instant_text(moment)
