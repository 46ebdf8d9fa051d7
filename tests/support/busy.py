"""Logs in which much happens, most of it about what is held, made from commands that hypothesis chose."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from holdbook import MemoryEventLog
from holdbook.domain.commands import command_from
from support.deciding import Clock, ledger_on
from support.logs import take_snapshot
from support.strategies import ALLOCATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

Fields = dict[str, Any]


def busy_log(limits: Fields, steps: Iterable[tuple[Fields, int, str]]) -> tuple[MemoryEventLog, datetime]:
    """Let a ledger decide commands; the log, and the latest time that its clock told.

    Each step is a command, the seconds to it, which may be negative, and what pool a snapshot is taken of before it.
    """
    log, clock = MemoryEventLog(), Clock()
    ledger = ledger_on(log, clock)
    for name, one in zip("abc", ({"total": 60}, {"total": 60}, limits), strict=True):
        opening = {"command": "open_pool", "pool": name, "resource_type": "r", "limits": one}
        ledger.submit(command_from(opening)).result()
    granted = ["nobody"]
    latest = clock.now
    for number, (fields, seconds, snapshot) in enumerate(steps):
        clock.now += timedelta(seconds=seconds)
        latest = max(latest, clock.now)
        if snapshot:
            take_snapshot(log, snapshot)
        named = dict(fields)
        if fields["command"] in {"allocate", "reserve"}:
            named["allocation_id"] = f"x{number}"
            granted.append(f"x{number}")
        elif "allocation_id" in fields:
            named["allocation_id"] = granted[-1 - ALLOCATIONS.index(fields["allocation_id"]) % len(granted)]
        ledger.submit(command_from({**named, "command_id": f"c{number}"})).exception()
    return log, latest
