"""An allocation that is cancelled, in each of its phases: nothing stays held, nothing stays made."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from holdbook import AllocationState, Expire, Ledger, Limits, UnifiedResourceManager
from support.deciding import events_of
from support.providers import Scripted, failing, hang, is_deciding, until

if TYPE_CHECKING:
    from holdbook import Resource
    from holdbook.infrastructure.telemetry.counters import Counters
    from integration.conftest import Messages


@pytest.fixture
def provider(manager: UnifiedResourceManager) -> Scripted:
    """A provider of slots, of which there are ten."""
    provider = Scripted(Limits(total=10))
    manager.register_provider("slot", provider)
    return provider


def kinds(ledger: Ledger) -> list[str]:
    """Name the events in the log after the pool was opened."""
    return [type(event).__name__ for event in events_of(ledger)][1:]


async def cancelled(task: asyncio.Task[Resource[str]]) -> None:
    """Check that a task ended because it was cancelled."""
    with pytest.raises(asyncio.CancelledError):
        await task


async def busy(ledger: Ledger) -> None:
    """Keep the ledger busy with another command; nobody commits while the caller holds the log's lock."""
    ledger.submit(Expire())
    await until(lambda: is_deciding(ledger))


async def test_while_the_reservation_waits(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, counters: Counters
) -> None:
    """A reservation that waits for its turn is withdrawn: nothing is recorded."""
    with stored_ledger.log.writing():
        await busy(stored_ledger)
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: bool(stored_ledger._group.committer.waiting))  # noqa: SLF001 - nothing public tells
        task.cancel()
        await cancelled(task)
    assert (kinds(stored_ledger), provider.asked) == ([], [])
    assert counters.value("resource_allocations", resource_type="slot", success="false") == 1


async def test_while_the_reservation_is_decided(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A reservation that is being decided is waited for, then voided; the loop goes on meanwhile."""
    with stored_ledger.log.writing():
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: is_deciding(stored_ledger))
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
    await cancelled(task)
    assert (kinds(stored_ledger), provider.asked) == (["Reserved", "Voided"], [])


async def test_while_a_reservation_is_refused(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A reservation that is refused after all has nothing to void."""
    with stored_ledger.log.writing():
        task = asyncio.create_task(manager.allocate("slot", size=11))
        await until(lambda: is_deciding(stored_ledger))
        task.cancel()
    await cancelled(task)
    assert (kinds(stored_ledger), provider.asked) == (["ValidationFailed"], [])


async def test_while_the_provider_works(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """A provider that hangs is cancelled, and the right is voided; the other half of the pool was never blocked."""
    provider.steps["allocate"] = hang
    task = asyncio.create_task(manager.allocate("slot", size=5))
    await until(lambda: provider.asked == ["allocate"])
    right = stored_ledger.allocation(provider.options["allocation_id"])
    assert right.state is AllocationState.RESERVED
    del provider.steps["allocate"]
    await manager.allocate("slot", size=5)
    task.cancel()
    await cancelled(task)
    right = stored_ledger.allocation(right.id)
    assert (right.state, right.reason) == (AllocationState.VOIDED, "CancelledError")
    assert [message["error"] for message in messages.found] == ["CancelledError"]


async def test_a_timeout_around_it(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """A timeout of asyncio's is a cancellation like any other."""
    provider.steps["allocate"] = hang
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await manager.allocate("slot")
    assert kinds(stored_ledger) == ["Reserved", "Voided"]


async def test_while_the_confirmation_waits(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A confirmation that waits for its turn is withdrawn; the resource is taken back and the right voided."""
    with ExitStack() as lock:

        async def take_the_lock() -> None:
            lock.enter_context(stored_ledger.log.writing())
            await busy(stored_ledger)

        provider.steps["allocate"] = take_the_lock
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: bool(provider.live and stored_ledger._group.committer.waiting))  # noqa: SLF001 - nothing public tells
        task.cancel()
        await until(lambda: not provider.live)
    await cancelled(task)
    assert kinds(stored_ledger) == ["Reserved", "Voided"]


async def test_while_the_confirmation_is_decided(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A confirmation that is being decided is waited for; the resource is taken back and the right released."""
    with ExitStack() as lock:

        async def take_the_lock() -> None:
            await until(lambda: not stored_ledger._group.committer.committing)  # noqa: SLF001 - nothing public tells
            lock.enter_context(stored_ledger.log.writing())

        provider.steps["allocate"] = take_the_lock
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: bool(provider.live) and is_deciding(stored_ledger))
        task.cancel()
        await asyncio.sleep(0)
    await cancelled(task)
    assert kinds(stored_ledger) == ["Reserved", "Confirmed", "Released"]
    assert provider.live == set()


async def test_cancelled_twice(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """Who is cancelled again while an allocation is undone stops waiting; it is undone all the same."""
    gate = asyncio.Event()

    async def take_the_lock() -> None:
        await until(lambda: not stored_ledger._group.committer.committing)  # noqa: SLF001 - nothing public tells
        lock.enter_context(stored_ledger.log.writing())

    async def wait() -> None:
        await gate.wait()

    with ExitStack() as lock:
        provider.steps = {"allocate": take_the_lock, "release": wait}
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: bool(provider.live) and is_deciding(stored_ledger))
        task.cancel()
    await until(lambda: "release" in provider.asked)
    task.cancel()
    await cancelled(task)
    assert len(provider.live) == stored_ledger.pool("slot").used == 1
    gate.set()
    await until(lambda: not manager._acquirer.undoing)  # noqa: SLF001 - nobody waits for it any more
    assert (len(provider.live), stored_ledger.pool("slot").used) == (0, 0)


async def test_a_release_that_is_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, counters: Counters
) -> None:
    """A release that is cancelled while the provider works leaves the resource held, to be released again."""
    resource = await manager.allocate("slot")
    provider.steps["release"] = hang
    task = asyncio.create_task(manager.release(resource.id))
    await until(lambda: "release" in provider.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored_ledger.allocation(resource.id).state is AllocationState.ACTIVE
    del provider.steps["release"]
    await manager.release(resource.id)
    assert stored_ledger.allocation(resource.id).state is AllocationState.RELEASED
    assert counters.value("resource_releases", resource_type="slot", success="false") == 1


async def test_a_release_that_is_cancelled_while_it_is_decided(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """Once the provider has it back, the right ends though its holder is cancelled; asking again releases nothing."""
    resource = await manager.allocate("slot")
    await until(lambda: not stored_ledger._group.committer.committing)  # noqa: SLF001 - nothing public tells
    with stored_ledger.log.writing():
        task = asyncio.create_task(manager.release(resource.id))
        await until(lambda: is_deciding(stored_ledger))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await manager.release(resource.id)
    assert kinds(stored_ledger) == ["Reserved", "Confirmed", "Released"]
    assert provider.asked == ["allocate", "release"]


async def test_a_ledger_that_fails_after_the_caller_left(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    messages: Messages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A right that cannot be voided is named in an error message, and lapses by itself."""
    monkeypatch.setattr(manager._rights, "find", failing(OSError("gone")))  # noqa: SLF001 - what undoing asks first
    with stored_ledger.log.writing():
        task = asyncio.create_task(manager.allocate("slot"))
        await until(lambda: is_deciding(stored_ledger))
        task.cancel()
    await cancelled(task)
    [message] = messages.of("Resource allocation not undone")
    assert stored_ledger.allocation(message["allocation_id"]).state is AllocationState.RESERVED
    assert provider.asked == []


def test_the_loop_ends(manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger) -> None:
    """When the loop ends with allocations under way, their rights are voided."""

    async def leave() -> None:
        provider.steps["allocate"] = hang
        tasks = [asyncio.create_task(manager.allocate("slot")) for _ in range(3)]
        await until(lambda: len(provider.asked) == len(tasks))

    asyncio.run(leave())
    assert stored_ledger.pool("slot").used == 0
