"""Decisions about pools: open, change limits, close."""

import pytest

from holdbook import Allocate, ChangeLimits, ClosePool, Command, Limits, OpenPool, PoolAlreadyOpen, RefusalCode, Release
from holdbook.domain.decisions.context import DecisionContext
from holdbook.domain.decisions.decide import decide
from holdbook.domain.events import LimitsChanged, PoolClosed, PoolOpened, Released
from support.deciding import T0, allocated, given, opened

OPEN = OpenPool(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8))


def test_opening_a_pool_is_an_event_with_all_that_was_said() -> None:
    """The one row tells name, type, unit and limits."""
    given().when(OPEN).then(
        PoolOpened(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8))
    ).then_repeats_if_delivered_twice()


def test_opening_a_pool_that_is_open_with_the_same_content_is_a_repeat() -> None:
    """Nothing happens a second time, under another command id either."""
    given(opened()).when(OPEN).then_nothing()


@pytest.mark.parametrize(
    ("changes", "field", "present", "asked"),
    [
        ({"limits": Limits(total=9)}, "limits.total", 8, 9),
        ({"limits": Limits(total=8, max_size=2)}, "limits.max_size", None, 2),
        ({"resource_type": "card"}, "resource_type", "accelerator", "card"),
        ({"unit": "card"}, "unit", "device", "card"),
    ],
)
def test_opening_an_open_pool_with_other_content_points_to_change_limits(
    changes: dict[str, object], field: str, present: object, asked: object
) -> None:
    """It is an error that names the field, not an event."""
    with pytest.raises(PoolAlreadyOpen, match="use change_limits") as info:
        given(opened()).when(OPEN.model_copy(update=changes))
    assert (info.value.pool, info.value.field, info.value.present, info.value.given) == ("gpu", field, present, asked)


CHANGED = given(opened()).given(LimitsChanged(pool="gpu", limits=Limits(total=4), previous=Limits(total=8)))


@pytest.mark.parametrize("total", [8, 4])
def test_after_a_change_of_limits_the_opening_and_the_present_content_are_repeats(total: int) -> None:
    """A start-up script that opens its pools works before and after somebody changes a limit."""
    CHANGED.when(OPEN.model_copy(update={"limits": Limits(total=total)})).then_nothing()


def test_after_a_change_of_limits_the_error_speaks_of_the_present_ones() -> None:
    """The error shows the pool's present limits, not those that it was opened with."""
    with pytest.raises(PoolAlreadyOpen) as info:
        CHANGED.when(OPEN.model_copy(update={"limits": Limits(total=5)}))
    assert (info.value.present, info.value.given) == (4, 5)


def test_a_change_of_limits_records_both() -> None:
    """The one row tells what was and what is."""
    given(opened()).when(ChangeLimits(pool="gpu", limits=Limits(total=4))).then(
        LimitsChanged(pool="gpu", limits=Limits(total=4), previous=Limits(total=8))
    ).then_repeats_if_delivered_twice()


def test_a_change_of_limits_may_expect_the_present_ones() -> None:
    """Of two people who change the same limits, the second is told."""
    change = ChangeLimits(pool="gpu", limits=Limits(total=6), expected=Limits(total=8))
    given(opened()).when(change).then(LimitsChanged(pool="gpu", limits=Limits(total=6), previous=Limits(total=8)))
    CHANGED.when(change).then_refused(RefusalCode.LIMITS_MOVED, field="total", expected=8, present=4)


def test_expected_limits_may_differ_in_one_being_none() -> None:
    """A limit that somebody set, or lifted, has moved too."""
    change = ChangeLimits(pool="gpu", limits=Limits(total=6), expected=Limits(total=8, max_size=2))
    given(opened()).when(change).then_refused(RefusalCode.LIMITS_MOVED, field="max_size", expected=2, present=None)


def test_lowering_a_limit_below_what_is_held_takes_nothing_away() -> None:
    """Nothing more is granted until it fits; what is held may end."""
    history = given(opened(), allocated("a", gpu=6))
    lowered = history.given(*history.when(ChangeLimits(pool="gpu", limits=Limits(total=3))).events)
    ask = Allocate(allocation_id="b", quantities={"gpu": 1}, owner="ann")
    lowered.when(ask).then_refused(RefusalCode.POOL_EXHAUSTED, used=6, free=0, limit=3)
    lowered.given(*lowered.when(Release(allocation_id="a")).events).when(ask).then(allocated("b", gpu=1))


def test_closing_a_pool_refuses_grants_and_lets_holds_end() -> None:
    """What is held when a pool closes may be released."""
    history = given(opened(), allocated("a", gpu=2))
    decision = history.when(ClosePool(pool="gpu", reason="sold")).then(PoolClosed(pool="gpu", reason="sold"))
    decision.then_repeats_if_delivered_twice()
    closed = history.given(*decision.events)
    closed.when(Allocate(quantities={"gpu": 1}, owner="ann")).then_refused(RefusalCode.POOL_CLOSED)
    closed.when(Release(allocation_id="a")).then(
        Released(pool="gpu", allocation_id="a", owner="ann", quantity=2, reserved=False, reason=None, forced=False)
    )


@pytest.mark.parametrize("command", [OPEN, ClosePool(pool="gpu"), ChangeLimits(pool="gpu", limits=Limits(total=9))])
def test_closing_is_final(command: Command) -> None:
    """A closed pool is not opened, changed or closed again; its name is not used again."""
    given(opened(), PoolClosed(pool="gpu", reason=None)).when(command).then_refused(RefusalCode.POOL_CLOSED)


def test_a_command_of_no_known_kind_is_not_decided() -> None:
    """A kind of command that nobody wrote a decision for stops the program that sends it."""

    class Borrow(Command):
        verb = "borrow"

    with pytest.raises(KeyError, match="Borrow"):
        decide(DecisionContext({}), Borrow(), T0)
