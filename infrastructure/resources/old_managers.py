"""The managers from before the ledger under their old names: thin faces on `UnifiedResourceManager`, to move away from.

Nothing is managed here. Both say when they are made, by a `DeprecationWarning`, what to use in their place.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

from holdbook.domain.errors import Malformed
from holdbook.domain.resources import Resource
from holdbook.infrastructure.resources.manager import UnifiedResourceManager
from holdbook.infrastructure.resources.providers import MemoryResourceProvider

if TYPE_CHECKING:
    from holdbook.infrastructure.ledger import Ledger

if TYPE_CHECKING:
    MemoryResource: TypeAlias = Resource[int]
else:
    MemoryResource = Resource  # so that old call sites may ask whether something is an instance of it

_MEMORY = "memory"


class ResourceManager:
    """The old ``core/resources/manager.py``. Use `UnifiedResourceManager`, whose ``release`` takes a resource's id."""

    def __init__(self, *, ledger: Ledger | None = None, manager: UnifiedResourceManager | None = None) -> None:
        """Face a manager, or a new one on a ledger, or on a private ledger in memory if neither is given."""
        _warn(self, "allocate(resource_type, …) and release(resource.id)")
        self.manager = _choose_manager(ledger, manager)
        """The manager that does the work; providers are registered with it."""

    async def allocate(self, resource_type: str, **options: Any) -> Resource[Any]:  # noqa: ANN401 - the seed's signature
        """Allocate a resource; as `UnifiedResourceManager.allocate`."""
        return await self.manager.allocate(resource_type, **options)

    async def release(self, resource: Resource[Any]) -> None:
        """Release a resource; as `UnifiedResourceManager.release`."""
        await self.manager.release(resource.id)


class MemoryResourceManager:
    """The old ``memory/resources.py``. Use `UnifiedResourceManager` with a `MemoryResourceProvider`."""

    def __init__(
        self,
        limits: dict[str, int],
        *,
        ledger: Ledger | None = None,
        manager: UnifiedResourceManager | None = None,
    ) -> None:
        """Face a manager as `ResourceManager` does, with a provider of memory under these limits in it.

        Raises `Malformed` for a limit that is none, `PoolAlreadyOpen` if there is a pool with other limits.
        """
        _warn(self, 'a MemoryResourceProvider, allocate("memory", size=…) and release(resource.id)')
        self.manager = _choose_manager(ledger, manager)
        """The manager that does the work."""
        self.manager.register_provider(_MEMORY, MemoryResourceProvider(limits))

    async def allocate_memory(self, size: int, **options: Any) -> MemoryResource:  # noqa: ANN401 - the seed's signature
        """Allocate memory; as `UnifiedResourceManager.allocate`."""
        return await self.manager.allocate(_MEMORY, size=size, **options)

    async def release_memory(self, resource: MemoryResource) -> None:
        """Release memory; as `UnifiedResourceManager.release`."""
        await self.manager.release(resource.id)


def _warn(old: object, instead: str) -> None:
    message = f"{type(old).__name__} is deprecated: use UnifiedResourceManager, with {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def _choose_manager(ledger: Ledger | None, manager: UnifiedResourceManager | None) -> UnifiedResourceManager:
    if manager is None:
        return UnifiedResourceManager(ledger)
    if ledger is not None:
        raise Malformed("ledger", ledger, "expected a ledger or a manager, which has its own, not both")
    return manager
