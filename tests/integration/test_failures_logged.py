"""Messages about what fails say what it is about, and hold no secret."""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from holdbook import (
    Allocate,
    CommandIdReused,
    HoldbookError,
    Ledger,
    Limits,
    LogUnavailable,
    Malformed,
    Refused,
    Release,
    UnifiedResourceManager,
)
from holdbook.infrastructure.settings import Settings
from holdbook.infrastructure.telemetry.logging import NAME, configure_logging, get_logger
from support.providers import Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Databases

PASSWORD = "s3cr/t@w:ith%odd"  # noqa: S105 - the one that must not be seen
QUOTED = "s3cr%2Ft%40w%3Aith%25odd"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger(NAME)
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@contextmanager
def unreachable(databases: Databases, url: str) -> Iterator[None]:
    """Let nobody connect to a database while the block runs, and end the connections that there are."""
    name = make_url(url).database
    with psycopg.connect(databases.url("postgres").replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_a_storm_of_failures(
    postgres_server: Databases, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refusals, reused ids, a database that goes away, providers that fail: no line and no error has the password."""
    configure_logging(Settings(log_format="json", log_level="debug"))
    address = make_url(postgres_url).set(password=PASSWORD).render_as_string(hide_password=False)
    assert QUOTED in address
    errors: list[BaseException] = []
    with Ledger.open(address, patience=0.2) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=2))
        provider = Scripted(Limits(total=1))

        async def fail() -> None:
            raise OSError(f"cannot reach {address}, password={PASSWORD}")

        provider.steps["allocate"] = fail
        manager = UnifiedResourceManager(ledger)
        manager.register_provider("slot", provider)
        with pytest.raises(OSError, match="cannot reach"):
            await manager.allocate("slot", tags={"job": "42"})
        with pytest.raises(Refused):
            await manager.allocate("slot", size=3)
        tagged = {"password": PASSWORD, "job": "42"}
        storm = [
            Allocate(quantities={"gpu": 9}, owner="a", command_id="c-1", allocation_id="job-1", tags=tagged),
            Allocate(quantities={"gpu": 8}, owner="a", command_id="c-1"),
            Release(allocation_id="job-2", command_id="c-2"),
        ]
        with unreachable(postgres_server, postgres_url):
            errors += [_failure(ledger, one) for one in storm]
        errors += [_failure(ledger, one) for one in storm]
        shown = {"database": address, "conninfo": f"host=a password='{PASSWORD}'"}
        get_logger().error("told by a program", exc_info=LogUnavailable(address), **shown)
    with pytest.raises(Malformed) as wrong:
        Ledger.open(address.replace("postgresql", "oracle"))
    errors.append(wrong.value)
    said = capsys.readouterr().err
    told = "".join("".join(traceback.format_exception(error)) for error in errors)
    for secret in (PASSWORD, QUOTED):
        assert secret not in said
        assert json.dumps(secret)[1:-1] not in said
        assert secret not in told
    assert [type(error) for error in errors] == [
        *[LogUnavailable] * 3,
        *[Refused, CommandIdReused, Refused],
        Malformed,
    ]
    _check_errors([json.loads(line) for line in said.splitlines()])


def _failure(ledger: Ledger, command: Any) -> BaseException:  # noqa: ANN401 - any command
    with pytest.raises(HoldbookError) as failed:
        ledger.execute(command)
    return failed.value


def _check_errors(lines: list[dict[str, Any]]) -> None:
    """Find in the messages what each failure was about."""
    given_up = [line for line in lines if line["event"] == "commit_failed"]
    assert [(line["level"], line["command_ids"], line["pools"], line["allocation_ids"]) for line in given_up] == [
        ("error", ["c-1"], ["gpu"], ["job-1"]),
        ("error", ["c-1"], ["gpu"], []),
        ("error", ["c-2"], [], ["job-2"]),
    ]
    names = ("code", "command_id", "pools", "pool", "allocation_id")
    refused = [
        [line.get(name) for name in names]
        for line in lines
        if line["event"] in {"refused", "not_decided"} and line["command_id"].startswith("c-")
    ]
    assert refused == [
        ["above_capacity", "c-1", ["gpu"], "gpu", "job-1"],
        [None, "c-1", ["gpu"], None, None],
        ["allocation_not_found", "c-2", None, None, "job-2"],
    ]
    failed, too_large = [line for line in lines if line["event"] == "Resource allocation failed"]
    assert failed["error"].startswith("cannot reach postgresql+psycopg://")
    assert failed["resource_type"] == "slot"
    assert failed["allocation_id"]
    assert [too_large.get(name) for name in ("code", "pool")] == ["above_capacity", "slot"]
    assert too_large["allocation_id"] != failed["allocation_id"]
    assert too_large["command_id"]
    [program] = [line for line in lines if line["event"] == "told by a program"]
    assert "***" in program["database"]
    assert "***" in program["conninfo"]
    assert "LogUnavailable" in program["exception"]
