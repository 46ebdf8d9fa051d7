"""The pools, allocations and ids that a command, a batch or an error is about, as fields of log lines and spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import CommandIdReused, LogUnavailable, Malformed, PoolAlreadyOpen, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.outcome import PendingCommand

CALLERS_FAULTS: Final = (Malformed, CommandIdReused, PoolAlreadyOpen)
"""Errors that are the fault of the command they are raised for; the log itself is all right."""


def pools_of(command: Command) -> list[str]:
    """List the names of the pools that a command names itself, sorted.

    The pools of an allocation that it names are not among them.
    """
    fields = vars(command)
    pool = fields.get("pool")
    return sorted(fields.get("quantities") or ([pool] if pool else []))


def about_command(command: Command) -> dict[str, Any]:
    """Give the pools and the allocation that a command names, without what it does not name."""
    allocation_id = vars(command).get("allocation_id")
    named = {"pools": pools_of(command), "allocation_id": allocation_id}
    return {name: value for name, value in named.items() if value}


def about_batch(asked: Iterable[PendingCommand]) -> dict[str, list[str]]:
    """Give the ids of commands, and the pools and allocations that they name, each once and sorted."""
    found: dict[str, set[str]] = {"command_ids": set(), "pools": set(), "allocation_ids": set()}
    for one in asked:
        found["command_ids"].add(one.command_id)
        found["pools"].update(pools_of(one.command))
        found["allocation_ids"].update(filter(None, [vars(one.command).get("allocation_id")]))
    return {name: sorted(values) for name, values in found.items()}


def about_error(error: BaseException) -> dict[str, Any]:
    """Give the command that an error is about; for a refusal also its code, the pool and the allocation."""
    if isinstance(error, Refused):
        named: dict[str, Any] = {name: error.data[name] for name in ("pool", "allocation_id") if name in error.data}
        return {"command_id": error.command_id, "code": error.code.value, **named}
    if isinstance(error, CommandIdReused | LogUnavailable) and error.command_id is not None:
        return {"command_id": error.command_id}
    return {"pool": error.pool} if isinstance(error, PoolAlreadyOpen) else {}
