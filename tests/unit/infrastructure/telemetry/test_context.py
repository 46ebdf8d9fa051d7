"""What commands and errors are about."""

from __future__ import annotations

from typing import Any

import pytest

from holdbook import (
    Allocate,
    Expire,
    HoldbookError,
    Limits,
    LogUnavailable,
    OpenPool,
    PoolAlreadyOpen,
    Refused,
    Release,
)
from holdbook.domain.errors import CommandIdReused
from holdbook.domain.handling.outcome import PendingCommand
from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.telemetry.context import about_batch, about_command, about_error

OPENING = OpenPool(pool="gpu", resource_type="gpu", limits=Limits(total=1))
GRANT = Allocate(quantities={"gpu": 1, "cpu": 2}, owner="a", allocation_id="job-1")


@pytest.mark.parametrize(
    ("command", "about"),
    [
        (OPENING, {"pools": ["gpu"]}),
        (GRANT, {"pools": ["cpu", "gpu"], "allocation_id": "job-1"}),
        (Release(allocation_id="job-1"), {"allocation_id": "job-1"}),
        (Expire(), {}),
    ],
    ids=lambda value: getattr(value, "verb", ""),
)
def test_a_command(command: Any, about: dict[str, Any]) -> None:  # noqa: ANN401 - any of them
    """A command is about the pools and the allocation that it names, and nothing else is said."""
    assert about_command(command) == about


def test_a_batch() -> None:
    """Commands are about all that each of them is about, once and in order."""
    asked = [
        PendingCommand(one, f"c-{number}", fresh=True) for number, one in enumerate((GRANT, OPENING, Expire()), start=1)
    ]
    assert about_batch(asked) == {
        "command_ids": ["c-1", "c-2", "c-3"],
        "pools": ["cpu", "gpu"],
        "allocation_ids": ["job-1"],
    }


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (
            Refused(RefusalCode.ALLOCATION_ENDED, {"allocation_id": "job-1", "state": "expired"}, command_id="c"),
            {"command_id": "c", "code": "allocation_ended", "allocation_id": "job-1"},
        ),
        (
            Refused(RefusalCode.POOL_CLOSED, {"pool": "gpu", "free": 0}, command_id="c"),
            {"command_id": "c", "code": "pool_closed", "pool": "gpu"},
        ),
        (CommandIdReused("c", "owner", "a", "b"), {"command_id": "c"}),
        (LogUnavailable("away").about("c"), {"command_id": "c"}),
        (LogUnavailable("away"), {}),
        (PoolAlreadyOpen("gpu", "unit", "a", "b"), {"pool": "gpu"}),
        (OSError("no such device"), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error(error: HoldbookError, about: dict[str, Any]) -> None:
    """An error tells its command, a refusal its code, its pool and its allocation too, as far as they are known."""
    assert about_error(error) == about
