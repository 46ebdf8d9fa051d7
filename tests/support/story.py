"""A short life of a ledger in which everything happens that can, for those who read the log again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Limits, Refused

if TYPE_CHECKING:
    from holdbook import Ledger


T0 = datetime(2026, 1, 1, tzinfo=UTC)
"""When the story begins."""


def seconds(number: float) -> timedelta:
    """Shorten ``timedelta(seconds=…)``."""
    return timedelta(seconds=number)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def set(self, seconds_after: float) -> None:
        """Set it to so many seconds after the story's beginning."""
        self.now = T0 + seconds(seconds_after)


def tell(ledger: Ledger, clock: Clock) -> None:
    """Let everything happen: every event, several pools, lapsed holds, repeats, lowered limits, a closed pool."""
    ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=100, step=5))
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8, max_size=4, per_owner=6))
    ledger.open_pool(
        "seats", resource_type="seat", limits=Limits(total=2, default_ttl=seconds(50), max_ttl=seconds(60))
    )
    clock.set(10)
    ledger.allocate({"cpu": 20, "gpu": 2}, owner="ann", allocation_id="a1", ttl=seconds(100), tags={"job": "7"})
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="a2", command_id="c2", actor="bob")
    ledger.allocate({"gpu": 2}, owner="bob", allocation_id="a2", command_id="c2", actor="bob")
    ledger.reserve({"cpu": 5, "seats": 1}, owner="cid", allocation_id="r1", ttl=seconds(20))
    ledger.reserve({"gpu": 1}, owner="dee", allocation_id="r2", ttl=seconds(20))
    clock.set(20)
    ledger.confirm("r1", correlation_id="story")
    ledger.void("r2", reason="no need")
    ledger.renew("a1", ttl=seconds(200))
    ledger.resize("a1", {"cpu": 40, "gpu": 1})
    ledger.transfer("a1", to="bob")
    ledger.change_limits("gpu", Limits(total=2, max_size=4))
    with pytest.raises(Refused):
        ledger.allocate({"gpu": 1}, owner="eve", allocation_id="a3")
    with pytest.raises(Refused):
        ledger.release("nobody")
    ledger.resize("a1", {"cpu": 30})
    ledger.release("a2", reason="done")
    clock.set(30)
    ledger.allocate({"seats": 1}, owner="cid", allocation_id="s1")
    clock.set(300)
    with pytest.raises(Refused):
        ledger.renew("a1", ttl=seconds(10))
    ledger.allocate({"seats": 2}, owner="fay", allocation_id="s2")
    ledger.close_pool("seats", reason="moved")
    clock.set(400)
    ledger.expire()
    ledger.allocate({"cpu": 10}, owner="gil", allocation_id="a4")
    ledger.reserve({"cpu": 10, "gpu": 1}, owner="gil", allocation_id="r3", ttl=seconds(1000))
