"""A program that holds real things, for tests that kill it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import create_engine, text

from holdbook import (
    ConnectionResourceProvider,
    DirectoryResourceProvider,
    Ledger,
    MemoryResourceProvider,
    PortResourceProvider,
    Resource,
    ResourceMetadata,
    UnifiedResourceManager,
)
from support.providers import hang

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

LEASE = timedelta(hours=1)
"""How long everything is held for, unless renewed."""

OPTIONS: dict[str, dict[str, Any]] = {"memory": {"size": 4096}, "scratch": {"size": 1000}, "port": {}, "db": {}}
"""What is held of each type."""


class Place(NamedTuple):
    """Where the things are."""

    database: str
    """The address of a PostgreSQL server's database."""
    root: str
    """Where directories are made."""
    ports: Sequence[int]


class Directories(DirectoryResourceProvider):
    """Stands still once it has made a directory, if it is told to."""

    stands_still: asyncio.Future[str] | None = None
    """Told the right to the directory."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[Path]:  # noqa: ANN401 - the port's
        """Make a directory."""
        made = await super().allocate(resource_type, metadata, **options)
        if self.stands_still is not None:
            self.stands_still.set_result(options["allocation_id"])
            await hang()
        return made


class Service:
    """A manager of a name, and a provider of each kind."""

    def __init__(self, ledger: Ledger, name: str, place: Place) -> None:
        self.engine = create_engine(place.database, connect_args={"application_name": f"held by {name}"})
        self.directories = Directories(place.root, total=10_000)
        self.manager = UnifiedResourceManager(ledger, name=name, reservation_ttl=LEASE)
        self.manager.register_provider("memory", MemoryResourceProvider({"total": 100_000}))
        self.manager.register_provider("scratch", self.directories)
        self.manager.register_provider("port", PortResourceProvider(place.ports))
        self.manager.register_provider("db", ConnectionResourceProvider(self.engine, total=4))

    async def hold(self) -> dict[str, str]:
        """Hold one of each, and be making one directory more; give the rights by what they are to."""
        rights = {}
        for resource_type, options in OPTIONS.items():
            resource = await self.manager.allocate(resource_type, ttl=LEASE, **options)
            rights[resource_type] = resource.id
            if resource_type == "scratch":
                (resource.data / "frame.png").write_bytes(bytes(100))
            if resource_type == "db":
                resource.data.execute(text("SELECT 1"))
        self.directories.stands_still = asyncio.get_running_loop().create_future()
        self.making = asyncio.create_task(self.manager.allocate("scratch", size=1000))
        return {**rights, "being made": await self.directories.stands_still}


def hold_everything(connection: Connection, url: str, names: Sequence[str], place: Place) -> None:
    """Hold everything under each of some names, tell the rights, and go on for ever."""

    async def hold() -> None:
        with Ledger.open(url, create=False) as ledger:
            services = [Service(ledger, name, place) for name in names]
            connection.send({name: await one.hold() for name, one in zip(names, services, strict=True)})
            await hang()

    asyncio.run(hold())
