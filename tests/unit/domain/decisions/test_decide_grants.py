"""Decisions to grant: allocate and reserve, against every limit, over several pools."""

from typing import Any

import pytest

from holdbook import Allocate, RefusalCode, Reserve
from holdbook.domain.allocation import token_of
from holdbook.domain.events import Allocated, Opening, Released, Reserved
from holdbook.domain.pool import evolve
from holdbook.domain.values import Token
from support.deciding import allocated, given, granted, opened, reserved

C = RefusalCode


def ask(owner: str = "ann", ttl: float | None = None, **quantities: int) -> Allocate:
    """Ask for quantities by pool."""
    return Allocate(allocation_id="a", quantities=quantities, owner=owner, ttl=ttl)


def hold(ttl: float | None = None, **quantities: int) -> Reserve:
    """Ask for a reservation by pool."""
    return Reserve(allocation_id="a", quantities=quantities, owner="ann", ttl=ttl)


def test_a_grant_says_all_that_was_granted() -> None:
    """Each row tells owner, quantity, every pool, tags and deadline."""
    command = Allocate(allocation_id="a", quantities={"gpu": 2}, owner="ann", ttl=30, tags={"job": "42"})
    given(opened()).when(command, at=5).then(
        granted(Allocated, "a", {"gpu": 2}, until=35, tags={"job": "42"})
    ).then_repeats_if_delivered_twice()


def test_a_grant_without_an_allocation_id_gets_a_fresh_one() -> None:
    """An id that was passed in names the allocation."""
    given(opened()).when(Allocate(quantities={"gpu": 2}, owner="ann")).then(allocated("new", gpu=2))


def test_a_grant_over_several_pools_has_one_event_a_pool() -> None:
    """They follow one another by the pools' names, each naming all."""
    history = given(opened(), opened("cpu"), opened("ram"))
    decision = history.when(ask(ram=3, gpu=2, cpu=1)).then(allocated("a", cpu=1, gpu=2, ram=3))
    decision.then_repeats_if_delivered_twice()
    assert [event.pools for event in decision.events if isinstance(event, Opening)] == [("cpu", "gpu", "ram")] * 3


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"total": 8}, 8),
        ({"total": 8, "reserved": 3}, 5),
        ({"total": 5, "overcommit": "1.5"}, 7),
        ({"total": 2**62, "overcommit": "1.999999999"}, 2**62 * 1_999_999_999 // 10**9),
        ({"total": 2**63 - 1}, 2**63 - 1),
        ({"total": 8, "max_size": 4}, 4),
        ({"total": 8, "per_owner": 3}, 3),
    ],
)
def test_a_limit_is_reached_exactly_and_never_passed(limits: dict[str, Any], most: int) -> None:
    """The last unit is granted, one more is refused."""
    history = given(opened(**limits))
    history.when(ask(gpu=most)).then(allocated("a", gpu=most))
    if most < 2**63 - 1:
        assert history.when(ask(gpu=most + 1)).failed.data["limit"] == most


@pytest.mark.parametrize(
    ("limits", "taken", "refused"),
    [
        ({"min_size": 2}, [2, 8], {1: C.BELOW_MIN_SIZE}),
        ({"max_size": 4}, [1, 4], {5: C.ABOVE_MAX_SIZE}),
        ({"step": 3}, [3, 6], {1: C.NOT_A_STEP, 4: C.NOT_A_STEP, 9: C.ABOVE_CAPACITY}),
        ({"min_size": 2, "max_size": 6}, [2, 6], {1: C.BELOW_MIN_SIZE, 7: C.ABOVE_MAX_SIZE}),
        ({"total": 0}, [], {1: C.ABOVE_CAPACITY}),
    ],
)  # fmt: skip
def test_sizes_are_bounded(limits: dict[str, Any], taken: list[int], refused: dict[int, RefusalCode]) -> None:
    """Each bound holds on both of its sides."""
    history = given(opened(**limits))
    for size in taken:
        history.when(ask(gpu=size)).then(allocated("a", gpu=size))
    for size, code in refused.items():
        history.when(ask(gpu=size)).then_refused(code, asked=size)


def test_a_pool_holds_so_many_allocations_at_once() -> None:
    """The limit counts the allocations that are open, not those that have ended."""
    full = given(opened(max_allocations=2), allocated("x", gpu=1), allocated("y", gpu=1))
    full.when(ask(gpu=1)).then_refused(C.TOO_MANY_ALLOCATIONS, allocations=2, limit=2)
    ended = Released(pool="gpu", allocation_id="x", owner="ann", quantity=1, reserved=False, reason=None, forced=False)
    full.given(ended).when(ask(gpu=1)).then(allocated("a", gpu=1))


def test_an_owner_holds_so_much_at_once_over_all_its_allocations() -> None:
    """What others hold does not count."""
    history = given(opened(per_owner=4), allocated("x", gpu=2), allocated("y", owner="bob", gpu=2))
    history.when(ask(gpu=2)).then(allocated("a", gpu=2))
    history.when(ask(gpu=3)).then_refused(C.OWNER_EXHAUSTED, owned=2, limit=4, owner="ann")
    history.when(ask(owner="cyd", gpu=4)).then(allocated("a", owner="cyd", gpu=4))


def test_a_reservation_counts_as_held() -> None:
    """What is reserved is nobody else's."""
    given(opened(), reserved("x", gpu=7)).when(ask(gpu=2)).then_refused(C.POOL_EXHAUSTED, used=7, free=1)


def test_without_ttl_and_default_a_grant_never_ends_by_itself() -> None:
    """If neither the command nor a pool gives a time to live, the allocation has no deadline."""
    given(opened()).when(ask(gpu=1)).then(allocated("a", gpu=1))


def test_over_several_pools_the_shortest_default_holds() -> None:
    """An allocation has one deadline; a ttl that is given holds in place of every default."""
    history = given(opened(default_ttl=60), opened("cpu", default_ttl=30), opened("ram"))
    history.when(ask(gpu=1, cpu=1, ram=1), at=5).then(allocated("a", until=35, gpu=1, cpu=1, ram=1))
    history.when(ask(gpu=1, cpu=1, ttl=90)).then(allocated("a", until=90, gpu=1, cpu=1))


def test_a_ttl_is_bounded_by_every_pool() -> None:
    """Any pool may refuse a ttl that is too long, the first by name does."""
    history = given(opened(max_ttl=60), opened("cpu", max_ttl=90))
    history.when(ask(gpu=1, cpu=1, ttl=60)).then(allocated("a", until=60, gpu=1, cpu=1))
    history.when(ask(gpu=1, cpu=1, ttl=61)).then_refused(C.TTL_TOO_LONG, pool="gpu", limit=60, asked=61)
    history.when(ask(gpu=1, cpu=1, ttl=91)).then_refused(C.TTL_TOO_LONG, pool="cpu", limit=90, asked=91)


def test_a_pool_with_a_longest_ttl_and_no_default_wants_one() -> None:
    """It refuses a request without a ttl, even if another pool of the request has a default."""
    history = given(opened(max_ttl=60), opened("cpu", default_ttl=30, max_ttl=60))
    history.when(ask(gpu=1)).then_refused(C.TTL_REQUIRED, pool="gpu")
    history.when(ask(gpu=1, cpu=1)).then_refused(C.TTL_REQUIRED, pool="gpu")
    history.when(ask(cpu=1)).then(allocated("a", until=30, cpu=1))


def test_a_default_of_one_pool_may_be_too_long_for_none() -> None:
    """The shortest default is within the bound of each pool that has one."""
    history = given(opened(default_ttl=60), opened("cpu", default_ttl=30, max_ttl=30))
    history.when(ask(gpu=1, cpu=1)).then(allocated("a", until=30, gpu=1, cpu=1))


def test_reserve_needs_a_deadline() -> None:
    """A reservation that nobody confirms must lapse, or it leaks."""
    given(opened()).when(hold(gpu=1)).then_refused(C.TTL_REQUIRED, pool="gpu")
    given(opened()).when(hold(ttl=30, gpu=1)).then(reserved("a", until=30, gpu=1)).then_repeats_if_delivered_twice()
    given(opened(default_ttl=60)).when(hold(gpu=1)).then(reserved("a", until=60, gpu=1))
    given(opened(), opened("cpu", default_ttl=60)).when(hold(gpu=1, cpu=1)).then(reserved("a", gpu=1, cpu=1))


@pytest.mark.parametrize("limits", [{"max_size": 1}, {"total": 1}, {"per_owner": 1}, {"step": 3}, {"min_size": 3}])
@pytest.mark.parametrize("refuser", ["cpu", "gpu", "ram"])
def test_a_refusal_by_any_pool_refuses_the_grant_everywhere(limits: dict[str, Any], refuser: str) -> None:
    """All or nothing: no pool gets an event."""
    others = [opened(name) for name in ("cpu", "gpu", "ram") if name != refuser]
    decision = given(*others, opened(refuser, **limits)).when(ask(cpu=2, gpu=2, ram=2))
    assert decision.failed.pool == refuser


def test_an_allocation_id_names_one_allocation_for_ever() -> None:
    """Held or ended, in whatever pools, by whatever kind of grant, an id that was used is taken."""
    held = given(opened(), opened("cpu"), allocated("a", gpu=1))
    gone = held.given(
        Released(pool="gpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False)
    )
    for history in (held, gone):
        history.when(ask(gpu=1)).then_refused(C.ALLOCATION_ID_TAKEN, pool="gpu")
        history.when(ask(cpu=1)).then_refused(C.ALLOCATION_ID_TAKEN, pool="cpu")
        history.when(hold(ttl=9, gpu=1)).then_refused(C.ALLOCATION_ID_TAKEN, pool="gpu")


@pytest.mark.parametrize("kind", [Allocated, Reserved])
def test_the_token_is_the_same_from_any_of_the_opening_events(kind: type[Opening]) -> None:
    """Epoch and position of the grant's first event, whichever pool one looks at."""
    history = given(opened("a"), opened("b"), opened("c")).given(
        granted(kind, "x", {"c": 1, "a": 1, "b": 1}, until=60, epoch=7)
    )
    grants = [recorded for recorded in history.records if isinstance(recorded.event, Opening)]
    assert [recorded.position for recorded in grants] == [4, 5, 6]
    tokens = {token_of(one.event, one.position) for one in grants if isinstance(one.event, Opening)}
    assert tokens == {pool.holds["x"].token for pool in history.pools().values()} == {Token(7, 4)}


def test_a_grant_carries_the_ledger_s_epoch() -> None:
    """After a restore from backup the epoch goes up, and so does every token."""
    events = given(opened()).in_epoch(3).when(ask(gpu=1)).events
    assert events == granted(Allocated, "a", {"gpu": 1}, epoch=3)


def test_deciding_changes_nothing() -> None:
    """A decision is events; the pools that it looked at are as they were."""
    history = given(opened(), allocated("x", until=10, gpu=3))
    before = {name: (pool.used, pool.version, dict(pool.holds)) for name, pool in history.pools().items()}
    history.when(ask(gpu=8), at=20)
    assert {name: (pool.used, pool.version, dict(pool.holds)) for name, pool in history.pools().items()} == before
    assert evolve(None, history.records[0]).used == 0
