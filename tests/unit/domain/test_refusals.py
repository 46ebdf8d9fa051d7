"""Every refusal: its place in the order of precedence, how it is reached, what it says, whether it is transient."""

from typing import Any, NamedTuple

import pytest

from holdbook import (
    Allocate,
    ChangeLimits,
    ClosePool,
    Command,
    Confirm,
    Expire,
    Limits,
    OpenPool,
    Reclaim,
    RefusalCode,
    Release,
    Renew,
    Reserve,
    Resize,
    Token,
    Transfer,
    Void,
)
from holdbook.domain.errors import Refused
from holdbook.domain.events import LedgerClosed, PoolClosed, Released
from holdbook.domain.refusals import PRECEDENCE, explain, is_transient
from support.deciding import History, allocated, given, opened, reserved

C = RefusalCode
PERMANENT, TRANSIENT = False, True
CLOSED = PoolClosed(pool="gpu", reason=None)
ENDED = Released(pool="gpu", allocation_id="a", owner="ann", quantity=2, reserved=False, reason=None, forced=False)


class Case(NamedTuple):
    """A refusal and a way to it."""

    code: RefusalCode
    transient: bool
    history: History
    command: Command
    data: dict[str, Any]
    message: str


def ask(quantity: int = 1, **fields: Any) -> Allocate:  # noqa: ANN401 - fields by name
    """Ask for some of the pool `gpu`."""
    return Allocate(**{"quantities": {"gpu": quantity}, "owner": "ann", **fields})


CASES = (
    Case(
        C.POOL_NOT_FOUND, PERMANENT, given(), ask(),
        {"pool": "gpu"},
        "there is no pool 'gpu'",
    ),
    Case(
        C.ALLOCATION_NOT_FOUND, PERMANENT, given(opened()), Release(allocation_id="a"),
        {"allocation_id": "a"},
        "there is no allocation 'a'",
    ),
    Case(
        C.ALLOCATION_ID_TAKEN, PERMANENT, given(opened(), allocated("a", gpu=2)), ask(allocation_id="a"),
        {"allocation_id": "a", "pool": "gpu"},
        "allocation id 'a' was used before; an id names one allocation",
    ),
    Case(
        C.ALLOCATION_ENDED, PERMANENT, given(opened(), allocated("a", gpu=2), ENDED), Release(allocation_id="a"),
        {"allocation_id": "a", "pool": "gpu", "state": "released"},
        "allocation 'a' has ended: released",
    ),
    Case(
        C.TOKEN_MISMATCH, PERMANENT, given(opened(), allocated("a", gpu=2)),
        Release(allocation_id="a", token=Token(1, 9)),
        {"allocation_id": "a", "pool": "gpu", "token": "1:2", "given": "1:9"},
        "allocation 'a' has token 1:2, not 1:9",
    ),
    Case(
        C.NOT_RESERVED, PERMANENT, given(opened(), allocated("a", gpu=2)), Confirm(allocation_id="a"),
        {"allocation_id": "a", "pool": "gpu", "state": "active"},
        "allocation 'a' is active, not reserved",
    ),
    Case(
        C.NOT_CONFIRMED, PERMANENT, given(opened(), reserved("a", gpu=2)), Release(allocation_id="a"),
        {"allocation_id": "a", "pool": "gpu"},
        "allocation 'a' is reserved: confirm it first, or void it",
    ),
    Case(
        C.NOT_ENDED, PERMANENT, given(opened(), reserved("a", gpu=2)), Reclaim(pool="gpu", allocation_id="a"),
        {"allocation_id": "a", "pool": "gpu"},
        "allocation 'a' is open: what it holds is not to be reclaimed",
    ),
    Case(
        C.LEDGER_CLOSED, PERMANENT, given(LedgerClosed(reason=None)),
        OpenPool(pool="gpu", resource_type="r", limits=Limits(total=1)),
        {"pool": "gpu"},
        "the ledger is closed: no pool is opened in it any more",
    ),
    Case(
        C.POOL_CLOSED, PERMANENT, given(opened(), CLOSED), ask(),
        {"pool": "gpu"},
        "pool 'gpu' is closed",
    ),
    Case(
        C.POOL_NOT_IN_ALLOCATION, PERMANENT, given(opened(), opened("cpu"), allocated("a", gpu=2)),
        Resize(allocation_id="a", quantities={"cpu": 1}),
        {"allocation_id": "a", "pool": "cpu"},
        "allocation 'a' has nothing of pool 'cpu'",
    ),
    Case(
        C.LIMITS_MOVED, PERMANENT, given(opened()),
        ChangeLimits(pool="gpu", limits=Limits(total=1), expected=Limits(total=9)),
        {"pool": "gpu", "field": "total", "expected": 9, "present": 8},
        "the limits of pool 'gpu' are no longer those expected: total is 8",
    ),
    Case(
        C.TTL_REQUIRED, PERMANENT, given(opened(max_ttl=60)), ask(),
        {"pool": "gpu"},
        "pool 'gpu' wants a ttl and has no default",
    ),
    Case(
        C.TTL_TOO_LONG, PERMANENT, given(opened(max_ttl=60)), ask(ttl=61.5),
        {"pool": "gpu", "limit": 60, "asked": 61.5},
        "pool 'gpu' allows a ttl of 60 s at most, not 61.5 s",
    ),
    Case(
        C.BELOW_MIN_SIZE, PERMANENT, given(opened(min_size=2)), ask(1),
        {"pool": "gpu", "limit": 2, "asked": 1},
        "pool 'gpu' grants 2 device at least, not 1",
    ),
    Case(
        C.ABOVE_MAX_SIZE, PERMANENT, given(opened(max_size=4)), ask(5),
        {"pool": "gpu", "limit": 4, "asked": 5},
        "pool 'gpu' grants 4 device at most, not 5",
    ),
    Case(
        C.NOT_A_STEP, PERMANENT, given(opened(step=2)), ask(3),
        {"pool": "gpu", "limit": 2, "asked": 3},
        "pool 'gpu' grants multiples of 2 device, not 3",
    ),
    Case(
        C.ABOVE_CAPACITY, PERMANENT, given(opened()), ask(9),
        {"pool": "gpu", "limit": 8, "asked": 9, "capacity": 8, "used": 0, "free": 8},
        "pool 'gpu' has a capacity of 8 device in all, not 9",
    ),
    Case(
        C.ABOVE_PER_OWNER, PERMANENT, given(opened(per_owner=4)), ask(5),
        {"pool": "gpu", "limit": 4, "asked": 5, "owned": 0, "owner": "ann"},
        "pool 'gpu' lets one owner hold 4 device, not 5",
    ),
    Case(
        C.TOO_MANY_ALLOCATIONS, TRANSIENT, given(opened(max_allocations=1), allocated("a", gpu=2)), ask(),
        {"pool": "gpu", "limit": 1, "allocations": 1},
        "pool 'gpu' holds 1 allocations, its limit is 1",
    ),
    Case(
        C.OWNER_EXHAUSTED, TRANSIENT, given(opened(per_owner=4), allocated("a", gpu=2)), ask(3),
        {"pool": "gpu", "limit": 4, "asked": 3, "used": 2, "owned": 2, "owner": "ann"},
        "owner 'ann' holds 2 of 4 device in pool 'gpu', 3 asked",
    ),
    Case(
        C.POOL_EXHAUSTED, TRANSIENT, given(opened(), allocated("a", gpu=7)), ask(2),
        {"pool": "gpu", "limit": 8, "asked": 2, "used": 7, "free": 1},
        "pool 'gpu' has 1 of 8 device free, 2 asked",
    ),
    Case(
        C.QUEUED_BEHIND, TRANSIENT, given(opened(), allocated("a", gpu=2)).waited_for("gpu"), ask(2),
        {"pool": "gpu", "asked": 2, "capacity": 8, "used": 2, "free": 6},
        "others wait for pool 'gpu', 6 of 8 device free, 2 asked",
    ),
)  # fmt: skip
"""One way to each refusal, in the documented order of precedence."""


def test_the_order_of_the_codes_is_the_documented_one() -> None:
    """The enum's order is the order of precedence, and this table covers every member in it."""
    assert [case.code for case in CASES] == list(RefusalCode)
    assert sorted(PRECEDENCE, key=PRECEDENCE.__getitem__) == list(RefusalCode)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.code))
def test_every_refusal_can_be_reached(case: Case) -> None:
    """A well-formed command meets each refusal, which carries what was asked, what was free, and which limit."""
    decision = case.history.when(case.command).then_refused(case.code, **case.data)
    assert decision.failed.asked == case.command.as_dict()
    assert is_transient(case.code) is case.transient
    refused = Refused(case.code, decision.failed.data, command_id="c")
    assert refused.transient is case.transient
    assert explain(case.code, decision.failed.data) == case.message
    assert case.message in str(refused)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.code))
def test_every_refusal_is_recorded_once_and_repeated(case: Case) -> None:
    """Delivered twice, a refused command has one refusal."""
    case.history.when(case.command).then_repeats_if_delivered_twice()


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.code))
def test_a_refusal_goes_to_the_refusals_of_its_pool(case: Case) -> None:
    """The stream is `refusals:<pool>` of the first pool that refuses, `refusals:` where no such pool exists."""
    event = case.history.when(case.command).failed
    pool = case.data.get("pool")
    known = pool in case.history.pools()
    assert (event.pool, event.known) == (pool, known)
    assert event.stream_id == (f"refusals:{pool}" if known else "refusals:")


TWO = given(opened(), opened("cpu"))
HELD = TWO.given(allocated("a", gpu=2))
OVER = HELD.given(ENDED)
WRONG = Token(1, 99)

PAIRS: tuple[tuple[RefusalCode, RefusalCode, History, Command], ...] = (
    (C.POOL_NOT_FOUND, C.ALLOCATION_NOT_FOUND, TWO, Resize(allocation_id="a", quantities={"no": 1})),
    (C.POOL_NOT_FOUND, C.ALLOCATION_ID_TAKEN, HELD, ask(allocation_id="a", quantities={"gpu": 1, "no": 1})),
    (C.POOL_NOT_FOUND, C.ALLOCATION_ENDED, OVER, Resize(allocation_id="a", quantities={"no": 1})),
    (C.POOL_NOT_FOUND, C.TOKEN_MISMATCH, HELD, Resize(allocation_id="a", quantities={"no": 1}, token=WRONG)),
    (C.POOL_NOT_FOUND, C.POOL_CLOSED, TWO.given(CLOSED), ask(quantities={"gpu": 1, "no": 1})),
    (C.POOL_NOT_FOUND, C.POOL_NOT_IN_ALLOCATION, HELD, Resize(allocation_id="a", quantities={"cpu": 1, "no": 1})),
    (C.POOL_NOT_FOUND, C.POOL_EXHAUSTED, HELD, ask(quantities={"gpu": 7, "no": 1})),
    (C.ALLOCATION_ID_TAKEN, C.POOL_CLOSED, HELD.given(CLOSED), ask(allocation_id="a")),
    (C.ALLOCATION_ID_TAKEN, C.ABOVE_CAPACITY, OVER, ask(9, allocation_id="a")),
    (C.ALLOCATION_ENDED, C.TOKEN_MISMATCH, OVER, Release(allocation_id="a", token=WRONG)),
    (C.ALLOCATION_ENDED, C.NOT_RESERVED, OVER, Void(allocation_id="a")),
    (C.ALLOCATION_ENDED, C.POOL_CLOSED, OVER.given(CLOSED), Renew(allocation_id="a", ttl=9)),
    (C.TOKEN_MISMATCH, C.NOT_RESERVED, HELD, Confirm(allocation_id="a", token=WRONG)),
    (C.TOKEN_MISMATCH, C.NOT_CONFIRMED, TWO.given(reserved("a", gpu=2)), Release(allocation_id="a", token=WRONG)),
    (C.TOKEN_MISMATCH, C.POOL_CLOSED, HELD.given(CLOSED), Renew(allocation_id="a", ttl=9, token=WRONG)),
    (
        C.NOT_RESERVED, C.TTL_TOO_LONG,
        given(opened(max_ttl=5), allocated("a", gpu=1)), Confirm(allocation_id="a", ttl=9),
    ),
    (
        C.LEDGER_CLOSED, C.POOL_CLOSED,
        TWO.given([LedgerClosed(reason=None), CLOSED]), OpenPool(pool="gpu", resource_type="r", limits=Limits(total=1)),
    ),
    (
        C.POOL_CLOSED, C.POOL_NOT_IN_ALLOCATION,
        HELD.given(CLOSED), Resize(allocation_id="a", quantities={"cpu": 1, "gpu": 3}),
    ),
    (
        C.POOL_CLOSED, C.LIMITS_MOVED,
        TWO.given(CLOSED), ChangeLimits(pool="gpu", limits=Limits(total=1), expected=Limits(total=9)),
    ),
    (C.POOL_CLOSED, C.TTL_REQUIRED, TWO.given(CLOSED), Reserve(quantities={"gpu": 1}, owner="ann")),
    (C.POOL_CLOSED, C.ABOVE_CAPACITY, TWO.given(CLOSED), ask(quantities={"cpu": 9, "gpu": 1})),
    (C.ABOVE_CAPACITY, C.QUEUED_BEHIND, TWO.waited_for("cpu"), ask(quantities={"cpu": 1, "gpu": 9})),
    (C.POOL_EXHAUSTED, C.QUEUED_BEHIND, HELD.waited_for("cpu", "gpu"), ask(quantities={"cpu": 1, "gpu": 7})),
    (
        C.POOL_NOT_IN_ALLOCATION, C.ABOVE_CAPACITY,
        TWO.given(allocated("a", cpu=2)), Resize(allocation_id="a", quantities={"cpu": 9, "gpu": 1}),
    ),
    (
        C.TTL_REQUIRED, C.BELOW_MIN_SIZE,
        given(opened(max_ttl=9), opened("cpu", min_size=2)), ask(quantities={"cpu": 1, "gpu": 1}),
    ),
    (
        C.TTL_TOO_LONG, C.BELOW_MIN_SIZE,
        given(opened(max_ttl=9), opened("cpu", min_size=2)), ask(quantities={"cpu": 1, "gpu": 1}, ttl=10),
    ),
    (
        C.BELOW_MIN_SIZE, C.ABOVE_MAX_SIZE,
        given(opened(min_size=2), opened("cpu", max_size=2)), ask(quantities={"cpu": 3, "gpu": 1}),
    ),
    (C.BELOW_MIN_SIZE, C.NOT_A_STEP, given(opened(min_size=4, step=2)), ask(3)),
    (
        C.ABOVE_PER_OWNER, C.OWNER_EXHAUSTED,
        given(opened(per_owner=1), allocated("a", gpu=2), allocated("b", owner="bob", gpu=1)),
        Transfer(allocation_id="a", to="bob"),
    ),
)  # fmt: skip
"""The code that wins, one that holds as well, and where both do."""


@pytest.mark.parametrize(("winner", "other", "history", "command"), PAIRS, ids=lambda one: str(one)[:30])
def test_of_two_refusals_the_lower_rank_wins(
    winner: RefusalCode, other: RefusalCode, history: History, command: Command
) -> None:
    """The code decides first, wherever its pool stands in the alphabet."""
    assert PRECEDENCE[winner] < PRECEDENCE[other]
    history.when(command).then_refused(winner)


LADDER: tuple[tuple[RefusalCode, dict[str, Any]], ...] = (
    (C.ABOVE_MAX_SIZE, {"total": 4, "max_size": 5, "step": 4, "per_owner": 3, "max_allocations": 1}),
    (C.NOT_A_STEP, {"total": 4, "step": 4, "per_owner": 3, "max_allocations": 1}),
    (C.ABOVE_CAPACITY, {"total": 4, "per_owner": 3, "max_allocations": 1}),
    (C.ABOVE_PER_OWNER, {"total": 8, "per_owner": 3, "max_allocations": 1}),
    (C.TOO_MANY_ALLOCATIONS, {"total": 8, "per_owner": 8, "max_allocations": 1}),
    (C.OWNER_EXHAUSTED, {"total": 8, "per_owner": 8}),
    (C.POOL_EXHAUSTED, {"total": 8}),
)


@pytest.mark.parametrize(("code", "limits"), LADDER, ids=lambda one: str(one)[:30])
def test_of_many_refusals_the_lowest_rank_wins(code: RefusalCode, limits: dict[str, Any]) -> None:
    """One request that breaks every limit on sizes is refused by the first, then the next, as limits are lifted."""
    given(opened(**limits), allocated("a", gpu=2)).when(ask(7)).then_refused(code)


def test_of_two_pools_that_refuse_alike_the_first_by_name_does() -> None:
    """The second key is the pool's name."""
    command = ask(quantities={"gpu": 9, "cpu": 9})
    decision = TWO.when(command).then_refused(C.ABOVE_CAPACITY, pool="cpu")
    assert decision.failed.stream_id == "refusals:cpu"


def test_the_code_decides_before_the_pool_s_name() -> None:
    """A graver refusal of a later pool comes before a lighter one of an earlier pool."""
    history = given(opened(max_size=1), opened("cpu"), allocated("a", cpu=8))
    history.when(ask(quantities={"cpu": 1, "gpu": 2})).then_refused(C.ABOVE_MAX_SIZE, pool="gpu")


@pytest.mark.parametrize(
    "command", [OpenPool(pool="gpu", resource_type="r", limits=Limits(total=1)), ClosePool(pool="gpu")]
)
def test_a_closed_pool_stays_closed(command: Command) -> None:
    """Closing is final, and the name is not used again."""
    TWO.given(CLOSED).when(command).then_refused(C.POOL_CLOSED, pool="gpu")


@pytest.mark.parametrize(
    "command", [ClosePool(pool="no"), ChangeLimits(pool="no", limits=Limits(total=1)), Expire(pool="no")]
)
def test_a_command_on_an_unknown_pool_is_refused(command: Command) -> None:
    """The refusal names the pool that is not there."""
    event = TWO.when(command).then_refused(C.POOL_NOT_FOUND, pool="no").failed
    assert event.stream_id == "refusals:"


def test_a_code_is_written_as_its_name_in_small_letters() -> None:
    """The stored words, which never change, are the names of the members in lower case."""
    assert [code.value for code in RefusalCode] == [code.name.lower() for code in RefusalCode]


def test_a_refused_resize_says_what_is_held() -> None:
    """The message of a refused resize has what was asked for and what the allocation holds."""
    failed = HELD.when(Resize(allocation_id="a", quantities={"gpu": 9})).failed
    said = "pool 'gpu' has a capacity of 8 device in all, not 9 in place of 2"
    assert explain(failed.code, failed.data) == said


def test_of_many_pools_that_a_resize_cannot_reach_the_first_by_name_is_told() -> None:
    """Of pools that are unknown, or not the allocation's, the refusal names the first by name, not the first given."""
    names = [f"p{number}" for number in range(9, 0, -1)]
    resize = Resize(allocation_id="a", quantities=dict.fromkeys(names, 1))
    HELD.when(resize).then_refused(C.POOL_NOT_FOUND, pool="p1")
    HELD.given(*(opened(name) for name in names)).when(resize).then_refused(C.POOL_NOT_IN_ALLOCATION, pool="p1")


def test_nothing_of_a_closed_pool_is_free() -> None:
    """A refusal by a closed pool says that 0 is free, however little is held."""
    given(opened(), allocated("a", gpu=2), CLOSED).when(ask()).then_refused(C.POOL_CLOSED, used=2, capacity=8, free=0)
