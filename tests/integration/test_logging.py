"""Messages: silent unless the program wants them; then as text or JSON, with the command's context."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Allocate, Ledger, Limits, Refused
from holdbook.infrastructure.settings import Settings
from holdbook.infrastructure.telemetry.logging import NAME, configure_logging, get_logger
from support.cli import Holdbook
from support.logs import execute

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger(NAME)
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def refuse(ledger: Ledger) -> None:
    """Be refused, with everything in the context that a command can bring."""
    with pytest.raises(Refused):
        ledger.allocate({"gpu": 9}, owner="a", command_id="c-1", correlation_id="r-1", actor="é")


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Ledger]:
    """A ledger with a pool of eight."""
    with Ledger.open(sqlite_url, actor="ops") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        yield ledger


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read what was written to standard error as JSON Lines."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_json(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, a refusal is one object with its code, its data, and the command's id, correlation id and actor."""
    configure_logging(Settings(log_format="json", log_level="info"))
    refuse(ledger)
    [message] = lines(capsys)
    assert message.pop("timestamp").endswith("Z")
    assert message.pop("data")["free"] == 8
    assert message == {
        "event": "refused",
        "level": "info",
        "command": "allocate",
        "code": "above_capacity",
        "pool": "gpu",
        "pools": ["gpu"],
        "command_id": "c-1",
        "correlation_id": "r-1",
        "actor": "é",
    }


def test_every_kind_of_outcome(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """Grants and waits are messages for who debugs, refusals and reused ids information; all name the actor."""
    configure_logging(Settings(log_format="json", log_level="debug"))
    ledger.allocate({"gpu": 1}, owner="a", command_id="c-2")
    waiting = ledger.submit(Allocate(quantities={"gpu": 8}, owner="a", command_id="c-3", wait=timedelta(minutes=1)))
    refuse(ledger)
    assert waiting.cancel()
    with pytest.raises(Exception, match="c-2"):
        ledger.execute(Allocate(quantities={"gpu": 2}, owner="a", command_id="c-2"))
    found = [(line["level"], line["event"], line["command_id"], line["actor"]) for line in lines(capsys)]
    assert found == [
        ("debug", "decided", "c-2", "ops"),
        ("debug", "waits", "c-3", "ops"),
        ("info", "refused", "c-1", "é"),
        ("info", "not_decided", "c-2", "ops"),
    ]


def test_only_what_is_serious_enough(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages below the level that the settings name are not written."""
    configure_logging(Settings(log_format="json"))
    refuse(ledger)
    assert lines(capsys) == []


def test_console(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """For people a message is one line of text without colours."""
    configure_logging(Settings(log_level="info"))
    refuse(ledger)
    [line] = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    for word in ("info", "refused", "code=above_capacity", "command_id=c-1", "correlation_id=r-1", "actor=é"):
        assert word in line


def test_an_error_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that is logged comes with its trace, in the same object."""
    configure_logging(Settings(log_format="json"))
    try:
        int("on purpose")
    except ValueError:
        get_logger().exception("failed")
    [line] = lines(capsys)
    assert line["level"] == "error"
    assert "ValueError: invalid literal" in line["exception"]


def test_the_standard_library_s_own_messages(capsys: pytest.CaptureFixture[str]) -> None:
    """What is logged below our name without structlog looks the same."""
    configure_logging(Settings(log_format="json"))
    logging.getLogger(f"{NAME}.other").warning("plain")
    [line] = lines(capsys)
    assert (line["event"], line["level"]) == ("plain", "warning")


def test_a_snapshot_that_fails_is_a_warning(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that cannot be saved is a warning: no command fails because of it."""
    configure_logging(Settings(log_format="json"))
    monkeypatch.setattr("holdbook.domain.handling.pool_cache.MILESTONE_EVENTS", 2)
    with Ledger.open(sqlite_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.allocate({"gpu": 1}, owner="a")
        execute(sqlite_url, "ALTER TABLE snapshots RENAME TO gone")
        ledger.allocate({"gpu": 1}, owner="a")
        ledger.allocate({"gpu": 1}, owner="a")
    found = lines(capsys)
    assert {(line["level"], line["event"], line["pool"]) for line in found} == {("warning", "snapshot_failed", "gpu")}
    assert "no such table: snapshots" in found[0]["error"]


def test_silence_in_a_program_that_embeds_holdbook() -> None:
    """A program that says nothing about logging hears nothing, not even of refusals and errors."""
    program = """
from holdbook import Ledger, Limits
with Ledger.in_memory() as ledger:
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    for number in (1, 2):
        for command_id in ("once", None):
            try:
                ledger.allocate({"gpu": number}, owner="a", command_id=command_id)
            except Exception:
                pass
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_command_line_says_once_that_a_commit_failed(sqlite_url: str) -> None:
    """A program hears of it by a message too; for whoever issued one command, its error is enough."""
    execute(sqlite_url, "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'on purpose'); END")
    error = Holdbook(sqlite_url).error("pool", "open", "gpu", "--type", "gpu", "--total", "1", code=3)
    assert "on purpose" in error["message"]
