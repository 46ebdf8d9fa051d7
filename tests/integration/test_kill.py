"""Processes that are killed and servers that restart under load, time and again; the whole log is verified each time.

``make soak`` does it twenty times.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger
from support.load import Load, Told, check_acknowledged, check_clients, open_pools, retry
from support.outcomes import by_command, check_promises
from support.processes import Peer, clients_for_ever, running

if TYPE_CHECKING:
    from support.postgres import PostgresServer

KILLS = int(os.environ.get("HOLDBOOK_KILLS", "2"))
"""How often each process or server is killed."""

THREADS = 24
TASKS = 8
"""Clients of the process that is killed, by kind."""

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.untraced]


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
