"""The rights to a quantity of one pool, for asyncio: the ledger's answers are awaited, and nothing blocks the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdbook.domain.allocation import AllocationState
from holdbook.domain.commands import Reclaim, Release, Void
from holdbook.domain.errors import NotFound, Refused
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import derived_id
from holdbook.infrastructure.commit.promise import decided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.commands import Command
    from holdbook.infrastructure.commit.promise import Promise
    from holdbook.infrastructure.ledger import Ledger

ENDED_BY_ITSELF = frozenset({RefusalCode.ALLOCATION_ENDED, RefusalCode.ALLOCATION_NOT_FOUND})
"""The codes that refuse to end a right because it has ended, or was never granted."""


class Rights:
    """Gives commands to the ledger and awaits what it answers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ask(self, command: Command) -> Promise:
        """Give the ledger a command, and return the promise of its outcome."""
        return self._ledger.submit(command)

    async def find(self, allocation_id: str) -> Allocation | None:
        """Read the present state of a right, in a thread; None if it was never granted."""
        try:
            return await asyncio.to_thread(self._ledger.allocation, allocation_id)
        except NotFound:
            return None

    async def open_with(self, pool: str, tags: Mapping[str, str]) -> Sequence[Allocation]:
        """List the open rights to a pool that have these tags, reading in a thread."""
        return await asyncio.to_thread(self._ledger.allocations, pool=pool, tags=tags)

    async def end(self, allocation_id: str, *, reason: str | None = None, confirmed: bool) -> bool:
        """End a right, and tell whether it was still open.

        If it is not ``confirmed`` for certain, its state is read first: a reservation is voided, not released. Raises
        `Refused` if the ledger refuses for another reason than that the right is not open.
        """
        reserved = False
        if not confirmed:
            right = await self.find(allocation_id)
            if right is None or not right.state.is_open:
                return False
            reserved = right.state is AllocationState.RESERVED
        kind = Void if reserved else Release
        # A derived id makes a second try, after an answer that was lost, the same command.
        command_id = derived_id(kind.verb, allocation_id, reason or "")
        try:
            await decided(self.ask(kind(allocation_id=allocation_id, reason=reason, command_id=command_id)))
        except Refused as refusal:
            if refusal.code not in ENDED_BY_ITSELF:
                raise
            return False
        return True

    async def reclaimed(self, pool: str, allocation_id: str, reason: str) -> None:
        """Record, once, that a thing without an open right was taken back; raises `Refused` if the right is open."""
        command_id = derived_id(Reclaim.verb, pool, allocation_id, reason)
        command = Reclaim(pool=pool, allocation_id=allocation_id, reason=reason, command_id=command_id)
        await decided(self.ask(command))
