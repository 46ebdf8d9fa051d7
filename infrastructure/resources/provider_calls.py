"""Asking providers, which may fail, hang and lie: how long a call may take, and what is said when it goes wrong."""

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
"""How long a provider that was told to stop is waited for, before whoever asked goes on without it."""


@dataclass(slots=True, eq=False)
class Registered:
    """A provider, and the command that opens its pool."""

    provider: ResourceProvider[Any]
    opening: OpenPool
    has_limits: bool
    """False if any pool of that name will do."""
    opened: bool = False
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while what the provider has is reconciled; an allocation begins before that, or after it."""

    @contextmanager
    def marking_opened(self) -> Iterator[None]:
        """Take note that the pool is open; raises `PoolAlreadyOpen` if it is, and is not one that will do."""
        try:
            yield
        except PoolAlreadyOpen:
            if self.has_limits:
                raise
        self.opened = True


def class_name(provider: ResourceProvider[Any]) -> str:
    """Name a provider, for a message."""
    return type(provider).__name__


def error_text(error: BaseException) -> str:
    """Say an error in one line, as the log takes it for a reason, and without a password that stands in it."""
    text = mask_text(str(error))
    text = "".join(character if character.isprintable() else " " for character in text).strip()
    return text[:REASON_CHARACTERS_MAX].rstrip() or type(error).__name__


def start_call(call: Awaitable[T]) -> asyncio.Task[T]:
    """Ask a provider in a task of its own, which whoever asks can leave behind.

    What it gives at once, as its method is not asynchronous, is its answer too: then there is nothing to wait for.
    """
    answering: Coroutine[Any, Any, T] = call if asyncio.iscoroutine(call) else _as_coroutine(call)
    task = asyncio.create_task(answering)  # a coroutine as it is: cancelled before it begins, it is closed
    task.add_done_callback(_retrieve_error)
    return task


async def _as_coroutine(call: Awaitable[T]) -> T:
    given: Any = call
    answer: T = await given if isinstance(given, Awaitable) else given
    return answer


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Look at how it ended, so that asyncio does not complain when nobody waits any more."""
    if not task.cancelled():
        task.exception()


async def stop_call(task: asyncio.Task[Any]) -> bool:
    """Tell a provider to stop, and wait a little; False if it goes on all the same."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=GRACE_SECONDS)
    return bool(done)


async def call_within(seconds: float, provider: ResourceProvider[Any], action: str, call: Awaitable[T]) -> T:
    """Ask a provider for something that may take so long at most; raises `ProviderHung`, and what it raises."""
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
