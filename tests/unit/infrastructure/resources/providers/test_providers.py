"""The port's defaults, and the memory provider by itself, without a manager."""

from typing import Any

import pytest

from holdbook import Limits, Malformed, MemoryResourceProvider, Resource, ResourceMetadata, ResourceProvider
from support.deciding import after
from support.providers import Scripted


def metadata() -> ResourceMetadata:
    """Make the metadata that a provider is given."""
    return ResourceMetadata("memory", after(0), None, {}, {})


async def memory(provider: MemoryResourceProvider, size: int, **options: object) -> Resource[int]:
    """Have the provider set memory aside."""
    return await provider.allocate("memory", metadata(), size, **options)


def test_the_port_s_defaults() -> None:
    """A provider sets no bounds, and a request takes its size, or one unit, unless the provider says otherwise."""
    plain = Scripted()
    assert ResourceProvider.pool_limits(plain) is None
    assert (plain.quantity({}), plain.quantity({"size": 7})) == (1, 7)


async def test_the_port_s_defaults_for_what_is_really_there() -> None:
    """By default a provider has no inventory, and reclaiming raises an error."""
    plain = Scripted()
    assert await ResourceProvider.inventory(plain) is None
    with pytest.raises(TypeError, match="Scripted lists things that it cannot reclaim: job-1"):
        await ResourceProvider.reclaim(plain, "job-1")


async def test_a_scripted_provider_finds_what_is_not_live() -> None:
    """The tests' own provider reports a resource that it does not have."""
    provider = Scripted()
    resource = await provider.allocate("slot", metadata(), allocation_id="a")
    assert await provider.validate(resource) == []
    await provider.release(resource)
    assert await provider.validate(resource) == ["not live"]


async def test_the_total_holds_without_a_manager() -> None:
    """More memory than is free is a ValueError; what was released can be allocated again."""
    provider = MemoryResourceProvider({"total": 1000})
    one = await memory(provider, 600)
    assert (one.data, one.state, one.error) == (600, "allocated", None)
    with pytest.raises(ValueError, match="Memory limit exceeded"):
        await memory(provider, 401)
    await memory(provider, 400)
    await provider.release(one)
    await provider.release(one)
    await memory(provider, 600)
    await provider.cleanup()
    await memory(provider, 1000)


async def test_the_default_total_is_a_million() -> None:
    """Without a total there are 1,000,000, as the seed has it."""
    provider = MemoryResourceProvider({})
    assert provider.pool_limits() == Limits(total=1_000_000)
    await memory(provider, 1_000_000)
    with pytest.raises(ValueError, match="Memory limit exceeded"):
        await memory(provider, 1)


async def test_an_explicit_max_size_refuses() -> None:
    """More than the given ``max_size`` is a ValueError; as much is not."""
    provider = MemoryResourceProvider({"max_size": 100})
    await memory(provider, 100)
    with pytest.raises(ValueError, match="Memory size limit exceeded: 101 asked, 100 at most"):
        await memory(provider, 101)


async def test_validate_reports_what_is_too_large() -> None:
    """Without ``max_size`` 100,000 is only what `validate` reports."""
    provider = MemoryResourceProvider({})
    large = await memory(provider, 100_001)
    assert await provider.validate(large) == ["Resource size exceeds limit"]
    assert await provider.validate(await memory(provider, 100_000)) == []
    await provider.release(large)
    assert await provider.validate(large) == ["Resource not allocated", "Resource size exceeds limit"]


async def test_ids() -> None:
    """A resource has the id of its right, or by itself a new one."""
    provider = MemoryResourceProvider({})
    assert (await memory(provider, 1, allocation_id="right")).id == "right"
    assert (await memory(provider, 1)).id != (await memory(provider, 1)).id


async def test_memory_is_a_mapping() -> None:
    """A resource is a mapping of its own of that size, all zeros; its release gives the memory back to the system."""
    provider = MemoryResourceProvider({})
    one, other = await memory(provider, 10_000), await memory(provider, 1)
    mapping = provider.memory(one)
    assert (len(mapping), mapping[:]) == (10_000, bytes(10_000))
    mapping[9_999] = 7
    assert (provider.memory(one)[9_999], provider.memory(other)[:]) == (7, b"\0")
    await provider.release(one)
    assert mapping.closed
    with pytest.raises(ValueError, match=f"^Resource not allocated here: {one.id}$"):
        provider.memory(one)
    mapping = provider.memory(other)
    await provider.cleanup()
    assert mapping.closed


@pytest.mark.parametrize("size", [100, 17 * 1024 * 1024])
async def test_memory_of_which_there_are_views(size: int) -> None:
    """Memory with a view of it is not released, by cleanup neither, and the error says what to do."""
    provider = MemoryResourceProvider({"total": 2**30})
    resource, other = await memory(provider, size), await memory(provider, size)
    with memoryview(provider.memory(resource)):
        with pytest.raises(BufferError, match=f"Memory in use: {resource.id}; a view of it exists"):
            await provider.release(resource)
        assert await provider.inventory() == {resource.id, other.id}
        with pytest.raises(
            ExceptionGroup, match=rf"^not taken back: Memory in use: {resource.id}; a view of it exists"
        ):
            await provider.cleanup()
        assert await provider.inventory() == {resource.id}
    await provider.release(resource)
    assert await provider.inventory() == set()


async def test_what_a_holder_does_to_its_memory() -> None:
    """A mapping that its holder closed or resized is reported, and can be released."""
    provider = MemoryResourceProvider({})
    closed, resized = await memory(provider, 5000), await memory(provider, 5000)
    provider.memory(closed).close()
    provider.memory(resized).resize(4096)
    assert await provider.validate(closed) == ["Memory closed by its holder"]
    assert await provider.validate(resized) == ["Memory resized by its holder: 4096 bytes, 5000 granted"]
    for resource in (closed, resized):
        await provider.release(resource)
        assert await provider.validate(resource) == ["Resource not allocated"]


async def test_more_than_the_machine_has() -> None:
    """Memory that the system does not give is a ValueError that names the size, and takes nothing of the total."""
    provider = MemoryResourceProvider({"total": 2**63 - 1})
    with pytest.raises(
        ValueError, match=f"Memory not to be had: {2**62} bytes asked, the system says: Cannot allocate"
    ):
        await memory(provider, 2**62)
    assert await provider.inventory() == set()
    await provider.release(await memory(provider, 2**20))


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "1", 2**63])
async def test_a_size_that_is_none(size: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """A size that is not a whole number above 0 is an error that names it."""
    with pytest.raises(Malformed, match="size: expected a whole number from 1"):
        await memory(MemoryResourceProvider({}), size)


@pytest.mark.parametrize("limits", [{"total": -1}, {"max_size": 0}, {"max": 5}, {"total": 1.5}])
def test_limits_that_are_none(limits: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """Limits that are out of range or unknown are an error that names them, when the provider is made."""
    with pytest.raises(Malformed, match=next(iter(limits))):
        MemoryResourceProvider(limits)
