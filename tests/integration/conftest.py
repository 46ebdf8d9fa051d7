"""Ledgers for what stands on top of them, on each store in turn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits, UnifiedResourceManager
from holdbook.infrastructure.telemetry.counters import Counters
from support.deciding import Clock
from support.providers import Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator


class Messages(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message's fields."""
        assert isinstance(record.msg, dict)
        self.found.append(record.msg)

    def of(self, event: str) -> list[dict[str, Any]]:
        """List the messages of one kind."""
        return [one for one in self.found if one["event"] == event]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Messages]:
    """What the package logs from WARNING on."""
    logger, handler = logging.getLogger("holdbook"), Messages()
    monkeypatch.setattr(logger, "level", logging.WARNING)
    logger.manager._clear_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - as `setLevel` does
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def fixed_clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def stored_ledger(request: pytest.FixtureRequest, fixed_clock: Clock) -> Iterator[Ledger]:
    """An empty ledger in each store in turn, with a clock that stands still."""
    if request.param == "memory":
        ledger = Ledger.in_memory(clock=fixed_clock)
    else:
        url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
        ledger = Ledger.open(url, clock=fixed_clock)
    with ledger:
        yield ledger


@pytest.fixture
def counters() -> Counters:
    """A registry of the test's own."""
    return Counters()


@pytest.fixture
def manager(stored_ledger: Ledger, counters: Counters) -> UnifiedResourceManager:
    """A manager over the ledger, with the test's counters."""
    return UnifiedResourceManager(stored_ledger, counters=counters)


@pytest.fixture
def provider(manager: UnifiedResourceManager) -> Scripted:
    """A provider of slots, of which there are ten."""
    provider = Scripted(Limits(total=10))
    manager.register_provider("slot", provider)
    return provider
