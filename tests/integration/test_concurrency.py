"""Several writers on one database: threads and processes, alternately and at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from holdbook import (
    Allocate,
    CommandIdReused,
    Ledger,
    Limits,
    LogCorrupt,
    LogUnavailable,
    Refused,
    Release,
    UnknownEvent,
)
from holdbook.infrastructure.database.postgres import NEWS_ROWS_MAX
from support.logs import execute, query, raw_rows
from support.processes import barrier, race, running, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Command

RACERS = 8
ROUNDS = 10

BROKEN = {
    "sqlite": (
        "CREATE TRIGGER broken BEFORE INSERT ON events WHEN NEW.actor = 'x' BEGIN SELECT RAISE(ABORT, 'planted'); END",
    ),
    "postgres": (
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted'; END $$",
        """CREATE CONSTRAINT TRIGGER broken AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.actor = 'x') EXECUTE FUNCTION broken()""",
    ),
}
"""What makes a write of actor x fail: in SQLite the insert, in PostgreSQL the commit itself."""


@pytest.fixture
def one(database_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of ten."""
    with Ledger.open(database_url, actor="one") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=10))
        yield ledger


@pytest.fixture
def other(one: Ledger, database_url: str) -> Iterator[Ledger]:
    """Another ledger object on the same database."""
    assert one.pool("gpu").free == 10
    with Ledger.open(database_url, actor="other") as ledger:
        yield ledger


def grants(url: str, pool: str) -> int:
    """Count the grants in the log, past all of our code."""
    found = query(url, f"SELECT count(*) FROM events WHERE stream_id = 'pool:{pool}' AND type = 'Allocated'")  # noqa: S608 - names of our own
    return int(found[0][0])


def test_what_cannot_be_read_stops_its_own_pool(one: Ledger, other: Ledger, database_url: str) -> None:
    """An event that this version does not know stops commands on its pool alone, also for those who followed it."""
    other.open_pool("cpu", resource_type="cpu", limits=Limits(total=10))
    one.allocate({"gpu": 1, "cpu": 1}, owner="a")
    other.allocate({"gpu": 1}, owner="a")
    is_sqlite = database_url.startswith("sqlite")
    unlock = "DROP TRIGGER events_no_update" if is_sqlite else "ALTER TABLE events DISABLE TRIGGER USER"
    execute(database_url, unlock, "UPDATE events SET type = 'Lent' WHERE position = 5")
    for ledger in (one, other, one):
        futures = [ledger.submit(Allocate(quantities={pool: 1}, owner="b")) for pool in ("gpu", "cpu")]
        if ledger is one:
            with pytest.raises(UnknownEvent, match="'Lent'"):
                futures[0].result(60)
        assert futures[1].result(60).refusal is None


def test_two_ledgers_write_in_turn(one: Ledger, other: Ledger, database_url: str) -> None:
    """A ledger decides on what the other has written, whatever it had in memory."""
    for number in range(5):
        one.allocate({"gpu": 1}, owner="a", allocation_id=f"one-{number}")
        other.allocate({"gpu": 1}, owner="a", allocation_id=f"other-{number}")
    for ledger in (one, other):
        with pytest.raises(Refused, match="pool_exhausted"):
            ledger.allocate({"gpu": 1}, owner="a")
    one.release("other-0")
    with pytest.raises(Refused, match="allocation_ended"):
        other.release("other-0")
    other.change_limits("gpu", Limits(total=9))
    with pytest.raises(Refused, match="pool_exhausted"):
        one.allocate({"gpu": 1}, owner="a")
    assert one.pools() == other.pools()
    assert [row[0] for row in raw_rows(database_url)] == list(range(1, len(raw_rows(database_url)) + 1))


def test_a_ledger_far_behind(one: Ledger, other: Ledger) -> None:
    """A ledger that has missed more than it reads along with its turn decides on all of it."""
    other.allocate({"gpu": 1}, owner="b")
    one.allocate({"gpu": 1}, owner="a")  # after another's, so that it reads along from now on
    takes_turns: list[Command] = [
        command
        for number in range(NEWS_ROWS_MAX // 2 + 1)
        for command in (
            Allocate(quantities={"gpu": 1}, owner="b", allocation_id=f"b-{number}"),
            Release(allocation_id=f"b-{number}"),
        )
    ]
    other.record([*takes_turns, Allocate(quantities={"gpu": 6}, owner="b")])
    with pytest.raises(Refused, match="pool_exhausted"):
        one.allocate({"gpu": 3}, owner="a")
    assert one.allocate({"gpu": 2}, owner="a").quantities == {"gpu": 2}
    assert (one.pool("gpu").free, other.pool("gpu").free) == (0, 0)


def test_two_ledgers_write_at_once(one: Ledger, other: Ledger, database_url: str) -> None:
    """Threads of two ledgers that take and give back without end never hold more than there is."""
    one.change_limits("gpu", Limits(total=3))
    start = Barrier(8)

    def work(ledger: Ledger, name: str) -> int:
        start.wait()
        had = 0
        for number in range(25):
            with suppress(Refused):
                ledger.allocate({"gpu": 1}, owner=name, allocation_id=f"{name}-{number}")
                had += 1
                ledger.release(f"{name}-{number}")
        return had

    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(work, (one, other)[n % 2], f"w{n}") for n in range(8)]
        had = sum(future.result() for future in done)
    assert grants(database_url, "gpu") == had
    held = 0
    for (kind,) in query(database_url, "SELECT type FROM events WHERE stream_id = 'pool:gpu' ORDER BY version"):
        held += {"Allocated": 1, "Released": -1}.get(kind, 0)
        assert 0 <= held <= 3
    assert held == one.pool("gpu").used == 0


def test_a_repeat_from_another_process(one: Ledger, database_url: str) -> None:
    """A command repeated from another process gets its recorded outcome, grant or refusal, and appends nothing."""
    one.allocate({"gpu": 4}, owner="a", allocation_id="a", command_id="grant")
    with pytest.raises(Refused):
        one.allocate({"gpu": 7}, owner="a", command_id="refusal")
    one.release("a")
    before = raw_rows(database_url)
    grant = {"command": "allocate", "quantities": {"gpu": 4}, "owner": "a", "allocation_id": "a"}
    refusal = {"command": "allocate", "quantities": {"gpu": 7}, "owner": "a"}
    with running(serve, [(database_url,)]) as [peer]:
        assert peer.receive() == "ready"
        granted = peer.ask({**grant, "command_id": "grant"})
        refused = peer.ask({**refusal, "command_id": "refusal"})
        assert raw_rows(database_url) == before
        anew = peer.ask({**refusal, "command_id": "anew"})
    assert (granted["repeated"], granted["position"], granted["allocation_id"]) == (True, 2, "a")
    assert (refused["repeated"], refused["position"], refused["code"]) == (True, 3, "pool_exhausted")
    assert (anew["repeated"], anew["code"]) == (False, None)
    with pytest.raises(CommandIdReused, match="quantities"):
        one.allocate({"gpu": 3}, owner="a", allocation_id="a", command_id="grant")


def test_processes_and_threads_in_turn(one: Ledger, database_url: str) -> None:
    """Two processes and this one decide on each other's work, command by command."""
    with running(serve, [(database_url,)] * 2) as peers:
        for peer in peers:
            assert peer.receive() == "ready"
        for number in range(3):
            one.allocate({"gpu": 1}, owner="a", allocation_id=f"one-{number}")
            for name, peer in zip(("b", "c"), peers, strict=True):
                fields = {"command": "allocate", "quantities": {"gpu": 1}, "owner": name}
                assert peer.ask({**fields, "allocation_id": f"{name}-{number}"})["code"] is None
        assert peers[0].ask({"command": "release", "allocation_id": "c-0"})["code"] is None
        assert peers[1].ask({"command": "release", "allocation_id": "c-0"})["code"] == "allocation_ended"
        asked = {"command": "allocate", "quantities": {"gpu": 3}, "owner": "b"}
        assert (peers[1].ask(asked)["free"], one.pool("gpu").free) == (2, 2)


@pytest.mark.slow
@pytest.mark.untraced
def test_the_race_for_the_last_units(database_url: str) -> None:
    """Eight processes that race for the last units of a capacity of 100 end at exactly 100, ten times out of ten."""
    pools = [f"round-{number}" for number in range(ROUNDS)]
    with Ledger.open(database_url) as ledger:
        for pool in pools:
            ledger.open_pool(pool, resource_type="thing", limits=Limits(total=100))
            ledger.allocate({pool: 68}, owner="before")
        start = barrier(RACERS)
        with running(race, [(start, database_url, pools)] * RACERS) as peers:
            taken = [peer.receive() for peer in peers]
        assert [sum(of_round) for of_round in zip(*taken, strict=True)] == [32] * ROUNDS
        assert [(pool.used, pool.free) for pool in ledger.pools()] == [(100, 0)] * ROUNDS
    assert [grants(database_url, pool) for pool in pools] == [33] * ROUNDS


def test_a_failed_commit_is_forgotten(one: Ledger, database_url: str) -> None:
    """After a commit that failed, the ledger knows nothing of what was decided in it."""
    for number in range(3):
        one.allocate({"gpu": 1}, owner="a", allocation_id=f"a{number}")
    before = raw_rows(database_url)
    execute(database_url, "ALTER TABLE events RENAME TO hidden")
    with pytest.raises(LogUnavailable):
        one.allocate({"gpu": 7}, owner="lost", command_id="lost")
    execute(database_url, "ALTER TABLE hidden RENAME TO events")
    assert raw_rows(database_url) == before
    assert one.pool("gpu").free == 7
    outcome = one.execute(Allocate(quantities={"gpu": 7}, owner="lost", command_id="lost"))
    assert (outcome.repeated, outcome.position) == (False, len(before) + 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_commit_that_the_database_undoes(request: pytest.FixtureRequest, kind: str) -> None:
    """If the database fails when everything was decided, nothing of it is in the log, nor in memory."""
    url = request.getfixturevalue(f"{kind}_url")
    with Ledger.open(url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=10))
        execute(url, *BROKEN[kind])
        for _ in range(3):
            with pytest.raises((LogUnavailable, LogCorrupt), match="planted"):
                ledger.allocate({"gpu": 10}, owner="a", allocation_id="a", actor="x")
        assert ledger.pool("gpu").used == 0
        assert ledger.allocate({"gpu": 10}, owner="a", allocation_id="a").quantities == {"gpu": 10}
    assert len(raw_rows(url)) == 2
