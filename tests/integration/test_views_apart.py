"""Views compared in another process while this one checks the log."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING

import psutil
import pytest

from holdbook import Ledger, LogUnavailable
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.verification import view_process as views_apart
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.verification.view_process import ViewProcess, work
from holdbook.replay.verification.findings import Harm
from holdbook.replay.verification.view_check import ViewComparison
from support.story import Clock, tell
from support.tampering import tampering

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 36
"""Rows that the story leaves."""


@pytest.fixture
def told_url(database_url: str) -> str:
    """A ledger in which everything has happened, its views up to date."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock) as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
    return database_url


@pytest.fixture
def _always_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a process of their own for the views of any ledger."""
    monkeypatch.setattr(views_apart, "pays", lambda _events: True)


@pytest.mark.usefixtures("_always_apart")
def test_same_report(told_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes find what one does, and all of it is told of."""
    with tampering(told_url) as tamperer:
        tamperer.run("UPDATE gen_metrics_1 SET count = 3 WHERE pool = 'gpu' AND operation = 'void'")
        tamperer.run("UPDATE events SET actor = 'mallory' WHERE position = 23")
    told: list[tuple[int, int]] = []
    with Ledger.open(told_url) as ledger:
        apart = verify_ledger(ledger, lambda done, total: told.append((done, total)))
        monkeypatch.setattr(views_apart, "pays", lambda _events: False)
        here = verify_ledger(ledger)
    assert apart == here
    assert [finding.harm for finding in apart.findings] == [Harm.ALTERED, *[Harm.VIEW] * 2]
    assert told[-1] == (ROWS, ROWS)


def test_pays() -> None:
    """A short log is not worth a process."""
    assert not views_apart.pays(views_apart.EVENTS_MIN - 1)
    assert views_apart.pays(10**9) == (len(psutil.Process().cpu_affinity()) > 1)


@pytest.mark.usefixtures("_always_apart")
def test_ended(told_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the other process is killed, that is an error that says so, not a report."""
    begin = ViewProcess.begin

    def begin_and_kill(views: ViewProcess, head: int) -> None:
        begin(views, head)
        for child in psutil.Process().children():
            if views_apart.__name__ in " ".join(child.cmdline()):
                child.kill()

    monkeypatch.setattr(ViewProcess, "begin", begin_and_kill)
    with Ledger.open(told_url) as ledger, pytest.raises(LogUnavailable, match="the process that compares the views"):
        verify_ledger(ledger)


@pytest.mark.usefixtures("_always_apart")
def test_interrupted(told_url: str) -> None:
    """What interrupts the verification ends the other process too."""

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with Ledger.open(told_url) as ledger, pytest.raises(KeyboardInterrupt):
        verify_ledger(ledger, interrupt)
    assert not [one for one in psutil.Process().children() if views_apart.__name__ in " ".join(one.cmdline())]


def test_never_begun(told_url: str) -> None:
    """Where verification fails before the process is started, there is none to end, and nothing to give."""
    database = Database(told_url)
    with ViewProcess(database) as views, pytest.raises(LogUnavailable, match="was ended"):
        views.result(lambda _done: None)
    database.close()


def asked(url: str, head: int) -> BytesIO:
    """Write what the other process is asked."""
    return BytesIO(pickle.dumps((url, head)))


def answered(answer: BytesIO) -> object:
    """Read the next thing that was answered."""
    return pickle.load(answer)  # noqa: S301 - written by this test's own process


def test_work(told_url: str) -> None:
    """The other process answers how far it has come, then what it found."""
    answer = BytesIO()
    work(asked(told_url, ROWS), answer)
    answer.seek(0)
    assert answered(answer) == ROWS
    found = answered(answer)
    assert isinstance(found, ViewComparison)
    assert (len(found.views), found.findings) == (5, ())


def test_work_on_nothing(tmp_path: Path) -> None:
    """What the database says is answered in words, and raised where it was asked for."""
    answer = BytesIO()
    work(asked(f"sqlite:///{tmp_path / 'none.db'}", 1), answer)
    answer.seek(0)
    assert "cannot be used" in str(answered(answer))


def test_work_for_nobody(told_url: str) -> None:
    """A process whose asker is gone ends without a word."""

    class Gone(BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    work(asked(told_url, ROWS), Gone())


def test_ctrl_c_at_the_command_line(told_url: str) -> None:
    """Ctrl-C ends `holdbook verify` with its own exit code, without a traceback, and leaves no process behind."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # also where whoever started the tests ignores it
        "from holdbook.infrastructure.verification import view_process\n"
        "from holdbook.replay.verification import verifier\n"
        "view_process.pays = lambda events: True\n"
        "read = verifier.pages\n"
        "def pages(*words):\n"
        "    yield from read(*words)\n"
        "    os.killpg(0, signal.SIGINT)\n"
        "verifier.pages = pages\n"
        "from holdbook.__main__ import main\n"
        "main()\n"
    )
    words = [sys.executable, "-P", "-c", code, "verify", "--database", told_url]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, start_new_session=True)
    assert ended.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in ended.stderr
