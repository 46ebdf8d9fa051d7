"""Decide any command: the one way into the decisions, and the table that says which function decides which kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.commands import (
    Allocate,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Command,
    Confirm,
    Expire,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Transfer,
    Void,
)
from holdbook.domain.decisions.grants import grant
from holdbook.domain.decisions.holds import confirm, reclaim, release, renew, resize, transfer, void
from holdbook.domain.decisions.pools import change_limits, close_ledger, close_pool, open_pool
from holdbook.domain.decisions.scene import CommandRefused, RefusalReason, Scene
from holdbook.domain.refusals import RefusalCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.decisions.context import DecisionContext
    from holdbook.domain.events import Event


def decide(context: DecisionContext, command: Command, moment: datetime) -> list[Event]:
    """Decide a command at a moment, which is that of `time_of`; changes nothing, not even the pools.

    Returns the events to record: first the expiries of what is due in the pools of the context, then the command's own
    events, or a `ValidationFailed` in their place. An empty list means that the command has nothing to do, or asks for
    what is there already. Raises `PoolAlreadyOpen`.
    """
    scene = Scene(context, moment)
    expired = list(scene.expire_due(command)) if any(pool.has_due(moment) for pool in context.pools.values()) else []
    try:
        decided = _DECISIONS[type(command)](command, scene)
        return [*expired, *decided] if decided or type(command) is Expire else []
    except CommandRefused as refused:
        return [*expired, scene.refusal_event(command, refused.reasons)]


def _expire(command: Expire, scene: Scene) -> Sequence[Event]:
    """Add nothing to the expiries, which come first with every command; raises `CommandRefused`."""
    if command.pool is not None and command.pool not in scene.context.pools:
        raise CommandRefused(RefusalReason(RefusalCode.POOL_NOT_FOUND, command.pool, {}))
    return ()


_DECISIONS: Mapping[type[Command], Callable[[Any, Scene], Sequence[Event]]] = {
    OpenPool: open_pool,
    ChangeLimits: change_limits,
    ClosePool: close_pool,
    CloseLedger: close_ledger,
    Allocate: grant,
    Reserve: grant,
    Confirm: confirm,
    Void: void,
    Renew: renew,
    Resize: resize,
    Transfer: transfer,
    Release: release,
    Expire: _expire,
    Reclaim: reclaim,
}
"""The function that decides each kind of command. It returns the command's own events, or raises `CommandRefused`."""
