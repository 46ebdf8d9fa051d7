"""The fold that tells which allocation has which named units."""

from typing import Any

import pytest

from holdbook import LogCorrupt, Malformed
from holdbook.domain.events import Expired, LimitsChanged, Released, Renewed, Resized, Transferred, Voided
from holdbook.domain.limits import Limits
from holdbook.domain.unit_assignment import Assignment
from support.deciding import History, after, allocated, envelope, opened, reserved

HOLD: dict[str, Any] = {"pool": "gpu", "owner": "ann"}
ENDING: dict[str, Any] = {**HOLD, "reserved": False}


def resized(allocation_id: str, before: int, quantity: int) -> Resized:
    """An allocation was resized."""
    return Resized(**HOLD, allocation_id=allocation_id, quantity=quantity, previous_quantity=before)


def released(allocation_id: str, quantity: int) -> Released:
    """An allocation was released."""
    return Released(**ENDING, allocation_id=allocation_id, quantity=quantity, reason=None, forced=False)


def folded(history: History, *units: str) -> Assignment:
    """Fold what happened to a pool."""
    assignment = Assignment(units or ("a", "b", "c", "d"))
    for recorded in history.records:
        assignment.evolve(recorded)
    return assignment


def test_a_grant_takes_the_first_that_are_free() -> None:
    """Units go in the order given; what an end frees goes first to the next."""
    history = History().given(opened(), allocated("x", gpu=2), reserved("y", gpu=1))
    assert [folded(history).of(one) for one in ("x", "y", "z")] == [("a", "b"), ("c",), None]
    history = history.given(released("x", 2), allocated("z", gpu=3))
    assert [folded(history).of(one) for one in ("x", "y", "z")] == [None, ("c",), ("a", "b", "d")]
    assert (folded(history).free, folded(history).version) == (0, 5)


@pytest.mark.parametrize(
    "end",
    [
        released("x", 1),
        Voided(**ENDING, allocation_id="x", quantity=1, reason=None),
        Expired(**ENDING, allocation_id="x", quantity=1, deadline=after(9)),
    ],
)
def test_every_end_frees(end: Released | Voided | Expired) -> None:
    """Whichever way a hold ends, its units are free."""
    assert folded(History().given(opened(), allocated("x", gpu=1), end, allocated("y", gpu=1))).of("y") == ("a",)


def test_a_shrink_frees_the_last_and_a_growth_takes_more() -> None:
    """A shrink keeps the units that were taken first; a growth keeps all and adds the first free ones."""
    history = History().given(opened(), allocated("x", gpu=3), resized("x", 3, 1), allocated("y", gpu=1))
    assert [folded(history).of(one) for one in ("x", "y")] == [("a",), ("b",)]
    assert folded(history.given(resized("x", 1, 3))).of("x") == ("a", "c", "d")


def test_what_does_not_change_a_hold_s_size_changes_nothing() -> None:
    """A transfer, a renewal and other limits leave every unit where it is."""
    history = History().given(
        opened(),
        allocated("x", gpu=2),
        Transferred(pool="gpu", allocation_id="x", owner="bob", quantity=2, previous_owner="ann"),
        Renewed(**HOLD, allocation_id="x", quantity=2, deadline=after(9), previous_deadline=None),
        LimitsChanged(pool="gpu", limits=Limits(total=1), previous=Limits(total=8)),
    )
    assert folded(history).of("x") == ("a", "b")


def test_too_few_units() -> None:
    """A grant or growth takes none if too few are free; a later change of size takes them once there are enough."""
    history = History().given(opened(), allocated("x", gpu=2), allocated("y", gpu=3), resized("x", 2, 5))
    assert [folded(history).of(one) for one in ("x", "y")] == [("a", "b"), ()]
    history = history.given(allocated("z", gpu=2), released("x", 5), resized("y", 3, 2))
    assert [folded(history).of(one) for one in ("y", "z")] == [("a", "b"), ("c", "d")]


def test_an_event_that_cannot_follow() -> None:
    """A gap in the stream, or an event that was seen before, is an error that names the position."""
    assignment = Assignment(["a"])
    for version in (0, 2):
        with pytest.raises(LogCorrupt, match=f"position 7: version {version} follows 0"):
            assignment.evolve(envelope(opened(), position=7, version=version))


@pytest.mark.parametrize("units", [[], "gpu", ["a", "a"], ["a", ""], ["a", 1]])
def test_units_that_are_none(units: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """Units must be a list of well-formed names, each once; anything else is an error."""
    with pytest.raises(Malformed, match="units: expected"):
        Assignment(units)
