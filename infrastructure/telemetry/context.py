"""What a command, a batch of them, or an error is about, by name: for messages and for spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import CommandIdReused, LogUnavailable, Malformed, PoolAlreadyOpen, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.outcome import PendingCommand

CALLERS_FAULTS: Final = (Malformed, CommandIdReused, PoolAlreadyOpen)
"""What is wrong with one command, and says nothing of the log."""


def pools_of(command: Command) -> list[str]:
    """List the pools that a command names, by name; those of its allocation it does not know."""
    given = vars(command)
    pool = given.get("pool")
    return sorted(given.get("quantities") or ([pool] if pool else []))


def about_command(command: Command) -> dict[str, Any]:
    """Tell the pools and the allocation that a command names."""
    allocation_id = vars(command).get("allocation_id")
    named = {"pools": pools_of(command), "allocation_id": allocation_id}
    return {name: value for name, value in named.items() if value}


def about_batch(asked: Iterable[PendingCommand]) -> dict[str, list[str]]:
    """Tell the ids, the pools and the allocations that commands have and name, each once, by name."""
    found: dict[str, set[str]] = {"command_ids": set(), "pools": set(), "allocation_ids": set()}
    for one in asked:
        found["command_ids"].add(one.command_id)
        found["pools"].update(pools_of(one.command))
        found["allocation_ids"].update(filter(None, [vars(one.command).get("allocation_id")]))
    return {name: sorted(values) for name, values in found.items()}


def about_error(error: BaseException) -> dict[str, Any]:
    """Tell what an error is about: the command, and of a refusal its code, the pool and the allocation."""
    if isinstance(error, Refused):
        named: dict[str, Any] = {name: error.data[name] for name in ("pool", "allocation_id") if name in error.data}
        return {"command_id": error.command_id, "code": error.code.value, **named}
    if isinstance(error, CommandIdReused | LogUnavailable) and error.command_id is not None:
        return {"command_id": error.command_id}
    return {"pool": error.pool} if isinstance(error, PoolAlreadyOpen) else {}
