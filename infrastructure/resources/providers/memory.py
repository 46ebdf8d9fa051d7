"""Memory: mappings of the size that was granted."""

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
"""What there is, in bytes, when no limit ``total`` is given."""

REPORTED_SIZE_MAX: Final = 100_000
"""The size above which `MemoryResourceProvider.validate` reports, when no limit ``max_size`` is given."""

_LARGE_BYTES: Final = 16 * 1024 * 1024
"""What is larger is unmapped in a thread: giving a gigabyte back takes the system a tenth of a second."""

_KNOWN_LIMITS: Final = {"total", "max_size"}


class MemoryResourceProvider(BaseProvider[int, mmap.mmap]):
    """Memory: a resource is an anonymous mapping of as many bytes as were asked for, filled with zeros.

    The limits are ``total`` (1,000,000 if not given) and ``max_size`` (no bound if not given), in bytes. They hold
    without a manager too. The mapping is shared with processes forked from this one, and ends with the last of them.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        super().__init__()
        for name in limits.keys() - _KNOWN_LIMITS:
            raise Malformed(f"limits.{name}", limits[name], "expected one of total, max_size")
        self._limits = Limits(total=limits.get("total", TOTAL_DEFAULT), max_size=limits.get("max_size"))
        self._sizes: dict[str, int] = {}
        self._used = 0

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
        """Map memory; raises ValueError if it is more than there is, than one may have, or than the system gives."""
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
        """Give the mapping of a resource, to read and write; raises ValueError if it is not allocated here.

        Views of it (memoryviews, arrays) have to be given up before the resource is released.
        """
        return self._thing(resource)

    async def validate(self, resource: Resource[int]) -> list[str]:
        """List what is wrong with a resource: not allocated, closed or resized by its holder, larger than it should."""
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
    try:
        return mmap.mmap(-1, size)
    except OSError as error:
        message = f"Memory not to be had: {size} bytes asked, the system says: {error.strerror}"
        raise ValueError(message) from error
