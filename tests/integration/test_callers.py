"""Callers that go away: interrupted, forked, cancelled, their loop or the ledger closed under them. Others go on."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, LogUnavailable
from holdbook.infrastructure.commit.promise import BlockingCaller
from support.logs import raw_rows
from support.outcomes import (
    DEADLINE_SECONDS,
    answers,
    by_command,
    check_promises,
    check_told,
    count,
    submit_all,
)
from support.processes import forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from holdbook import Outcome

FORKED_USES: dict[str, Callable[[Ledger], object]] = {
    "execute": lambda ledger: ledger.execute(allocate(-1)),
    "submit": lambda ledger: ledger.submit(allocate(-1)).result(DEADLINE_SECONDS),
    "record": lambda ledger: ledger.record([allocate(-1)]),
    "check": lambda ledger: ledger.check(allocate(-1)),
    "pool": lambda ledger: ledger.pool("gpu"),
    "history": lambda ledger: ledger.history("a1"),
    "allocations": lambda ledger: ledger.allocations(),
}


@pytest.fixture
def other(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of a hundred, to hold the log's lock with: nobody commits meanwhile."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
        yield ledger


@pytest.fixture
def ledger(other: Ledger, database_url: str) -> Iterator[Ledger]:
    """The ledger under test, on the same database."""
    assert other.pool("gpu").used == 0
    with Ledger.open(database_url) as ledger:
        yield ledger


def allocate(number: int, command_id: str | None = None) -> Allocate:
    """Ask for one unit."""
    return Allocate(quantities={"gpu": 1}, owner="a", allocation_id=f"a{number}", command_id=command_id)


# Interrupts


def interrupt_when(is_time: Callable[[], bool]) -> None:
    """Press Ctrl-C, as soon as it is time."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not is_time():
        assert time.monotonic() < end
        time.sleep(0.001)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let the process hear its interrupts, also where whoever started the tests has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def main_thread_waits() -> bool:
    """Tell whether the main thread waits for its command to be answered."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]  # noqa: SLF001 - documented, name or not
    return frame.f_code is BlockingCaller.wait.__code__


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("command_id", [None, "mine"])
def test_an_interrupt(ledger: Ledger, other: Ledger, database_url: str, command_id: str | None) -> None:
    """Ctrl-C ends a caller's waiting; its command and those that wait beside it are decided as if nothing had been."""
    assert threading.current_thread() is threading.main_thread(), "only there interrupts arrive"
    command = allocate(0, command_id)
    with ThreadPoolExecutor(8) as threads, other.log.writing():
        beside = [threads.submit(ledger.execute, allocate(number)) for number in range(1, 8)]
        interrupting = threads.submit(interrupt_when, main_thread_waits)
        with pytest.raises(KeyboardInterrupt):
            ledger.execute(command)
        interrupting.result(DEADLINE_SECONDS)
        assert not any(one.done() for one in beside)
        behind = ledger.submit(allocate(8))
    outcomes = answers([*beside, behind])  # the one behind was answered: so was the one before it
    check_told(database_url, outcomes)
    assert {one.id for one in ledger.allocations()} == {f"a{number}" for number in range(9)}
    repeated = ledger.execute(command)
    assert (repeated.repeated, count(database_url, repeated.command_id)) == (True, 1)
    check_promises(ledger)


@pytest.mark.untraced  # interrupted within coverage's tracer, threads have been seen to hang
@pytest.mark.usefixtures("interruptible")
def test_interrupts_at_any_moment(ledger: Ledger, database_url: str) -> None:
    """Ctrl-C at whatever moment of a commit leaves a ledger that works, and no command half done or done twice."""
    interrupted = 0
    with ThreadPoolExecutor(4) as threads:
        for number in range(20):
            begun = threading.Event()
            interrupting = threads.submit(interrupt_when, begun.is_set)
            beside = threads.submit(ledger.execute, allocate(1000 + number))
            try:
                try:
                    begun.set()
                    ledger.execute(allocate(number))
                finally:
                    interrupting.result(DEADLINE_SECONDS)
            except KeyboardInterrupt:
                interrupted += 1
            assert answers([beside])[0].refusal is None
            assert ledger.execute(allocate(number)).refusal is None
    assert interrupted
    assert ledger.pool("gpu").used == 40
    assert len(by_command(database_url)) == 41
    check_promises(ledger)


# Forks


def test_a_fork(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """A forked child is told to open a ledger of its own, whatever it tries; its parent goes on undisturbed."""
    ledger.execute(allocate(0))
    with other.log.writing():
        waiting = submit_all(ledger, [allocate(number) for number in range(1, 5)])
        told = forked(lambda: {name: str(_error(use, ledger)) for name, use in FORKED_USES.items()})
        assert not any(future.done() for future in waiting)
    assert set(told) == set(FORKED_USES)
    for name, message in told.items():
        assert message.startswith("LogUnavailable: "), name
        assert "open" in message, name
    outcomes = answers([*waiting, ledger.submit(allocate(5))])
    assert not any(outcome.repeated for outcome in outcomes)
    check_told(database_url, outcomes)
    assert len(raw_rows(database_url)) == 7
    check_promises(ledger)


def _error(use: Callable[[Ledger], object], ledger: Ledger) -> str:
    try:
        return f"no error: {use(ledger)}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return f"{type(error).__name__}: {error}"


def test_a_child_that_closes(ledger: Ledger, database_url: str) -> None:
    """A forked child that closes its parent's ledger, and opens its own, takes nothing from its parent."""
    before = answers([ledger.submit(allocate(0))])

    def work() -> int | None:
        with suppress(LogUnavailable):
            ledger.close()
        with Ledger.open(database_url) as own:
            return own.execute(allocate(1)).position

    assert forked(work) == 3
    after = answers(submit_all(ledger, [allocate(number) for number in range(2, 6)]))
    assert sorted(outcome.position or 0 for outcome in after) == [4, 5, 6, 7]
    check_told(database_url, before + after)
    assert ledger.pool("gpu").used == 6


# Closing


def test_close_while_callers_wait(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """Closing answers or fails every caller that waits; what it answered is in the log, and nothing comes later."""
    with ThreadPoolExecutor(9) as threads:
        with other.log.writing():
            futures = submit_all(ledger, [allocate(number) for number in range(8)])
            futures += [threads.submit(ledger.execute, allocate(number)) for number in range(8, 16)]
            closing = threads.submit(ledger.close)
        closing.result(DEADLINE_SECONDS)
        done = [future.exception(DEADLINE_SECONDS) for future in futures]
    assert all(isinstance(error, LogUnavailable | None) for error in done), done
    assert not any(done[:8]), "these had been taken before the ledger was closed"
    outcomes = [future.result() for future, error in zip(futures, done, strict=True) if error is None]
    check_told(database_url, outcomes)
    assert len(raw_rows(database_url)) == 1 + len(outcomes)
    assert other.pool("gpu").used == len(outcomes)


def test_close_by_several(ledger: Ledger, other: Ledger) -> None:
    """Several threads may close a ledger at once; all of them return, and each caller has its answer by then."""
    with ThreadPoolExecutor(4) as threads:
        with other.log.writing():
            futures = submit_all(ledger, [allocate(number) for number in range(8)])
            closing = [threads.submit(ledger.close) for _ in range(4)]
        for one in closing:
            one.result(DEADLINE_SECONDS)
    assert all(future.done() for future in futures)
    assert other.pool("gpu").used == 8


# asyncio


async def settled(future: Future[Outcome]) -> Outcome:
    """Await a command."""
    return await asyncio.wrap_future(future)


def test_a_cancelled_task(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """A task that is cancelled while it awaits its command takes nothing from the tasks around it."""

    async def work() -> list[Outcome | BaseException]:
        with other.log.writing():
            tasks = [asyncio.create_task(settled(ledger.submit(allocate(number)))) for number in range(10)]
            await asyncio.sleep(0)  # every task has begun to await
            for task in tasks[::2]:
                task.cancel()
            gone = await asyncio.gather(*tasks[::2], return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in gone)
        return await asyncio.wait_for(asyncio.gather(*tasks[1::2], return_exceptions=True), DEADLINE_SECONDS)

    outcomes = answers_of(asyncio.run(work()))
    assert len(outcomes) == 5
    check_told(database_url, outcomes)
    held = {one.id for one in ledger.allocations()}
    assert held >= {f"a{number}" for number in range(1, 10, 2)}
    for number in range(10):
        assert ledger.execute(allocate(number)).repeated is (f"a{number}" in held)
    assert ledger.pool("gpu").used == 10
    check_promises(ledger)


def answers_of(found: list[Outcome | BaseException]) -> list[Outcome]:
    """Check that none of them is an error."""
    errors = [one for one in found if isinstance(one, BaseException)]
    assert not errors, errors
    return [one for one in found if not isinstance(one, BaseException)]


def test_cancelled_at_any_moment(ledger: Ledger, database_url: str) -> None:
    """Whenever a task is cancelled, its command is in the log whole or not at all, and others get their answers."""

    async def work() -> list[Outcome | BaseException]:
        tasks = [asyncio.create_task(settled(ledger.submit(allocate(number)))) for number in range(60)]
        for task in tasks[::3]:
            await asyncio.sleep(0)
            task.cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_SECONDS)

    found = asyncio.run(work())
    outcomes = answers_of([one for one in found if not isinstance(one, asyncio.CancelledError)])
    assert len(outcomes) >= 40
    check_told(database_url, outcomes)
    check_promises(ledger)


def test_a_closed_loop(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """An event loop that is closed with commands in flight leaves those of threads and of other loops alone."""

    async def leave() -> None:
        for number in range(10):
            asyncio.wrap_future(ledger.submit(allocate(number)))

    async def stay() -> list[Outcome | BaseException]:
        awaited = (settled(ledger.submit(allocate(number))) for number in range(20, 30))
        return await asyncio.gather(*awaited, return_exceptions=True)

    with ThreadPoolExecutor(2) as threads:
        with other.log.writing():
            futures = submit_all(ledger, [allocate(number) for number in range(10, 15)])
            threads.submit(asyncio.run, leave()).result(DEADLINE_SECONDS)  # its loop is closed now
            staying = threads.submit(asyncio.run, stay())
            futures += submit_all(ledger, [allocate(number) for number in range(15, 20)])
        outcomes = answers(futures) + answers_of(staying.result(DEADLINE_SECONDS))
    assert len(outcomes) == 20
    check_told(database_url, outcomes)
    assert {one.id for one in ledger.allocations()} >= {f"a{number}" for number in range(10, 30)}
    assert ledger.execute(allocate(30)).refusal is None
    check_promises(ledger)


def test_a_cancelled_future(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """A future cancelled before its turn is never decided; one whose turn has come is decided, whoever asks for it."""
    with other.log.writing():
        futures = submit_all(ledger, [allocate(number) for number in range(20)])
        cancelled = [future.cancel() for future in futures]
        last = ledger.submit(allocate(99))
    outcomes = answers([last])
    for future, was in zip(futures, cancelled, strict=True):
        if was:
            with pytest.raises(CancelledError):
                future.result(DEADLINE_SECONDS)
        else:
            outcomes.append(future.result(DEADLINE_SECONDS))
    check_told(database_url, outcomes)
    assert ledger.pool("gpu").used == len(outcomes) == 1 + cancelled.count(False)
