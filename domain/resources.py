"""Resources and the port for their providers.

A provider owns real things, such as memory, directories or network ports. The ledger owns the *right* to a thing: an
allocation. The manager (`holdbook.infrastructure.resources`) brings the two together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.limits import Limits
    from holdbook.domain.values import Token

T = TypeVar("T")


@dataclass
class ResourceMetadata:
    """What a provider and its callers know about a resource, besides the thing itself."""

    resource_type: str
    """What kind of thing it is: the name that its provider is registered under, and of its pool."""
    allocation_time: datetime
    """When the right to it was granted, by the ledger's clock, with its offset from UTC."""
    expiration_time: datetime | None
    """When the right to it ends: as the request said, else by the pool's default; None: never by itself."""
    limits: dict[str, Any]
    """The limits given with the request, for the provider to read. The pool's limits are enforced by the ledger."""
    tags: dict[str, str]
    """The tags of the allocation."""
    token: Token | None = None
    """The fencing token of the right; every later grant has a greater one. None if the right is in no ledger."""


@dataclass
class Resource(Generic[T]):
    """A real thing that a provider made, to which the ledger granted the right."""

    id: str
    """Names the resource within its manager; often the id of the right."""
    data: T
    """The thing itself, or what its user needs to reach it."""
    metadata: ResourceMetadata
    state: str
    """``allocated`` when the provider has made it; later ``released``, ``expired``, or ``lost`` if it disappeared."""
    error: str | None
    """What was last found wrong: why a release failed, what `validate` found, or why it is lost; None if nothing."""


class ResourceProvider(ABC, Generic[T]):
    """Owns real things of one kind: makes them, takes them back, and inspects them.

    The manager calls `allocate` only for a right that the ledger has granted, and `release` when the right is to end:
    a provider need not count what is in use, nor look at deadlines.
    """

    def pool_limits(self) -> Limits | None:
        """Give the limits of the pool for these things; None, the default, if the provider sets no bounds.

        Without them, a pool that the manager opens has no bounds, and a pool that is open already keeps its limits.
        """
        return None

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Compute how much of the pool a request takes, in the pool's unit: by default the option ``size``, or 1."""
        size: int = options.get("size", 1)
        return size

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Learn, before the first request, which ledger the rights are in; the pool is named after the resource type.

        By default this does nothing.
        """

    async def inventory(self) -> Collection[str] | None:
        """List the ids of the rights whose things really exist, for the manager to reconcile with the ledger.

        Things that outlive their process count whoever made them, also a process that has died. None, the default,
        says that the provider cannot tell; then nothing is reconciled.
        """
        return None

    async def reclaim(self, right: str) -> None:
        """Take back a thing of the inventory whose right has ended, and for which no `Resource` object is left.

        Do nothing if the thing is gone already. Raising an error means that it is still there.
        """
        message = f"{type(self).__name__} lists things that it cannot reclaim: {right}"
        raise TypeError(message)

    @abstractmethod
    async def allocate(
        self,
        resource_type: str,
        metadata: ResourceMetadata,
        **options: Any,  # noqa: ANN401 - the seed's signature
    ) -> Resource[T]:
        """Make a resource, to which the right is reserved.

        ``options`` are those of the request, and ``allocation_id``: the id of the right, which may serve as the id of
        the resource. The metadata has the right's fencing token, for things that can refuse an older one. If this
        raises an error or is cancelled, the right is given up; it must then leave nothing half-made.
        """

    @abstractmethod
    async def release(self, resource: Resource[T]) -> None:
        """Take a resource back. Raising an error means that it is still there, and stays held."""

    @abstractmethod
    async def validate(self, resource: Resource[T]) -> list[str]:
        """List what is wrong with a resource, one sentence for each fault; an empty list if all is well."""

    @abstractmethod
    async def cleanup(self) -> None:
        """Take back every resource that this provider made."""
