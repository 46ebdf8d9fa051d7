"""Processes that hold named units, and prove with files that nobody else does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from holdbook import UnifiedResourceManager, UnitResourceProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from holdbook import Ledger, Resource


PATIENCE = timedelta(seconds=100)
"""How long to wait for units."""


@dataclass(frozen=True)
class HoldUnits:
    """An order to a process: get some units, prove that they are nobody else's, give them back, many times."""

    folder: Path
    units: tuple[str, ...]
    rounds: int
    seed: int
    tasks: int = 3

    def __call__(self, ledger: Ledger) -> int:
        """Carry it out; tell how many units were had."""
        return asyncio.run(self._hold(ledger))

    async def _hold(self, ledger: Ledger) -> int:
        manager, provider = UnifiedResourceManager(ledger), UnitResourceProvider(self.units)
        manager.register_provider("gpu", provider)
        async with self._held(manager, 1):  # all the time
            return sum(await asyncio.gather(*(self._rounds(manager, self.seed + task) for task in range(self.tasks))))

    async def _rounds(self, manager: UnifiedResourceManager, seed: int) -> int:
        random, had = Random(seed), 0  # noqa: S311 - not for secrets
        for _ in range(self.rounds):
            async with self._held(manager, random.randint(1, 2)) as resource:
                assert await manager.validate(resource.id) == []  # takes a while, in which another might take them
                had += len(resource.data)
        return had

    @asynccontextmanager
    async def _held(self, manager: UnifiedResourceManager, size: int) -> AsyncIterator[Resource[tuple[str, ...]]]:
        async with manager.acquire("gpu", size=size, wait=PATIENCE) as resource:
            marks = [self.folder / unit for unit in resource.data]
            for mark in marks:
                mark.touch(exist_ok=False)  # fails if somebody has the unit
            yield resource
            for mark in marks:
                mark.unlink()
