"""Every provider of Holdbook's own keeps what a provider promises; one that does not is found."""

import asyncio
import socket
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from holdbook import (
    ConnectionResourceProvider,
    DirectoryResourceProvider,
    MemoryResourceProvider,
    PortResourceProvider,
    Resource,
    ResourceMetadata,
    UnitResourceProvider,
)
from holdbook.testing import ProviderConformance
from support.machine import HOST, bound, free_ports, mappings
from support.providers import Scripted


class TestMemory(ProviderConformance):
    """Mappings."""

    resource_type = "memory"

    def make_provider(self) -> MemoryResourceProvider:
        """Enough for all."""
        return MemoryResourceProvider({"total": 5 * 5000})

    def make_failing_provider(self) -> MemoryResourceProvider:
        """Not enough for one: the ledger's pool is opened with the same total, so the manager is refused."""
        return MemoryResourceProvider({"total": 4999})

    def options(self) -> dict[str, Any]:
        """More than a page."""
        return {"size": 5000}

    def held(self) -> int | None:
        """Anonymous shared mappings of this process."""
        return mappings()


class TestDirectories(ProviderConformance):
    """Directories."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "scratch"

    def make_provider(self) -> DirectoryResourceProvider:
        """Enough for all."""
        return DirectoryResourceProvider(self.root, total=500)

    def make_failing_provider(self) -> DirectoryResourceProvider:
        """One whose root cannot be made."""
        path = self.root.with_name("file")
        path.touch()
        return DirectoryResourceProvider(path / "scratch", total=500)

    def options(self) -> dict[str, Any]:
        """A quota."""
        return {"size": 100}

    def held(self) -> int:
        """Directories under the root."""
        return len(list(self.root.iterdir())) if self.root.exists() else 0


class TestPorts(ProviderConformance):
    """Ports."""

    @pytest.fixture(autouse=True)
    def _ports(self) -> Iterator[None]:
        self.ports = free_ports(5)
        with socket.create_server((HOST, 0)) as self.other:
            yield

    def make_provider(self) -> PortResourceProvider:
        """As many as are needed."""
        return PortResourceProvider(self.ports)

    def make_failing_provider(self) -> PortResourceProvider:
        """One port, which somebody else has."""
        return PortResourceProvider([self.other.getsockname()[1]])

    def held(self) -> int:
        """Ports that are not free."""
        return bound(self.ports)


class TestConnections(ProviderConformance):
    """Connections, to each database."""

    @pytest.fixture(autouse=True)
    def _engine(self, database_url: str) -> Iterator[None]:
        self.engine = create_engine(database_url)
        yield
        self.engine.dispose()

    def make_provider(self) -> ConnectionResourceProvider:
        """As many as the engine has without overflow."""
        return ConnectionResourceProvider(self.engine, total=5)

    def make_failing_provider(self) -> ConnectionResourceProvider:
        """One whose database cannot be had."""
        return ConnectionResourceProvider(create_engine("sqlite:////dev/null/none.db"), total=5)

    def held(self) -> int:
        """Connections that the engine has given and not got back."""
        assert isinstance(self.engine.pool, QueuePool)
        return self.engine.pool.checkedout()


class TestUnits(ProviderConformance):
    """Units."""

    def make_provider(self) -> UnitResourceProvider:
        """Two for each."""
        return UnitResourceProvider([f"gpu-{number}" for number in range(10)])

    def make_failing_provider(self) -> UnitResourceProvider:
        """One, which is too few."""
        return UnitResourceProvider(["gpu-0"])

    def options(self) -> dict[str, Any]:
        """Two."""
        return {"size": 2}


class Lenient(Scripted):
    """The tests' own provider, which takes back what is gone."""

    async def release(self, resource: Resource[str]) -> None:
        """Take a name back."""
        self.live.discard(resource.id)


class TestPlain(ProviderConformance):
    """A provider of the tests, which cannot tell what there is, and never fails."""

    def make_provider(self) -> Lenient:
        """As many as one likes."""
        return Lenient()


# Canaries


class Listing(Lenient):
    """One that can tell what there is: what the canaries are made of."""

    async def inventory(self) -> Collection[str] | None:
        """List what is live."""
        return self.live

    async def reclaim(self, right: str) -> None:
        """Take back."""
        self.live.discard(right)


class OneName(Listing):
    """Gives every resource the same id."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name, and call it something else."""
        resource = await super().allocate(resource_type, metadata, **options)
        resource.id = "thing"
        return resource


class Strict(Listing):
    """Takes no options but its own."""

    async def allocate(  # type: ignore[override]  # that is what is wrong
        self, resource_type: str, metadata: ResourceMetadata, *, allocation_id: str, size: int = 1
    ) -> Resource[str]:
        """Make a name."""
        return await super().allocate(resource_type, metadata, allocation_id=allocation_id, size=size)


class Forgetful(Listing):
    """Takes nothing back."""

    async def release(self, resource: Resource[str]) -> None:
        """Do nothing."""


class Silent(Forgetful):
    """Takes nothing back, and cannot tell what there is."""

    async def inventory(self) -> Collection[str] | None:
        """Tell nothing."""
        return None


class Greedy(Listing):
    """Takes everything back at each release."""

    async def release(self, resource: Resource[str]) -> None:  # noqa: ARG002 - that is what is wrong
        """Take every name back."""
        self.live.clear()


class Once(Listing):
    """Fails when there is nothing to release."""

    async def release(self, resource: Resource[str]) -> None:
        """Take a name back, which has to be there."""
        self.live.remove(resource.id)


class Messy(Listing):
    """Cleans nothing up."""

    async def cleanup(self) -> None:
        """Do nothing."""


class Blind(Listing):
    """Finds nothing wrong with anything."""

    async def validate(self, resource: Resource[str]) -> list[str]:  # noqa: ARG002 - that is what is wrong
        """Find nothing."""
        return []


class Suspicious(Listing):
    """Finds something wrong with everything."""

    async def validate(self, resource: Resource[str]) -> list[str]:
        """Find something."""
        return [resource.id]


class Slow(Listing):
    """Makes a thing before it waits, and leaves it when it is cancelled."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name, then wait a little."""
        resource = await super().allocate(resource_type, metadata, **options)
        await asyncio.sleep(0)
        return resource


class Leaving(Listing):
    """Fails once the thing is made, and leaves it."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name, then fail."""
        await super().allocate(resource_type, metadata, **options)
        message = "too late"
        raise OSError(message)


class Keen(Listing):
    """Reclaims everything."""

    async def reclaim(self, right: str) -> None:  # noqa: ARG002 - that is what is wrong
        """Take every name back."""
        self.live.clear()


class Unreclaimed(Lenient):
    """Lists what it cannot reclaim."""

    async def inventory(self) -> Collection[str] | None:
        """List what is live."""
        return self.live


class Elsewhere(Listing):
    """Gives something that is not a resource of Holdbook's, about something else."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name that says that it is ready."""
        resource = await super().allocate(resource_type, metadata, **options)
        resource.state = "ready"
        return resource


class Failed(Listing):
    """Says that it has failed, and has not."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name that holds an error."""
        resource = await super().allocate(resource_type, metadata, **options)
        resource.error = "none"
        return resource


class Copying(Listing):
    """Keeps metadata of its own."""

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name about something else."""
        return await super().allocate(resource_type, replace(metadata), **options)


FAULTS: list[tuple[type[Scripted], str]] = [
    (OneName, "test_many_at_once_are_apart"),
    (Strict, "test_a_resource_is_made"),
    (Forgetful, "test_a_resource_is_taken_back"),
    (Forgetful, "test_rights_and_things_go_together"),
    (Greedy, "test_a_second_release_takes_nothing"),
    (Greedy, "test_many_at_once_are_apart"),
    (Once, "test_a_second_release_takes_nothing"),
    (Messy, "test_cleanup_takes_everything"),
    (Messy, "test_rights_and_things_go_together"),
    (Blind, "test_a_resource_is_taken_back"),
    (Blind, "test_cleanup_takes_everything"),
    (Suspicious, "test_a_good_resource_has_no_faults"),
    (Slow, "test_a_cancelled_allocation_leaves_nothing"),
    (Leaving, "test_a_failed_allocation_leaves_nothing"),
    (Listing, "test_a_failed_allocation_leaves_nothing"),
    (Keen, "test_a_lost_resource_is_reclaimed"),
    (Unreclaimed, "test_a_lost_resource_is_reclaimed"),
    (Unreclaimed, "test_what_a_crash_leaves_is_reconciled"),
    (Elsewhere, "test_a_resource_is_made"),
    (Failed, "test_a_resource_is_made"),
    (Copying, "test_a_resource_is_made"),
]
"""Providers, each with one thing wrong, and a test that finds it."""

FOUND = (AssertionError, TypeError, KeyError)
"""What a test fails with: what the suite says, or what the provider raises."""


def suite_of(kind: type[Scripted]) -> ProviderConformance:
    """Make the suite of a provider."""

    class Suite(ProviderConformance):
        def make_provider(self) -> Scripted:
            return kind()

        def make_failing_provider(self) -> Scripted:
            return kind()

    return Suite()


@pytest.mark.parametrize(("kind", "test"), FAULTS)
def test_a_fault_is_found(kind: type[Scripted], test: str) -> None:
    """A provider that breaks a promise fails the test of it."""
    with pytest.raises(FOUND):
        getattr(suite_of(kind), test)()


def test_what_the_operating_system_holds_is_counted() -> None:
    """Things of which the inventory says nothing are found where the suite can count them."""

    class Counting(ProviderConformance):
        provider = Silent()

        def make_provider(self) -> Silent:
            return self.provider

        def held(self) -> int:
            return len(self.provider.live)

    with pytest.raises(AssertionError, match="after the release, 0 held by the operating system, not 1"):
        Counting().test_a_resource_is_taken_back()


def test_a_suite_without_a_provider() -> None:
    """A suite that does not say how its provider is made tells so."""
    with pytest.raises(NotImplementedError):
        ProviderConformance().test_a_resource_is_made()
