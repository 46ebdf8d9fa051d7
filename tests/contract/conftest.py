"""Logs of every kind, each in turn: what the contract suites run on."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from holdbook import Ledger, MemoryEventLog
from support.logs import Clock, Log, open_log

STORES = ("memory", "sqlite", "postgresql")
SHARED_STORES = STORES[1:]
"""Stores that processes can share."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses a log on every store, or with the fixture ``shared_url`` on those that processes can share."""
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("store", SHARED_STORES if "shared_url" in metafunc.fixturenames else STORES)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def log_url(request: pytest.FixtureRequest, store: str) -> str | None:
    """Address of the log's database; None in memory."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}.get(store)
    return str(request.getfixturevalue(fixture)) if fixture else None


@pytest.fixture
def shared_url(log_url: str | None) -> str:
    """Address of the log's database, for other processes."""
    assert log_url is not None
    return log_url


@pytest.fixture
def log(log_url: str | None) -> Iterator[Log]:
    """An empty log in each store in turn."""
    with closing(open_log(log_url) if log_url else MemoryEventLog()) as log:
        yield log


@pytest.fixture
def ledger(log: Log, clock: Clock) -> Iterator[Ledger]:
    """A ledger over the log, with a clock that stands still."""
    with Ledger(log, clock=clock) as ledger:
        yield ledger
