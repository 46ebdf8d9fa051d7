"""Providers of real things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bursar.domain.errors import Malformed
from bursar.domain.limits import Limits
from bursar.domain.resources import Resource, ResourceProvider
from bursar.domain.values import QUANTITY_MAX
from bursar.infrastructure.clock import new_id

if TYPE_CHECKING:
    from bursar.domain.resources import ResourceMetadata

TOTAL_DEFAULT: Final = 1_000_000
"""What there is when no limit ``total`` is given."""

REPORTED_SIZE_MAX: Final = 100_000
"""The size above which `MemoryResourceProvider.validate` reports, when no limit ``max_size`` is given."""

_KNOWN_LIMITS: Final = {"total", "max_size"}


class MemoryResourceProvider(ResourceProvider[int]):
    """Budgets of memory: a resource is a number of units that its holder may use.

    The limits are ``total`` (1,000,000 if not given) and ``max_size`` (no bound if not given). They hold without a
    manager too.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        for name in limits.keys() - _KNOWN_LIMITS:
            raise Malformed(f"limits.{name}", limits[name], "expected one of total, max_size")
        self._limits = Limits(total=limits.get("total", TOTAL_DEFAULT), max_size=limits.get("max_size"))
        self._allocated: dict[str, int] = {}

    def pool_limits(self) -> Limits:
        """Tell what a pool enforces: the limits given."""
        return self._limits

    async def allocate(  # type: ignore[override]  # the seed's signature: `size` is an option that must be there
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        size: int,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[int]:
        """Set memory aside; raises ValueError if it is more than there is, or than one may have."""
        if type(size) is not int or not 1 <= size <= QUANTITY_MAX:
            raise Malformed("size", size, f"expected a whole number from 1 to {QUANTITY_MAX}")
        if self._limits.max_size is not None and size > self._limits.max_size:
            message = f"Memory size limit exceeded: {size} asked, {self._limits.max_size} at most"
            raise ValueError(message)
        used = sum(self._allocated.values())
        if used + size > self._limits.total:
            message = f"Memory limit exceeded: {size} asked, {self._limits.total - used} of {self._limits.total} free"
            raise ValueError(message)
        resource_id = options.get("allocation_id") or new_id()
        self._allocated[resource_id] = size
        return Resource(id=resource_id, data=size, metadata=metadata, state="allocated", error=None)

    async def release(self, resource: Resource[int]) -> None:
        """Take memory back; what is not set aside any more is left alone."""
        self._allocated.pop(resource.id, None)

    async def validate(self, resource: Resource[int]) -> list[str]:
        """List what is wrong with a resource: it is not allocated; it is larger than one should be."""
        errors = []
        if resource.id not in self._allocated:
            errors.append("Resource not allocated")
        if resource.data > (self._limits.max_size or REPORTED_SIZE_MAX):
            errors.append("Resource size exceeds limit")
        return errors

    async def cleanup(self) -> None:
        """Take all memory back."""
        self._allocated.clear()
