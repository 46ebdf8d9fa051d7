"""A provider that does as it is told, and what watches it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from holdbook import Limits, Resource, ResourceMetadata, ResourceProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from holdbook import Ledger
    from holdbook.domain.handling.interface import LedgerInterface

    Step = Callable[..., Awaitable[None]]


class Scripted(ResourceProvider[str]):
    """Makes names. What stands in `steps` under a method's name is awaited before the method does its work."""

    def __init__(self, limits: Limits | None = None, names: list[str] | None = None) -> None:
        self.limits = limits
        self.names = names
        """Ids to give, in order; None: those of the rights."""
        self.steps: dict[str, Step] = {}
        self.live: set[str] = set()
        """Ids of what was made and not taken back."""
        self.asked: list[str] = []
        """Methods in the order in which they were called."""
        self.metadata: ResourceMetadata | None = None
        """What the last allocation was told."""
        self.options: dict[str, Any] = {}
        self.things: set[str] | None = None
        """The rights whose things are really there, if that is to be told."""
        self.ledgers: list[tuple[LedgerInterface, str]] = []
        """Where it was told that the rights are."""

    def pool_limits(self) -> Limits | None:
        """Tell the limits given."""
        return self.limits

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name."""
        self.metadata, self.options = metadata, options
        await self._step("allocate")
        if self.things is not None:
            self.things.add(options["allocation_id"])
        name = self.names.pop(0) if self.names else options["allocation_id"]
        self.live.add(name)
        return Resource(id=name, data=resource_type, metadata=metadata, state="allocated", error=None)

    async def release(self, resource: Resource[str]) -> None:
        """Take a name back."""
        await self._step("release")
        self.live.remove(resource.id)
        if self.things is not None:
            self.things.discard(resource.id)

    async def validate(self, resource: Resource[str]) -> list[str]:
        """Find a name that is not live."""
        return [] if resource.id in self.live else ["not live"]

    async def cleanup(self) -> None:
        """Take every name back."""
        await self._step("cleanup")
        self.live.clear()
        if self.things is not None:
            self.things.clear()

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Hear where the rights are."""
        self.ledgers.append((ledger, resource_type))

    async def inventory(self) -> Collection[str] | None:
        """Tell the rights whose things are there."""
        await self._step("inventory")
        return None if self.things is None else set(self.things)

    async def reclaim(self, right: str) -> None:
        """Take a thing back."""
        await self._step(f"reclaim {right}")
        if self.things is not None:
            self.things.discard(right)

    async def _step(self, method: str) -> None:
        self.asked.append(method)
        if method in self.steps:
            await self.steps[method]()


def failing(error: BaseException) -> Step:
    """Make a step that fails."""

    async def fail(*_arguments: object) -> None:
        raise error

    return fail


async def hang() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until something is so."""
    while not condition():  # noqa: ASYNC110 - what is waited for may happen in another thread
        await asyncio.sleep(0)


def is_deciding(ledger: Ledger) -> bool:
    """Tell whether somebody is deciding, and nothing waits."""
    return bool(ledger._group.committer.committing and not ledger._group.committer.waiting)  # noqa: SLF001 - nothing public tells
