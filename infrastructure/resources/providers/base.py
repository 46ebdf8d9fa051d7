"""What the providers share: things by the id of their right, made and taken back in threads, nothing left half-made."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from holdbook.domain.errors import Malformed
from holdbook.domain.resources import Resource, ResourceProvider
from holdbook.domain.values import QUANTITY_MAX
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.resources.provider_calls import error_text
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from holdbook.domain.resources import ResourceMetadata

logger = get_logger()

T = TypeVar("T")
K = TypeVar("K")


class BaseProvider(ResourceProvider[T], Generic[T, K]):
    """Keeps things of this process by the id of their right, which is the resource's id too."""

    def __init__(self) -> None:
        self._kept: dict[str, K] = {}

    @abstractmethod
    async def _take_back(self, right: str, thing: K) -> None:
        """Take a thing back, which may be gone already; raising means that it is still there."""

    def _keep(self, metadata: ResourceMetadata, options: Mapping[str, Any], thing: K, data: T) -> Resource[T]:
        """Keep a thing that was made, and make the resource of it."""
        right = options.get("allocation_id") or new_id()
        self._kept[right] = thing
        return Resource(id=right, data=data, metadata=metadata, state="allocated", error=None)

    def _thing(self, resource: Resource[T]) -> K:
        """Find the thing of a resource; raises ValueError if it is not kept here."""
        try:
            return self._kept[resource.id]
        except KeyError:
            message = f"Resource not allocated here: {resource.id}"
            raise ValueError(message) from None

    async def release(self, resource: Resource[T]) -> None:
        """Take a resource back; what is not kept here any more is left alone. Raising means that it is still there."""
        await self._release_kept(resource.id)

    async def inventory(self) -> Collection[str] | None:
        """List the ids of the rights whose things this process keeps: they end with it."""
        return set(self._kept)

    async def reclaim(self, right: str) -> None:
        """Take back the thing of a right, if it is there."""
        await self._release_kept(right)

    async def cleanup(self) -> None:
        """Take everything back that this process has; raises an ExceptionGroup of what could not be, all else done."""
        errors = []
        for right in list(self._kept):
            try:
                await self._release_kept(right)
            except Exception as error:  # noqa: BLE001 - the others are to be taken back as well
                errors.append(error)
        if errors:
            message = f"not taken back: {'; '.join(map(str, errors))}"
            raise ExceptionGroup(message, errors)

    async def _release_kept(self, right: str) -> None:
        if right in self._kept:
            await self._take_back(right, self._kept[right])
            self._kept.pop(right, None)


async def make_or_undo(make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Make something in a thread, or leave nothing: for providers whose things take time to make.

    Whoever is cancelled meanwhile waits until it is undone, or was not made; cancelled again, does not wait: the thread
    undoes it all the same, also when the event loop has ended. If ``undo`` fails, that is logged. Raises what ``make``
    raises, which leaves nothing then.
    """
    lock, is_wanted, made = Lock(), True, list[T]()

    def undo_or_log(thing: T) -> None:
        try:
            undo(thing)
        except Exception as error:  # noqa: BLE001 - nobody waits who could be told
            logger.error("Resource not undone", error=error_text(error))  # noqa: TRY400 - told in one line, as others are

    def work() -> None:
        thing = make()
        with lock:
            if is_wanted:
                made.append(thing)
                return
        undo_or_log(thing)

    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(None, copy_context().run, work)
    working.add_done_callback(lambda done: done.cancelled() or done.exception())  # so that asyncio does not complain
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        with lock:
            is_wanted = False
        await asyncio.wait([working if not made else loop.run_in_executor(None, undo_or_log, made[0])])
        raise
    return made[0]


def check_size(size: object) -> int:
    """Accept a size as it is; raises `Malformed`."""
    if type(size) is not int or not 1 <= size <= QUANTITY_MAX:
        raise Malformed("size", size, f"expected a whole number from 1 to {QUANTITY_MAX}")
    return size


def check_one(options: Mapping[str, Any], thing: str) -> int:
    """Tell that a request takes one; raises `Malformed` if its ``size`` is another."""
    size = options.get("size", 1)
    if type(size) is not int or size != 1:
        raise Malformed("size", size, f"expected 1, or none: a request is for one {thing}")
    return size
