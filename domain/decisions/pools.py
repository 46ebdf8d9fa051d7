"""Decisions about pools: open one, change its limits, close it, and close the whole ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdbook.domain.decisions.scene import CommandRefused, RefusalReason
from holdbook.domain.errors import PoolAlreadyOpen
from holdbook.domain.events import Event, LedgerClosed, LimitsChanged, PoolClosed, PoolOpened
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import first_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.commands import ChangeLimits, CloseLedger, ClosePool, OpenPool
    from holdbook.domain.decisions.scene import Scene
    from holdbook.domain.limits import Limits


def open_pool(command: OpenPool, scene: Scene) -> Sequence[Event]:
    """Open a pool; nothing happens if it is open with the content given, now or when it was opened.

    Raises `PoolAlreadyOpen` if it is open with other content, and `CommandRefused` if it or the ledger is closed.
    """
    pool = scene.context.pools.get(command.pool)
    if scene.context.closed:
        raise CommandRefused(RefusalReason(RefusalCode.LEDGER_CLOSED, command.pool, {}))
    if pool is None:
        return [
            PoolOpened(pool=command.pool, resource_type=command.resource_type, unit=command.unit, limits=command.limits)
        ]
    if pool.closed:
        raise CommandRefused(RefusalReason(RefusalCode.POOL_CLOSED, pool.name, {}))
    given = _description(command.resource_type, command.unit, command.limits)
    if given != _description(pool.resource_type, pool.unit, pool.opened_with):
        difference = first_difference(_description(pool.resource_type, pool.unit, pool.limits), given)
        if difference:
            raise PoolAlreadyOpen(pool.name, *difference)
    return []


def _description(resource_type: str, unit: str, limits: Limits) -> dict[str, Any]:
    """Describe a pool in JSON values, to compare it with another description."""
    return {"resource_type": resource_type, "unit": unit, "limits": limits.model_dump(mode="json")}


def change_limits(command: ChangeLimits, scene: Scene) -> Sequence[Event]:
    """Replace an open pool's limits.

    Raises `CommandRefused` if there is no open pool of that name, or its present limits are not those expected.
    """
    pool = scene.find_open_pool(command.pool)
    if command.expected is not None:
        expected, present = command.expected.model_dump(mode="json"), pool.limits.model_dump(mode="json")
        difference = first_difference(expected, present)
        if difference:
            name, expected_value, present_value = difference
            data = {"field": name, "expected": expected_value, "present": present_value}
            raise CommandRefused(RefusalReason(RefusalCode.LIMITS_MOVED, pool.name, data))
    return [LimitsChanged(pool=pool.name, limits=command.limits, previous=pool.limits)]


def close_pool(command: ClosePool, scene: Scene) -> Sequence[Event]:
    """Close a pool; raises `CommandRefused` if there is no open pool of that name."""
    return [PoolClosed(pool=scene.find_open_pool(command.pool).name, reason=command.reason)]


def close_ledger(command: CloseLedger, scene: Scene) -> Sequence[Event]:
    """Close the ledger and every open pool, in the order of their names; nothing happens if it is closed already."""
    if scene.context.closed:
        return []
    still_open = sorted(name for name, pool in scene.context.pools.items() if not pool.closed)
    return [LedgerClosed(reason=command.reason), *(PoolClosed(pool=name, reason=command.reason) for name in still_open)]
