"""Asks a provider as a manager does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from holdbook import ResourceMetadata
from support.deciding import after

if TYPE_CHECKING:
    from holdbook import Resource, ResourceProvider

T = TypeVar("T")


async def made_by(provider: ResourceProvider[T], right: str | None = None, **options: Any) -> Resource[T]:  # noqa: ANN401 - the port's
    """Have a provider make a thing, under a right or by itself."""
    if right is not None:
        options["allocation_id"] = right
    return await provider.allocate("thing", ResourceMetadata("thing", after(0), None, {}, {}), **options)
