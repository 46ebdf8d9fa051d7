"""A pool's limits: what is taken, what is an error, and the capacity they make."""

from datetime import timedelta
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest

from holdbook import ChangeLimits, Limits, Malformed

MOST = 2**63 - 1


HUGE = pytest.param(10**5000, id="huge")
"""A number that Python will not write out."""


def limits(**fields: object) -> Limits:
    """Make limits of whatever is given."""
    return Limits(**fields)


@pytest.mark.parametrize(
    ("fields", "capacity"),
    [
        ({"total": 8}, 8),
        ({"total": 0}, 0),
        ({"total": 8, "reserved": 3}, 5),
        ({"total": 8, "reserved": 8}, 0),
        ({"total": 3, "overcommit": "1.5"}, 4),
        ({"total": 9, "reserved": 2, "overcommit": "0.5"}, 3),
        ({"total": 1, "overcommit": "0.999999999"}, 0),
        ({"total": 2**62, "overcommit": "1.999999999"}, 2**62 * 1_999_999_999 // 10**9),
        ({"total": MOST}, MOST),
        ({"total": MOST, "overcommit": "0.1"}, MOST // 10),
        ({"total": 10**9, "overcommit": "999999999.999999999"}, 999_999_999_999_999_999),
        ({"total": 7, "overcommit": 2}, 14),
        ({"total": 7, "overcommit": Decimal("1E+1")}, 70),
    ],
)
def test_the_capacity_is_exact(fields: dict[str, Any], capacity: int) -> None:
    """The capacity is floor((total - reserved) x overcommit) in whole numbers: no float ever rounds it."""
    assert limits(**fields).capacity == capacity


def test_the_capacity_does_not_depend_on_the_decimal_context() -> None:
    """A program that sets its decimals to three digits gets the same capacity."""
    with localcontext(Context(prec=3)):
        assert Limits(total=2**62, overcommit="1.999999999").capacity == 2**62 * 1_999_999_999 // 10**9


def test_a_capacity_above_a_bigint_is_an_error() -> None:
    """A pool's capacity is at most 2^63-1."""
    with pytest.raises(Malformed, match=f"is above {MOST}"):
        Limits(total=2**62, overcommit="2")
    assert Limits(total=2**62, reserved=1, overcommit="2").capacity == MOST - 1


@pytest.mark.parametrize(
    "overcommit",
    [
        "1e5", "1E5", "NaN", "sNaN", "Infinity", "-1", "+1", " 1", "1 ", "１", "1.", ".5", "1_0", "1,5", "", "0", "0.0",  # noqa: RUF001 - a full-width digit
        "1.0000000001", "1234567890", "1.5.1", 1.5, True, None, 0, -1, 10**10, HUGE, b"1", [1],
        Decimal("sNaN"), Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("-0"), Decimal("1E+30"),
        Decimal("1E+999999999"),
        Decimal("1E-30"),
    ],
)  # fmt: skip
def test_an_overcommit_is_a_plain_decimal(overcommit: object) -> None:
    """Exponents, signs, blanks, foreign digits, floats and what is not above 0 are errors that say what is expected."""
    with pytest.raises(Malformed, match="overcommit: expected a decimal above 0 written as text") as info:
        limits(total=1, overcommit=overcommit)
    assert info.value.parameter == "overcommit"
    assert f"({type(overcommit).__name__})" in str(info.value)


@pytest.mark.parametrize(("given", "written"), [("1.50", "1.5"), ("1.0", "1"), ("10", "10"), ("010", "10"), (2, "2")])
def test_an_overcommit_is_written_in_one_way(given: object, written: str) -> None:
    """Equal factors are equal limits, and equal bytes in the log."""
    made = limits(total=1, overcommit=given)
    assert made.model_dump(mode="json")["overcommit"] == written
    assert made == Limits(total=1, overcommit=written)


@pytest.mark.parametrize("name", ["total", "reserved"])
@pytest.mark.parametrize("value", [True, 1.0, "1", -1, 2**63, HUGE, None])
def test_an_amount_is_a_whole_number_from_0(name: str, value: object) -> None:
    """A bool, a float, a string, -1 and 2^63 are no amounts."""
    with pytest.raises(Malformed, match=f"{name}: expected a whole number from 0 to {MOST}; got"):
        limits(**{"total": 1, name: value})


@pytest.mark.parametrize("name", ["min_size", "max_size", "step", "max_allocations", "per_owner"])
@pytest.mark.parametrize("value", [True, 1.0, "1", 0, -1, 2**63])
def test_a_size_is_a_whole_number_from_1(name: str, value: object) -> None:
    """Nobody can ask for a size, a step or a number of allocations below 1."""
    with pytest.raises(Malformed, match=f"{name}: expected a whole number from 1 to {MOST}; got"):
        limits(**{"total": 1, name: value})


@pytest.mark.parametrize("name", ["default_ttl", "max_ttl"])
@pytest.mark.parametrize("value", [True, "30", 0, -1, float("nan"), float("inf"), timedelta(0), 10**12])
def test_a_time_to_live_is_a_duration(name: str, value: object) -> None:
    """Nothing but a finite time above 0 is a time to live."""
    with pytest.raises(Malformed, match=f"{name}: expected a duration above 0"):
        limits(**{"total": 1, name: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"total": 1, "reserved": 2}, "reserved is above total"),
        ({"total": 9, "min_size": 3, "max_size": 2}, "min_size is above max_size"),
        ({"total": 9, "default_ttl": 3, "max_ttl": 2}, "default_ttl is above max_ttl"),
    ],
)
def test_limits_that_contradict_each_other_are_an_error(fields: dict[str, Any], message: str) -> None:
    """Limits that no request could meet together are caught when they are made."""
    with pytest.raises(Malformed, match=message):
        limits(**fields)


def test_limits_that_just_agree_are_taken() -> None:
    """Equal bounds are no contradiction."""
    made = Limits(total=2, reserved=2, min_size=2, max_size=2, default_ttl=2, max_ttl=timedelta(seconds=2))
    assert made.capacity == 0


def test_total_has_no_default_and_unknown_limits_are_errors() -> None:
    """What a pool has is always said, and a mistyped limit is never ignored."""
    with pytest.raises(Malformed, match="total: expected a value, none is given"):
        limits()
    with pytest.raises(Malformed, match="max_sice: unknown field; got 4"):
        limits(total=8, max_sice=4)


def test_limits_do_not_change_in_place() -> None:
    """Limits cannot be changed, so that they can be shared."""
    with pytest.raises(ValueError, match="frozen"):
        Limits(total=8).total = 9  # type: ignore[misc]  # the point


def test_a_copy_of_limits_is_checked_where_it_is_used() -> None:
    """A copy with another total has another capacity, and one out of range does not reach a command."""
    present = Limits(total=8)
    assert present.model_copy(update={"total": 16}).capacity == 16
    assert ChangeLimits(pool="gpu", limits=present.model_copy(update={"total": 16})).limits.capacity == 16
    with pytest.raises(Malformed, match=r"limits\.total: expected a whole number"):
        ChangeLimits(pool="gpu", limits=present.model_copy(update={"total": -3}))


def test_an_overcommit_is_text_in_json_alone() -> None:
    """Dumped to Python values, an overcommit is a Decimal; only JSON has it as text."""
    assert limits(total=1, overcommit="1.50").model_dump()["overcommit"] == Decimal("1.5")


@pytest.mark.parametrize(
    ("given", "written"), [(999_999_999, "999999999"), (Decimal("1E-9"), "0.000000001"), (Decimal("1E+8"), "100000000")]
)
def test_an_overcommit_has_nine_digits_a_side(given: object, written: str) -> None:
    """The largest whole number and the smallest fraction are taken, in whatever type they come."""
    assert limits(total=1, overcommit=given).model_dump(mode="json")["overcommit"] == written
