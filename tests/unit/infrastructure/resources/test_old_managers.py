"""The old managers keep their signatures, warn, and pass all calls on to the new manager."""

import inspect
from datetime import timedelta
from typing import Any

import pytest

from holdbook import (
    Ledger,
    Limits,
    Malformed,
    MemoryResource,
    MemoryResourceManager,
    MemoryResourceProvider,
    PoolAlreadyOpen,
    Refused,
    ResourceManager,
    UnifiedResourceManager,
)

OLD = r" is deprecated: use UnifiedResourceManager, with "


def old(**given: Any) -> ResourceManager:  # noqa: ANN401 - a ledger or a manager
    """Make the old manager, which warns."""
    with pytest.warns(DeprecationWarning, match=f"^ResourceManager{OLD}"):
        return ResourceManager(**given)


def old_memory(limits: dict[str, int], **given: Any) -> MemoryResourceManager:  # noqa: ANN401 - as above
    """Make the old manager of memory, which warns."""
    with pytest.warns(DeprecationWarning, match=f"^MemoryResourceManager{OLD}a MemoryResourceProvider"):
        return MemoryResourceManager(limits, **given)


def test_each_warns_once_where_it_is_made() -> None:
    """Making an old manager warns once, at the line of the program that makes it; using it does not warn."""
    for made in (ResourceManager, lambda: MemoryResourceManager({"total": 9})):
        with pytest.warns(DeprecationWarning, match=OLD) as told:
            made()
        assert [warning.filename for warning in told] == [__file__]


def test_their_signatures_are_the_old_ones() -> None:
    """The old parameters are as they were; the new ones are given by name and may be left out."""

    def of(method: object) -> list[tuple[str, str]]:
        given = inspect.signature(method).parameters.values()  # type: ignore[arg-type]  # they are all functions
        return [(one.name, one.kind.name) for one in given if one.kind is not one.KEYWORD_ONLY]

    self, options = ("self", "POSITIONAL_OR_KEYWORD"), ("options", "VAR_KEYWORD")

    def plain(name: str) -> tuple[str, str]:
        return name, "POSITIONAL_OR_KEYWORD"

    assert of(ResourceManager.__init__) == [self]
    assert of(ResourceManager.allocate) == [self, plain("resource_type"), options]
    assert of(ResourceManager.release) == [self, plain("resource")]
    assert of(MemoryResourceManager.__init__) == [self, plain("limits")]
    assert of(MemoryResourceManager.allocate_memory) == [self, plain("size"), options]
    assert of(MemoryResourceManager.release_memory) == [self, plain("resource")]


async def test_old_call_sites_of_memory_go_on() -> None:
    """An old program's limits hold, its options reach the metadata, and what it released can be allocated again."""
    memory = old_memory({"total": 100, "max_size": 60})
    resource = await memory.allocate_memory(60, tags={"job": "42"})
    assert isinstance(resource, MemoryResource)  # type: ignore[misc]  # at run time it is a class
    assert (resource.data, resource.state, resource.metadata.tags["job"]) == (60, "allocated", "42")
    for size in (61, 50):
        with pytest.raises(ValueError, match="refused"):
            await memory.allocate_memory(size)
    await memory.release_memory(resource)
    assert resource.state == "released"
    assert memory.manager.ledger.pool("memory").free == 100
    with pytest.raises(ValueError, match=f"^Resource not found: {resource.id}$"):
        await memory.release_memory(resource)


async def test_old_call_sites_of_any_resource_go_on() -> None:
    """A type needs a provider, registered with the new manager; without one the error is as it always was."""
    resources = old()
    with pytest.raises(ValueError, match=r"^Provider not found: memory$"):
        await resources.allocate("memory", size=1)
    resources.manager.register_provider("memory", MemoryResourceProvider({"total": 10}))
    resource = await resources.allocate("memory", size=4)
    assert resources.manager.ledger.pool("memory").free == 6
    await resources.release(resource)
    assert resources.manager.ledger.pool("memory").free == 10


async def test_old_call_sites_share_a_ledger_or_a_manager() -> None:
    """Old managers on one ledger share its limits; on one manager, one releases what another allocated."""
    with Ledger.in_memory() as ledger:
        one, other = old_memory({"total": 10}, ledger=ledger), old_memory({"total": 10}, ledger=ledger)
        await one.allocate_memory(6)
        with pytest.raises(Refused):
            await other.allocate_memory(6)
        manager = UnifiedResourceManager(ledger)
        faces = old_memory({"total": 10}, manager=manager), old(manager=manager)
        await faces[1].release(await faces[0].allocate_memory(4))
        assert [allocation.quantities["memory"] for allocation in ledger.allocations()] == [6]


def test_a_ledger_and_a_manager_are_one_too_many() -> None:
    """A manager has a ledger of its own, so that giving both is an error."""
    with Ledger.in_memory() as ledger, pytest.raises(Malformed, match=r"^ledger: expected a ledger or a manager"):
        old(ledger=ledger, manager=UnifiedResourceManager())


def test_limits_that_are_none_or_others_are_an_error() -> None:
    """Limits that are not valid, or differ from those of the open pool, are an error when the manager is made."""
    with pytest.raises(Malformed, match=r"^limits.most: "):
        old_memory({"most": 1})
    with Ledger.in_memory() as ledger:
        ledger.open_pool("memory", resource_type="memory", limits=Limits(total=5, default_ttl=timedelta(1)))
        with pytest.raises(PoolAlreadyOpen):
            old_memory({"total": 10}, ledger=ledger)
