"""The two managers from before the ledger, under their old names, for programs that are not changed yet.

Both are deprecated: they pass every call on to a `UnifiedResourceManager`, and when one is made, a `DeprecationWarning`
says what to use instead.
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
    MemoryResource = Resource  # old programs call isinstance with it

_MEMORY = "memory"


class ResourceManager:
    """The manager of the old ``core/resources/manager.py``, deprecated.

    Use `UnifiedResourceManager`; its ``release`` takes the resource's id.
    """

    def __init__(self, *, ledger: Ledger | None = None, manager: UnifiedResourceManager | None = None) -> None:
        """Pass calls on to a manager: the one given, else a new one on the ledger given, else on one in memory."""
        _warn(self, "allocate(resource_type, …) and release(resource.id)")
        self.manager = _choose_manager(ledger, manager)
        """The manager that calls are passed on to. Register providers with it."""

    async def allocate(self, resource_type: str, **options: Any) -> Resource[Any]:  # noqa: ANN401 - the seed's signature
        """Allocate a resource; see `UnifiedResourceManager.allocate`."""
        return await self.manager.allocate(resource_type, **options)

    async def release(self, resource: Resource[Any]) -> None:
        """Release a resource; see `UnifiedResourceManager.release`."""
        await self.manager.release(resource.id)


class MemoryResourceManager:
    """The manager of the old ``memory/resources.py``, deprecated.

    Use `UnifiedResourceManager` with a `MemoryResourceProvider`.
    """

    def __init__(
        self,
        limits: dict[str, int],
        *,
        ledger: Ledger | None = None,
        manager: UnifiedResourceManager | None = None,
    ) -> None:
        """Pass calls on to a manager, chosen as by `ResourceManager`, and register a provider of memory with it.

        ``limits`` are those of `MemoryResourceProvider`. Raises `Malformed` if one of them is not valid, and
        `PoolAlreadyOpen` if the pool ``memory`` is open with other limits.
        """
        _warn(self, 'a MemoryResourceProvider, allocate("memory", size=…) and release(resource.id)')
        self.manager = _choose_manager(ledger, manager)
        """The manager that calls are passed on to."""
        self.manager.register_provider(_MEMORY, MemoryResourceProvider(limits))

    async def allocate_memory(self, size: int, **options: Any) -> MemoryResource:  # noqa: ANN401 - the seed's signature
        """Allocate memory of a size in bytes; see `UnifiedResourceManager.allocate`."""
        return await self.manager.allocate(_MEMORY, size=size, **options)

    async def release_memory(self, resource: MemoryResource) -> None:
        """Release memory; see `UnifiedResourceManager.release`."""
        await self.manager.release(resource.id)


def _warn(old: object, instead: str) -> None:
    """Warn the program that makes an old manager, and say what to use instead."""
    message = f"{type(old).__name__} is deprecated: use UnifiedResourceManager, with {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def _choose_manager(ledger: Ledger | None, manager: UnifiedResourceManager | None) -> UnifiedResourceManager:
    """Give the manager given, or make one on a ledger; raises `Malformed` if both are given."""
    if manager is None:
        return UnifiedResourceManager(ledger)
    if ledger is not None:
        raise Malformed("ledger", ledger, "expected a ledger or a manager, which has its own, not both")
    return manager
