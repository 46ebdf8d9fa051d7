"""Leases whose renewals fail: what passes is tried again, what does not ends the lease."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import LeaseLost, Ledger, Limits, LogUnavailable, Overloaded, Renew
from support.leasing import MINUTE, SECONDS_MAX, Watch, clock, go, held, ledger, renewals, watch

if TYPE_CHECKING:
    from holdbook import Held
    from support.deciding import Clock

__all__ = ["clock", "held", "ledger", "watch"]
"""Fixtures."""


class Troubled(Ledger):
    """A ledger that fails when it is told to."""

    trouble: Exception | None = None

    def submit(self, command: Any) -> Any:  # noqa: ANN401 - as it is given
        """Fail, or do as usual."""
        if self.trouble is not None:
            raise self.trouble
        return super().submit(command)


@pytest.mark.parametrize("trouble", [Overloaded(), LogUnavailable("away", transient=True)])
def test_failures_that_pass_are_tried_again(watch: Watch, clock: Clock, trouble: Exception) -> None:
    """Soon, and until the lease is over; the loss then says what went wrong last."""
    with Troubled.in_memory(clock=clock) as ledger:
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=8, default_ttl=10))
        lease = ledger.allocate({"cpu": 1}, owner="ann", allocation_id="a").keep_alive(grace=timedelta()).start()
        ledger.trouble = trouble
        go(watch, 4, lease)
        ledger.trouble = None
        go(watch, 0.4, lease)
        assert renewals(ledger) == 1
        go(watch, 0.2, lease)
        assert (renewals(ledger), lease.seconds_left) == (2, 10.0)
        ledger.trouble = trouble
        for _ in range(10):
            go(watch, 1, lease)
        assert f"no renewal was confirmed for 10 s: {trouble}" in str(lease.lost)
        assert lease.lost is not None
        assert lease.lost.__cause__ is trouble


def test_failures_that_do_not_pass_end_the_lease(watch: Watch, clock: Clock) -> None:
    """At once: the holder has the rest of its time to stop."""
    with Troubled.in_memory(clock=clock) as ledger:
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=8, default_ttl=60))
        lease = ledger.allocate({"cpu": 1}, owner="ann").keep_alive().start()
        ledger.trouble = LogUnavailable("set the clocks right")
        go(watch, 20, lease)
        with pytest.raises(LeaseLost, match="it cannot be renewed: set the clocks right"):
            lease.check()


def test_a_renewal_under_way_when_the_lease_ends(held: Held, watch: Watch, ledger: Ledger) -> None:
    """It is taken back if it still waits; what comes of one that does not is no matter any more."""
    lease = held.keep_alive().start()
    with ledger._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
        first = ledger.submit(Renew(allocation_id="a", ttl=MINUTE))
        while not first.running():
            pass
        watch.now += 20
        lease.turn()
        lease.turn()
        lease.close()
    ledger.expire()
    assert (renewals(ledger), lease.lost) == (2, None)


def test_an_answer_that_fails_is_heard(held: Held, watch: Watch, ledger: Ledger, monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's
    """What the queue answers counts as what the ledger raises does."""
    lease = held.keep_alive().start()

    def away(*_: object) -> None:
        raise LogUnavailable("gone for good")

    monkeypatch.setattr(ledger.log, "writing", away)
    monkeypatch.setattr(ledger._handler, "_try_alone", lambda *_: False)  # noqa: SLF001 - so that it asks for the lock
    watch.now += 20
    lease.turn()
    lost = lease.wait_lost(SECONDS_MAX)
    assert "it cannot be renewed: gone for good" in str(lost)
