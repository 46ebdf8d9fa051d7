"""An allocation as the fold of its events over all its pools."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from holdbook import Allocation, AllocationState, LogCorrupt, Token
from holdbook.domain.allocation import fold
from holdbook.domain.events import (
    Confirmed,
    Event,
    Expired,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)
from holdbook.domain.refusals import RefusalCode
from support.deciding import T0, after, allocated, given, granted, opened

OPEN = given(opened(), opened("cpu")).given(allocated("a", until=60, cpu=4, gpu=2), at=1)
RESERVED = given(opened(), opened("cpu")).given(
    granted(Reserved, "a", {"cpu": 4, "gpu": 2}, until=60, tags={"k": "v"}), at=1
)
HOLD: dict[str, Any] = {"pool": "gpu", "allocation_id": "a", "owner": "ann", "quantity": 2}


def seen(*happened: Event, at: float = 5, reserved: bool = False) -> Allocation:
    """Fold the events of `a`, and more."""
    history = (RESERVED if reserved else OPEN).given(*happened, at=at)
    allocation = fold(one for one in history.records if one.event.subject == "a")
    assert allocation is not None
    return allocation


def test_an_allocation_is_the_fold_of_its_opening_events() -> None:
    """Quantities of all its pools, one token, one deadline."""
    assert seen(reserved=True) == Allocation(
        id="a",
        owner="ann",
        state=AllocationState.RESERVED,
        quantities={"cpu": 4, "gpu": 2},
        deadline=after(60),
        token=Token(1, 3),
        tags={"k": "v"},
        opened_at=after(1),
    )
    assert seen().state is AllocationState.ACTIVE


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (Confirmed(**HOLD, deadline=None), {"state": AllocationState.ACTIVE, "deadline": None}),
        (Renewed(**HOLD, deadline=after(90), previous_deadline=after(60)), {"deadline": after(90)}),
        (Resized(**(HOLD | {"quantity": 1}), previous_quantity=2), {"quantities": {"cpu": 4, "gpu": 1}}),
        (Transferred(**(HOLD | {"owner": "bob"}), previous_owner="ann"), {"owner": "bob"}),
        (
            Released(**HOLD, reserved=False, reason="done", forced=False),
            {"state": AllocationState.RELEASED, "ended_at": after(5), "reason": "done"},
        ),
        (
            Voided(**HOLD, reserved=True, reason=None),
            {"state": AllocationState.VOIDED, "ended_at": after(5), "reason": None},
        ),
        (
            Expired(**HOLD, reserved=True, deadline=after(60)),
            {"state": AllocationState.EXPIRED, "ended_at": after(5)},
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_event_changes_what_it_says(event: Event, changes: dict[str, Any]) -> None:
    """And nothing else; an allocation that ended still tells what it held."""
    assert seen(event, reserved=True) == replace(seen(reserved=True), **changes)


def test_a_fold_goes_on_from_what_was_before() -> None:
    """Folding the events in two parts gives the same as folding them at once."""
    records = [one for one in OPEN.records if one.event.subject == "a"]
    assert fold(records[1:], fold(records[:1])) == fold(records)


def test_refusals_change_nothing() -> None:
    """An id that was only ever refused names no allocation."""
    failed = ValidationFailed(
        code=RefusalCode.POOL_CLOSED, pool="gpu", known=True, allocation_id="a", asked={}, data={}
    )
    assert seen(failed) == seen()
    assert fold(given(failed).records) is None
    assert fold([]) is None


@pytest.mark.parametrize("event", [Released(**HOLD, reserved=False, reason=None, forced=False), opened()])
def test_an_event_before_the_grant_is_corruption(event: Event) -> None:
    """The message names position and type."""
    with pytest.raises(LogCorrupt, match=f"position 1: {type(event).__name__} of an allocation that was never granted"):
        fold(given(event).records)


def test_an_event_that_is_about_a_pool_is_none_of_an_allocation_s() -> None:
    """Folding an event about a pool into an allocation is corruption."""
    with pytest.raises(LogCorrupt, match="position 1: PoolOpened is not about an allocation"):
        fold(OPEN.records, seen())


def test_a_hold_is_over_at_its_deadline_noticed_or_not() -> None:
    """Deadline <= now; without a deadline it is open until it ends."""
    allocation = seen()
    assert allocation.is_open_at(after(59.999999))
    assert not allocation.is_open_at(after(60))
    assert replace(allocation, deadline=None).is_open_at(after(10**9))
    assert not seen(Released(**HOLD, reserved=False, reason=None, forced=False)).is_open_at(T0)


def test_a_lapsed_allocation_is_shown_as_expired_at_its_deadline() -> None:
    """It is shown as expired though no event has recorded the expiry yet."""
    allocation = seen()
    assert allocation.lapsed_at(after(59)) is allocation
    assert allocation.lapsed_at(after(99)) == replace(allocation, state=AllocationState.EXPIRED, ended_at=after(60))
    released = seen(Released(**HOLD, reserved=False, reason=None, forced=False))
    assert released.lapsed_at(after(99)) is released


def test_open_states_are_those_that_hold_something() -> None:
    """Reserved and active; what ended stays ended."""
    assert [state for state in AllocationState if state.is_open] == [AllocationState.RESERVED, AllocationState.ACTIVE]


def test_what_has_not_ended_has_no_end_and_no_reason() -> None:
    """The end and the reason of an open allocation are None, not an empty text."""
    assert (seen().ended_at, seen().reason) == (None, None)


def test_an_allocation_does_not_change_in_the_hands_of_who_asked() -> None:
    """An allocation that was read cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        seen().owner = "bob"  # type: ignore[misc]  # the point
