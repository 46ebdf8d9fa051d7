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


def allocation_shape(allocation: Allocation) -> dict[str, Any]:
    """Shape an allocation."""
    return {
        "id": allocation.id,
        "owner": allocation.owner,
        "state": allocation.state.value,
        "quantities": dict(allocation.quantities),
        "deadline": _time(allocation.deadline),
        "token": str(allocation.token),
        "tags": dict(allocation.tags),
        "opened_at": _time(allocation.opened_at),
        "ended_at": _time(allocation.ended_at),
        "reason": allocation.reason,
    }


def pool_shape(pool: PoolStatus) -> dict[str, Any]:
    """Shape a pool."""
    return {
        "name": pool.name,
        "resource_type": pool.resource_type,
        "unit": pool.unit,
        "capacity": pool.capacity,
        "used": pool.used,
        "free": pool.free,
        "allocations": pool.allocations,
        "closed": pool.closed,
        "limits": pool.limits.model_dump(mode="json"),
    }


def pools_shape(pools: Answer[PoolStatus]) -> dict[str, Any]:
    """Shape pools, with the position of the log that they are true at."""
    return {"position": pools.position, "pools": [pool_shape(pool) for pool in pools]}


def as_of(shape: dict[str, Any], position: int | None) -> dict[str, Any]:
    """Add to the shape of one thing the position of the log that it is true at."""
    return {**shape, "as_of_position": position}


def waiting_shape(command: Waiting) -> dict[str, Any]:
    """Shape a command that waits in the queue."""
    return {
        "ticket": command.ticket,
        "command_id": command.command_id,
        "owner": command.owner,
        "quantities": dict(command.quantities),
        "since": instant_text(command.since),
        "until": instant_text(command.until),
    }


def queue_shape(commands: Answer[Waiting]) -> dict[str, Any]:
    """Shape the queue, with the position of the log that it is true at."""
    return {"position": commands.position, "queue": [waiting_shape(command) for command in commands]}


def outcome_shape(command: Command, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Shape what a command did, or in a dry run what it would do.

    A dry run has no position, and a grant that it tried has no token: they would differ if the command were issued.
    """
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
    """Shape a refusal."""
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
    """Shape an error, with its public attributes as data."""
    data = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return {"error": {"type": type(error).__name__, "message": str(error), "exit_code": exit_code, **data}}


def usage_error_shape(message: str, exit_code: int) -> dict[str, Any]:
    """Shape the error of a command line that is used wrongly."""
    return {"error": {"type": "Usage", "message": message, "exit_code": exit_code}}


def passing_error_shape(error: Exception) -> dict[str, Any]:
    """Shape an error after which the work goes on, so that there is no exit code."""
    return {"error": {"type": type(error).__name__, "message": str(error)}}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else instant_text(moment)
