"""Processes that hold named units, and prove with files that nobody else does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from bursar import Refused, UnifiedResourceManager, UnitResourceProvider

if TYPE_CHECKING:
    from pathlib import Path

    from bursar import Ledger


@dataclass(frozen=True)
class HoldUnits:
    """An order to a process: get some units, prove that they are nobody else's, give them back, many times."""

    folder: Path
    units: tuple[str, ...]
    rounds: int
    seed: int
    tasks: int = 3

    def __call__(self, ledger: Ledger) -> int:
        """Carry it out; tell how often there were units to be had."""
        return asyncio.run(self._hold(ledger))

    async def _hold(self, ledger: Ledger) -> int:
        manager, provider = UnifiedResourceManager(ledger), UnitResourceProvider(self.units)
        provider.registered(ledger, "gpu")
        manager.register_provider("gpu", provider)
        return sum(await asyncio.gather(*(self._rounds(manager, self.seed + task) for task in range(self.tasks))))

    async def _rounds(self, manager: UnifiedResourceManager, seed: int) -> int:
        random, had = Random(seed), 0  # noqa: S311 - not for secrets
        for _ in range(self.rounds):
            try:
                resource = await manager.allocate("gpu", size=random.randint(1, 3))
            except Refused:
                continue
            marks = [self.folder / unit for unit in resource.data]
            for mark in marks:
                mark.touch(exist_ok=False)  # fails if somebody has the unit
            await asyncio.sleep(0)
            for mark in marks:
                mark.unlink()
            await manager.release(resource.id)
            had += 1
        return had
