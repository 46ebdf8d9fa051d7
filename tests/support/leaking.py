"""A process that acquires things of every kind, again and again, from providers that fail, and counts what it holds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from threading import active_count
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import create_engine, text

from holdbook import (
    ConnectionResourceProvider,
    DirectoryResourceProvider,
    Ledger,
    MemoryResourceProvider,
    PortResourceProvider,
    Resource,
    UnifiedResourceManager,
    UnitResourceProvider,
)
from holdbook.domain.errors import ProviderFault
from support.faulty import Broken, Faulty, Odd
from support.machine import bound, descriptors, mappings
from support.providers import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

BLOCKS = 200
AT_ONCE = 10
"""How many blocks are open at a time; there are fewer things of most kinds."""

PLANS = {
    "allocate": (None, "raise", None, "none", None, "other_id", "raise_after", None, "empty_id", None, "unmade"),
    "release": (None, None, None, "raise", None, None, "lie", None, None, "raise_after"),
}
"""What goes wrong, in turn."""


class Wanted(Exception):
    """What a block raises that was told to."""


class Count(NamedTuple):
    """What a process holds."""

    descriptors: int
    mappings: int | None
    directories: int
    ports: int
    threads: int


def count(root: Path, ports: Sequence[int]) -> Count:
    """Count what this process holds."""
    directories = len(list(root.glob("*/right*")))
    return Count(len(descriptors()), mappings(), directories, bound(ports), active_count())


class Worker:
    """A manager with a provider of each kind."""

    def __init__(self, ledger: Ledger, url: str, root: Path, ports: Sequence[int]) -> None:
        self.ledger = ledger
        self.engine = create_engine(url)
        odd = Odd()
        self.ports = PortResourceProvider(ports)
        self.memory = MemoryResourceProvider({"total": 5 * 4096})
        self.providers = {
            "memory": Faulty(self.memory, odd),
            "scratch": Faulty(DirectoryResourceProvider(root / "scratch", total=500), odd),
            "port": Faulty(self.ports, odd),
            "db": Faulty(ConnectionResourceProvider(self.engine, total=3), odd),
            "gpu": Faulty(UnitResourceProvider(["a", "b", "c"]), odd),
        }
        self.options: dict[str, dict[str, Any]] = {"memory": {"size": 4096}, "scratch": {"size": 100}}
        self.manager = UnifiedResourceManager(ledger, name="worker")
        for kind, provider in self.providers.items():
            self.manager.register_provider(kind, provider)

    async def work(self) -> None:
        """Do it all."""
        kinds, ways = cycle(self.providers), cycle(["return", "raise", "cancel"])
        plans = {method: cycle(faults) for method, faults in PLANS.items()}
        for _ in range(BLOCKS // AT_ONCE):
            for provider in self.providers.values():
                for method, faults in plans.items():
                    fault = next(faults)
                    provider.plans[method] += [] if fault is None else [fault]
            blocks = [asyncio.create_task(self.block(next(kinds), next(ways))) for _ in range(AT_ONCE)]
            for ended in await asyncio.gather(*blocks, return_exceptions=True):
                known = (ValueError, OSError, Wanted, Broken, ProviderFault, asyncio.CancelledError)
                assert ended is None or isinstance(ended, known), repr(ended)
        await self.clean()
        for kind in self.providers:
            for fault in ("hang", "hang_after"):
                await self.give_up(kind, fault)
        await self.clean()

    async def clean(self) -> None:
        """With providers that do as they should, nothing is left."""
        for provider in self.providers.values():
            provider.heal()
        assert (await self.manager.reconcile()).failed == ()
        await self.manager.cleanup()
        assert self.ledger.allocations() == []

    async def block(self, kind: str, how: str) -> None:
        """Have something for a while."""
        async with self.manager.acquire(kind, **self.options.get(kind, {})) as resource:
            if resource.data is not None:  # there is something to it
                await self.use(kind, self.providers[kind].real(resource))
            if how == "raise":
                raise Wanted
            if how == "cancel" and (task := asyncio.current_task()) is not None:
                task.cancel()
                await asyncio.sleep(0)

    async def use(self, kind: str, resource: Resource[Any]) -> None:
        """Do with it what it is for."""
        with suppress(ValueError):  # it was said to be there, and is not
            if kind == "memory":
                self.memory.memory(resource)[:5] = b"bytes"
            elif isinstance(resource.data, Path):
                (resource.data / "file").write_text("text")
            elif kind == "port":
                self.ports.hand_over(resource).listen()
            elif kind == "db":
                await asyncio.to_thread(resource.data.execute, text("SELECT 1"))

    async def give_up(self, kind: str, fault: str) -> None:
        """Ask for something, and give up when it takes too long."""
        provider = self.providers[kind]
        provider.plans["allocate"].append(fault)
        task = asyncio.create_task(self.manager.allocate(kind, **self.options.get(kind, {})))
        await until(lambda: bool(provider.hanging()))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def acquire_and_count(connection: Connection, url: str, root: str, ports: Sequence[int]) -> None:
    """Work, in a process of its own; tell what it held before, and in the end."""
    folder = Path(root)
    before = count(folder, ports)
    with Ledger.open(url) as ledger:
        worker = Worker(ledger, url, folder, ports)
        asyncio.run(worker.work())
        worker.engine.dispose()
    connection.send((before, count(folder, ports)))
    connection.recv()  # until the other side has looked
