"""The ledger as asyncio sees it: rights to a quantity of one pool, taken in two phases, awaited, never blocking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bursar.domain.allocation import AllocationState
from bursar.domain.commands import Release, Void
from bursar.domain.errors import LogCorrupt, NotFound, Refused
from bursar.domain.refusals import RefusalCode
from bursar.domain.values import derived_id

if TYPE_CHECKING:
    from concurrent.futures import Future

    from bursar.domain.allocation import Allocation
    from bursar.domain.batch import Outcome
    from bursar.domain.commands import Command
    from bursar.infrastructure.ledger import Ledger

ENDED_BY_ITSELF = frozenset({RefusalCode.ALLOCATION_ENDED, RefusalCode.ALLOCATION_NOT_FOUND})
"""Refusals of an end that leave nothing to end."""


async def decided(deciding: Future[Outcome]) -> Outcome:
    """Await a decision; whoever is cancelled stops waiting, the command is decided all the same. Raises `Refused`."""
    waiting = asyncio.wrap_future(deciding)
    waiting.add_done_callback(_look_at)
    outcome = await asyncio.shield(waiting)
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome


async def granted(deciding: Future[Outcome]) -> Allocation:
    """Await a decision about an allocation; see `decided`."""
    outcome = await decided(deciding)
    if outcome.allocation is None:
        message = f"command {outcome.command_id!r} was granted, and no allocation was"
        raise LogCorrupt(message)
    return outcome.allocation


async def withdrawn(deciding: Future[Outcome]) -> bool:
    """Take a command back if it still waits, else wait until it is decided; tell whether it changed nothing."""
    if not deciding.cancel():
        waiting = asyncio.wrap_future(deciding)
        waiting.add_done_callback(_look_at)
        await asyncio.wait([waiting])
    return deciding.cancelled() or (deciding.exception() is None and deciding.result().refusal is not None)


def _look_at(waiting: asyncio.Future[Outcome]) -> None:
    """Look at how it ended, so that asyncio does not complain when nobody waits any more."""
    if not waiting.cancelled():
        waiting.exception()


class Rights:
    """Asks the ledger and awaits its answers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ask(self, command: Command) -> Future[Outcome]:
        """Put a command into the ledger's queue."""
        return self._ledger.submit(command)

    async def find(self, allocation_id: str) -> Allocation | None:
        """Read a right's present state, in a thread; None if it was never granted."""
        try:
            return await asyncio.to_thread(self._ledger.allocation, allocation_id)
        except NotFound:
            return None

    async def end(self, allocation_id: str, *, reason: str | None = None, confirmed: bool) -> bool:
        """End a right; tell whether there was something to end. If it may not be confirmed, its state is read first."""
        reserved = False
        if not confirmed:
            right = await self.find(allocation_id)
            if right is None or not right.state.is_open:
                return False
            reserved = right.state is AllocationState.RESERVED
        kind = Void if reserved else Release
        # Ending it again after an answer that got lost is the same command.
        command_id = derived_id(kind.verb, allocation_id, reason or "")
        try:
            await decided(self.ask(kind(allocation_id=allocation_id, reason=reason, command_id=command_id)))
        except Refused as refusal:
            if refusal.code not in ENDED_BY_ITSELF:
                raise
            return False
        return True
