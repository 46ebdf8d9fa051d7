"""Decisions about an allocation: confirm, void, renew, resize, transfer, release, and what it left behind."""

from typing import Any, Literal

import pytest

from holdbook import (
    ChangeLimits,
    Command,
    Confirm,
    Limits,
    Reclaim,
    RefusalCode,
    Release,
    Renew,
    Resize,
    Token,
    Transfer,
    Void,
)
from holdbook.domain.events import (
    AllocationEvent,
    Confirmed,
    Expired,
    LimitsChanged,
    PoolClosed,
    Reclaimed,
    Released,
    Renewed,
    Resized,
    Transferred,
    Voided,
)
from support.deciding import after, allocated, given, opened, reserved

C = RefusalCode
BOTH = given(opened(), opened("cpu"))
HELD = BOTH.given(allocated("a", cpu=4, gpu=2))
RESERVED = BOTH.given(reserved("a", until=60, cpu=4, gpu=2))
EVERY: tuple[Command, ...] = (
    Confirm(allocation_id="a"),
    Void(allocation_id="a"),
    Renew(allocation_id="a", ttl=9),
    Resize(allocation_id="a", quantities={"gpu": 1}),
    Transfer(allocation_id="a", to="bob"),
    Release(allocation_id="a"),
)
QUANTITIES = {"cpu": 4, "gpu": 2}


def in_both(kind: type[AllocationEvent], **fields: Any) -> list[AllocationEvent]:  # noqa: ANN401 - fields by name
    """Make an event of one kind for each of the two pools."""
    common = {"allocation_id": "a", "owner": "ann"}
    return [kind(**{**common, "pool": pool, "quantity": held, **fields}) for pool, held in QUANTITIES.items()]


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.verb)
def test_an_allocation_that_never_was_is_not_found(command: Command) -> None:
    """Every command about an allocation that was never granted is refused."""
    BOTH.when(command).then_refused(C.ALLOCATION_NOT_FOUND, allocation_id="a")


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.verb)
@pytest.mark.parametrize(
    ("kind", "fields", "state"),
    [
        (Released, {"reserved": False, "reason": None, "forced": False}, "released"),
        (Voided, {"reserved": True, "reason": None}, "voided"),
        (Expired, {"reserved": False, "deadline": after(1)}, "expired"),
    ],
)
def test_an_allocation_that_ended_stays_ended(
    command: Command, kind: type[AllocationEvent], fields: dict[str, Any], state: str
) -> None:
    """Whatever ended it, every later command is refused and says how it ended."""
    HELD.given(in_both(kind, **fields)).when(command).then_refused(C.ALLOCATION_ENDED, state=state, pool="cpu")


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.verb)
def test_a_token_is_a_precondition(command: Command) -> None:
    """A holder whose grant is not the present one cannot act on it; with the right token it is as without."""
    history = RESERVED if isinstance(command, Confirm | Void) else HELD
    wrong = command.model_copy(update={"token": Token(1, 4)})
    history.when(wrong).then_refused(C.TOKEN_MISMATCH, token="1:3", given="1:4")  # noqa: S106 - no password
    right = command.model_copy(update={"token": Token(1, 3)})
    history.when(right).then(history.when(command).events).then_repeats_if_delivered_twice()


@pytest.mark.parametrize("command", EVERY[:2], ids=lambda command: command.verb)
def test_only_a_reservation_is_confirmed_or_voided(command: Command) -> None:
    """An allocation that is confirmed, or began so, is neither confirmed nor voided."""
    HELD.when(command).then_refused(C.NOT_RESERVED, state="active", pool="cpu")


def test_a_reservation_is_not_released() -> None:
    """It is confirmed first, or voided."""
    RESERVED.when(Release(allocation_id="a")).then_refused(C.NOT_CONFIRMED)


def test_confirming_makes_an_allocation_whose_time_starts_anew() -> None:
    """The reservation's deadline is gone: the ttl counts from now, and without one there is no deadline."""
    RESERVED.when(Confirm(allocation_id="a", ttl=90), at=10).then(in_both(Confirmed, deadline=after(100)))
    RESERVED.when(Confirm(allocation_id="a"), at=10).then(
        in_both(Confirmed, deadline=None)
    ).then_repeats_if_delivered_twice()


def test_confirming_takes_the_shortest_default() -> None:
    """The pools' defaults hold as for a grant."""
    history = given(opened(default_ttl=50), opened("cpu", default_ttl=40)).given(reserved("a", cpu=4, gpu=2))
    history.when(Confirm(allocation_id="a"), at=10).then(in_both(Confirmed, deadline=after(50)))


@pytest.mark.parametrize("command", [Confirm, Renew])
def test_a_new_ttl_is_bounded_as_a_grant_s(command: type[Confirm | Renew]) -> None:
    """Any pool may refuse it; the longest ttl counts from the renewal."""
    pools = given(opened(max_ttl=60), opened("cpu"))
    history = pools.given(reserved("a", cpu=4, gpu=2))
    history.when(command(allocation_id="a", ttl=61)).then_refused(C.TTL_TOO_LONG, pool="gpu", limit=60, asked=61)
    history.when(command(allocation_id="a")).then_refused(C.TTL_REQUIRED)
    assert history.when(command(allocation_id="a", ttl=60), at=30).events[0].model_dump()["deadline"] == after(90)


def test_voiding_gives_a_reservation_up_in_all_its_pools() -> None:
    """The reason is kept."""
    RESERVED.when(Void(allocation_id="a", reason="no room")).then(
        in_both(Voided, reserved=True, reason="no room")
    ).then_repeats_if_delivered_twice()


def test_renewing_moves_the_deadline_and_keeps_the_old_one_on_record() -> None:
    """The ttl counts from now, not from the old deadline; it may come earlier than it."""
    history = BOTH.given(allocated("a", until=60, cpu=4, gpu=2))
    history.when(Renew(allocation_id="a", ttl=90), at=10).then(
        in_both(Renewed, deadline=after(100), previous_deadline=after(60))
    ).then_repeats_if_delivered_twice()
    history.when(Renew(allocation_id="a", ttl=5), at=10).then(
        in_both(Renewed, deadline=after(15), previous_deadline=after(60))
    )
    HELD.when(Renew(allocation_id="a", ttl=5)).then(in_both(Renewed, deadline=after(5), previous_deadline=None))


def test_renewing_needs_a_ttl_or_a_default() -> None:
    """A renewal is refused if neither the command nor a pool gives a time to live."""
    HELD.when(Renew(allocation_id="a")).then_refused(C.TTL_REQUIRED)
    history = given(opened(), opened("cpu", default_ttl=30)).given(allocated("a", cpu=4, gpu=2))
    history.when(Renew(allocation_id="a")).then(in_both(Renewed, deadline=after(30), previous_deadline=None))


def test_a_reservation_may_be_renewed() -> None:
    """It stays a reservation."""
    RESERVED.when(Renew(allocation_id="a", ttl=90)).then(
        in_both(Renewed, deadline=after(90), previous_deadline=after(60))
    )


def test_a_closed_pool_lets_a_hold_end_and_renews_none() -> None:
    """Closing a pool is not undone by renewing for ever."""
    closed = HELD.given(PoolClosed(pool="gpu", reason=None))
    closed.when(Renew(allocation_id="a", ttl=9)).then_refused(C.POOL_CLOSED, pool="gpu")
    closed.when(Release(allocation_id="a")).then(in_both(Released, reserved=False, reason=None, forced=False))


def resized(quantity: int, previous: int, pool: str = "gpu") -> Resized:
    """One pool's part was changed."""
    return Resized(pool=pool, allocation_id="a", owner="ann", quantity=quantity, previous_quantity=previous)


def test_resizing_names_some_of_the_pools() -> None:
    """Those not named keep theirs."""
    HELD.when(Resize(allocation_id="a", quantities={"gpu": 5})).then(resized(5, 2)).then_repeats_if_delivered_twice()
    HELD.when(Resize(allocation_id="a", quantities={"gpu": 1, "cpu": 8})).then(resized(8, 4, "cpu"), resized(1, 2))


@pytest.mark.parametrize(
    ("limits", "size", "code"),
    [
        ({}, 9, C.ABOVE_CAPACITY),
        ({"max_size": 4}, 5, C.ABOVE_MAX_SIZE),
        ({"step": 2}, 3, C.NOT_A_STEP),
        ({"min_size": 4}, 3, C.BELOW_MIN_SIZE),
        ({"per_owner": 4}, 5, C.ABOVE_PER_OWNER),
    ],
)
def test_enlarging_is_checked_like_a_grant_of_the_new_size(
    limits: dict[str, Any], size: int, code: RefusalCode
) -> None:
    """Each limit on sizes holds for what there would be."""
    history = given(opened(**limits), allocated("a", gpu=2))
    history.when(Resize(allocation_id="a", quantities={"gpu": size})).then_refused(code, asked=size)


def test_enlarging_counts_what_is_held_already_once() -> None:
    """A hold of 2 may grow to all that the others leave, and no further."""
    history = given(opened(max_allocations=2, per_owner=6), allocated("a", gpu=2), allocated("b", owner="bob", gpu=3))
    history.when(Resize(allocation_id="a", quantities={"gpu": 5})).then(resized(5, 2))
    history.when(Resize(allocation_id="a", quantities={"gpu": 6})).then_refused(
        C.POOL_EXHAUSTED, used=5, free=3, held=2
    )
    more = given(opened(per_owner=6), allocated("a", gpu=2), allocated("b", gpu=2))
    more.when(Resize(allocation_id="a", quantities={"gpu": 5})).then_refused(C.OWNER_EXHAUSTED, owned=4, held=2)


@pytest.mark.parametrize("limits", [{"total": 1}, {"min_size": 2}, {"step": 2}, {"per_owner": 1}, {"max_size": 1}])
def test_shrinking_is_always_allowed(limits: dict[str, Any]) -> None:
    """Whatever the limits have become, less may be held; so may the same."""
    history = given(opened(), allocated("a", gpu=4)).given(
        LimitsChanged(pool="gpu", limits=Limits(**{"total": 8, **limits}), previous=Limits(total=8))
    )
    for size in (1, 3, 4):
        history.when(Resize(allocation_id="a", quantities={"gpu": size})).then(resized(size, 4))


def test_shrinking_is_allowed_in_a_closed_pool_and_enlarging_is_not() -> None:
    """More of a closed pool is not granted."""
    closed = HELD.given(PoolClosed(pool="gpu", reason=None))
    closed.when(Resize(allocation_id="a", quantities={"gpu": 1})).then(resized(1, 2))
    closed.when(Resize(allocation_id="a", quantities={"gpu": 3})).then_refused(C.POOL_CLOSED)


def test_resizing_names_pools_that_the_allocation_has() -> None:
    """A resize does not add a pool, and refuses whole."""
    history = HELD.given(opened("ram"))
    history.when(Resize(allocation_id="a", quantities={"gpu": 1, "ram": 1})).then_refused(
        C.POOL_NOT_IN_ALLOCATION, pool="ram"
    )
    history.when(Resize(allocation_id="a", quantities={"gpu": 1, "nix": 1})).then_refused(C.POOL_NOT_FOUND, pool="nix")


def test_a_resize_that_one_pool_refuses_is_refused_everywhere() -> None:
    """All or nothing, shrinking parts included."""
    HELD.when(Resize(allocation_id="a", quantities={"cpu": 1, "gpu": 9})).then_refused(C.ABOVE_CAPACITY, pool="gpu")


def test_transferring_changes_the_owner_in_all_pools() -> None:
    """Both owners are on record."""
    HELD.when(Transfer(allocation_id="a", to="bob")).then(
        in_both(Transferred, owner="bob", previous_owner="ann")
    ).then_repeats_if_delivered_twice()


def test_transferring_checks_the_new_owner_s_limit() -> None:
    """What the new owner holds already counts; what the old one holds does not."""
    history = given(opened(per_owner=4), allocated("a", gpu=2), allocated("b", owner="bob", gpu=2))
    history.when(Transfer(allocation_id="a", to="bob")).then(
        Transferred(pool="gpu", allocation_id="a", owner="bob", quantity=2, previous_owner="ann")
    )
    full = history.given(allocated("c", owner="bob", gpu=1))
    full.when(Transfer(allocation_id="a", to="bob")).then_refused(
        C.OWNER_EXHAUSTED, owner="bob", owned=3, limit=4, asked=2
    )


def test_a_transfer_of_more_than_any_owner_may_hold_will_never_succeed() -> None:
    """That is permanent, not transient."""
    history = given(opened(), allocated("a", gpu=4)).given(
        LimitsChanged(pool="gpu", limits=Limits(total=8, per_owner=3), previous=Limits(total=8))
    )
    history.when(Transfer(allocation_id="a", to="bob")).then_refused(C.ABOVE_PER_OWNER, limit=3, asked=4)
    history.when(Transfer(allocation_id="a", to="ann")).then(
        Transferred(pool="gpu", allocation_id="a", owner="ann", quantity=4, previous_owner="ann")
    )


def test_releasing_ends_the_hold_in_all_its_pools() -> None:
    """Each row tells the quantity, the owner and the reason."""
    HELD.when(Release(allocation_id="a", reason="done")).then(
        in_both(Released, reserved=False, reason="done", forced=False)
    ).then_repeats_if_delivered_twice()


def test_a_lowered_limit_hinders_no_ending() -> None:
    """What is held above a limit may be released and handed on within the new one."""
    history = HELD.given(*HELD.when(ChangeLimits(pool="gpu", limits=Limits(total=0))).events)
    history.when(Release(allocation_id="a")).then(in_both(Released, reserved=False, reason=None, forced=False))


FORCED = Release(allocation_id="a", force=True, reason="stuck")


@pytest.mark.parametrize("is_reserved", [False, True])
def test_force_ends_whatever_is_open(*, is_reserved: bool) -> None:
    """A correction asks neither who holds it nor whether it was confirmed; every event says that, and why."""
    history = RESERVED if is_reserved else HELD
    forced = in_both(Released, reserved=is_reserved, reason="stuck", forced=True)
    history.when(FORCED).then(forced).then_repeats_if_delivered_twice()
    closed = history.given(PoolClosed(pool="gpu", reason=None))
    closed.when(FORCED).then(forced)


def test_force_finds_what_anybody_would_find() -> None:
    """Force finds no allocation that a plain release would not: those never granted, ended or lapsed are refused."""
    BOTH.when(FORCED).then_refused(C.ALLOCATION_NOT_FOUND, allocation_id="a")
    ended = HELD.given(in_both(Released, reserved=False, reason=None, forced=False))
    ended.when(FORCED).then_refused(C.ALLOCATION_ENDED, state="released", pool="cpu")
    lapsed = RESERVED.when(FORCED, at=60)
    assert (lapsed.failed.code, lapsed.failed.data["state"]) == (C.ALLOCATION_ENDED, "expired")
    assert lapsed.events[:-1] == in_both(Expired, reserved=True, deadline=after(60))
    RESERVED.when(FORCED, at=59).then(in_both(Released, reserved=True, reason="stuck", forced=True))


RECLAIM = Reclaim(pool="gpu", allocation_id="a", reason="still there")


def reclaimed(state: Literal["released", "voided", "expired"] | None) -> Reclaimed:
    """What is recorded of a thing that was taken back."""
    return Reclaimed(pool="gpu", allocation_id="a", state=state, reason="still there")


def test_a_thing_is_reclaimed_once_its_right_has_ended() -> None:
    """The row says how the right had ended, or that it was never granted; in a closed pool too."""
    BOTH.when(RECLAIM).then(reclaimed(None)).then_repeats_if_delivered_twice()
    ended = HELD.given(in_both(Released, reserved=False, reason=None, forced=False))
    ended.when(RECLAIM).then(reclaimed("released")).then_repeats_if_delivered_twice()
    ended.given(PoolClosed(pool="gpu", reason=None)).when(RECLAIM).then(reclaimed("released"))
    voided = RESERVED.given(in_both(Voided, reserved=True, reason=None))
    voided.when(RECLAIM).then(reclaimed("voided"))


def test_reclaiming_notices_what_has_lapsed() -> None:
    """A right that is over by then expires first, in all its pools; until then its thing is left alone."""
    RESERVED.when(RECLAIM, at=59).then_refused(C.NOT_ENDED, pool="gpu")
    RESERVED.when(RECLAIM, at=60).then([*in_both(Expired, reserved=True, deadline=after(60)), reclaimed("expired")])


def test_a_thing_is_reclaimed_for_a_pool_that_its_right_was_to() -> None:
    """A reclaim for a pool that the allocation was not of is refused, whether the allocation is open or has ended."""
    other = BOTH.given(opened("net"))
    wrong = RECLAIM.model_copy(update={"pool": "net"})
    for history in (other.given(allocated("a", gpu=1)), other.given(allocated("a", until=1, gpu=1))):
        history.when(wrong, at=2).then_refused(C.POOL_NOT_IN_ALLOCATION, pool="net")
    BOTH.when(RECLAIM.model_copy(update={"pool": "no"})).then_refused(C.POOL_NOT_FOUND, pool="no")
