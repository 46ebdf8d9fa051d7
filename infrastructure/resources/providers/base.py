"""What the providers share: keeping things by their rights, making or undoing them in threads, checking sizes."""

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
    """A provider that keeps the things of this process by the ids of their rights, which are the resources' ids too.

    A resource's data has the type T, the thing that is kept for it the type K.
    """

    def __init__(self) -> None:
        self._kept: dict[str, K] = {}

    @abstractmethod
    async def _take_back(self, right: str, thing: K) -> None:
        """Take back a thing, which may be gone already. Raise an error only if it is still there."""

    def _keep(self, metadata: ResourceMetadata, options: Mapping[str, Any], thing: K, data: T) -> Resource[T]:
        """Keep a thing that was made, and return its resource, under the right in the options or a new id."""
        right = options.get("allocation_id") or new_id()
        self._kept[right] = thing
        return Resource(id=right, data=data, metadata=metadata, state="allocated", error=None)

    def _thing(self, resource: Resource[T]) -> K:
        """Find the thing of a resource; raises ValueError if none is kept here."""
        try:
            return self._kept[resource.id]
        except KeyError:
            message = f"Resource not allocated here: {resource.id}"
            raise ValueError(message) from None

    async def release(self, resource: Resource[T]) -> None:
        """Take a resource back, if its thing is kept here; if that raises an error, the thing is still there."""
        await self._release_kept(resource.id)

    async def inventory(self) -> Collection[str] | None:
        """List the ids of the rights whose things this process keeps; things of other processes ended with these."""
        return set(self._kept)

    async def reclaim(self, right: str) -> None:
        """Take back the thing of a right, if it is kept here."""
        await self._release_kept(right)

    async def cleanup(self) -> None:
        """Take back all that this process keeps; raises the failures, if any, as an ExceptionGroup at the end."""
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
        """Take back the thing of a right if it is kept here, and keep it no longer if that succeeds."""
        if right in self._kept:
            await self._take_back(right, self._kept[right])
            self._kept.pop(right, None)


async def make_or_undo(make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Make a thing in a thread and return it; if the task is cancelled meanwhile, undo what was made.

    For providers whose things take time to make. ``make`` returns the thing, or raises an error and leaves nothing;
    that error is raised. ``undo`` takes the thing; if it fails, that is logged. A task that is cancelled waits until
    the thing is undone. Cancelled again, it stops waiting; the thread undoes the thing all the same, even if the event
    loop has ended by then.
    """
    lock, is_wanted, made = Lock(), True, list[T]()

    def undo_or_log(thing: T) -> None:
        try:
            undo(thing)
        except Exception as error:  # noqa: BLE001 - the task that could be told was cancelled
            logger.error("Resource not undone", error=error_text(error))  # noqa: TRY400 - errors of providers are logged in one line

    def work() -> None:
        thing = make()
        with lock:
            if is_wanted:
                made.append(thing)
                return
        undo_or_log(thing)

    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(None, copy_context().run, work)
    working.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio may log the error
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        with lock:
            is_wanted = False
        await asyncio.wait([working if not made else loop.run_in_executor(None, undo_or_log, made[0])])
        raise
    return made[0]


def check_size(size: object) -> int:
    """Accept a whole number from 1 to `QUANTITY_MAX`; raises `Malformed`."""
    if type(size) is not int or not 1 <= size <= QUANTITY_MAX:
        raise Malformed("size", size, f"expected a whole number from 1 to {QUANTITY_MAX}")
    return size


def check_one(options: Mapping[str, Any], thing: str) -> int:
    """Return 1, the only ``size`` that a request for this kind of thing may have; raises `Malformed` for another."""
    size = options.get("size", 1)
    if type(size) is not int or size != 1:
        raise Malformed("size", size, f"expected 1, or none: a request is for one {thing}")
    return size
