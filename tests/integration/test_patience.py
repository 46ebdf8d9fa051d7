"""A database that does not answer: callers are told in time, by command id; the ledger recovers by itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, HoldbookError, Ledger, Limits, LogUnavailable, Overloaded
from holdbook.infrastructure.database import database
from support.faults import FaultProxy
from support.logs import execute, query, raw_rows
from support.outcomes import (
    DEADLINE_SECONDS,
    again,
    answers,
    by_command,
    check_promises,
    check_told,
    count,
    send_until_known,
    submit_all,
    told_unknown,
    unknown_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from holdbook import Outcome
    from support.postgres import PostgresServer

PATIENCE = 2.0
WAITING_MAX = 4
CONNECT_SECONDS = 3  # libpq's least is two
FAULTS = ("paused", "stopped", "blackhole", "reset", "locked sqlite", "locked postgresql")


class Fault:
    """A database, and what makes it silent for the time of a block."""

    def __init__(self, url: str, through: str, silence: Callable[[], AbstractContextManager[object]]) -> None:
        self.url = url
        """Where it can be asked past the fault, when that is over."""
        self.through = through
        """Where the fault is met."""
        self.silence = silence


@contextmanager
def paused(server: PostgresServer) -> Iterator[None]:
    """Let a server stand still."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    """Let there be no server."""
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let somebody else hold the log's lock."""
    with Ledger.open(url) as other, other.log.writing():
        yield


def make_fault(kind: str, request: pytest.FixtureRequest, stack: ExitStack) -> Fault:
    """Make a database that can be made silent in some way."""
    if kind in {"paused", "stopped"}:
        server: PostgresServer = request.getfixturevalue("durable_postgres")
        silence = paused if kind == "paused" else stopped
        return Fault(server.url(), server.url(), lambda: silence(server))
    if kind.startswith("locked"):
        url = request.getfixturevalue("sqlite_url" if kind == "locked sqlite" else "postgres_url")
        return Fault(url, url, lambda: locked(url))
    url = request.getfixturevalue("postgres_url")
    proxy = stack.enter_context(FaultProxy(url))

    @contextmanager
    def faulty() -> Iterator[None]:
        proxy.set("blackhole" if kind == "blackhole" else "reset")
        try:
            yield
        finally:
            proxy.set("pass")

    return Fault(url, proxy.url, faulty)


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """Each way in turn in which a database can be silent, with a pool of a thousand in it."""
    with ExitStack() as stack:
        found = make_fault(request.param, request, stack)
        with Ledger.open(found.url) as ledger:
            ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1000))
        yield found


@pytest.fixture
def other(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of a thousand, to hold the log's lock with."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1000))
        yield ledger


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give connections up that nobody answers after some seconds, more than the patience, but fewer than users do."""
    assert CONNECT_SECONDS > PATIENCE
    monkeypatch.setitem(database._CONNECT_OPTIONS, "connect_timeout", CONNECT_SECONDS)  # noqa: SLF001 - a constant


def allocate(number: int, command_id: str | None = None) -> Allocate:
    """Ask for one unit."""
    return Allocate(quantities={"gpu": 1}, owner=f"a{number}", command_id=command_id)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["reset", "stopped", "locked sqlite", "locked postgresql"], indirect=True)
def test_silence(fault: Fault) -> None:
    """Callers of a silent database learn their commands' ids in time; each, sent again, is in the log exactly once."""
    commands = [allocate(number, f"given-{number}" if number % 2 else None) for number in range(8)]
    with Ledger.open(fault.through, patience=PATIENCE) as ledger:
        [before] = answers([ledger.submit(allocate(-1))])
        with fault.silence():
            ids = told_unknown([ledger.submit(command) for command in commands])
            assert ids[1::2] == [f"given-{number}" for number in range(1, 8, 2)]
            assert len(set(ids)) == len(ids)
        send_until_known(ledger, fault.url, zip(ids, commands, strict=True))
        check_told(fault.url, [before])
        assert set(by_command(fault.url)) >= set(ids)
        assert ledger.pool("gpu").used == 1 + len(commands)
        check_promises(ledger)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["paused", "blackhole"], indirect=True)
def test_silence_under_load(fault: Fault) -> None:
    """When a database falls silent in the midst of commits, what was acknowledged is there; the rest is asked for."""
    acknowledged: list[Outcome] = []
    unknown: list[tuple[str, Allocate]] = []
    enough = Event()

    def write(ledger: Ledger, thread: int) -> None:
        while True:
            command = allocate(thread)
            try:
                acknowledged.append(ledger.execute(command))
            except HoldbookError as error:
                unknown.append((unknown_id(error), command))
                return
            if len(acknowledged) > 100:
                enough.set()

    with Ledger.open(fault.through, patience=PATIENCE) as ledger:
        threads = [Thread(target=write, args=(ledger, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(DEADLINE_SECONDS)
        with fault.silence():
            for thread in threads:
                thread.join(DEADLINE_SECONDS)
                assert not thread.is_alive()
        assert len(unknown) == len(threads)
        send_until_known(ledger, fault.url, unknown)
        check_told(fault.url, acknowledged)
        assert len(by_command(fault.url)) == 1 + len(acknowledged) + len(unknown)
        assert ledger.pool("gpu").used == len(acknowledged) + len(unknown)
        check_promises(ledger)


@pytest.mark.slow
def test_a_silence_shorter_than_the_patience(fault: Fault) -> None:
    """A database that is silent for less than the patience costs its callers time, and nothing else."""
    with Ledger.open(fault.through, patience=DEADLINE_SECONDS) as ledger:
        with fault.silence():
            futures = submit_all(ledger, [allocate(number) for number in range(8)])
            assert not any(future.done() for future in futures)
        outcomes = answers(futures)
        assert not any(outcome.repeated or outcome.refusal for outcome in outcomes)
        check_told(fault.url, outcomes)
        assert len(by_command(fault.url)) == 1 + len(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["blackhole", "locked sqlite"], indirect=True)
def test_close_of_a_silent_database(fault: Fault) -> None:
    """Closing a ledger whose database is silent fails every caller that waits, in time, with its command's id."""
    ledger = Ledger.open(fault.through, patience=PATIENCE)
    answers([ledger.submit(allocate(-1))])
    commands = [allocate(number) for number in range(8)]
    with fault.silence():
        futures = submit_all(ledger, commands)
        closing = Thread(target=ledger.close)
        closing.start()
        closing.join(DEADLINE_SECONDS)
        assert not closing.is_alive()
        assert all(future.done() for future in futures), "closed, and a caller waits for ever"
        ids = told_unknown(futures)
    with Ledger.open(fault.url) as again_open:
        send_until_known(again_open, fault.url, zip(ids, commands, strict=True))
        assert again_open.pool("gpu").used == 1 + len(commands)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["blackhole", "locked sqlite"], indirect=True)
def test_an_import_in_silence(fault: Fault) -> None:
    """An import whose commit gets no answer fails in time, and is there whole or not at all when it is sent again."""
    commands = [allocate(number, f"line-{number}") for number in range(8)]
    with Ledger.open(fault.through, patience=PATIENCE) as ledger, ThreadPoolExecutor(1) as threads:
        answers([ledger.submit(allocate(-1))])
        with fault.silence():
            error = threads.submit(ledger.record, commands).exception(DEADLINE_SECONDS)
            assert isinstance(error, LogUnavailable)
        outcomes = ledger.record(commands)
        assert len({outcome.repeated for outcome in outcomes}) == 1
        check_told(fault.url, outcomes)
        assert ledger.pool("gpu").used == 1 + len(commands)
        check_promises(ledger)


@pytest.mark.slow
@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("fault", ["blackhole"], indirect=True)
def test_readers_in_silence(fault: Fault) -> None:
    """Readers that wait for a silent database keep no caller from being told in time, and go on when it is over."""
    commands = [allocate(number) for number in range(4)]
    with Ledger.open(fault.through, patience=PATIENCE) as ledger, ThreadPoolExecutor(4) as threads:
        answers([ledger.submit(allocate(-1))])
        with fault.silence():
            reading = [threads.submit(ledger.pool, "gpu") for _ in range(2)]
            ids = told_unknown(submit_all(ledger, commands))
        for one in reading:
            assert isinstance(one.exception(DEADLINE_SECONDS), LogUnavailable | None)
        send_until_known(ledger, fault.url, zip(ids, commands, strict=True))
        assert ledger.pool("gpu").used == 1 + len(commands)


@pytest.mark.parametrize("setting", ["idle_session_timeout", "idle_in_transaction_session_timeout", "lock_timeout"])
def test_time_limits_of_the_server(postgres_url: str, setting: str) -> None:
    """What a time limit of the server ended, a session that was idle or a wait for the lock, is tried again."""
    with Ledger.open(postgres_url) as other:
        other.open_pool("gpu", resource_type="gpu", limits=Limits(total=10))
        [(name,)] = query(postgres_url, "SELECT current_database()")
        execute(postgres_url, f"ALTER DATABASE {name} SET {setting} = '100ms'")
        check_time_limits(other, postgres_url)


def check_time_limits(other: Ledger, postgres_url: str) -> None:
    """Meet both kinds of limits, in new sessions."""
    with Ledger.open(postgres_url) as ledger:
        outcomes = [ledger.execute(allocate(1))]
        with other.log.writing():  # a wait for the lock
            waiting = ledger.submit(allocate(2))
            time.sleep(0.3)
        outcomes += answers([waiting])
        time.sleep(0.3)  # an idle session
        outcomes.append(ledger.execute(allocate(3)))
    check_told(postgres_url, outcomes)
    assert not any(outcome.repeated for outcome in outcomes)


def test_delays_change_nothing(postgres_url: str) -> None:
    """On a slow network everything is as it is on a fast one."""
    with FaultProxy(postgres_url) as proxy, Ledger.open(proxy.url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=5))
        proxy.set("delay")
        outcomes = answers(submit_all(ledger, [allocate(number) for number in range(8)]))
        assert sum(outcome.refusal is None for outcome in outcomes) == 5
        check_told(postgres_url, outcomes)


@pytest.mark.parametrize("given", [None, "given"])
def test_a_caller_in_a_hurry(other: Ledger, database_url: str, given: str | None) -> None:
    """A caller that is not answered in time is told its command's id; the others that wait are answered."""
    command = allocate(0, given)
    with Ledger.open(database_url) as ledger:
        with other.log.writing():
            waiting = ledger.submit(allocate(1))
            with pytest.raises(LogUnavailable) as raised:
                ledger.execute(command, timeout=0.1)
            command_id = unknown_id(raised.value)
            assert command_id == given or given is None
        [outcome] = answers([waiting])
        assert not outcome.repeated
        repeated = ledger.execute(again(command, command_id))
        assert repeated.refusal is None
        assert count(database_url, command_id) == 1
        check_told(database_url, [outcome])
        check_promises(ledger)


def test_a_caller_with_time(other: Ledger, database_url: str) -> None:
    """A caller that is answered in time gets its outcome, whether a time was set or not."""
    assert other.pool("gpu").used == 0
    with Ledger.open(database_url) as ledger:
        assert ledger.execute(allocate(1), timeout=DEADLINE_SECONDS).refusal is None
        assert ledger.execute(allocate(2), timeout=None).refusal is None


def submit_more(ledger: Ledger, commands: int, accepted: list[Future[Outcome]]) -> None:
    """Submit so many commands, keeping those that were taken."""
    for number in range(commands):
        accepted.append(ledger.submit(allocate(number)))  # noqa: PERF401 - what was taken counts, should one raise


@pytest.mark.parametrize("how", ["submit", "execute"])
def test_more_than_may_wait(other: Ledger, database_url: str, how: str) -> None:
    """A command that finds the queue full is refused at once and recorded nowhere; all that wait are answered."""
    accepted: list[Future[Outcome]] = []
    with Ledger.open(database_url, waiting_max=WAITING_MAX) as ledger:
        with other.log.writing():  # a first batch may have left the queue and wait for the lock
            with pytest.raises(Overloaded, match=f"{WAITING_MAX} commands wait already"):
                submit_more(ledger, 2 * WAITING_MAX + 1, accepted)
            if how == "execute":
                with pytest.raises(Overloaded):
                    ledger.execute(allocate(-1, "never"))
        assert WAITING_MAX <= len(accepted) <= 2 * WAITING_MAX
        outcomes = answers(accepted)
        check_told(database_url, outcomes)
        assert ledger.execute(allocate(100)).refusal is None
        assert len(raw_rows(database_url)) == 1 + len(accepted) + 1
        assert count(database_url, "never") == 0


@pytest.mark.usefixtures("brisk")
def test_an_address_that_nobody_answers(postgres_url: str) -> None:
    """Opening a ledger whose server says nothing fails in time, and says which database it is."""
    with FaultProxy(postgres_url) as proxy:
        proxy.set("blackhole")
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1"):
            Ledger.open(proxy.url, patience=PATIENCE)
