"""When the ledger's clock is set back or forward, no pool's time goes back, and no limit is passed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import (
    Allocate,
    AllocationState,
    Command,
    Expire,
    LeaseLost,
    Ledger,
    Limits,
    RefusalCode,
    Refused,
    Release,
    Renew,
    Sweeper,
)
from holdbook.domain.events import Expired
from holdbook.infrastructure.clock import new_id
from holdbook.replay.verification.verifier import verify
from support.deciding import Clock, after
from support.leasing import Watch, go, renewals, watch

__all__ = ["watch"]
"""The fixture is imported for the tests here."""

MINUTE = timedelta(minutes=1)


def shop(clock: Clock, total: int = 1) -> Ledger:
    """Open a ledger with one pool, and nothing held."""
    ledger = Ledger.in_memory(clock=clock)
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=total))
    return ledger


def expiries(ledger: Ledger) -> list[str]:
    """List what expired, in order, each as often as the log has it."""
    events = (ledger.log.decode(row).event for row in ledger.log.rows())
    return [event.allocation_id for event in events if isinstance(event, Expired)]


def test_a_step_back_under_a_lease(watch: Watch) -> None:
    """When the clock goes back, a lease stays held, its deadline never gets earlier, and its holder notices nothing."""
    clock = Clock(after(1000))
    ledger = shop(clock)
    with ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="a").keep_alive() as lease:
        deadlines = [lease.deadline]
        for moment in (400, 0, 300):
            clock.set(moment)
            assert lease.seconds_left == 50.0
            go(watch, 20, lease)
            deadlines.append(lease.deadline)
            with pytest.raises(Refused) as caught:
                ledger.allocate({"gpu": 1}, owner="bob")
            assert caught.value.code is RefusalCode.POOL_EXHAUSTED
        assert deadlines == [after(1060)] * 4
    assert (renewals(ledger), expiries(ledger)) == (4, [])


def test_a_step_back_after_an_expiry() -> None:
    """When the clock goes back, an expired allocation stays expired, and what it held is granted only once."""
    clock = Clock()
    ledger = shop(clock)
    ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="a")
    clock.set(90)
    second = ledger.allocate({"gpu": 1}, owner="bob", ttl=MINUTE, allocation_id="b")
    clock.set(30)
    assert ledger.allocation("a").state is AllocationState.EXPIRED
    with pytest.raises(Refused) as caught:
        ledger.renew("a", ttl=MINUTE)
    assert caught.value.code is RefusalCode.ALLOCATION_ENDED
    with pytest.raises(Refused):
        ledger.allocate({"gpu": 1}, owner="ann")
    assert Sweeper(ledger).sweep() == 0
    assert (expiries(ledger), second.deadline) == (["a"], after(150))


def test_a_step_forward_under_a_lease(watch: Watch) -> None:
    """When the clock goes forward, a hold may expire early: its holder is told, and counts its own time as before."""
    clock = Clock()
    ledger = shop(clock, total=2)
    first = ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="a").keep_alive().start()
    second = ledger.allocate({"gpu": 1}, owner="bob", ttl=10 * MINUTE, allocation_id="b").keep_alive().start()
    clock.set(300)
    assert (first.seconds_left, second.seconds_left) == (50.0, 500.0)
    assert Sweeper(ledger).sweep() == 1
    first.check()
    go(watch, 20, first, second)
    with pytest.raises(LeaseLost, match="has ended: expired"):
        first.check()
    second.check()
    assert (expiries(ledger), ledger.pool("gpu").used) == (["a"], 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([-300, -61, -1, 0, 1, 61, 300]),
        st.sampled_from(["allocate", "renew", "release", "expire", "sweep"]),
        st.integers(0, 3),
    ),
    max_size=25,
)
"""How far the clock is set, then what is asked, of which allocation."""


@settings(max_examples=50)
@given(STEPS)
def test_any_steps(steps: list[tuple[int, str, int]]) -> None:
    """For any steps, no limit is passed, no pool's time goes back, nothing expires twice, no deadline gets earlier."""
    clock = Clock(after(10_000))
    ledger = shop(clock, total=2)
    deadlines: dict[str, datetime] = {}
    for seconds, what, which in steps:
        clock.now += timedelta(seconds=seconds)
        name = f"a{which}"
        commands: dict[str, Command] = {
            "allocate": Allocate(allocation_id=name, quantities={"gpu": 1}, owner="ann", ttl=60, command_id=new_id()),
            "renew": Renew(allocation_id=name, ttl=60),
            "release": Release(allocation_id=name),
            "expire": Expire(limit=1),
        }
        if what == "sweep":
            Sweeper(ledger, batch=1).sweep()
        else:
            outcome = ledger.submit(commands[what]).result()
            if outcome.allocation is not None and outcome.allocation.deadline is not None:
                assert outcome.allocation.deadline >= deadlines.get(name, after(0))
                deadlines[name] = outcome.allocation.deadline
        assert ledger.pool("gpu").used <= 2
    found = [ledger.log.decode(row) for row in ledger.log.rows()]
    times = [one.occurred_at for one in found if one.event.stream_id == "pool:gpu"]
    assert times == sorted(times)
    assert len(expiries(ledger)) == len(set(expiries(ledger)))
    assert verify(ledger.log).ok
