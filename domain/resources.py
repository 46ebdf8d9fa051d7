"""Resources and their providers: the real things that the ledger grants the rights to."""

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
    """What is known of a resource beside the resource itself."""

    resource_type: str
    allocation_time: datetime
    """When the right to it was granted, by the ledger's time; always with its offset from UTC."""
    expiration_time: datetime | None
    """When the right to it ends: as asked, else as the pool's default has it; None: never by itself."""
    limits: dict[str, Any]
    """The limits given with the request, for the provider to read; the pool's own are the ledger's."""
    tags: dict[str, str]
    token: Token | None = None
    """The right's fencing token, greater for every later grant; None if there is no ledger behind it."""


@dataclass
class Resource(Generic[T]):
    """A real thing that a provider made, with the right to it that the ledger granted."""

    id: str
    data: T
    metadata: ResourceMetadata
    state: str
    """``allocated`` as the provider gave it; then ``released``, ``expired``, or ``lost``: it was not there any more."""
    error: str | None
    """What was last found wrong with it: why a release failed, what its validation found, why it is lost."""


class ResourceProvider(ABC, Generic[T]):
    """Owns real things: makes them, takes them back, looks at them. The right to them is the ledger's affair."""

    def pool_limits(self) -> Limits | None:
        """Tell what a pool of these things enforces; None if the provider sets no bounds.

        A pool that is opened for a provider without bounds has none; one that is open already keeps its own.
        """
        return None

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Tell how much of the pool a request takes, in the pool's unit: the option ``size``, or 1."""
        size: int = options.get("size", 1)
        return size

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Hear, before anything is asked for, where the rights are: in which ledger, in the pool of which name."""

    async def inventory(self) -> Collection[str] | None:
        """List the ids of the rights whose things are really there, made by a process that died too.

        None if the provider cannot tell: then nothing is reconciled. Things that end with their process are those that
        this process has.
        """
        return None

    async def reclaim(self, right: str) -> None:
        """Take back a thing of the inventory whose right has ended and of which nobody has the resource.

        Raising means that it is still there; a thing that is gone already is left alone.
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
        """Make a resource. The right to it is reserved; raising, or being cancelled, gives the right up.

        Whoever raises leaves nothing half-made. The options are those of the request, and ``allocation_id``: the id
        of the right, which can serve as the resource's. The right's fencing token is in the metadata, for a thing that
        can turn away whoever comes with an older one.
        """

    @abstractmethod
    async def release(self, resource: Resource[T]) -> None:
        """Take a resource back; raising means that it is still there."""

    @abstractmethod
    async def validate(self, resource: Resource[T]) -> list[str]:
        """List what is wrong with a resource; nothing if all is well."""

    @abstractmethod
    async def cleanup(self) -> None:
        """Take every resource back."""
