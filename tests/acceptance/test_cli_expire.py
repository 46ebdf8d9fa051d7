"""`holdbook expire`: in portions, and as a worker that watches."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits
from support.cli import PROCESS_SECONDS_MAX, Holdbook, environment, program
from support.faults import FaultProxy
from support.logs import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

PIPE = subprocess.PIPE


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger in which five holds lapsed long ago."""
    lapse(database_url, *range(5))
    return Holdbook(database_url)


def lapse(url: str, *numbers: int) -> None:
    """Hold something that has lapsed since; the later its number, the later its deadline."""
    with Ledger.open(url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as ledger:
        ledger.open_pool("gpu", resource_type="t", limits=Limits(total=20))
        for number in numbers:
            ttl = timedelta(minutes=number + 1)
            ledger.allocate({"gpu": 1}, owner="a", allocation_id=f"a{number}", ttl=ttl)


def test_a_limit(holdbook: Holdbook) -> None:
    """The earliest deadlines first; a number that is none is malformed."""
    assert holdbook.json("expire", "--limit", "2")["expired"] == ["a0", "a1"]
    assert holdbook("expire", "--limit", "1", "--pool", "gpu").out == "expired: a2\n"
    assert holdbook("expire", "--limit", "9", "--dry-run").out == "would be expired: a3, a4\n"
    assert holdbook.error("expire", "--limit", "0")["message"].startswith("limit: expected a whole number from 1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pool", "gpu"), "--pool: expected none with --watch: it sweeps all pools"),
        (("--limit", "5"), "--limit: expected none with --watch"),
        (("--command-id", "c"), "--command-id: expected none with --watch"),
        (("--dry-run",), "--dry-run: expected none with --watch"),
        (("--interval", "0s"), "interval: expected a number of seconds above 0"),
        (("--interval", "soon"), "--interval: expected a duration such as"),
        (("--batch", "0"), "batch: expected a whole number from 1"),
    ],
)
def test_what_does_not_go_with_watching(sqlite_url: str, words: tuple[str, ...], message: str) -> None:
    """It is refused before anything is recorded."""
    lapse(sqlite_url, 0)
    assert Holdbook(sqlite_url).error("expire", "--watch", *words)["message"].startswith(message)
    assert query(sqlite_url, "SELECT count(*) FROM events WHERE type = 'Expired'") == [(0,)]


def worker(url: str, *words: str) -> subprocess.Popen[str]:
    """Start a worker that watches."""
    command = program("expire", "--watch", "--interval", "0.05s", "--database", url, *words)
    return subprocess.Popen(command, env=environment(), stdout=PIPE, stderr=PIPE, text=True)


def lines(stream: IO[str] | None) -> Iterator[str]:
    """Read what a worker says, line by line."""
    assert stream is not None
    return iter(stream.readline, "")


def test_a_worker(sqlite_url: str) -> None:
    """It records what is due in portions, brings the views up to date, goes on, and ends well when it is told to."""
    lapse(sqlite_url, *range(5))
    with worker(sqlite_url, "--batch", "2", "--json", "--actor", "cron") as process:
        said = map(json.loads, lines(process.stdout))
        first = next(said)
        assert (first["outcome"], first["command"], first["expired"]) == ("done", "expire", ["a0", "a1"])
        assert [next(said)["expired"] for _ in range(2)] == [["a2", "a3"], ["a4"]]
        lapse(sqlite_url, 7)
        assert next(said)["expired"] == ["a7"]
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=PROCESS_SECONDS_MAX)
    assert (*rest, process.returncode) == ("", "", 0)
    assert query(sqlite_url, "SELECT count(*) FROM current_allocations") == [(0,)]
    assert query(sqlite_url, "SELECT DISTINCT actor FROM events WHERE type = 'Expired'") == [("cron",)]


def test_a_worker_whose_database_goes_away(postgres_url: str) -> None:
    """It says so, tries again, and goes on when the database is back; people read sentences, and Ctrl-C ends it."""
    lapse(postgres_url, 0)
    with FaultProxy(postgres_url) as proxy, worker(proxy.url) as process:
        said, wrong = lines(process.stdout), lines(process.stderr)
        assert next(wrong) == "expiring what is due; interrupt to stop\n"
        assert next(said) == "expired: a0\n"
        proxy.set("reset")
        assert next(line for line in wrong if line.startswith("the database postgresql")) != ""
        proxy.set("pass")
        lapse(postgres_url, 1)
        assert next(said) == "expired: a1\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PROCESS_SECONDS_MAX)
    assert process.returncode == 0
