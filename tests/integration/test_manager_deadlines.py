"""The manager takes back what has expired when it expires, though nobody asks it for anything."""

from __future__ import annotations

import asyncio
import gc
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import AllocationState, Ledger, Limits, UnifiedResourceManager
from holdbook.infrastructure.resources import deadlines as deadline_watch
from support.providers import Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Resource
    from holdbook.infrastructure.telemetry.counters import Counters

SHORTLY = timedelta(milliseconds=50)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger whose clock is the system's."""
    with Ledger.in_memory() as ledger:
        yield ledger


@pytest.fixture
def manager(ledger: Ledger, counters: Counters) -> UnifiedResourceManager:
    """A manager over it."""
    return UnifiedResourceManager(ledger, counters=counters)


class Telling(Scripted):
    """A provider that tells when something was taken back."""

    def __init__(self, manager: UnifiedResourceManager) -> None:
        super().__init__(Limits(total=10))
        self.taken: asyncio.Queue[str] = asyncio.Queue()
        manager.register_provider("slot", self)

    async def release(self, resource: Resource[str]) -> None:
        """Take it back, and tell."""
        await super().release(resource)
        self.taken.put_nowait(resource.id)


async def test_on_time(manager: UnifiedResourceManager, ledger: Ledger) -> None:
    """What expires is taken back at its deadline, the earlier first, and what does not expire stays."""
    provider = Telling(manager)
    staying = await manager.allocate("slot")
    later = await manager.allocate("slot", ttl=4 * SHORTLY)
    sooner = await manager.allocate("slot", ttl=SHORTLY)
    assert [await provider.taken.get(), await provider.taken.get()] == [sooner.id, later.id]
    await asyncio.sleep(0)  # the watch notes it
    assert (sooner.state, later.state, staying.state) == ("expired", "expired", "allocated")
    assert ledger.allocation(later.id).state is AllocationState.EXPIRED
    assert provider.live == {staying.id}


async def test_not_before_a_renewed_deadline(manager: UnifiedResourceManager, ledger: Ledger) -> None:
    """What was renewed is left alone at the deadline that it had, and taken back at the one that it has."""
    provider = Telling(manager)
    renewed = await manager.allocate("slot", ttl=2 * SHORTLY)
    deadline = ledger.renew(renewed.id, ttl=6 * SHORTLY).deadline
    await provider.taken.get()
    assert deadline is not None
    assert ledger.now() >= deadline


async def test_again_after_a_failure(manager: UnifiedResourceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that fails is asked again after a while."""
    monkeypatch.setattr(deadline_watch, "RETRY_SECONDS", 0.01)  # so that the test need not wait for a second
    provider = Telling(manager)
    failed = asyncio.Event()

    async def fail_once(*_: object) -> None:
        del provider.steps["release"]
        failed.set()
        raise OSError("busy")

    provider.steps["release"] = fail_once
    expired = await manager.allocate("slot", ttl=SHORTLY)
    assert await provider.taken.get() == expired.id
    assert failed.is_set()


def test_a_watch_keeps_nobody(ledger: Ledger, counters: Counters) -> None:
    """A manager that nobody has any more is gone, though a deadline of its was to come; the timer does nothing."""

    async def leave_behind() -> weakref.ref[UnifiedResourceManager]:
        manager = UnifiedResourceManager(ledger, counters=counters)
        provider = Telling(manager)
        await manager.allocate("slot", ttl=SHORTLY)
        kept = weakref.ref(manager)
        del manager
        gc.collect()
        await asyncio.sleep(2 * SHORTLY.total_seconds())  # until after the deadline: there is nothing to wait for
        assert len(provider.live) == 1
        return kept

    assert asyncio.run(leave_behind())() is None


def test_another_loop(manager: UnifiedResourceManager) -> None:
    """A timer in a loop that has ended is not relied on."""
    provider = Telling(manager)
    asyncio.run(manager.allocate("slot", ttl=2 * SHORTLY))

    async def go_on() -> None:
        await manager.allocate("slot", ttl=SHORTLY)
        await provider.taken.get()
        await provider.taken.get()

    asyncio.run(go_on())
    assert provider.live == set()
