"""Subscriptions: the log followed in whole commands, woken by whoever commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice, pairwise
from threading import Event, active_count
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits, LogUnavailable, Refused
from holdbook.infrastructure.log.recorder import chained
from support.logs import append, execute, granted, open_log, opened
from support.processes import running, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from eventsourcing.persistence import Notification

    from support.logs import Log

POOLS = ("cpu", "gpu", "ram")


@pytest.fixture
def history(ledger: Ledger) -> Ledger:
    """A ledger with commands of three events each, and refusals between them."""
    for pool in POOLS:
        ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10))
    for number in range(10):
        ledger.allocate(dict.fromkeys(POOLS, 1), owner="a", allocation_id=f"a{number}")
        with suppress(Refused):
            ledger.allocate({"gpu": 11}, owner="a")
    return ledger


@pytest.mark.usefixtures("history")
def test_everything_in_order(log: Log) -> None:
    """A subscription gives every event after its start once, in order."""
    whole = [(row.position, row.type) for row in log.rows()]
    for start in (None, 0, 3, 6):
        with log.subscribe(gt=start) as subscription:
            found = [(one.id, one.topic) for one in islice(subscription, len(whole) - (start or 0))]
        assert found == whole[start or 0 :]


@pytest.mark.usefixtures("history")
def test_only_some_topics(log: Log) -> None:
    """A subscription to some types gives those, and goes on past what it leaves out."""
    with log.subscribe(topics=("ValidationFailed",)) as subscription:
        assert {one.topic for one in islice(subscription, 10)} == {"ValidationFailed"}


def test_a_topic_names_a_version(ledger: Ledger, log: Log) -> None:
    """Of a type that has had several versions, the topic is that of one: all who choose by it choose the same."""
    ledger.open_pool("gpu", resource_type="thing", limits=Limits(total=5))
    for name in ("a", "b"):
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id=name)
        ledger.release(name)
    first = log.rows()[2]
    with log.writing() as writer:
        old = first._replace(position=6, version=6, command_id="old", schema_version=1)
        writer.insert(chained([old], writer.head, writer.head_hash))
    for topic, positions in {"Released@2": [3, 5], "Released": [6], "Released@1": []}.items():
        found = log.select_notifications(1, 10, topics=[topic])
        assert [(one.id, one.topic) for one in found] == [(position, topic) for position in positions]
    with log.subscribe(topics=["Released@2"]) as subscription:
        assert [one.id for one in islice(subscription, 2)] == [3, 5]


def test_a_topic_far_away(log: Log) -> None:
    """A subscription to a type finds it behind whole pages without any."""
    grants = [granted(n, n, allocation_id=f"a{n}", command_id=f"c{n}") for n in range(2, 1200)]
    append(log, [opened(1), *grants, opened(1200, pool="cpu")])
    with log.subscribe(gt=1, topics=("PoolOpened",)) as subscription:
        assert next(subscription).id == 1200


def test_whole_commands_only(ledger: Ledger, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a subscription hands over at a time never ends within a command, however it races with the writer."""
    for pool in POOLS:
        ledger.open_pool(pool, resource_type="thing", limits=Limits(total=500))
    handed_over: list[list[int]] = []
    with log.subscribe() as subscription, ThreadPoolExecutor(1) as writer:
        put = subscription._notifications_queue.put  # noqa: SLF001 - where the library's reader takes from

        def noted(some: Sequence[Notification]) -> None:
            handed_over.append([one.id for one in some])
            put(some)

        monkeypatch.setattr(subscription._notifications_queue, "put", noted)  # noqa: SLF001
        done = [writer.submit(ledger.allocate, dict.fromkeys(POOLS, 1), owner="a") for _ in range(300)]
        assert len(list(islice(subscription, 903))) == 903
        for one in done:
            one.result()
    ends = {row.position for row in log.rows(0, 10_000) if row.ends_command}
    assert {some[-1] for some in handed_over} <= ends
    assert [one for some in handed_over for one in some] == list(range(handed_over[0][0], 904))


def test_woken_by_another_process(shared_url: str, ledger: Ledger, log: Log) -> None:
    """A commit by another process wakes a subscription that waits."""
    ledger.open_pool("gpu", resource_type="thing", limits=Limits(total=10))
    with running(serve, [(shared_url,)]) as [other], log.subscribe(gt=1) as subscription:
        assert other.receive() == "ready"
        for number in range(5):
            fields = {"command": "allocate", "quantities": {"gpu": 1}, "owner": "x", "allocation_id": f"a{number}"}
            other.send(fields)
            assert next(subscription).id == number + 2
            assert other.receive()["position"] == number + 2


def test_stop_ends_a_reader_that_waits(log: Log) -> None:
    """A reader that waits for news of an idle log ends when the subscription is stopped, and no thread is left."""
    threads = active_count()
    waiting = Event()

    def read(subscription: Iterator[object]) -> int:
        waiting.set()
        return len(list(subscription))

    with ThreadPoolExecutor(1) as reader, log.subscribe() as subscription:
        found = reader.submit(read, subscription)
        assert waiting.wait(10)
        subscription.stop()
        assert found.result(10) == 0
    assert active_count() == threads


def test_stop_ends_a_writer_that_waits(log: Log) -> None:
    """A subscription whose reader stopped taking ends all the same, though its queue is full."""
    threads = active_count()
    append(log, [opened(1)])
    append(log, [granted(n, n, allocation_id=f"a{n}", command_id=f"c{n}") for n in range(2, 8002)])
    with log.subscribe() as subscription:
        assert next(subscription).id == 1
        while not subscription._notifications_queue.full():  # noqa: SLF001 - the reader lags behind by ten pages
            assert subscription._pull_thread.is_alive()  # noqa: SLF001
    assert active_count() == threads


def test_an_error_of_the_watcher_reaches_the_reader(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in the thread that watches is raised where the log is read."""

    def broken() -> AbstractContextManager[Callable[[float], bool]]:
        message = "cannot watch"
        raise LogUnavailable(message)

    monkeypatch.setattr(log, "watching", broken)
    with log.subscribe() as subscription, pytest.raises(LogUnavailable, match="cannot watch"):
        next(subscription)


def test_an_error_of_the_database_reaches_the_reader(shared_url: str) -> None:
    """A database that lost its log ends a subscription with an error that names the database."""
    with closing(open_log(shared_url)) as log:
        execute(shared_url, "ALTER TABLE events RENAME TO gone")
        with log.subscribe() as subscription, pytest.raises(LogUnavailable, match="holdbook"):
            next(subscription)


def test_positions_follow_one_another(history: Ledger, log: Log) -> None:
    """A subscription that is woken again and again misses nothing and repeats nothing."""
    with log.subscribe() as subscription:
        seen = [one.id for one in islice(subscription, 43)]
        for number in range(10):
            history.release(f"a{number}")
        seen += [one.id for one in islice(subscription, 30)]
    assert all(after == before + 1 for before, after in pairwise(seen))
