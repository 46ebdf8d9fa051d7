"""The thread that renews all leases of a ledger, on a clock of elapsed seconds that goes only when it is told to."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

from holdbook import Held, Ledger, Limits
from holdbook.infrastructure.leases.renewals import elapsed
from support.leasing import MINUTE, SECONDS_MAX, Watch, clock, held, ledger, renewals, watch

if TYPE_CHECKING:
    from support.deciding import Clock

__all__ = ["clock", "held", "ledger", "watch"]
"""Fixtures."""


def test_one_thread_renews_all_leases_when_they_are_due(ledger: Ledger, watch: Watch) -> None:
    """Three of different ttl, by a daemon of one name; each was renewed as often as its third went by."""
    before = set(threading.enumerate())
    kept = [
        ledger.allocate({"gpu": 1}, owner="ann", ttl=minutes * MINUTE, allocation_id=f"m{minutes}").keep_alive().start()
        for minutes in (1, 2, 4)
    ]
    with ledger.log.watching() as news:
        for _ in range(4):
            watch.now += 20
            wanted = [1 + int(watch.now - 1000) // (20 * minutes) for minutes in (1, 2, 4)]
            ledger._leases.wake()  # noqa: SLF001 - the clock was moved
            while [renewals(ledger, lease.allocation_id) for lease in kept] != wanted:
                news(SECONDS_MAX)
    (thread,) = {one for one in threading.enumerate() if one.name == "holdbook-leases"} - before
    assert thread.daemon


def test_a_lease_that_nobody_has_is_renewed_no_more(ledger: Ledger, held: Held, watch: Watch) -> None:
    """Not by its thread, which keeps none, nor by a renewal that is answered later."""
    lease = held.keep_alive().start()
    with ledger._handler.own_cache():  # noqa: SLF001 - nothing is committed meanwhile
        watch.now += 20
        lease.turn()
        gone = weakref.ref(lease)
        del lease
        while gone() is not None:  # its thread may just be giving it its turn
            gc.collect()
    ledger.expire()
    assert renewals(ledger) == 2
    with ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="b").keep_alive():
        with ledger.log.watching() as news:
            watch.now += 40  # the turn of both
            ledger._leases.wake()  # noqa: SLF001 - the clock was moved
            while renewals(ledger, "b") < 2:
                news(SECONDS_MAX)
        assert renewals(ledger) == 2


def test_a_ledger_that_nobody_has_takes_its_thread_along(watch: Watch, clock: Clock) -> None:
    """Neither what sleeps nor what is held elsewhere keeps it."""
    before = set(threading.enumerate())
    ledger = Ledger.in_memory(clock=clock)
    ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=8, default_ttl=60))
    lease = ledger.allocate({"cpu": 1}, owner="ann").keep_alive().start()
    watch.now += 1
    (thread,) = {one for one in threading.enumerate() if one.name == "holdbook-leases"} - before
    gone = weakref.ref(ledger)
    del ledger, lease
    gc.collect()
    assert gone() is None
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()


def test_the_clock_of_leases_goes_on() -> None:
    """It never goes back, and does not show the time of day."""
    first = elapsed()
    assert first <= elapsed()
