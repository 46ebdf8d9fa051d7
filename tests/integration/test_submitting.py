"""Commands submitted from threads and from asyncio: every one is answered, once."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, CommandIdReused, Expire, Ledger, Limits, LogUnavailable, Malformed, Release
from holdbook.domain.handling.outcome import PendingCommand
from holdbook.domain.values import instant
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.commit.committer import Committer
from holdbook.infrastructure.commit.promise import Promise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from holdbook import Outcome


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of a hundred."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
        yield ledger


def allocate(number: int) -> Allocate:
    """Ask for one unit."""
    return Allocate(quantities={"gpu": 1}, owner="a", allocation_id=f"a{number}")


def test_from_many_threads(ledger: Ledger) -> None:
    """Each of many threads gets the outcomes of its own commands, and no more is granted than there is."""

    def submit(thread: int) -> list[tuple[str, Outcome]]:
        commands = [allocate(thread * 10 + number) for number in range(10)]
        futures = [ledger.submit(command) for command in commands]
        return [
            (str(command.allocation_id), future.result(60)) for command, future in zip(commands, futures, strict=True)
        ]

    with ThreadPoolExecutor(16) as threads:
        answers = [answer for some in threads.map(submit, range(16)) for answer in some]
    granted = [(asked, outcome.allocation) for asked, outcome in answers if outcome.refusal is None]
    assert len(answers) == 160
    assert len(granted) == 100
    assert all(allocation is not None and allocation.id == asked for asked, allocation in granted)
    assert len({outcome.position for _, outcome in answers}) == 160


def test_execute_and_submit_mixed(ledger: Ledger) -> None:
    """Callers that wait and callers that do not share one queue and one order."""
    with ThreadPoolExecutor(8) as threads:
        waited = [threads.submit(ledger.execute, allocate(number)) for number in range(40)]
        submitted = [ledger.submit(allocate(number)) for number in range(40, 80)]
        positions = [future.result(60).position for future in (*waited, *submitted)]
    assert sorted(position or 0 for position in positions) == list(range(2, 82))


def test_from_asyncio(ledger: Ledger) -> None:
    """Tasks of asyncio await their commands, grants and refusals alike, while the loop goes on."""

    async def work() -> list[Outcome]:
        return await asyncio.gather(*(asyncio.wrap_future(ledger.submit(allocate(n))) for n in range(120)))

    outcomes = asyncio.run(work())
    assert sum(outcome.refusal is None for outcome in outcomes) == 100


def test_tasks_await_as_it_is(ledger: Ledger) -> None:
    """Tasks await what `submit` gives, before and after it is answered, once or more; refusals and errors as well."""

    async def work() -> list[Outcome]:
        ledger.execute(allocate(0))
        done = ledger.submit(allocate(1))
        done.result(60)
        twice = ledger.submit(allocate(2))
        reused = Allocate(quantities={"gpu": 2}, owner="a", allocation_id="a0")
        with pytest.raises(CommandIdReused):
            await ledger.submit(reused)
        outcomes = [await done, *(await asyncio.gather(_outcome(twice), _outcome(twice)))]
        return outcomes + await asyncio.gather(*(_outcome(ledger.submit(allocate(n))) for n in range(3, 120)))

    outcomes = asyncio.run(work())
    assert outcomes[1] is outcomes[2]
    assert sum(outcome.refusal is None for outcome in outcomes[1:]) == 100 - 1


async def _outcome(promise: Promise) -> Outcome:
    return await promise


def test_a_task_that_is_cancelled(ledger: Ledger) -> None:
    """A command whose task is cancelled while it waits is never decided; once it is being decided, it is."""

    async def work() -> None:
        with ledger.log.writing():  # nobody commits meanwhile
            ahead = asyncio.create_task(_outcome(ledger.submit(allocate(0))))
            while ledger._group.committer.waiting or not ledger._group.committer.committing:  # noqa: ASYNC110, SLF001 - until it is taken
                await asyncio.sleep(0)
            behind = asyncio.create_task(_outcome(ledger.submit(allocate(1))))
            await asyncio.sleep(0)
            ahead.cancel()
            behind.cancel()
            done = await asyncio.gather(ahead, behind, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)
        await ledger.submit(allocate(3))  # by then the answer to the first has come here, where nobody waits for it

    asyncio.run(work())
    ledger.execute(allocate(2))
    assert {one.id for one in ledger.allocations()} == {"a0", "a2", "a3"}


def test_a_loop_that_is_gone(ledger: Ledger) -> None:
    """A command whose event loop was closed is decided all the same, and those of others are answered."""
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as threads, ledger.log.writing():
        task = loop.create_task(_outcome(ledger.submit(allocate(0))))
        loop.run_until_complete(asyncio.sleep(0))
        beside = threads.submit(ledger.execute, allocate(1))
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is meant to be lost
        loop.close()
    assert beside.result(60).refusal is None
    assert {one.id for one in ledger.allocations()} == {"a0", "a1"}


def test_a_waiting_command_can_be_cancelled(ledger: Ledger) -> None:
    """A command whose future is cancelled while it waits is never decided; those around it are."""
    futures: list[Future[Outcome]] = []
    with ThreadPoolExecutor(1) as threads, ledger.log.writing():  # nobody commits while the log's lock is held
        ahead = threads.submit(ledger.execute, allocate(0))
        while ledger._group.committer.waiting or not ledger._group.committer.committing:  # noqa: SLF001 - until that one is being decided
            assert not ahead.done()
        futures += (ledger.submit(allocate(number)) for number in range(1, 4))
        assert futures[1].cancel()
    with pytest.raises(CancelledError):
        futures[1].result(60)
    assert [futures[0].result(60).position, futures[2].result(60).position] == [3, 4]
    assert {one.id for one in ledger.allocations()} == {"a0", "a1", "a3"}


def test_nothing_is_committed_for_those_who_are_gone() -> None:
    """If all that waits was cancelled, no transaction is begun for it."""
    batches: list[int] = []
    taken, go_on = Event(), Event()

    def commit(asked: list[PendingCommand], _more: object) -> list[BaseException]:
        batches.append(len(asked))
        taken.set()
        assert go_on.wait(60)
        return [LogUnavailable()] * len(asked)

    committer, promises = Committer(10), [Promise() for _ in range(4)]
    one = PendingCommand.settle(allocate(0), new_id)
    committer.ask(one, promises[0], commit)
    assert taken.wait(60)
    for promise in promises[1:3]:
        committer.ask(one, promise, commit)
        assert promise.cancel()
    go_on.set()
    with pytest.raises(LogUnavailable):
        promises[0].result(60)
    committer.ask(one, promises[3], commit)
    committer.close()
    assert batches == [1, 1]


def test_a_decided_command_cannot_be_cancelled(ledger: Ledger) -> None:
    """A command that was decided stays decided."""
    future = ledger.submit(allocate(1))
    assert future.result(60).position == 2
    assert not future.cancel()


def test_close_answers_everything(database_url: str) -> None:
    """Closing waits until each command that was submitted has its answer, and what was answered is in the log."""
    ledger = Ledger.open(database_url)
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2000))
    futures = [ledger.submit(allocate(number)) for number in range(1200)]
    ledger.close()
    assert all(future.done() for future in futures)
    with Ledger.open(database_url) as again:
        assert again.pool("gpu").used == 1200


def test_a_closed_ledger_takes_no_commands(database_url: str) -> None:
    """A ledger that was closed says so, whichever way a command comes."""
    ledger = Ledger.open(database_url)
    ledger.close()
    for ask in (ledger.submit, ledger.execute):
        with pytest.raises(LogUnavailable, match="was closed"):
            ask(allocate(1))
    ledger.close()


def test_one_error_is_one_callers(ledger: Ledger) -> None:
    """A command that is an error leaves those that wait beside it alone."""
    ledger.execute(allocate(1))
    with ThreadPoolExecutor(1) as threads, ledger.log.writing():
        ahead = threads.submit(ledger.execute, allocate(0))
        while ledger._group.committer.waiting or not ledger._group.committer.committing:  # noqa: SLF001 - until that one is being decided
            assert not ahead.done()
        reused = Allocate(quantities={"gpu": 2}, owner="a", allocation_id="a1")
        futures = [ledger.submit(command) for command in (allocate(2), reused, Release(allocation_id="a1"))]
    assert futures[0].result(60).position == 4
    with pytest.raises(Exception, match="decided before with other content: quantities"):
        futures[1].result(60)
    assert futures[2].result(60).position == 5


@pytest.mark.parametrize("command", ["allocate", None, {"command": "expire"}])
def test_what_is_no_command(ledger: Ledger, command: Expire) -> None:
    """What is no command object is malformed, at the door."""
    with pytest.raises(Malformed, match="command: expected one of Holdbook's command objects"):
        ledger.submit(command)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", True])
def test_times_that_are_none(ledger: Ledger, seconds: float) -> None:
    """A timeout, or a patience, that is no time is malformed, and nothing is decided."""
    before = ledger.log.rows()
    with pytest.raises(Malformed, match="timeout: expected a number of seconds above 0; got"):
        ledger.execute(allocate(1), timeout=seconds)
    with pytest.raises(Malformed, match="patience: expected a number of seconds above 0; got"):
        Ledger(ledger.log, patience=seconds)
    assert ledger.log.rows() == before


@pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, None])
def test_a_queue_that_is_none(ledger: Ledger, number: int) -> None:
    """A queue is as long as a whole number says, from 1."""
    with pytest.raises(Malformed, match="waiting_max: expected a whole number from 1; got"):
        Ledger(ledger.log, waiting_max=number)


def test_a_live_command_brings_no_time(ledger: Ledger) -> None:
    """A time of its own is for imports: a live command that has one is malformed."""
    with pytest.raises(Malformed, match="a live command takes the ledger's clock"):
        ledger.execute(Expire(at=instant("2026-01-01T00:00:00Z")))
