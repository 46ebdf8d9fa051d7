"""Processes and servers that die: what was acknowledged is there, and a retry tells what became of the rest."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, LogUnavailable
from support.logs import raw_rows
from support.processes import running, write_for_ever

if TYPE_CHECKING:
    from support.postgres import PostgresServer

POOLS = ("cpu", "gpu", "ram")
WRITERS = 4
THREADS = 3

pytestmark = [pytest.mark.crash, pytest.mark.untraced]


def open_pools(ledger: Ledger) -> None:
    """Open pools in which there is room for everything."""
    for pool in POOLS:
        ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10**9))


def check_whole(url: str) -> set[str]:
    """Check that each command in the log is there as a whole; give the ids of all that were granted."""
    granted = set()
    for command_id, some in groupby(raw_rows(url), key=lambda row: str(row[5])):
        rows = list(some)
        assert [(row[6], row[7]) for row in rows] == [(n, len(rows)) for n in range(len(rows))]
        if rows[0][3] == "Allocated":
            assert [row[1] for row in rows] == [f"pool:{pool}" for pool in POOLS]
            granted.add(command_id)
    return granted


def retry(ledger: Ledger, name: str, command_id: str) -> bool:
    """Send a command again, with its id; tell whether it had been decided before."""
    command = Allocate(quantities=dict.fromkeys(POOLS, 1), owner=name, command_id=command_id)
    outcome = ledger.execute(command)
    assert len(outcome.records) == len(POOLS)
    return outcome.repeated


@pytest.mark.slow
def test_kill_9_of_writing_processes(database_url: str) -> None:
    """What a killed process had been told is done is in the log; each other command is there whole or not at all."""
    chance = random.Random(20260101)  # noqa: S311 - moments, not secrets
    names = [f"w{number}" for number in range(WRITERS)]
    with Ledger.open(database_url) as ledger:
        open_pools(ledger)
        acknowledged: dict[str, set[str]] = {}
        with running(write_for_ever, [(database_url, name, POOLS, THREADS) for name in names]) as peers:
            for name, peer in zip(names, peers, strict=True):
                acknowledged[name] = {peer.receive() for _ in range(chance.randint(5, 30))}
                while peer.has_sent(chance.uniform(0, 0.01)):  # until it is silent for just so long
                    acknowledged[name].add(peer.receive())
                acknowledged[name].update(peer.kill())
        granted = check_whole(database_url)
        for name, known in acknowledged.items():
            assert known <= granted, "an acknowledged command is not in the log"
            for thread in range(THREADS):
                number = sum(one.startswith(f"{name}-{thread}-") for one in granted)
                assert f"{name}-{thread}-{number}" not in granted
                assert retry(ledger, name, f"{name}-{thread}-{number}") is False  # never decided: decided now
                for last in {number - 1} - {-1}:
                    assert retry(ledger, name, f"{name}-{thread}-{last}") is True  # decided, acknowledged or not
        assert len(check_whole(database_url)) == len(granted) + WRITERS * THREADS
        assert {pool.used for pool in ledger.pools()} == {len(granted) + WRITERS * THREADS}


@pytest.mark.slow
def test_a_database_server_that_crashes(durable_postgres: PostgresServer) -> None:
    """After a crash of PostgreSQL under load, what was acknowledged is there, and the same ledger works again."""
    url = durable_postgres.url()
    acknowledged: list[str] = []

    def write(ledger: Ledger, thread: int) -> str:
        number = 0
        while True:
            command_id = f"t-{thread}-{number}"
            try:
                ledger.execute(Allocate(quantities=dict.fromkeys(POOLS, 1), owner="a", command_id=command_id))
            except LogUnavailable:
                return command_id
            acknowledged.append(command_id)
            number += 1

    with Ledger.open(url, patience=0.5) as ledger, ThreadPoolExecutor(THREADS) as threads:
        open_pools(ledger)
        for _ in range(2):
            writing = [threads.submit(write, ledger, len(acknowledged) * 10 + thread) for thread in range(THREADS)]
            enough = len(acknowledged) + 50
            while len(acknowledged) < enough:
                assert not any(one.done() for one in writing)
            durable_postgres.crash()
            unknown = [one.result(60) for one in writing]
            with pytest.raises(LogUnavailable, match="cannot be used"):
                ledger.pool("gpu")
            durable_postgres.start()
            granted = check_whole(url)
            assert set(acknowledged) <= granted
            for command_id in unknown:
                assert retry(ledger, "a", command_id) is (command_id in granted)
            acknowledged += unknown
            assert ledger.pool("gpu").used == len(check_whole(url)) == len(set(acknowledged))


def test_a_server_that_is_restarted(durable_postgres: PostgresServer) -> None:
    """A ledger outlives an orderly restart of its server, as do its subscriptions' readers: they are told."""
    with Ledger.open(durable_postgres.url()) as ledger:
        open_pools(ledger)
        log = ledger.log
        with log.subscribe(gt=3) as subscription:  # type: ignore[attr-defined]  # of the log in a database
            durable_postgres.stop()
            with pytest.raises(LogUnavailable, match="cannot be used"):
                next(subscription)
        durable_postgres.start()
        assert ledger.allocate({"gpu": 1}, owner="a").quantities == {"gpu": 1}
