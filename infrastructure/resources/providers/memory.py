"""Provide memory: mappings of the size that was granted."""

from __future__ import annotations

import asyncio
import mmap
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import Malformed
from holdbook.domain.limits import Limits
from holdbook.infrastructure.resources.providers.base import BaseProvider, check_size

if TYPE_CHECKING:
    from holdbook.domain.resources import Resource, ResourceMetadata

TOTAL_DEFAULT: Final = 1_000_000
"""How many bytes there are if no limit ``total`` is given."""

REPORTED_SIZE_MAX: Final = 100_000
"""The size in bytes above which `MemoryResourceProvider.validate` reports if no limit ``max_size`` is given."""

_LARGE_BYTES: Final = 16 * 1024 * 1024
"""Larger mappings are unmapped in a thread, as that may take a tenth of a second for a gigabyte."""

_KNOWN_LIMITS: Final = {"total", "max_size"}


class MemoryResourceProvider(BaseProvider[int, mmap.mmap]):
    """Provides memory: a resource is an anonymous mapping of as many bytes as were requested, filled with zeros.

    The limits are ``total`` (1,000,000 if not given) and ``max_size`` (none if not given), in bytes. The provider holds
    to them without a manager too. Processes that are forked from this one share a mapping, and the memory is free when
    the last of them has unmapped it or ended.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        """Take the limits; raises `Malformed`."""
        super().__init__()
        for name in limits.keys() - _KNOWN_LIMITS:
            raise Malformed(f"limits.{name}", limits[name], "expected one of total, max_size")
        self._limits = Limits(total=limits.get("total", TOTAL_DEFAULT), max_size=limits.get("max_size"))
        self._sizes: dict[str, int] = {}
        self._used = 0

    def pool_limits(self) -> Limits:
        """Return the limits of the pool: those given."""
        return self._limits

    async def allocate(  # type: ignore[override]  # the seed's signature: `size` is an option that must be there
        self,
        resource_type: str,  # noqa: ARG002 - the port's
        metadata: ResourceMetadata,
        size: int,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[int]:
        """Map ``size`` bytes; raises ValueError if that exceeds a limit, or what the system gives."""
        check_size(size)
        if self._limits.max_size is not None and size > self._limits.max_size:
            message = f"Memory size limit exceeded: {size} asked, {self._limits.max_size} at most"
            raise ValueError(message)
        free = self._limits.total - self._used
        if size > free:
            message = f"Memory limit exceeded: {size} asked, {free} of {self._limits.total} free"
            raise ValueError(message)
        resource = self._keep(metadata, options, _map_memory(size), size)
        self._sizes[resource.id] = size
        self._used += size
        return resource

    def memory(self, resource: Resource[int]) -> mmap.mmap:
        """Return the mapping of a resource, to read and write; raises ValueError if it is not allocated here.

        Release all views of it (memoryviews, arrays) before the resource is released.
        """
        return self._thing(resource)

    async def validate(self, resource: Resource[int]) -> list[str]:
        """List what is wrong with a resource: not allocated, closed or resized by its holder, or too large."""
        errors = []
        mapping = self._kept.get(resource.id)
        if mapping is None:
            errors.append("Resource not allocated")
        elif mapping.closed:
            errors.append("Memory closed by its holder")
        elif len(mapping) != self._sizes[resource.id]:
            errors.append(f"Memory resized by its holder: {len(mapping)} bytes, {self._sizes[resource.id]} granted")
        if resource.data > (self._limits.max_size or REPORTED_SIZE_MAX):
            errors.append("Resource size exceeds limit")
        return errors

    async def _take_back(self, right: str, thing: mmap.mmap) -> None:
        try:
            if self._sizes[right] > _LARGE_BYTES:
                await asyncio.to_thread(thing.close)
            else:
                thing.close()
        except BufferError:
            message = (
                f"Memory in use: {right}; a view of it exists, such as a memoryview or an array: give that up first"
            )
            raise BufferError(message) from None
        self._used -= self._sizes.pop(right, 0)


def _map_memory(size: int) -> mmap.mmap:
    """Map memory of a size in bytes; raises ValueError if the system has too little."""
    try:
        return mmap.mmap(-1, size)
    except OSError as error:
        message = f"Memory not to be had: {size} bytes asked, the system says: {error.strerror}"
        raise ValueError(message) from error
