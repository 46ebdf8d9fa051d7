"""The pool as the fold of its events, and its heap of deadlines."""

from typing import Any, SupportsIndex

import pytest

from holdbook import Limits, LogCorrupt
from holdbook.domain.events import (
    Allocated,
    Confirmed,
    Event,
    LimitsChanged,
    PoolClosed,
    Released,
    Renewed,
    Resized,
    Transferred,
    ValidationFailed,
)
from holdbook.domain.pool import Pool, evolve
from holdbook.domain.refusals import RefusalCode
from support.deciding import T0, after, allocated, envelope, given, granted, opened, reserved

HOLD = {"pool": "gpu", "allocation_id": "a", "owner": "ann", "quantity": 2}
HELD = given(opened(), allocated("a", until=9, gpu=2))


def gpu(*happened: Event | list[Event]) -> Pool:
    """Fold more events onto a pool in which `a` holds 2 until 9."""
    return HELD.given(*happened, at=5).pools()["gpu"]


def test_opening_makes_an_empty_pool() -> None:
    """It knows what it was opened with."""
    pool = given(opened(max_size=4)).pools()["gpu"]
    assert (pool.name, pool.resource_type, pool.unit, pool.closed) == ("gpu", "accelerator", "device", False)
    assert pool.limits == pool.opened_with == Limits(total=8, max_size=4)
    assert (pool.version, pool.time, pool.used, pool.holds, pool.by_owner) == (1, T0, 0, {}, {})


def test_a_grant_is_a_hold() -> None:
    """The hold tells all that decisions and readers need."""
    history = given(opened(), opened("cpu")).given(
        granted(Allocated, "a", {"cpu": 1, "gpu": 2}, until=9, tags={"k": "v"}), at=3
    )
    hold = history.pools()["gpu"].holds["a"]
    assert (hold.quantity, hold.owner, hold.deadline, hold.reserved) == (2, "ann", after(9), False)
    assert (hold.token, hold.pools, hold.tags, hold.opened_at) == ((1, 3), ("cpu", "gpu"), {"k": "v"}, after(3))


def test_a_reservation_is_a_hold_until_confirmed() -> None:
    """Confirming changes the deadline and keeps the token."""
    history = given(opened(), reserved("a", gpu=2))
    before = history.pools()["gpu"].holds["a"]
    now = history.given(Confirmed(**HOLD, deadline=None)).pools()["gpu"].holds["a"]
    assert (before.reserved, now.reserved, now.deadline) == (True, False, None)
    assert now.token == before.token


def test_sums_keep_in_step_with_every_change() -> None:
    """Used, and used by owner, are the sums of the holds."""
    resized = Resized(**(HOLD | {"quantity": 5}), previous_quantity=2)
    transferred = Transferred(**(HOLD | {"owner": "bob"}), previous_owner="ann")
    assert (gpu(resized).used, gpu(resized).by_owner) == (5, {"ann": 5})
    assert (gpu(transferred).used, gpu(transferred).by_owner) == (2, {"bob": 2})
    more = gpu(allocated("b", gpu=3))
    assert (more.used, more.by_owner) == (5, {"ann": 5})
    ended = gpu(Released(**HOLD, reserved=False, reason=None, forced=False))
    assert (ended.used, ended.by_owner, ended.holds) == (0, {}, {})


def test_limits_and_closing_are_folded() -> None:
    """A pool has its present limits, those that it was opened with, and whether it is closed."""
    pool = gpu(
        LimitsChanged(pool="gpu", limits=Limits(total=1), previous=Limits(total=8)), PoolClosed(pool="gpu", reason=None)
    )
    assert (pool.limits, pool.opened_with, pool.closed) == (Limits(total=1), Limits(total=8), True)


def test_a_pool_s_time_never_goes_back() -> None:
    """Version counts events, time is the latest of them."""
    history = HELD.given(allocated("b", gpu=1), at=7).given(allocated("c", gpu=1), at=3)
    pool = history.pools()["gpu"]
    assert (pool.version, pool.time) == (4, after(7))


@pytest.mark.parametrize(
    "event",
    [
        Confirmed(**(HOLD | {"allocation_id": "x"}), deadline=None),
        Renewed(**(HOLD | {"allocation_id": "x"}), deadline=after(1), previous_deadline=None),
        Released(**(HOLD | {"allocation_id": "x"}), reserved=False, reason=None, forced=False),
    ],
)
def test_what_is_not_held_cannot_change(event: Event) -> None:
    """An event about a hold that is not there is corruption that names pool, version and allocation."""
    with pytest.raises(LogCorrupt, match="pool 'gpu', version 2: nothing is held by allocation 'x'"):
        gpu(event)


def test_what_is_held_is_not_granted_again() -> None:
    """A second opening of one allocation in one pool is corruption."""
    with pytest.raises(LogCorrupt, match="position 3: Allocated does not follow in pool 'gpu'"):
        gpu(allocated("a", gpu=1))


def test_a_pool_is_opened_once() -> None:
    """A second opening is corruption."""
    with pytest.raises(LogCorrupt, match="position 3: PoolOpened does not follow in pool 'gpu'"):
        gpu(opened())


def test_a_refusal_is_no_event_of_a_pool() -> None:
    """Folding a refusal onto a pool is corruption: refusals are in streams of their own."""
    failed = ValidationFailed(
        code=RefusalCode.POOL_CLOSED, pool="gpu", known=True, allocation_id=None, asked={}, data={}
    )
    with pytest.raises(LogCorrupt, match="ValidationFailed does not follow"):
        evolve(gpu(), envelope(failed, position=9, version=3))


def test_a_pool_begins_with_its_opening() -> None:
    """Anything else first, or an opening that is not the first, is corruption."""
    with pytest.raises(LogCorrupt, match="position 4: PoolClosed in a pool that was never opened"):
        evolve(None, envelope(PoolClosed(pool="gpu", reason=None), position=4))
    with pytest.raises(LogCorrupt, match="PoolOpened in a pool that was never opened"):
        evolve(None, envelope(opened(), version=2))


@pytest.mark.parametrize("version", [1, 2, 4])
def test_versions_follow_one_another(version: int) -> None:
    """A gap, or a version twice, is corruption."""
    with pytest.raises(LogCorrupt, match=f"position 9: version {version} of pool 'gpu' follows 2"):
        evolve(gpu(), envelope(PoolClosed(pool="gpu", reason=None), position=9, version=version))


def renewed(until: float, allocation_id: str = "a") -> Renewed:
    """The deadline was moved."""
    fields: dict[str, Any] = HOLD | {"allocation_id": allocation_id}
    return Renewed(**fields, deadline=after(until), previous_deadline=None)


def test_what_is_due_is_told_by_deadline_then_id() -> None:
    """A hold is due at its deadline, not before; what has none is never due."""
    pool = gpu(allocated("b", gpu=1), allocated("d", until=7, gpu=1), allocated("c", until=7, gpu=1))
    assert pool.due(after(6.999999)) == []
    assert pool.due(after(7)) == ["c", "d"]
    assert pool.due(after(99)) == ["c", "d", "a"]


def test_a_deadline_that_was_moved_no_longer_counts() -> None:
    """A renewed hold is due at its present deadline only, and only once if it was renewed away from it and back."""
    pool = gpu(renewed(20))
    assert (pool.due(after(9)), pool.due(after(20))) == ([], ["a"])
    back = gpu(renewed(20), renewed(9), renewed(20), renewed(9))
    assert back.due(after(9)) == back.due(after(20)) == ["a"]


class Counted(list[Any]):
    """A list that counts how often an entry is looked at."""

    looks = 0

    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # noqa: ANN401 - a list's
        """Count, then look."""
        self.looks += 1
        return super().__getitem__(index)


def test_finding_what_is_due_costs_what_it_finds() -> None:
    """Among ten thousand holds, finding three looks at a handful."""
    grants = [allocated(f"{number:05}", until=10 + number, gpu=1) for number in range(10_000)]
    pool = given(opened(total=10_000), *grants).pools()["gpu"]
    pool.deadlines = Counted(pool.deadlines)
    assert pool.due(after(9)) == []
    assert pool.deadlines.looks <= 1
    assert pool.due(after(12)) == ["00000", "00001", "00002"]
    assert pool.deadlines.looks <= 20


def test_the_heap_stays_in_proportion_to_the_holds() -> None:
    """However often a hold is renewed, the heap has at most a constant number of stale entries beyond two a hold."""
    pool = gpu(allocated("b", until=8, gpu=1), *[renewed(100 + number) for number in range(1000)])
    assert len(pool.deadlines) <= 64 + 2 * 2
    assert pool.due(after(8)) == ["b"]
    assert pool.due(after(2000)) == ["b", "a"]


@pytest.mark.parametrize("deadlines", [[1, 10, 2, 20, 21, 3, 4], [1, 2, 10, 3, 4, 20, 21]])
def test_what_is_due_is_found_on_either_side_of_the_heap(deadlines: list[int]) -> None:
    """Entries that are due are found in both branches of the heap, at any moment."""
    grants = [allocated(f"{deadline:02}", until=deadline, gpu=1) for deadline in deadlines]
    pool = given(opened(), *grants).pools()["gpu"]
    for moment in range(23):
        assert pool.due(after(moment)) == [f"{deadline:02}" for deadline in sorted(deadlines) if deadline <= moment]


def test_finding_much_that_is_due_looks_at_each_once() -> None:
    """The cost is in proportion to what is found."""
    grants = [allocated(f"{number:05}", until=10 + number, gpu=1) for number in range(1000)]
    pool = given(opened(total=1000), *grants).pools()["gpu"]
    pool.deadlines = Counted(pool.deadlines)
    assert len(pool.due(after(109))) == 100
    assert pool.deadlines.looks <= 1 + 2 * 100 + 101


def test_the_heap_s_bound_grows_no_faster_than_the_holds() -> None:
    """With many holds too, the heap is rebuilt before it has more than 64 entries beyond two a hold."""
    others = [allocated(f"b{number}", until=8 + number, gpu=1) for number in range(20)]
    pool, sizes = None, []
    for recorded in HELD.given(*others, *[renewed(100 + number) for number in range(1000)]).records:
        pool = evolve(pool, recorded)
        sizes.append(len(pool.deadlines))
    assert max(sizes) == 64 + 2 * 21


def test_an_owner_s_sum_is_of_what_is_left() -> None:
    """One of two holds of one owner ends."""
    pool = gpu(allocated("b", gpu=3), Released(**HOLD, reserved=False, reason=None, forced=False))
    assert (pool.used, pool.by_owner) == (3, {"ann": 3})


@pytest.mark.parametrize(("seconds", "expected"), [(0, 5), (5, 7), (6, 7), (9, 12), (12, None)])
def test_the_next_deadline_is_the_first_that_is_not_due(seconds: int, expected: int | None) -> None:
    """Deadlines that have passed are left out, even where no event has recorded the expiry yet."""
    pool = gpu(*(allocated(f"a{until}", until=until, gpu=1) for until in (9, 5, 12, 7)), allocated("for good", gpu=1))
    assert pool.next_deadline(after(seconds)) == (None if expected is None else after(expected))
