"""The manager and providers that hang, lie, or fail at cleanup: a clear error, and nothing leaks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import (
    AllocationState,
    Ledger,
    Limits,
    ProviderFault,
    ProviderHung,
    Resource,
    ResourceMetadata,
    UnifiedResourceManager,
)
from support.deciding import events_of, kinds_of
from support.in_memory import stored_ledger
from support.providers import Scripted, failing, hang, until

if TYPE_CHECKING:
    from integration.conftest import Messages
    from support.deciding import Clock

__all__ = ["stored_ledger"]
"""A fixture."""

SHORT = timedelta(milliseconds=40)


@pytest.fixture
def manager(stored_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> UnifiedResourceManager:
    """A manager that gives providers little time."""
    monkeypatch.setattr("holdbook.infrastructure.resources.provider_calls.GRACE_SECONDS", 0.01)
    return UnifiedResourceManager(stored_ledger, reservation_ttl=SHORT)


class Liar(Scripted):
    """Gives what it is told to give; what it makes on the way is there all the same."""

    def __init__(self, gives: object) -> None:
        super().__init__(Limits(total=10))
        self.gives = gives
        self.things = set()

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Resource[str]:  # noqa: ANN401 - the port's
        """Make a name, and give something else."""
        made = await super().allocate(resource_type, metadata, **options)
        given: Any = self.gives(made) if callable(self.gives) else self.gives
        return given  # type: ignore[no-any-return]  # that is the point


# Hanging


async def test_a_provider_that_hangs(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """It is told to stop when the reservation's time is nearly over; the right is voided, and the log says why."""
    provider.steps["allocate"] = hang
    with pytest.raises(ProviderHung, match=r"provider Scripted did not make a 'slot' within 0\.04 s") as raised:
        await manager.allocate("slot")
    assert isinstance(raised.value, TimeoutError)
    assert (raised.value.provider, raised.value.what, raised.value.seconds) == ("Scripted", "make a 'slot'", 0.04)
    right = stored_ledger.allocation(provider.options["allocation_id"])
    assert (right.state, right.reason) == (AllocationState.VOIDED, str(raised.value))


def deaf(gate: asyncio.Event, then: BaseException | None = None) -> Any:  # noqa: ANN401 - a step
    """Make a step that does not stop when it is told to, and then fails or not."""

    async def step() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        if then is not None:
            raise then

    return step


async def test_a_provider_that_hangs_and_does_not_stop(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """It is left behind with the reservation, which lapses; what it makes is taken back when it comes at last."""
    gate = asyncio.Event()
    provider.steps["allocate"] = deaf(gate)
    with pytest.raises(ProviderHung):
        await manager.allocate("slot")
    right = provider.options["allocation_id"]
    assert stored_ledger.allocation(right).state is AllocationState.RESERVED
    [message] = messages.of("Provider does not stop")
    assert (message["provider"], message["resource_type"], message["allocation_id"]) == ("Scripted", "slot", right)
    gate.set()
    await until(lambda: not stored_ledger.allocation(right).state.is_open)
    assert (provider.live, provider.asked) == (set(), ["allocate", "release"])
    assert kinds_of(stored_ledger)[1:] == ["Reserved", "Voided"]


async def test_a_provider_that_fails_at_last(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """One that was left behind and then fails has made nothing."""
    gate = asyncio.Event()
    provider.steps["allocate"] = deaf(gate, OSError("no device"))
    with pytest.raises(ProviderHung):
        await manager.allocate("slot")
    gate.set()
    right = provider.options["allocation_id"]
    await until(lambda: not stored_ledger.allocation(right).state.is_open)
    assert provider.asked == ["allocate"]


async def test_a_provider_that_makes_it_though_it_is_stopped(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """A resource that comes in answer to a cancellation is taken back."""

    async def shrug() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            return

    provider.steps["allocate"] = shrug
    with pytest.raises(ProviderHung):
        await manager.allocate("slot")
    assert (provider.live, provider.asked) == (set(), ["allocate", "release"])
    assert stored_ledger.pool("slot").used == 0


async def test_a_provider_that_hangs_on_the_way_back(
    manager: UnifiedResourceManager, stored_ledger: Ledger, messages: Messages
) -> None:
    """A release that hangs while an allocation is undone is told to stop; the resource stays held, and says why."""
    provider = Liar(lambda made: Resource("", made.data, made.metadata, "allocated", None))
    manager.register_provider("slot", provider)
    provider.steps["release"] = hang
    with pytest.raises(ProviderFault):
        await manager.allocate("slot")
    [message] = messages.of("Resource allocation not undone")
    assert "provider Liar did not release a resource within 0.04 s" in message["error"]
    assert stored_ledger.pool("slot").used == len(provider.live) == 1
    await manager.cleanup()
    assert (stored_ledger.pool("slot").used, provider.live) == (0, set())


async def test_an_undoing_that_is_cancelled(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """When the loop ends while an allocation is undone, what was made stays held: reconciling will find it."""
    provider.names = [""]
    provider.steps["release"] = hang
    task = asyncio.create_task(manager.allocate("slot"))
    await until(lambda: "release" in provider.asked)
    [undoing] = manager._acquirer.undoing  # noqa: SLF001 - what the end of a loop cancels
    undoing.cancel()
    with pytest.raises(ProviderFault):
        await task
    assert stored_ledger.pool("slot").used == len(provider.live) == 1


async def test_an_expired_resource_whose_release_hangs(
    manager: UnifiedResourceManager,
    provider: Scripted,
    stored_ledger: Ledger,
    fixed_clock: Clock,
    messages: Messages,
) -> None:
    """An allocation waits for it for half of its reservation's time at most; the next one tries again."""
    expired = [await manager.allocate("slot", ttl=SHORT) for _ in range(2)]
    fixed_clock.set(1)
    provider.steps["release"] = hang
    resource = await manager.allocate("slot")
    assert (len(messages.of("Expired resource not released")), len(provider.live)) == (2, 3)
    del provider.steps["release"]
    await manager.allocate("slot")
    assert {one.state for one in expired} == {"expired"}
    assert resource.id in provider.live
    assert stored_ledger.pool("slot").used == len(provider.live) == 2


# Lying


@pytest.mark.parametrize("gives", [None, "a thing", 7])
async def test_something_that_is_no_resource(
    manager: UnifiedResourceManager, stored_ledger: Ledger, gives: object
) -> None:
    """It is an error that names the provider; the thing is reclaimed by its right, which is voided."""
    provider = Liar(gives)
    manager.register_provider("slot", provider)
    with pytest.raises(ProviderFault, match=r"provider Liar: allocate gave .*; expected a Resource") as raised:
        await manager.allocate("slot")
    right = stored_ledger.allocation(provider.options["allocation_id"])
    assert provider.asked == ["allocate", "inventory", f"reclaim {right.id}"]
    assert (provider.things, right.state, right.reason) == (set(), AllocationState.VOIDED, str(raised.value))


@pytest.mark.parametrize("name", ["", None, 7])
async def test_an_id_that_is_none(manager: UnifiedResourceManager, stored_ledger: Ledger, name: Any) -> None:  # noqa: ANN401 - whatever a provider gives
    """A resource whose id is no name is an error; the provider takes it back, and whether it did is looked at."""
    provider = Liar(lambda made: Resource(name, made.data, made.metadata, "allocated", None))
    manager.register_provider("slot", provider)

    async def drop() -> None:
        provider.live.add(name)

    provider.steps["release"] = drop
    with pytest.raises(ProviderFault, match=r"provider Liar: Resource id .*; expected a text that is not empty"):
        await manager.allocate("slot")
    right = provider.options["allocation_id"]
    assert provider.asked == ["allocate", "release", "inventory", f"reclaim {right}"]
    assert (stored_ledger.pool("slot").used, provider.things) == (0, set())


async def test_an_id_that_is_repeated(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """A second resource of one id is reclaimed by its right if it is really there; the first is left alone."""
    provider = Liar(lambda made: Resource("x", made.data, made.metadata, "allocated", None))
    manager.register_provider("slot", provider)
    one = await manager.allocate("slot")
    first = provider.options["allocation_id"]
    with pytest.raises(ProviderFault, match="provider Liar: Resource id taken: x"):
        await manager.allocate("slot")
    assert (provider.things, stored_ledger.pool("slot").used, one.state) == ({first}, 1, "allocated")


async def test_a_lie_that_nothing_is_behind(manager: UnifiedResourceManager, stored_ledger: Ledger) -> None:
    """If the provider has nothing for the right, there is nothing to reclaim."""
    provider = Liar(None)
    manager.register_provider("slot", provider)

    async def lose() -> None:
        provider.things = set()

    provider.steps["inventory"] = lose
    with pytest.raises(ProviderFault):
        await manager.allocate("slot")
    assert provider.asked == ["allocate", "inventory"]
    assert stored_ledger.pool("slot").used == 0


async def test_a_lie_that_comes_late(
    manager: UnifiedResourceManager, stored_ledger: Ledger, messages: Messages
) -> None:
    """What a provider that was left behind gives at last is looked at like any other."""
    gate, provider = asyncio.Event(), Liar(None)
    manager.register_provider("slot", provider)
    provider.steps["allocate"] = deaf(gate)
    with pytest.raises(ProviderHung):
        await manager.allocate("slot")
    gate.set()
    await until(lambda: stored_ledger.pool("slot").used == 0)
    assert provider.things == set()
    assert len(messages.of("Provider at fault")) == 1


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_a_provider_that_is_not_asynchronous(
    manager: UnifiedResourceManager, stored_ledger: Ledger, *, is_awaited: bool
) -> None:
    """A resource that is given at once, or by a future, is taken as it is; so nothing that was made is lost."""
    provider: Any = Scripted(Limits(total=10))
    made: asyncio.Future[Resource[str]] = asyncio.get_running_loop().create_future()

    def allocate(resource_type: str, metadata: ResourceMetadata, **options: Any) -> object:  # noqa: ANN401 - the port's
        resource = Resource(options["allocation_id"], resource_type, metadata, "allocated", None)
        provider.live.add(resource.id)
        made.set_result(resource)
        return made if is_awaited else resource

    provider.allocate = allocate
    manager.register_provider("slot", provider)
    resource = await manager.allocate("slot")
    assert stored_ledger.allocation(resource.id).state is AllocationState.ACTIVE
    await manager.release(resource.id)
    assert (provider.live, stored_ledger.pool("slot").used) == (set(), 0)


# Secrets


async def test_a_password_in_an_error(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """The log and the messages get the error's text without the password of an address that stands in it."""
    address = "cannot reach postgresql://ann:s3@cret@db/x (host=db password=s3@cret)"
    provider.steps["allocate"] = failing(OSError(address))
    with pytest.raises(OSError, match="s3@cret"):
        await manager.allocate("slot")
    [voided] = events_of(stored_ledger)[2:]
    assert "cret" not in voided.model_dump_json() + str(messages.found)
    assert stored_ledger.allocation(voided.subject or "").reason == (
        "cannot reach postgresql://ann:***@db/x (host=db password=***)"
    )


async def test_an_error_that_says_nothing(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """An error without a text is known by its name; a long one is cut to what a reason may be."""
    for error, reason in ((OSError(), "OSError"), (OSError("x" * 2000), "x" * 1000)):
        provider.steps["allocate"] = failing(error)
        with pytest.raises(OSError, match=r"^x*$"):
            await manager.allocate("slot")
        assert stored_ledger.allocation(provider.options["allocation_id"]).reason == reason


# Cleanup


async def test_cleanup_reports_every_failure(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """Each resource that is left is logged with its provider and its right, says so itself, and all are counted."""
    other = Scripted(Limits(total=5))
    manager.register_provider("other", other)
    left = [await manager.allocate("slot"), await manager.allocate("slot")]
    gone = await manager.allocate("other")
    provider.steps["cleanup"] = failing(OSError("busy"))
    await manager.cleanup()
    found = [(one["provider"], one["resource_id"], one["allocation_id"], one["error"]) for one in messages.found[:2]]
    assert found == [("Scripted", one.id, one.id, "busy") for one in left]
    assert ([one.error for one in left], gone.error, gone.state) == (["busy", "busy"], None, "released")
    assert [one["left"] for one in messages.of("Resources left after cleanup")] == [2]
    assert stored_ledger.pool("slot").used == 2


async def test_cleanup_of_a_provider_that_fails_half_way(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger, messages: Messages
) -> None:
    """If the provider can tell what it has left, the rights to the rest are ended."""
    provider.things = set()
    kept, gone = await manager.allocate("slot"), await manager.allocate("slot")

    async def half() -> None:
        provider.things = {kept.id}
        raise OSError("busy")

    provider.steps["cleanup"] = half
    await manager.cleanup()
    assert (kept.state, kept.error, gone.state, gone.error) == ("allocated", "busy", "released", None)
    assert [one.id for one in stored_ledger.allocations()] == [kept.id]
    assert len(messages.of("Provider cleanup failed")) == 1


async def test_cleanup_of_a_provider_that_fails_throughout(
    manager: UnifiedResourceManager, provider: Scripted, messages: Messages
) -> None:
    """If it cannot tell what it has either, all of it stays held; with nothing held, the failure is logged once."""
    provider.steps = {"cleanup": failing(OSError("busy")), "inventory": failing(OSError("gone"))}
    await manager.cleanup()
    assert [one["error"] for one in messages.found] == ["busy"]
    resource = await manager.allocate("slot")
    await manager.cleanup()
    assert (resource.state, resource.error) == ("allocated", "busy")


async def test_cleanup_of_a_provider_that_hangs(
    manager: UnifiedResourceManager, provider: Scripted, stored_ledger: Ledger
) -> None:
    """The others are cleaned up meanwhile."""
    other = Scripted(Limits(total=5))
    manager.register_provider("other", other)
    held, gone = await manager.allocate("slot"), await manager.allocate("other")
    provider.steps["cleanup"] = hang
    task = asyncio.create_task(manager.cleanup())
    await until(lambda: gone.state == "released")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.id for one in stored_ledger.allocations()] == [held.id]
