"""Call providers, which may fail, hang, or return something wrong: limit the time, and describe what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from holdbook.domain.errors import PoolAlreadyOpen, ProviderHung
from holdbook.domain.values import REASON_CHARACTERS_MAX
from holdbook.infrastructure.telemetry.masking import mask_text

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from holdbook.domain.commands import OpenPool
    from holdbook.domain.resources import ResourceProvider

T = TypeVar("T")

GRACE_SECONDS: Final = 1.0
"""How long to wait for a provider that was told to stop, before its call is left behind."""


@dataclass(slots=True, eq=False)
class Registered:
    """A provider that was registered, and the command that opens its pool."""

    provider: ResourceProvider[Any]
    opening: OpenPool
    has_limits: bool
    """False if the provider accepts the pool with whatever limits it has."""
    opened: bool = False
    """True once the pool is known to be open."""
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Locked while the provider is reconciled, so that no allocation begins in the meantime."""

    @contextmanager
    def marking_opened(self) -> Iterator[None]:
        """Mark the pool as open after the block that opens it.

        Raises `PoolAlreadyOpen` if the pool is open with other limits, and the provider has limits of its own.
        """
        try:
            yield
        except PoolAlreadyOpen:
            if self.has_limits:
                raise
        self.opened = True


def class_name(provider: ResourceProvider[Any]) -> str:
    """Give the name of a provider's class, for messages."""
    return type(provider).__name__


def error_text(error: BaseException) -> str:
    """Give an error's text in one line, short enough for a reason in the log, with any password masked."""
    text = mask_text(str(error))
    text = "".join(character if character.isprintable() else " " for character in text).strip()
    return text[:REASON_CHARACTERS_MAX].rstrip() or type(error).__name__


def start_call(call: Awaitable[T]) -> asyncio.Task[T]:
    """Run a call of a provider in a task of its own, so that the caller can stop waiting for it.

    If the provider's method is not asynchronous by mistake, and has returned its answer at once, that is the result.
    """
    answering: Coroutine[Any, Any, T] = call if asyncio.iscoroutine(call) else _as_coroutine(call)
    task = asyncio.create_task(answering)  # a task that is cancelled before it begins closes its own coroutine
    task.add_done_callback(_retrieve_error)
    return task


async def _as_coroutine(call: Awaitable[T]) -> T:
    """Await what can be awaited; give anything else as it is."""
    given: Any = call
    answer: T = await given if isinstance(given, Awaitable) else given
    return answer


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Look at the error of a task, so that asyncio does not log it as never retrieved when nobody waits any more."""
    if not task.cancelled():
        task.exception()


async def stop_call(task: asyncio.Task[Any]) -> bool:
    """Cancel the call of a provider, and wait `GRACE_SECONDS`; tell whether it has ended by then."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=GRACE_SECONDS)
    return bool(done)


async def call_within(seconds: float, provider: ResourceProvider[Any], action: str, call: Awaitable[T]) -> T:
    """Run a call of a provider for at most so many seconds, and give its answer.

    Raises `ProviderHung`, which says what action hung, and whatever the provider raises.
    """
    task = start_call(call)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        await stop_call(task)
        raise ProviderHung(class_name(provider), action, seconds)
    return task.result()
