"""Leases under test: a clock of elapsed seconds that goes only when it is told to, and what is heard of a loss."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from holdbook import Expire, Ledger, Limits
from holdbook.infrastructure.leases import renewals as lease_renewals
from support.deciding import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook import Held, Lease, LeaseLost

MINUTE: Final = timedelta(minutes=1)

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
    monkeypatch.setattr(lease_renewals, "elapsed", watch)
    return watch


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def ledger(watch: Watch, clock: Clock) -> Iterator[Ledger]:
    """A ledger with a pool that has no default, and one that has."""
    assert watch.now == 1000.0
    with Ledger.in_memory(clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8, max_ttl=600))
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=8, default_ttl=120))
        yield ledger


@pytest.fixture
def held(ledger: Ledger) -> Held:
    """An allocation for a minute."""
    return ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="a")


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
        lease._ledger.execute(Expire())  # noqa: SLF001 - answered after what was asked before
    assert all(lease._pending is None for lease in kept)  # noqa: SLF001 - the same
