"""A process that holds real things through a manager, as the tests play it: with a loop and a ledger of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from holdbook import (
    ConnectionResourceProvider,
    DirectoryResourceProvider,
    MemoryResourceProvider,
    PortResourceProvider,
    Resource,
    UnifiedResourceManager,
    UnitResourceProvider,
)
from holdbook.infrastructure.telemetry.counters import Counters
from support.faulty import CALL, Call, Faulty, Odd
from support.stepped_loop import SteppedLedger, SteppedLoop, Time

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

UNITS = ("gpu-0", "gpu-1", "gpu-2", "gpu-3")
KINDS = ("memory", "directory", "port", "unit", "connection")
MEASURED = {"memory": 12, "directory": 12}
"""The kinds of which one asks for a size, and their totals."""


class Wanted(Exception):
    """What a block raises that was told to."""


@dataclass(eq=False)
class Job:
    """Something that a manager was asked for."""

    what: str
    kind: str
    call: Call
    task: asyncio.Task[Any]
    leave: asyncio.Future[None] | None = None
    """What the body of a block waits for."""
    inside: bool = False
    """True while the body of a block runs."""
    cancelled: bool = False


class Process:
    """A named manager with five providers, of a program that may die."""

    manager_class = UnifiedResourceManager

    def __init__(  # noqa: PLR0913, PLR0917 - what a process has of its own, and what it shares
        self, name: str, ledger: SteppedLedger, time: Time, root: Path, ports: Sequence[int], odd: Odd
    ) -> None:
        self.name = name
        self.odd = odd
        self.ledger = ledger
        self.loop = SteppedLoop(time)
        self.engine = create_engine(f"sqlite:///{root / 'things.db'}", poolclass=QueuePool, pool_size=3)
        self.manager = self.manager_class(ledger, name=name, counters=Counters())
        self.providers = {
            "memory": Faulty(MemoryResourceProvider({"total": MEASURED["memory"]}), odd),
            "directory": Faulty(DirectoryResourceProvider(root / "scratch", total=MEASURED["directory"]), odd),
            "port": Faulty(PortResourceProvider(ports), odd),
            "unit": Faulty(UnitResourceProvider(UNITS), odd),
            "connection": Faulty(ConnectionResourceProvider(self.engine, total=3), odd),
        }
        for kind, provider in self.providers.items():
            self.manager.register_provider(kind, provider)
        self.jobs: list[Job] = []
        self.given: list[tuple[str, Resource[Any]]] = []
        """What callers were given, ever, with its right."""
        self.owned: set[str] = set()
        """The rights of what callers have and have not given back."""

    # What it does

    def start(self, what: str, kind: str, coroutine: Coroutine[Any, Any, Any], right: str | None = None) -> Job:
        """Begin something; the loop does not run yet."""
        call = Call(right)

        async def called() -> Any:  # noqa: ANN401 - whatever it gives
            CALL.set(call)
            return await coroutine

        job = Job(what, kind, call, self.loop.create_task(called()))
        self.jobs.append(job)
        return job

    def start_block(self, kind: str, options: dict[str, Any]) -> Job:
        """Begin a block that lasts until it is told to end."""
        leave: asyncio.Future[None] = self.loop.create_future()
        job: Job

        async def block() -> None:
            async with self.manager.acquire(kind, **options) as resource:
                right = job.call.right
                assert right is not None
                self.given.append((right, resource))
                self.owned.add(right)
                job.inside = True
                try:
                    await leave
                finally:
                    job.inside = False
                    self.owned.discard(right)

        job = self.start("block", kind, block())
        job.leave = leave
        return job

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it gives
        """Run a coroutine that does not wait for anything."""
        return self.loop.run_until_complete(coroutine)

    def has_crashed(self) -> bool:
        """Tell whether it is to die, just where it is."""
        return any(one.has_crashed for one in self.providers.values())

    def gates(self) -> list[asyncio.Future[None]]:
        """List where its providers hang."""
        return [gate for one in self.providers.values() for gate in one.hanging()]

    def die(self) -> None:
        """Die: nothing of it goes on, and the system takes back what ends with a process."""
        self.ledger.die()
        for one in self.providers.values():
            one.is_dead = True
        self._end_tasks()
        for kind in KINDS:
            if kind != "directory":
                self.call(self.providers[kind].inner.cleanup())
        self.engine.dispose()
        self.loop.close()

    def _end_tasks(self) -> None:
        """Have its tasks end, which can do nothing any more."""
        self.loop.run()
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run()
            self.loop.ahead += self.loop.pause or 0
        for job in self.jobs:
            if not job.task.cancelled():
                job.task.exception()  # looked at

    # What it has

    def things(self) -> dict[str, set[str]]:
        """List the rights whose things are there, by kind, whatever its providers say; directories are everybody's."""
        return {kind: set(self.call(one.inner.inventory())) for kind, one in self.providers.items()}
