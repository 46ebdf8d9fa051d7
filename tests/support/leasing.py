"""Leases under test: a clock of elapsed seconds that goes only when it is told to, and what is heard of a loss."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pytest

from bursar.infrastructure import leases

if TYPE_CHECKING:
    from bursar import Lease, LeaseLost, Ledger

SECONDS_MAX: Final = 60.0
"""How long a test waits for what has to come."""


class Watch:
    """Tells elapsed seconds; each test moves it itself."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the seconds."""
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The clock that leases are measured by."""
    watch = Watch()
    monkeypatch.setattr(leases, "elapsed", watch)
    return watch


class Patient(threading.Event):
    """Keeps what it is told of a loss, and wakes whoever waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[LeaseLost] = []

    def __call__(self, lost: LeaseLost) -> None:
        """Hear of a loss."""
        self.told.append(lost)
        self.set()


def renewals(ledger: Ledger, allocation_id: str = "a") -> int:
    """Count the renewals that the log has."""
    return sum(type(one.event).__name__ == "Renewed" for one in ledger.history(allocation_id))


def go(watch: Watch, seconds: float, *kept: Lease) -> None:
    """Let time go by and give leases their turn; when this returns, what they asked is answered."""
    watch.now += seconds
    for lease in kept:
        lease.turn()
        lease._ledger.expire()  # noqa: SLF001 - answered after what was asked before
    assert all(lease._pending is None for lease in kept)  # noqa: SLF001 - the same
