"""Processes that are killed and servers that restart under load, time and again; the whole log is verified each time.

``make soak`` does it twenty times.
"""

from __future__ import annotations

import os
import random
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

import pytest

from bursar import Ledger, Limits, LogUnavailable
from support.outcomes import DEADLINE_SECONDS, by_command, check_promises
from support.processes import CLIENT_POOLS, Peer, client_command, clients_for_ever, running

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.outcomes import Row
    from support.postgres import PostgresServer

KILLS = int(os.environ.get("BURSAR_KILLS", "2"))
"""How often each process or server is killed."""

THREADS = 24
TASKS = 8
"""Clients of the process that is killed, by kind."""

Told = dict[str, tuple[int | None, bool]]
"""What callers were told, by command id: the position of the last event, and whether it was granted."""

pytestmark = [pytest.mark.crash, pytest.mark.slow]


def open_pools(url: str) -> None:
    """Open pools with room for every command that is to be granted."""
    with Ledger.open(url) as ledger:
        for pool in CLIENT_POOLS:
            ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10**9))


def check_acknowledged(told: Told, log: dict[str, list[Row]]) -> None:
    """Check that the log holds each acknowledged command as its caller was told."""
    for command_id, (position, granted) in told.items():
        rows = log.get(command_id)
        assert rows is not None, f"command {command_id} was acknowledged and is not in the log"
        assert rows[-1][0] == position
        assert (rows[-1][3] != "ValidationFailed") is granted


def check_clients(clients: Iterable[str], log: dict[str, list[Row]]) -> dict[str, int]:
    """Check that each client's commands are in the log without a gap; give the number of the first that is not."""
    ends = {}
    for client in clients:
        numbers = [int(one.removeprefix(f"{client}-")) for one in log if one.startswith(f"{client}-")]
        ends[client] = len(numbers)
        assert sorted(numbers) == list(range(len(numbers)))
        for number in numbers:
            expected = [len(CLIENT_POOLS), 1, 1, 1][number % 4]
            assert len(log[f"{client}-{number}"]) == expected, "half of a command is in the log"
    return ends


def retry(ledger: Ledger, ends: dict[str, int], log: dict[str, list[Row]], told: Told) -> None:
    """Send each client's last command and its next one again, twice; each has one outcome."""
    for client, end in ends.items():
        for number in range(max(end - 1, 0), end + 1):
            command = client_command(client, number)
            first, second = (ledger.submit(command).result(DEADLINE_SECONDS) for _ in range(2))
            assert first.repeated is (first.command_id in log)
            assert second.repeated
            assert first.records == second.records
            assert (first.refusal is not None) is (number % 4 == 1)
            told[first.command_id] = (first.position, first.refusal is None)


def receive(peer: Peer, told: Told, answers: int) -> None:
    """Note what the callers in a process were told, so many answers."""
    for _ in range(answers):
        command_id, position, granted = peer.receive()
        told[command_id] = (position, granted)


def test_kill_9_under_load(database_url: str) -> None:
    """Kill a process with 32 clients again and again: no acknowledged command is lost, and none is there in part."""
    chance = random.Random(20260102)  # noqa: S311 - moments, not secrets
    open_pools(database_url)
    told: Told = {}
    with Ledger.open(database_url) as ledger:  # of another process; it goes on all the time
        for kill in range(KILLS):
            names = [f"thread-{kill}-{number:02}" for number in range(THREADS)]
            tasks = [f"task-{kill}-{number:02}" for number in range(TASKS)]
            with running(clients_for_ever, [(database_url, names, tasks)]) as [peer]:
                receive(peer, told, chance.randint(100, 1000))
                while peer.has_sent(chance.uniform(0, 0.002)) and len(told) < 3000 * (kill + 1):
                    receive(peer, told, 1)
                told.update({command_id: (position, granted) for command_id, position, granted in peer.kill()})
            log = by_command(database_url)
            check_acknowledged(told, log)
            retry(ledger, check_clients([*names, *tasks], log), log, told)
            check_acknowledged(told, by_command(database_url))
            check_promises(ledger)


class Load:
    """Clients in threads of this process, each of which sends a command until it gets its answer, then the next."""

    def __init__(self, ledger: Ledger, clients: int) -> None:
        self._ledger = ledger
        self._ended = Event()
        self.told: Told = {}
        self.transient: list[LogUnavailable] = []
        self.failures: list[BaseException] = []
        self.clients = [f"client-{number:02}" for number in range(clients)]
        self.threads = [Thread(target=self._run, args=(client,)) for client in self.clients]

    def _run(self, client: str) -> None:
        try:
            number = 0
            while not self._ended.is_set():
                number += self._send(client, number)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            self.failures.append(error)

    def _send(self, client: str, number: int) -> bool:
        command = client_command(client, number)
        try:
            outcome = self._ledger.submit(command).result(DEADLINE_SECONDS)
        except LogUnavailable as error:
            self.transient.append(error)
            return False
        self.told[outcome.command_id] = (outcome.position, outcome.refusal is None)
        return True

    def wait_for(self, answers: int) -> None:
        """Wait until so many more commands were answered."""
        enough = len(self.told) + answers
        while len(self.told) < enough:
            assert not self.failures, self.failures
            assert any(thread.is_alive() for thread in self.threads)
            self._ended.wait(0.01)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self.threads:
            thread.join(2 * DEADLINE_SECONDS)


@pytest.mark.parametrize("patience", [1.0, 30.0])
def test_a_server_restarted_under_load(durable_postgres: PostgresServer, patience: float) -> None:
    """A server restarted under load costs callers a transient error or a wait; the same ledger goes on by itself."""
    url = durable_postgres.url()
    open_pools(url)
    with Ledger.open(url, patience=patience) as ledger:
        with Load(ledger, 16) as load:
            for _ in range(KILLS):
                load.wait_for(100)
                durable_postgres.stop("immediate")
                durable_postgres.start()
            load.wait_for(100)
        assert not load.failures, load.failures
        assert not any(thread.is_alive() for thread in load.threads)
        log = by_command(url)
        check_acknowledged(load.told, log)
        retry(ledger, check_clients(load.clients, log), log, load.told)
        check_promises(ledger)
        assert all(error.command_id for error in load.transient)
        assert patience < 30 or not load.transient, "a server that is back in time costs nobody an error"


def test_a_server_crashed_under_load(durable_postgres: PostgresServer) -> None:
    """The same of a server that is killed, whose clients' connections break at whatever point they are."""
    url = durable_postgres.url()
    open_pools(url)
    with Ledger.open(url) as ledger:
        with Load(ledger, 16) as load:
            for _ in range(KILLS):
                load.wait_for(100)
                durable_postgres.crash()
                durable_postgres.start()
            load.wait_for(100)
        assert not load.failures, load.failures
        log = by_command(url)
        check_acknowledged(load.told, log)
        check_clients(load.clients, log)
        check_promises(ledger)
