"""Names, quantities, instants, durations, tokens: what is taken, and what is an error that names it."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from holdbook.domain import values
from holdbook.domain.values import (
    At,
    Duration,
    FencingToken,
    Instant,
    Name,
    PoolName,
    Quantity,
    Reason,
    Tags,
    Token,
    canonical_json,
    derived_id,
    first_difference,
    instant,
    instant_text,
    seconds,
)

HUGE = pytest.param(10**5000, id="huge")
"""A number that Python will not write out."""


def taken(kind: Any, value: object) -> Any:  # noqa: ANN401 - a kind of value, and whatever it makes of one
    """Validate one value by itself."""
    return TypeAdapter[Any](kind).validate_python(value)


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _when: datetime | None, /) -> None:
        """Tell nothing."""

    dst = utcoffset

    def tzname(self, _when: datetime | None, /) -> None:
        """Tell nothing."""


class Text(str):
    """A string that may behave as it likes."""

    __slots__ = ()


@pytest.mark.parametrize(
    "name", ["a", "x" * 255, "é" * 255, "a b/c:d\\e", "gpu-β", "名前", "\U0001f600", "e\u0301", "~1", "null", "a=b"]
)
def test_a_name_is_taken_as_it_is(name: str) -> None:
    """A name of 1 to 255 characters keeps every character, and is not normalised."""
    assert taken(Name, name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "x" * 256, " a", "a ", "\ta", "a\u00a0", "\u3000a", "a\nb", "a\0b", "a\x1fb", "a\x7fb", "a\x85b", "a\x9fb",
        "\ud800", "a\udfffb", " ", None, 1, True, b"a", 1.0, ["a"], {"a": 1}, Text("a"),
    ],
)  # fmt: skip
def test_a_bad_name_is_an_error(name: object) -> None:
    """A name that is empty, too long, no string, or holds controls, lone surrogates or outer blanks fails."""
    with pytest.raises(ValidationError, match="1 to 255 characters, no control characters, no blanks at the ends"):
        taken(Name, name)


def test_a_pool_s_name_has_no_equals_sign() -> None:
    """`gpu=2` on the command line can be read in one way only."""
    with pytest.raises(ValidationError, match="which has no '='"):
        taken(PoolName, "g=pu")


@pytest.mark.parametrize("reason", ["ok", " done ", "two\nlines\tof it", "x" * 1000])
def test_a_reason_is_taken_as_it_is(reason: str) -> None:
    """A reason is text for people, of several lines if need be."""
    assert taken(Reason, reason) == reason


@pytest.mark.parametrize("reason", ["", "x" * 1001, " \n", "a\0", "a\r", "a\x1b[31m", "\ud800", 1, None])
def test_a_bad_reason_is_an_error(reason: object) -> None:
    """A reason that is blank, too long, or could play tricks on a terminal is refused."""
    with pytest.raises(ValidationError, match="1 to 1000 characters without control characters"):
        taken(Reason, reason)


@pytest.mark.parametrize("quantity", [1, 2**63 - 1])
def test_a_quantity_is_a_whole_number(quantity: int) -> None:
    """The least and the most are 1 and 2^63-1."""
    assert taken(Quantity, quantity) == quantity


@pytest.mark.parametrize(
    "quantity", [True, False, 1.0, "1", b"1", Decimal(1), 0, -1, 2**63, HUGE, None, [1], float("nan")]
)
def test_a_bad_quantity_is_an_error(quantity: object) -> None:
    """A bool, a float, a string, 0, a negative number or one above 2^63-1 is no quantity."""
    with pytest.raises(ValidationError, match="whole number from 1 to 9223372036854775807"):
        taken(Quantity, quantity)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:00:00+01:00",
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 4, tzinfo=timezone(timedelta(hours=-8))),
    ],
)
def test_an_instant_is_kept_in_utc(given: object) -> None:
    """One instant has one form, whatever offset it was given with."""
    moment = taken(Instant, given)
    assert (moment, moment.tzinfo) == (datetime(2026, 1, 31, 12, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-31T12:00:00", "2026-01-31", "yesterday", "", 1767225600, 1.5, None, True,
        datetime(2026, 1, 31),  # noqa: DTZ001 - the point
        datetime(2026, 1, 31, tzinfo=Nowhere()),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_a_time_without_its_offset_is_an_error(given: object) -> None:
    """A naive time is never guessed at, and neither is a number."""
    with pytest.raises(ValidationError, match="a time with its offset from UTC"):
        taken(Instant, given)


def test_a_command_s_time_leaves_room_for_its_deadline() -> None:
    """A time after the year 9800 is refused, so that the longest time to live still ends in a calendar."""
    last = taken(At, "9800-12-31T23:59:59.999999Z")
    assert (last + timedelta(seconds=values.TTL_SECONDS_MAX)).year < 10_000
    with pytest.raises(ValidationError, match="a time up to the year 9800"):
        taken(At, "9801-01-01T00:00:00Z")


def test_an_instant_s_text_has_one_width_and_sorts_as_time_does() -> None:
    """Text order is time order, to the microsecond and across offsets."""
    moments = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 13, 0, 0, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
    texts = [instant_text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert texts[2] == "2026-01-31T12:00:00.000001Z"
    assert {len(text) for text in texts} == {27}
    assert [instant(text) for text in texts] == moments


@pytest.mark.parametrize(
    ("given", "duration"),
    [
        (1, timedelta(seconds=1)),
        (1.5, timedelta(seconds=1.5)),
        (Decimal("0.000001"), timedelta(microseconds=1)),
        (timedelta(minutes=30), timedelta(minutes=30)),
        (values.TTL_SECONDS_MAX, timedelta(days=36600)),
    ],
)
def test_a_duration_is_seconds_or_a_timedelta(given: object, duration: timedelta) -> None:
    """Both ways of giving a duration mean the same."""
    assert taken(Duration, given) == duration


@pytest.mark.parametrize(
    "given",
    [
        0, -1, 0.0, 1e-9, True, "30", "PT30M", None, [30], values.TTL_SECONDS_MAX + 1, 10**400, 1e308,
        float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
        timedelta(0), timedelta(seconds=-1), timedelta.max,
    ],
)  # fmt: skip
def test_a_bad_duration_is_an_error(given: object) -> None:
    """Nothing that is not a finite time above 0 and up to a hundred years is a duration."""
    with pytest.raises(ValidationError, match="a duration above 0 and up to 3162240000 seconds"):
        taken(Duration, given)


def test_a_duration_is_written_whole_where_it_is_whole() -> None:
    """Seconds are an integer unless there is a fraction."""
    written = [seconds(timedelta(seconds=90)), seconds(timedelta(seconds=1.25))]
    assert [(type(one), one) for one in written] == [(int, 90), (float, 1.25)]


def test_tokens_grow_by_epoch_then_by_position() -> None:
    """A grant after a restore has the greater token, whatever its position."""
    assert Token(1, 9) < Token(1, 10) < Token(2, 1)


def test_a_token_is_read_as_it_is_written() -> None:
    """The text `epoch:position` and the token itself are one."""
    assert str(Token(1, 42)) == "1:42"
    assert taken(FencingToken, "1:42") == taken(FencingToken, Token(1, 42)) == Token(1, 42)


@pytest.mark.parametrize(
    "given",
    [
        "", "42", "1:", ":1", "1:2:3", "-1:2", "1:2\n", " 1:2", "１:2", "1:" + "9" * 20,  # noqa: RUF001 - a full-width digit
        (1, 2), 42, None, Token(-1, 2),
    ],
)  # fmt: skip
def test_a_bad_token_is_an_error(given: object) -> None:
    """Only `epoch:position` in ASCII digits, or a token that can be written so, is a token."""
    with pytest.raises(ValidationError, match="a fencing token written epoch:position"):
        taken(FencingToken, given)


def test_an_allocation_carries_256_tags_at_most() -> None:
    """What one row of the log may hold is bounded."""
    tags = {f"k{number}": "v" for number in range(256)}
    assert taken(Tags, tags) == tags
    with pytest.raises(ValidationError):
        taken(Tags, tags | {"one more": "v"})


def test_canonical_json_writes_equal_values_equally() -> None:
    """Keys are sorted, blanks left out, and only what must be escaped is."""
    assert canonical_json({"b": [1, "é\n"], "a": {"d": None, "c": True}}) == '{"a":{"c":true,"d":null},"b":[1,"é\\n"]}'


def test_canonical_json_holds_no_number_that_json_has_not() -> None:
    """Infinity is no JSON."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("inf"))


def test_a_derived_id_is_the_hash_of_what_names_the_command() -> None:
    """`~` and the SHA-256 in hexadecimal of kind, NUL, id: anybody can compute it."""
    expected = "~" + hashlib.sha256(b"allocate\0pod-1").hexdigest()
    assert derived_id("allocate", "pod-1") == expected
    assert derived_id("a", "bc") != derived_id("ab", "c")


@pytest.mark.parametrize(
    ("recorded", "given", "difference"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, ("a", 1, 2)),
        ({"q": {"cpu": 1, "gpu": 2}}, {"q": {"cpu": 1, "gpu": 3}}, ("q.gpu", 2, 3)),
        ({"ttl": 1}, {}, ("ttl", 1, None)),
        ({}, {"ttl": 1}, ("ttl", None, 1)),
        ({"a": {"b": 1}}, {"a": 1}, ("a", {"b": 1}, 1)),
        (1, 2, ("", 1, 2)),
    ],
)
def test_the_first_difference_is_named_by_its_path(recorded: object, given: object, difference: object) -> None:
    """Of two JSON values that differ, the first field by name says where."""
    assert first_difference(recorded, given) == difference
