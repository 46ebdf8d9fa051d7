"""Decisions in time: what is due expires first, in all its pools, and no pool's time goes back."""

from datetime import timedelta

import pytest

from holdbook import (
    Allocate,
    ChangeLimits,
    Command,
    CommandIdReused,
    Expire,
    Ledger,
    Limits,
    Malformed,
    OpenPool,
    RefusalCode,
    Release,
    Renew,
    Resize,
)
from holdbook.domain.decisions.context import named_pools
from holdbook.domain.events import Expired, LimitsChanged, PoolClosed, Released, Renewed
from holdbook.replay.verification.verifier import verify
from support.deciding import Clock, after, allocated, given, opened, reserved

C = RefusalCode


def expired(allocation_id: str, pool: str, quantity: int, at: float, *, was_reserved: bool = False) -> Expired:
    """A hold ended at its deadline."""
    return Expired(
        pool=pool,
        allocation_id=allocation_id,
        owner="ann",
        quantity=quantity,
        reserved=was_reserved,
        deadline=after(at),
    )


def ask(**quantities: int) -> Allocate:
    """Ask for quantities by pool."""
    return Allocate(allocation_id="new", quantities=quantities, owner="ann")


@pytest.mark.parametrize(("now", "is_over"), [(9.999999, False), (10, True), (10.000001, True)])
def test_an_allocation_is_over_at_its_deadline(now: float, *, is_over: bool) -> None:
    """Deadline <= now, to the microsecond."""
    decision = given(opened(), allocated("a", until=10, gpu=8)).when(ask(gpu=1), at=now)
    if is_over:
        decision.then(expired("a", "gpu", 8, at=10), allocated("new", gpu=1)).then_repeats_if_delivered_twice()
    else:
        decision.then_refused(C.POOL_EXHAUSTED)


def test_a_lapsed_hold_never_blocks_a_request() -> None:
    """Sum, count and the owner's share are all freed before the decision."""
    history = given(opened(max_allocations=1, per_owner=8), allocated("a", until=10, gpu=8))
    history.when(ask(gpu=8), at=10).then(expired("a", "gpu", 8, at=10), allocated("new", gpu=8))


def test_what_is_due_expires_by_deadline_then_by_id() -> None:
    """The order in the log is the order in time."""
    history = given(
        opened(), allocated("c", until=5, gpu=1), allocated("b", until=9, gpu=1), allocated("a", until=9, gpu=1)
    )
    history.when(Expire(pool="gpu"), at=10).then(
        expired("c", "gpu", 1, at=5), expired("a", "gpu", 1, at=9), expired("b", "gpu", 1, at=9)
    )


def test_a_refusal_keeps_the_expiries_that_it_noticed() -> None:
    """The expiries are recorded with the refused command, before its refusal."""
    decision = given(opened(), allocated("a", until=10, gpu=2)).when(ask(gpu=9), at=10)
    assert decision.events[0] == expired("a", "gpu", 2, at=10)
    assert (decision.failed.code, decision.failed.data["used"]) == (C.ABOVE_CAPACITY, 0)


@pytest.mark.parametrize(
    "command",
    [Release(allocation_id="a"), Renew(allocation_id="a", ttl=9), Resize(allocation_id="a", quantities={"gpu": 1})],
)
def test_what_has_lapsed_can_no_longer_be_changed(command: Command) -> None:
    """Whoever comes after the deadline notices the expiry, and is told."""
    decision = given(opened(), allocated("a", until=10, gpu=2)).when(command, at=10)
    assert decision.events[0] == expired("a", "gpu", 2, at=10)
    assert (decision.failed.code, decision.failed.data["state"]) == (C.ALLOCATION_ENDED, "expired")


def test_a_lapsed_id_stays_taken() -> None:
    """An allocation id names one allocation for ever, noticed or not."""
    decision = given(opened(), allocated("new", until=10, gpu=2)).when(ask(gpu=1), at=10)
    assert (decision.failed.code, len(decision.events)) == (C.ALLOCATION_ID_TAKEN, 2)


def test_a_lapsed_reservation_is_recorded_as_one() -> None:
    """Auditors see that it was never confirmed."""
    given(opened(), reserved("a", until=10, gpu=2)).when(Expire(), at=10).then(
        expired("a", "gpu", 2, at=10, was_reserved=True)
    )


def test_expiry_reaches_across_pools() -> None:
    """An allocation that is due in a touched pool expires in the others too, and so on from there."""
    history = given(opened("a"), opened("b"), opened("c"), opened("d"))
    history = history.given(allocated("x", until=5, a=1, b=1), allocated("y", until=6, b=1, c=1))
    history = history.given(allocated("z", until=7, c=1), allocated("w", until=7, d=1))
    history.when(ask(a=8), at=10).then(
        expired("x", "a", 1, at=5),
        expired("x", "b", 1, at=5),
        expired("y", "b", 1, at=6),
        expired("y", "c", 1, at=6),
        expired("z", "c", 1, at=7),
        allocated("new", a=8),
    ).then_repeats_if_delivered_twice()


def test_expiry_does_not_reach_pools_that_nothing_due_leads_to() -> None:
    """An allocation that is not due does not draw its other pools into the decision."""
    history = given(opened("a"), opened("b"), allocated("x", until=50, a=1, b=1), allocated("y", until=5, b=1))
    history.when(ask(a=1), at=10).then(allocated("new", a=1))


def test_a_command_is_decided_at_the_latest_of_its_time_and_of_its_pools() -> None:
    """A clock that goes back does not take a pool's time back with it."""
    history = given(opened()).given(opened("cpu"), allocated("a", cpu=1), at=100)
    assert history.when(ask(gpu=1), at=50).moment == after(50)
    assert history.when(ask(cpu=1), at=50).moment == after(100)
    assert history.when(ask(cpu=1, gpu=1), at=50).moment == after(100)
    assert history.when(ask(cpu=1, gpu=1), at=150).moment == after(150)


def test_a_command_s_own_time_takes_the_place_of_the_clock() -> None:
    """An import brings the times of what it imports."""
    history = given(opened(), allocated("a", until=10, gpu=8))
    late = ask(gpu=1).model_copy(update={"at": after(10)})
    history.when(late, at=0).then(expired("a", "gpu", 8, at=10), allocated("new", gpu=1))
    early = ask(gpu=1).model_copy(update={"at": after(9)})
    history.when(early, at=10).then_refused(C.POOL_EXHAUSTED)


def test_ttl_counts_from_the_time_of_decision() -> None:
    """If the clock is behind the pool's time, the ttl counts from the pool's time."""
    history = given(opened(), at=100)
    command = Allocate(allocation_id="a", quantities={"gpu": 1}, owner="ann", ttl=30)
    history.when(command, at=50).then(allocated("a", until=130, gpu=1))


def test_expire_with_nothing_due_appends_nothing() -> None:
    """A sweeper that finds nothing leaves no trace."""
    history = given(opened(), allocated("a", until=10, gpu=1))
    history.when(Expire(), at=9).then_nothing()
    history.when(Expire(pool="gpu"), at=9).then_nothing()
    given().when(Expire()).then_nothing()


def test_expire_with_a_pool_leaves_the_others() -> None:
    """What is due in other pools is left, unless an allocation that is due in the named pool leads there."""
    history = given(opened(), opened("cpu"), allocated("a", until=5, gpu=1), allocated("b", until=5, cpu=1))
    history.when(Expire(pool="gpu"), at=9).then(expired("a", "gpu", 1, at=5)).then_repeats_if_delivered_twice()
    history.when(Expire(), at=9).then(expired("a", "gpu", 1, at=5), expired("b", "cpu", 1, at=5))


def test_one_pool_s_time_does_not_expire_another_s_holds() -> None:
    """Expire without a pool is decided at its own time, however far ahead some pool may be."""
    ahead = given(opened(), allocated("a", until=50, gpu=1)).given(opened("cpu"), at=100)
    ahead.when(Expire(), at=10).then_nothing()
    ahead.when(Expire(), at=50).then(expired("a", "gpu", 1, at=50))


def test_expire_works_in_a_closed_pool() -> None:
    """Closing a pool lets holds end, by their deadlines too."""
    history = given(opened(), allocated("a", until=5, gpu=1), PoolClosed(pool="gpu", reason=None))
    history.when(Expire(pool="gpu"), at=9).then(expired("a", "gpu", 1, at=5))


def test_a_change_of_a_pool_expires_what_is_due_in_it() -> None:
    """Whoever decides at t first expires what is due by t."""
    change = ChangeLimits(pool="gpu", limits=Limits(total=9))
    given(opened(), allocated("a", until=5, gpu=1)).when(change, at=9).then(
        expired("a", "gpu", 1, at=5), LimitsChanged(pool="gpu", limits=Limits(total=9), previous=Limits(total=8))
    )


def test_a_repeated_opening_appends_nothing_at_all() -> None:
    """Opening a pool again records nothing, not even the expiries of what is due in it."""
    command = OpenPool(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8))
    given(opened(), allocated("a", until=5, gpu=1)).when(command, at=9).then_nothing()


def test_a_resize_expires_what_is_due_in_every_pool_it_names() -> None:
    """A pool that is named is touched, though the allocation has nothing of it."""
    history = given(opened(), opened("cpu"), allocated("a", gpu=1), allocated("b", until=5, cpu=1))
    decision = history.when(Resize(allocation_id="a", quantities={"cpu": 1}), at=9)
    assert decision.events[0] == expired("b", "cpu", 1, at=5)
    assert decision.failed.code == C.POOL_NOT_IN_ALLOCATION


def test_a_release_expires_the_others_that_are_due_in_its_pools() -> None:
    """A release first expires the other allocations that are due in its pools."""
    history = given(opened(), allocated("a", gpu=1), allocated("b", until=5, gpu=1))
    history.when(Release(allocation_id="a"), at=9).then(
        expired("b", "gpu", 1, at=5),
        Released(pool="gpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False),
    )


@pytest.mark.parametrize(("lapsing", "asking"), [("ann", "bob"), ("bob", "ann")])
def test_what_lapses_is_taken_off_its_owner_s_share_alone(lapsing: str, asking: str) -> None:
    """Another owner's expiry makes no room in one's own share."""
    history = given(
        opened(per_owner=4), allocated("x", owner=lapsing, until=10, gpu=4), allocated("y", owner=asking, gpu=3)
    )
    command = Allocate(allocation_id="new", quantities={"gpu": 2}, owner=asking)
    failed = history.when(command, at=10).failed
    assert (failed.code, failed.data["owned"]) == (C.OWNER_EXHAUSTED, 3)


def test_every_hold_that_lapses_is_taken_off_the_count() -> None:
    """When two of four allocations lapse, the limit on their number counts the other two."""
    lapsing = [allocated(name, until=10, gpu=1) for name in "ab"]
    history = given(opened(max_allocations=2), *lapsing, allocated("c", gpu=1), allocated("d", gpu=1))
    failed = history.when(ask(gpu=1), at=10).failed
    assert (failed.code, failed.data["allocations"]) == (C.TOO_MANY_ALLOCATIONS, 2)


def test_expire_without_a_pool_names_none() -> None:
    """Expire without a pool names none: the pools that it touches are those in which something is due."""
    assert named_pools(Expire(), None) == ()
    assert named_pools(Expire(pool="gpu"), None) == ("gpu",)


def test_of_an_owner_s_share_only_what_lapses_is_taken_off() -> None:
    """What the owner still holds still counts."""
    history = given(opened(per_owner=4), allocated("x", until=10, gpu=1), allocated("y", gpu=3))
    failed = history.when(ask(gpu=2), at=10).failed
    assert (failed.code, failed.data["owned"]) == (C.OWNER_EXHAUSTED, 3)


# A limit


def test_with_a_limit_the_earliest_deadlines_go_first() -> None:
    """So many allocations, each in all its pools; the rest waits for the next command."""
    history = given(opened(), opened("cpu"), allocated("a", until=7, gpu=1), allocated("b", until=5, cpu=1, gpu=1))
    history = history.given(allocated("c", until=6, cpu=1))
    history.when(Expire(limit=2), at=9).then(
        expired("b", "cpu", 1, at=5), expired("b", "gpu", 1, at=5), expired("c", "cpu", 1, at=6)
    )
    history.when(Expire(limit=9), at=6).then(
        expired("b", "cpu", 1, at=5), expired("b", "gpu", 1, at=5), expired("c", "cpu", 1, at=6)
    )


def test_those_of_the_last_deadline_go_along() -> None:
    """All with the last deadline expire: the pool's time must not reach a deadline at which something is held."""
    same = [allocated(name, until=5, gpu=1) for name in "cab"]
    history = given(opened(), *same, allocated("d", until=6, gpu=1))
    history.when(Expire(limit=1), at=9).then(*(expired(name, "gpu", 1, at=5) for name in "abc"))


def test_a_limit_holds_where_an_allocation_leads_to_other_pools() -> None:
    """What is due earlier in the pools that are reached counts too and comes first: no pool's time may go back."""
    history = given(opened("a"), opened("b"), allocated("x", until=5, a=1, b=1), allocated("y", until=3, b=1))
    history.when(Expire(pool="a", limit=1), at=9).then(expired("y", "b", 1, at=3))
    history.when(Expire(pool="a", limit=2), at=9).then(
        expired("y", "b", 1, at=3), expired("x", "a", 1, at=5), expired("x", "b", 1, at=5)
    )


def test_a_limit_counts_no_deadline_that_was_moved() -> None:
    """A renewed allocation counts once, at its present deadline, even if it was renewed away from it and back."""
    holds = [allocated(name, until=deadline, gpu=1) for name, deadline in (("z", 4), ("a", 5), ("b", 8), ("c", 9))]
    history = given(opened(), *holds)
    for deadline, before in ((7, 5), (5, 7)):
        moved = {"deadline": after(deadline), "previous_deadline": after(before)}
        history = history.given(Renewed(pool="gpu", allocation_id="a", owner="ann", quantity=1, **moved))
    first = [expired("z", "gpu", 1, at=4), expired("a", "gpu", 1, at=5)]
    history.when(Expire(limit=2), at=9).then(*first)
    history.when(Expire(limit=3), at=9).then(*first, expired("b", "gpu", 1, at=8))
    history.when(Expire(limit=4), at=6).then(*first)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_limit_is_a_whole_number_from_1(limit: object) -> None:
    """Any other limit is malformed, and the error names it."""
    with pytest.raises(Malformed, match=r"^limit: expected a whole number from 1 to "):
        Expire(limit=limit)


def test_what_is_due_is_recorded_in_portions_that_others_see() -> None:
    """Ten that are due, three at a time, from a log that is sound at each step; a repeat records nothing."""
    clock = Clock()
    ledger = Ledger.in_memory(clock=clock)
    for pool in ("gpu", "cpu"):
        ledger.open_pool(pool, resource_type=pool, limits=Limits(total=20))
    for number in range(10):
        pools = {"gpu": 1} if number % 2 else {"cpu": 1, "gpu": 1}
        ledger.allocate(pools, owner="ann", ttl=timedelta(seconds=10 - number), allocation_id=f"a{number}")
    clock.set(60)
    found: list[tuple[str, ...]] = []
    while expired := ledger.expire(limit=3, command_id=f"sweep-{len(found)}"):
        assert ledger.expire(limit=3, command_id=f"sweep-{len(found)}") == expired
        assert verify(ledger.log).ok
        found.append(expired)
    assert found == [("a9", "a8", "a7"), ("a6", "a5", "a4"), ("a3", "a2", "a1"), ("a0",)]
    with pytest.raises(CommandIdReused, match="limit was 3, now 4"):
        ledger.expire(limit=4, command_id="sweep-0")
