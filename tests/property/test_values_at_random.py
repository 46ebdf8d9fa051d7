"""For all values: what is written is read, what is bad is refused, and capacity is exact."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from holdbook import Limits, Malformed, Token
from holdbook.domain.commands import Command, command_from
from holdbook.domain.records import StoredRow, canonical_bytes
from holdbook.domain.values import Duration, canonical_json, first_difference, instant, instant_text, seconds
from holdbook.infrastructure.log.mapper import EventMapper
from support.deciding import envelope
from support.strategies import FIELDS, commands, durations, events, instants, names

MAPPER = EventMapper()
any_text = st.text(st.characters(codec="utf-8"))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)


@given(events)
def test_an_event_survives_the_log_byte_for_byte(event: Any) -> None:  # noqa: ANN401 - every kind of event
    """What is read back is equal, and is written again as the same bytes, through the envelope too."""
    row = MAPPER.to_row(envelope(event))
    back = MAPPER.from_row(row)
    assert back == envelope(event)
    assert type(back.event) is type(event)
    assert MAPPER.to_row(back) == row


@given(st.lists(st.none() | any_text, min_size=11, max_size=11), st.integers(-(2**63), 2**63 - 1))
@example([*map(chr, range(11))], 0)
@example(["".join(map(chr, range(0x100))), "\u2028\u2029", "\U0001f600\U0010ffff", *[None] * 8], 2**63 - 1)
def test_canonical_bytes_are_those_of_the_standard_library(texts: list[Any], number: int) -> None:
    """Whatever a row holds, Rust escapes as Python does, which is as the format says."""
    numbers: dict[str, Any] = dict.fromkeys(("position", "version", "schema_version", "ordinal", "ordinals"), number)
    names = [name for name in StoredRow._fields if name not in numbers and name != "hash"]
    row = StoredRow(**numbers, **dict(zip(names, texts, strict=True)), hash=b"")
    expected = json.dumps(row[:-1], ensure_ascii=False, separators=(",", ":")).encode()
    assert canonical_bytes(row) == expected


@given(commands)
def test_a_command_survives_the_log(fields: dict[str, Any]) -> None:
    """The canonical JSON of a command makes the same command again, and the same JSON."""
    command = command_from(fields)
    back = command_from(json.loads(command.canonical()))
    assert back == command
    assert back.canonical() == command.canonical()
    assert first_difference(command.as_dict(), back.as_dict()) is None


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_whatever_a_field_holds_the_answer_is_a_command_or_malformed(verb: str, data: st.DataObject) -> None:
    """No input brings another error; a message can always be shown."""
    fields = {"command": verb, **data.draw(FIELDS[verb])}
    name = data.draw(st.sampled_from(sorted(fields)))
    outcome = made({**fields, name: data.draw(anything)})
    if isinstance(outcome, Malformed):
        assert str(outcome).encode()
        assert outcome.parameter.split(".")[0] == name
    else:
        json.loads(outcome.canonical())


def made(fields: dict[str, Any]) -> Command | Malformed:
    """Make a command, or give the error."""
    try:
        return command_from(fields)
    except Malformed as error:
        return error


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1))
@example(2**62, 0, 1, 999_999_999)
def test_the_capacity_is_the_floor_of_the_exact_product(total: int, reserved: int, whole: int, billionths: int) -> None:
    """Checked in fractions; above 2^63-1 it is an error."""
    factor = Fraction(whole) + Fraction(billionths, 10**9)
    expected = int((total - min(reserved, total)) * factor)
    fields = {"total": total, "reserved": min(reserved, total), "overcommit": f"{whole}.{billionths:09}"}
    if expected < 2**63:
        assert Limits(**fields).capacity == expected
    else:
        with pytest.raises(Malformed):
            Limits(**fields)


@given(st.decimals())
@example(Decimal("sNaN"))
@example(Decimal("1E+999999"))
def test_an_overcommit_is_exact_or_an_error(overcommit: Decimal) -> None:
    """No decimal is rounded to one that is allowed."""
    try:
        limits = Limits(total=1, overcommit=overcommit)
    except Malformed:
        return
    assert limits.overcommit == overcommit > 0


@given(instants, instants)
def test_the_text_of_instants_sorts_as_they_do(one: Any, other: Any) -> None:  # noqa: ANN401 - datetimes
    """Text order is time order, and nothing is lost."""
    assert (instant_text(one) < instant_text(other)) == (one < other)
    assert instant(instant_text(one)) == one


@given(durations)
def test_a_duration_survives_as_seconds(duration: Any) -> None:  # noqa: ANN401 - a timedelta
    """To the microsecond, through JSON."""
    written = json.loads(json.dumps(seconds(duration)))
    assert TypeAdapter(Duration).validate_python(written) == duration


@given(st.integers(1, 10**19 - 1), st.integers(1, 10**19 - 1))
def test_a_token_survives_as_text(epoch: int, position: int) -> None:
    """`epoch:position`."""
    assert Token.check(str(Token(epoch, position))) == Token(epoch, position)


@given(st.dictionaries(names, st.integers() | names))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    """Equal values are equal bytes."""
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value
