"""What was held as of a moment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits
from holdbook.domain.allocation import AllocationState
from holdbook.domain.commands import Allocate, OpenPool, Release
from holdbook.domain.errors import Malformed
from holdbook.replay.history.as_of import allocations_as_of, state_at
from support.story import T0, Clock, seconds, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdbook.domain.allocation import Allocation


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.in_memory(clock=clock) as ledger:
        yield ledger


def as_of(ledger: Ledger, seconds_after: float) -> dict[str, Allocation]:
    """Every allocation that had been granted, by id."""
    found = list(allocations_as_of(ledger.log, T0 + seconds(seconds_after)))
    assert [one.token for one in found] == sorted(one.token for one in found)
    return {one.id: one for one in found}


def states(ledger: Ledger, seconds_after: float) -> dict[str, str]:
    """The state of every allocation that had been granted, by id."""
    return {key: one.state.value for key, one in as_of(ledger, seconds_after).items()}


def test_story(ledger: Ledger, clock: Clock) -> None:
    """Allocations appear when granted and keep the state they had at any moment, long after they ended."""
    tell(ledger, clock)
    assert states(ledger, 9) == {}
    assert states(ledger, 10) == {"a1": "active", "a2": "active", "r1": "reserved", "r2": "reserved"}
    assert states(ledger, 20) == {"a1": "active", "a2": "released", "r1": "active", "r2": "voided"}
    assert states(ledger, 69) == states(ledger, 20) | {"s1": "active"}
    assert states(ledger, 70)["r1"] == "expired"
    assert states(ledger, 219)["a1"] == "active"
    assert states(ledger, 220)["a1"] == "expired"
    assert states(ledger, 400) == {
        "a1": "expired",
        "a2": "released",
        "r1": "expired",
        "r2": "voided",
        "s1": "expired",
        "s2": "expired",
        "a4": "active",
        "r3": "reserved",
    }


def test_what_it_was_then(ledger: Ledger, clock: Clock) -> None:
    """Quantities, owner and deadline are those of the moment, not of today."""
    tell(ledger, clock)
    before, later = as_of(ledger, 19)["a1"], as_of(ledger, 20)["a1"]
    assert (before.quantities, before.owner, before.deadline) == ({"cpu": 20, "gpu": 2}, "ann", T0 + seconds(110))
    assert (later.quantities, later.owner, later.deadline) == ({"cpu": 30, "gpu": 1}, "bob", T0 + seconds(220))


def test_lapsed_and_not_noticed(ledger: Ledger, clock: Clock) -> None:
    """A hold is over at its deadline, whether anybody noticed or not."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a", ttl=seconds(10))
    assert as_of(ledger, 9.999999)["a"].state is AllocationState.ACTIVE
    lapsed = as_of(ledger, 10)["a"]
    assert (lapsed.state, lapsed.ended_at) == (AllocationState.EXPIRED, T0 + seconds(10))
    clock.set(50)
    ledger.expire()
    assert as_of(ledger, 10)["a"] == lapsed


def test_order_in_the_log_does_not_matter(ledger: Ledger) -> None:
    """What occurred after the moment is left out though earlier events stand behind it in the log."""
    ledger.record(
        [
            OpenPool(pool="a", resource_type="a", limits=Limits(total=1), at=T0),
            OpenPool(pool="b", resource_type="b", limits=Limits(total=1), at=T0),
            Allocate(allocation_id="late", quantities={"a": 1}, owner="ann", at=T0 + seconds(100)),
            Release(allocation_id="late", at=T0 + seconds(200)),
            Allocate(allocation_id="early", quantities={"b": 1}, owner="ann", at=T0 + seconds(10)),
        ]
    )
    assert states(ledger, 50) == {"early": "active"}
    assert states(ledger, 150) == {"late": "active", "early": "active"}


def test_moment_without_offset(ledger: Ledger) -> None:
    """A moment that does not say its offset from UTC is malformed: it may mean any of 26 hours."""
    with pytest.raises(Malformed, match="moment: expected a time with its offset"):
        allocations_as_of(ledger.log, datetime(2026, 1, 1))  # noqa: DTZ001 - the fault in question


@pytest.mark.parametrize("position", [-1, 3, True])
def test_positions_that_are_none(ledger: Ledger, position: int) -> None:
    """A position that the log has not reached, or that is no number, is malformed."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    ledger.allocate({"gpu": 1}, owner="ann")
    with pytest.raises(Malformed, match="position: expected a position in the log, 0 to 2"):
        state_at(ledger.log, position)


def test_named_pools_only(ledger: Ledger) -> None:
    """A state of named pools has those of them that there were; what is held is told as far as they go."""
    for name in ("cpu", "gpu"):
        ledger.open_pool(name, resource_type=name, limits=Limits(total=4))
    ledger.allocate({"cpu": 3, "gpu": 2}, owner="ann", allocation_id="a")
    state = state_at(ledger.log, 4, ["gpu", "tape"])
    assert [(one.name, one.used) for one in state.statuses()] == [("gpu", 2)]
    assert [one.quantities for one in state.allocations()] == [{"gpu": 2}]
