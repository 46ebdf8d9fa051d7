"""Callers that wait and go away, and ledgers that are closed, cut off or broken under them. Nobody waits for ever."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, LogUnavailable, MemoryEventLog, RefusalCode, UnknownEvent
from holdbook.domain.errors import Overloaded
from holdbook.domain.records import LogPosition
from holdbook.domain.waiting import STAY_SECONDS
from holdbook.infrastructure.commit.committer import Committer
from holdbook.infrastructure.commit.group_commit import GroupCommit
from holdbook.infrastructure.commit.waiting_room import WaitingPromise
from support.faults import FaultProxy
from support.logs import execute, granted, query
from support.outcomes import DEADLINE_SECONDS, answers, count
from support.processes import forked
from support.queueing import (
    SHORT,
    ask,
    granted_in_order,
    line_up,
    open_pools,
    settle,
    until_queued,
    waiting_in,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from holdbook.infrastructure.commit.promise import Promise
    from support.faults import Part


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of one, which is held."""
    with Ledger.open(database_url) as ledger:
        open_pools(ledger, gpu=1)
        ledger.allocate({"gpu": 1}, owner="bob", allocation_id="held")
        yield ledger


@pytest.fixture
def other(ledger: Ledger, database_url: str) -> Iterator[Ledger]:
    """The same as another process has it."""
    assert ledger.pool("gpu").free == 0
    with Ledger.open(database_url) as other:
        yield other


@pytest.fixture
def in_memory() -> Iterator[Ledger]:
    """The same in memory."""
    with held_in(MemoryEventLog()) as ledger:
        yield ledger


def held_in(log: MemoryEventLog, **options: Any) -> Ledger:  # noqa: ANN401 - as the ledger takes them
    """Open a ledger on a log in memory, with a pool of one, which is held."""
    ledger = Ledger(log, **options)
    open_pools(ledger, gpu=1)
    ledger.allocate({"gpu": 1}, owner="bob", allocation_id="held")
    return ledger


def being_decided(ledger: Ledger, name: str) -> Promise:
    """Send a command that may wait, to a ledger that cannot commit just now, until it is its turn."""
    promise = ledger.submit(ask(name))
    until_committing(ledger)
    return promise


def until_committing(ledger: Ledger) -> None:
    """Wait until all that was sent is being decided."""
    while ledger._group.committer.waiting or not ledger._group.committer.committing:  # noqa: SLF001 - nothing public tells
        pass


def is_up(promise: Promise) -> None:
    """Let the time be up that a command may wait."""
    assert isinstance(promise, WaitingPromise)
    promise.waiter.until = 0.0


# Callers that go away


def test_cancelled(ledger: Ledger) -> None:
    """A command that is withdrawn leaves the queue undecided: the next is served, and it may be sent again."""
    first, second = line_up(ledger, ask("a"), ask("b"))
    assert first.cancel()
    assert first.cancel(), "once more it is still so"
    ledger.release("held")
    second.result(DEADLINE_SECONDS)
    assert not second.cancel()
    [again] = line_up(ledger, ask("a"))
    assert waiting_in(ledger) == ["a"]
    ledger.release("b")
    again.result(DEADLINE_SECONDS)
    assert granted_in_order(ledger) == [granted_in_order(ledger)[0], "b", "a"]


def test_cancelled_while_it_is_being_decided(ledger: Ledger, other: Ledger) -> None:
    """It is too late to be sure; if it turns out that it has to wait, it is withdrawn then."""
    with other.log.writing():
        promise = being_decided(ledger, "a")
        assert not promise.cancel()
        assert not promise.cancelled()
    with pytest.raises(CancelledError):
        promise.result(DEADLINE_SECONDS)
    until_queued(other, 0)
    other.release("held")
    assert granted_in_order(other)[1:] == []


def test_cancelled_before_its_turn(ledger: Ledger, other: Ledger) -> None:
    """A command that was not looked at yet is never decided, and never has a place."""
    with other.log.writing():
        first = being_decided(ledger, "a")
        second = ledger.submit(ask("b"))
        assert second.cancel()
    settle(ledger)
    assert waiting_in(other) == ["a"]
    other.release("held")
    first.result(DEADLINE_SECONDS)


def test_granted_while_it_is_cancelled(ledger: Ledger, other: Ledger) -> None:
    """If there is room for it, it has what it asked for."""
    ledger.release("held")
    with other.log.writing():
        promise = being_decided(ledger, "a")
        assert not promise.cancel()
    assert promise.result(DEADLINE_SECONDS).refusal is None


async def test_a_task_is_cancelled(in_memory: Ledger) -> None:
    """What it waits for leaves the queue; a task whose command somebody else withdraws is woken."""

    async def wait(promise: Promise) -> None:
        await promise

    promises = line_up(in_memory, ask("a"), ask("b"), ask("c"))
    tasks = [asyncio.create_task(wait(promise)) for promise in promises]
    await asyncio.sleep(0)  # they begin to wait
    tasks[0].cancel()
    promises[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    with pytest.raises(CancelledError):
        await tasks[1]
    assert promises[0].cancelled()
    in_memory.release("held")
    await tasks[2]
    assert granted_in_order(in_memory)[1:] == ["c"]


def test_a_thread_gives_up_first(ledger: Ledger) -> None:
    """Whoever waits for an answer for less than the command may wait is told that nothing was decided."""
    with pytest.raises(LogUnavailable, match=r"the command waited for 0\.05 s in vain, .* nothing was decided"):
        ledger.execute(ask("a"), timeout=0.05)
    until_queued(ledger, 0)
    ledger.release("held")
    assert granted_in_order(ledger)[1:] == []


def test_a_thread_gives_up_while_its_command_is_being_decided(ledger: Ledger, other: Ledger) -> None:
    """It is told that it does not know; what has to wait then leaves."""
    with other.log.writing(), pytest.raises(LogUnavailable, match="was not answered within") as raised:
        ledger.execute(ask("a"), timeout=0.05)
    assert raised.value.command_id == "a"
    settle(ledger)
    until_queued(other, 0)


def test_an_interrupt(ledger: Ledger) -> None:
    """Ctrl-C ends a thread's waiting, and its command leaves the queue."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        until_queued(ledger, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    try:
        with ThreadPoolExecutor(1) as threads:
            interrupting = threads.submit(interrupt)
            with pytest.raises(KeyboardInterrupt):
                ledger.execute(ask("a"))
            interrupting.result(DEADLINE_SECONDS)
    finally:
        signal.signal(signal.SIGINT, before)
    until_queued(ledger, 0)


def test_sent_again_while_it_leaves() -> None:
    """A command that is withdrawn and sent again at once waits on, though the one that leaves takes its place away."""

    class Crossing(MemoryEventLog):
        """A log in which the command is back in the queue just before its earlier self leaves."""

        def __init__(self) -> None:
            super().__init__()
            self.back: Promise | None = None
            self.crossed = threading.Event()

        def leave_queue(self, command_ids: Collection[str]) -> None:
            if self.back is None:
                [self.back] = line_up(held, ask("a"))
            super().leave_queue(command_ids)
            self.crossed.set()

    log = Crossing()
    with held_in(log) as held:
        [promise] = line_up(held, ask("a"))
        promise.cancel()
        assert log.crossed.wait(DEADLINE_SECONDS)
        held.release("held")
        assert log.back is not None
        assert log.back.result(DEADLINE_SECONDS).refusal is None


# Ledgers that end


def test_closed(ledger: Ledger, other: Ledger) -> None:
    """Everybody who waits is told, however they wait, and all their commands leave."""

    async def wait() -> None:
        with pytest.raises(LogUnavailable, match="closed while the command waited: nothing was decided"):
            await promise

    promise, _ = line_up(ledger, ask("a"), ask("b"))
    with ThreadPoolExecutor(2) as threads:
        thread = threads.submit(ledger.execute, ask("c"))
        task = threads.submit(asyncio.run, wait())
        until_queued(other, 3)
        ledger.close()
        assert isinstance(thread.exception(DEADLINE_SECONDS), LogUnavailable)
        task.result(DEADLINE_SECONDS)
    assert waiting_in(other) == []


def test_closed_while_it_is_being_decided(ledger: Ledger, other: Ledger) -> None:
    """A command that turns out to have to wait is told the same, and leaves."""
    with ThreadPoolExecutor(1) as threads:
        with other.log.writing():
            promise = being_decided(ledger, "a")
            closing = threads.submit(ledger.close)
            while not ledger._group.room._closed:  # noqa: SLF001 - nothing public tells
                pass
        closing.result(DEADLINE_SECONDS)
    with pytest.raises(LogUnavailable, match="nothing was decided"):
        promise.result(DEADLINE_SECONDS)
    assert waiting_in(other) == []


def test_closed_while_its_time_is_up(ledger: Ledger, other: Ledger) -> None:
    """A command that is being decided for good has its outcome."""
    [promise] = line_up(ledger, ask("a"))
    with ThreadPoolExecutor(1) as threads:
        with other.log.writing():
            is_up(promise)
            until_committing(ledger)
            closing = threads.submit(ledger.close)
            while not ledger._group.room._closed:  # noqa: SLF001 - nothing public tells
                pass
        closing.result(DEADLINE_SECONDS)
    refusal = promise.result(DEADLINE_SECONDS).refusal
    assert refusal is not None
    assert refusal.code is RefusalCode.POOL_EXHAUSTED
    assert waiting_in(other) == []


def test_a_child_that_closes(ledger: Ledger, other: Ledger) -> None:
    """A forked child has nobody who waits: its parent's go on."""
    [promise] = line_up(ledger, ask("a"))
    assert forked(ledger.close) is None
    assert not promise.done()
    other.release("held")
    promise.result(DEADLINE_SECONDS)


# What goes wrong meanwhile


def test_connections_that_break(postgres_url: str) -> None:
    """The ledger that waits connects again, and serves whoever waits in it."""
    with Ledger.open(postgres_url) as other, Ledger.open(postgres_url) as ledger:
        open_pools(other, gpu=1)
        other.allocate({"gpu": 1}, owner="bob", allocation_id="held")
        [promise] = line_up(ledger, ask("a"))
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert query(postgres_url, f"SELECT pg_terminate_backend(pid) {others}")
        other.release("held")
        promise.result(DEADLINE_SECONDS)


@pytest.mark.parametrize("part", ["reply", "request"])
def test_a_commit_that_breaks(postgres_url: str, part: Part) -> None:
    """Whatever is lost of the transaction in which a command enters the queue, or leaves it, it has one outcome."""
    with FaultProxy(postgres_url) as proxy, Ledger.open(postgres_url) as other, Ledger.open(proxy.url) as ledger:
        open_pools(other, gpu=1)
        other.allocate({"gpu": 1}, owner="bob", allocation_id="held")
        loss = proxy.lose(part)
        [promise] = line_up(ledger, ask("a"))
        assert loss.happened.is_set()
        assert waiting_in(other) == ["a"]
        loss = proxy.lose(part)
        other.release("held")
        assert promise.result(DEADLINE_SECONDS).refusal is None
        assert loss.happened.wait(DEADLINE_SECONDS)
        until_queued(other, 0)
        assert count(postgres_url, "a") == 1


def test_a_queue_that_cannot_be_used(ledger: Ledger, database_url: str) -> None:
    """Whoever waits is told when the time is up at the latest, and the ledger can be closed."""
    promises = line_up(ledger, ask("a", wait=4 * SHORT), ask("b"))
    execute(database_url, "DROP TABLE queue")
    with pytest.raises(LogUnavailable, match="queue"):
        promises[0].result(DEADLINE_SECONDS)
    ledger.close()
    with pytest.raises(LogUnavailable):
        promises[1].result(DEADLINE_SECONDS)


def test_a_log_that_is_not_understood(ledger: Ledger, other: Ledger) -> None:
    """Everybody who waits is told what is wrong with the log, and nobody is left behind."""
    promises = line_up(ledger, ask("a"), ask("b"))
    with other.log.writing() as writer:
        position = writer.head + 1
        [row] = other.log.chain(
            [granted(position, 3, allocation_id="x", command_id="x")], LogPosition(position - 1, b"")
        )
        writer.insert([row._replace(type="FromTheFuture")])  # type: ignore[attr-defined]  # past all checks
    for promise in promises:
        with pytest.raises(UnknownEvent, match="FromTheFuture"):
            promise.result(DEADLINE_SECONDS)


def test_a_fault_of_our_own(in_memory: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who waits is told of whatever goes wrong in looking after them; who comes then is served."""
    promises = line_up(in_memory, ask("a"), ask("b"))
    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "servable", lambda *_: 1 // 0)
        for promise in promises:
            assert isinstance(promise.exception(DEADLINE_SECONDS), ZeroDivisionError)
    [promise] = line_up(in_memory, ask("c"))
    in_memory.release("held")
    assert promise.result(DEADLINE_SECONDS).refusal is None


def test_a_full_queue_of_the_committer(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked again and finds no room is asked again later: having waited, nobody is sent away."""
    overloaded, ask_committer = threading.Event(), Committer.ask

    def listen(*arguments: Any) -> None:  # noqa: ANN401 - whatever is asked
        try:
            ask_committer(*arguments)
        except Overloaded:
            overloaded.set()
            raise

    monkeypatch.setattr(Committer, "ask", listen)
    with Ledger.open(sqlite_url) as other, Ledger.open(sqlite_url, waiting_max=2) as ledger:
        open_pools(other, gpu=1)
        other.allocate({"gpu": 1}, owner="bob", allocation_id="held")
        promises = [line_up(ledger, ask(name))[0] for name in ("a", "b", "c", "d")]
        with other.log.writing():  # nobody commits meanwhile
            for promise in promises:
                is_up(promise)
            assert overloaded.wait(DEADLINE_SECONDS)
        codes = [getattr(outcome.refusal, "code", None) for outcome in answers(promises)]
    assert codes == [RefusalCode.POOL_EXHAUSTED] * 4


def test_the_words_that_tell_that_one_is_alive(ledger: Ledger, other: Ledger, database_url: str) -> None:
    """They are said again before they are forgotten, as long as anybody waits."""
    [promise] = line_up(ledger, ask("a"))
    [(before,)] = query(database_url, "SELECT alive_until FROM waiters")
    with ledger.log.watching() as news:
        while query(database_url, "SELECT alive_until FROM waiters") == [(before,)]:
            news(STAY_SECONDS / 10)
    [(after,)] = query(database_url, "SELECT alive_until FROM waiters")
    assert after >= before + STAY_SECONDS
    other.release("held")
    promise.result(DEADLINE_SECONDS)
