"""The validation of the original requirement (R061), word for word but for its imports; `tests/conftest.py` runs it."""
# ruff: noqa: ANN201, D103, FBT003 - the seed's words, as below
# mypy: allow-untyped-defs, check-untyped-defs

from holdbook import MemoryResourceProvider, ResourceMonitor, UnifiedResourceManager


# fmt: off
async def test_resource_system():
    # Setup
    manager = UnifiedResourceManager()
    monitor = ResourceMonitor()

    # Register providers
    memory_provider = MemoryResourceProvider({"total": 1000000})
    manager.register_provider("memory", memory_provider)

    # Test allocation
    resource = await manager.allocate(
        "memory",
        size=1000,
        tags={"purpose": "test"}
    )

    assert resource.data == 1000
    assert resource.state == "allocated"
    assert resource.metadata.tags["purpose"] == "test"

    # Test validation
    errors = await memory_provider.validate(resource)
    assert not errors

    # Test release
    await manager.release(resource.id)

    # Test monitoring
    await monitor.record_allocation("memory", True)
    await monitor.record_release("memory", True)
