"""The shapes of pools, allocations, the queue, and what becomes of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.commands import Allocate, Command, Reserve
from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.answers import Answer
    from holdbook.domain.errors import Refused
    from holdbook.domain.handling.outcome import Outcome, PoolStatus
    from holdbook.domain.waiting import Waiting


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


def pools_shape(found: Answer[PoolStatus]) -> dict[str, Any]:
    """Write pools, with the position that they are true at."""
    return {"position": found.position, "pools": [pool_shape(one) for one in found]}


def as_of(shape: dict[str, Any], position: int | None) -> dict[str, Any]:
    """Add to the shape of one thing the position of the log that it is true at."""
    return {**shape, "as_of_position": position}


def waiting_shape(one: Waiting) -> dict[str, Any]:
    """Write a command that waits."""
    return {
        "ticket": one.ticket,
        "command_id": one.command_id,
        "owner": one.owner,
        "quantities": dict(one.quantities),
        "since": instant_text(one.since),
        "until": instant_text(one.until),
    }


def queue_shape(found: Answer[Waiting]) -> dict[str, Any]:
    """Write the queue, with the position that it is true at."""
    return {"position": found.position, "queue": [waiting_shape(one) for one in found]}


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


def error_shape(error: Exception, exit_code: int) -> dict[str, Any]:
    """Write an error with the data it carries."""
    data = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return {"error": {"type": type(error).__name__, "message": str(error), "exit_code": exit_code, **data}}


def usage_error_shape(message: str, exit_code: int) -> dict[str, Any]:
    """Write that the command line was used wrongly."""
    return {"error": {"type": "Usage", "message": message, "exit_code": exit_code}}


def passing_error_shape(error: Exception) -> dict[str, Any]:
    """Write an error after which the work goes on, so that it has no exit code."""
    return {"error": {"type": type(error).__name__, "message": str(error)}}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else instant_text(moment)
