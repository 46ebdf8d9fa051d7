"""`make_or_undo` makes a thing in a thread, or leaves nothing of it."""

import asyncio
from contextlib import suppress
from threading import Event

import pytest

from holdbook.infrastructure.resources.providers.base import make_or_undo


class Workshop:
    """Makes one thing, as soon as the test lets it."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.unmade = Event(), Event(), Event()
        self.things: list[str] = []

    def make(self) -> str:
        """Make the thing, once the test lets it."""
        self.begun.set()
        self.may_end.wait()
        self.things.append("thing")
        return "thing"

    def unmake(self, thing: str) -> None:
        """Undo the thing."""
        self.things.remove(thing)
        self.unmade.set()

    async def begin(self) -> asyncio.Task[str]:
        """Start a task that makes the thing, and wait until its thread runs."""
        making = asyncio.create_task(make_or_undo(self.make, self.unmake))
        await asyncio.to_thread(self.begun.wait)
        return making


async def turns() -> None:
    """Let the loop turn a few times."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_thing_is_made() -> None:
    """What was made is returned."""
    workshop = Workshop()
    workshop.may_end.set()
    assert await make_or_undo(workshop.make, workshop.unmake) == "thing"
    assert workshop.things == ["thing"]


async def test_whoever_is_cancelled_waits_until_it_is_unmade() -> None:
    """A task that is cancelled ends after the thing was undone, not before."""
    workshop = Workshop()
    making = await workshop.begin()
    making.cancel()
    await turns()
    assert not making.done()
    workshop.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert (workshop.things, workshop.unmade.is_set()) == ([], True)


async def test_whoever_is_cancelled_twice_does_not_wait() -> None:
    """A task that is cancelled twice ends at once, and the thing is undone as soon as it is made."""
    workshop = Workshop()
    making = await workshop.begin()
    making.cancel()
    await turns()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    workshop.may_end.set()
    assert await asyncio.to_thread(workshop.unmade.wait, 60)
    assert workshop.things == []


async def test_cancelled_when_it_was_just_made() -> None:
    """A task that is cancelled after the thing was made, but before it is returned, leaves nothing either."""
    workshop = Workshop()
    making = await workshop.begin()
    workshop.may_end.set()
    while not workshop.things:
        pass  # and the loop does not turn: it would hear that the thread has ended
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert workshop.things == []


async def test_what_fails_fails() -> None:
    """An error of `make` is raised, and nothing is undone."""

    def fail() -> str:
        message = "no such device"
        raise OSError(message)

    with pytest.raises(OSError, match="no such device"):
        await make_or_undo(fail, fail_to_unmake)


async def test_what_fails_after_it_was_cancelled() -> None:
    """An error of `make` after the task was cancelled is neither raised nor logged by the event loop."""
    begun, may_end = Event(), Event()

    def fail() -> str:
        begun.set()
        may_end.wait()
        message = "no such device"
        raise OSError(message)

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    making = asyncio.create_task(make_or_undo(fail, fail_to_unmake))
    await asyncio.to_thread(begun.wait)
    making.cancel()
    await turns()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert complaints == []


def test_the_loop_ends_meanwhile() -> None:
    """A thing that is made after the event loop has ended is undone all the same."""
    workshop = Workshop()

    async def main() -> None:
        making = await workshop.begin()
        for _ in range(2):
            making.cancel()
            await turns()
        with suppress(asyncio.CancelledError):
            await making
        asyncio.get_running_loop().call_soon(workshop.may_end.set)

    asyncio.run(main())
    assert workshop.unmade.wait(60)
    assert workshop.things == []


def fail_to_unmake(thing: str) -> None:
    """Never called."""
    raise AssertionError(thing)
