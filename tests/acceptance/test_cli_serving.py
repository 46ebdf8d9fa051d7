"""`holdbook metrics --serve`: a real process, scraped by Prometheus's own parsers."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from holdbook import Allocate, Ledger, Limits, Malformed
from holdbook.infrastructure.cli import metrics_server as serving
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.settings import Settings
from support.cli import PROCESS_SECONDS_MAX, Holdbook, environment, program
from support.scraping import OPENMETRICS, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Databases


@contextmanager
def served(*words: str, number: signal.Signals) -> Iterator[str]:
    """Run the command, give the line it prints, and have a signal end it as it should."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program("metrics", *words), env=environment(), **pipes) as process:
        try:
            yield process.stdout.readline() if process.stdout else ""
            process.send_signal(number)
            out, err = process.communicate(timeout=PROCESS_SECONDS_MAX)
            assert (out, err, process.returncode) == ("", "", 0)
        finally:
            process.kill()


def test_prometheus_reads_what_the_database_holds(database_url: str) -> None:
    """Both formats tell the counters of `holdbook metrics`, kept up to date; SIGTERM ends it with exit code 0."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2))
        with served("--serve", "0", "--follow", "--json", "--database", database_url, number=signal.SIGTERM) as line:
            told = json.loads(line)
            assert told == {"serving": told["serving"], "follow": True}
            for _ in range(3):
                last = ledger.submit(Allocate(quantities={"gpu": 1}, owner="a")).result()
            for view in ("metrics", "pool_usage", "current_allocations"):
                ledger.wait_for(view, last.position or 0)
            older, newer = fetch(told["serving"]), fetch(told["serving"], OPENMETRICS)
    counted = Holdbook(database_url).json("metrics", "--by-pool")["metrics"]
    for scrape in (older, newer):
        done = {(row["operation"],): row["count"] for row in counted if row["outcome"] == "done"}
        refused = {(row["code"],): row["count"] for row in counted if row["outcome"] == "refused"}
        assert scrape.all("holdbook_operations_total", "operation") == done == {("allocate",): 2, ("open_pool",): 1}
        assert scrape.all("holdbook_refusals_total", "code") == refused == {("pool_exhausted",): 1}
        assert scrape.all("holdbook_pool_free", "pool") == {("gpu",): 0}
        assert scrape.all("holdbook_up") == {(): 1}


def test_people_are_told_where_it_listens(sqlite_url: str) -> None:
    """Without --json it is a sentence; Ctrl-C ends it with exit code 0, and it has not touched the views."""
    with Ledger.open(sqlite_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2))
    with served("--serve", "localhost:0", "--database", sqlite_url, number=signal.SIGINT) as line:
        assert line.startswith("serving metrics at http://localhost:")
        assert line.endswith("/metrics; interrupt to stop\n")
        found = fetch(line.split()[3].rstrip(";"))
    assert found.all("holdbook_view_lag_events", "view")["metrics",] == 1


def free_of(family: socket.AddressFamily, host: str) -> bool:
    """Tell whether this machine has an address."""
    with closing(socket.socket(family)) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
        return True


SIXES = ["[::1]:0"] if free_of(socket.AF_INET6, "::1") else []


@pytest.mark.parametrize("text", ["0", "127.0.0.1:0", ":0", *SIXES])
def test_where_it_listens(sqlite_url: str, text: str) -> None:
    """At this machine's own address unless told; port 0 is one that is free; an address of IPv6 is in brackets."""
    host = text.rpartition(":")[0] or "127.0.0.1"
    with Ledger.open(sqlite_url) as ledger, serving.serving(ledger, text) as url:
        assert url.startswith(f"http://{host}:")
        assert fetch(url).all("holdbook_up") == {(): 1}


@pytest.mark.parametrize(
    "text", ["x", "", "70000", "-1", "host:", "\N{ARABIC-INDIC DIGIT ONE}", "a..b:1", f"{'a' * 70}.example:1"]
)
def test_where_nobody_can_listen(sqlite_url: str, text: str) -> None:
    """An address that is none is wrong usage, naming it."""
    error = Holdbook(sqlite_url).error("metrics", "--serve", text)
    assert (error["parameter"], error["value"]) == ("--serve", text)


def test_a_port_that_is_taken(sqlite_url: str) -> None:
    """It is wrong usage, exit code 2, and says so in a sentence."""
    with Ledger.open(sqlite_url) as ledger, serving.serving(ledger, "0") as url:
        port = url.rpartition(":")[2].partition("/")[0]
        said = Holdbook(sqlite_url)("metrics", "--serve", port, code=2).err
    assert said.startswith("error: --serve: expected an address to listen at ([Errno ")
    assert said.endswith(f"Address already in use); got '{port}' (str)\n")


@pytest.mark.parametrize("words", [("--follow",), ("--serve", "0", "--csv"), ("--serve", "0", "--by-pool")])
def test_what_does_not_go_together(sqlite_url: str, words: tuple[str, ...]) -> None:
    """Options of the one way do not go with the other."""
    error = Holdbook(sqlite_url).error("metrics", *words)
    assert error["type"] == "Malformed"


def test_a_database_that_is_not_there(sqlite_url: str) -> None:
    """As everywhere, that is exit code 3, and nobody listens."""
    Holdbook(f"{sqlite_url}.other").error("metrics", "--serve", "0", code=3)


def test_a_database_that_goes_away_and_comes_back(
    postgres_server: Databases, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody may connect to it, a scrape succeeds and says `holdbook_up 0`; who keeps the views says so."""
    name = make_url(postgres_url).database
    heard = Event()
    monkeypatch.setattr(serving, "tell_failure", lambda *_, **__: heard.set())
    admin = postgres_server.url("postgres").replace("+psycopg", "")
    with (
        psycopg.connect(admin, autocommit=True) as server,
        Ledger.open(postgres_url) as ledger,
        serving.serving(ledger, "0") as url,
        serving.following(ledger, CommonOptions(settings=Settings())),
    ):
        assert fetch(url).all("holdbook_log_events_total") == {(): 0}
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for accept in ("text/plain", OPENMETRICS):
            away = fetch(url, accept)
            assert (away.all("holdbook_up"), away.all("holdbook_log_events_total")) == ({(): 0}, {})
        assert heard.wait(PROCESS_SECONDS_MAX)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert fetch(url).all("holdbook_up") == {(): 1}


def test_clients_that_do_not_ask(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One says nothing, one hangs up, one talks nonsense: the next is served, and nobody hears of them."""
    monkeypatch.setattr(serving._Handler, "timeout", 0.1)  # noqa: SLF001 - it is the same, sooner
    with Ledger.open(sqlite_url) as ledger, serving.serving(ledger, "0") as url:
        _, host, port = url.removesuffix("/metrics").replace("//", "").split(":")
        silent = socket.create_connection((host, int(port)))
        hung_up = socket.create_connection((host, int(port)))
        hung_up.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hung_up.close()
        with socket.create_connection((host, int(port))) as odd:
            odd.sendall(b"nonsense\r\n\r\n")
            assert b"400" in odd.recv(65536)
        assert fetch(url).all("holdbook_up") == {(): 1}
        silent.close()
    assert capsys.readouterr() == ("", "")


def test_an_address_is_read_before_anything_else() -> None:
    """The host may be left out."""
    assert serving.address("9464") == ("127.0.0.1", 9464)
    assert serving.address("[::1]:1") == ("::1", 1)
    with pytest.raises(Malformed, match="9464"):
        serving.address("9464:")
