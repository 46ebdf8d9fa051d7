"""The rules for text and numbers run in Rust; plain functions, kept here, say what they are."""

import json
import re
import sys
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from holdbook.domain.values import (
    ENTRIES_MAX,
    QUANTITY_MAX,
    Amount,
    Name,
    PoolName,
    Quantities,
    Quantity,
    Reason,
    Tags,
    check_name,
)

pytestmark = pytest.mark.untraced

FORBIDDEN_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
FORBIDDEN_IN_REASONS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_name(value: object) -> str:
    """Say what a name is."""
    if (
        type(value) is not str
        or not 1 <= len(value) <= 255
        or value != value.strip()
        or FORBIDDEN_IN_NAMES.search(value)
    ):
        message = "expected 1 to 255 characters, no control characters, no blanks at the ends"
        raise ValueError(message)
    return value


def plain_pool_name(value: str) -> str:
    """Say what a pool's name is, beside a name."""
    if "=" in value:
        message = "expected a pool's name, which has no '='"
        raise ValueError(message)
    return value


def plain_reason(value: object) -> str:
    """Say what a reason is."""
    if type(value) is not str or not 1 <= len(value) <= 1000 or not value.strip() or FORBIDDEN_IN_REASONS.search(value):
        message = "expected 1 to 1000 characters without control characters"
        raise ValueError(message)
    return value


def plain_whole(least: int) -> Callable[[object], int]:
    """Say what a whole number from ``least`` is."""

    def check(value: object) -> int:
        if type(value) is not int or not least <= value <= QUANTITY_MAX:
            message = f"expected a whole number from {least} to {QUANTITY_MAX}"
            raise ValueError(message)
        return value

    return check


PlainName = Annotated[str, BeforeValidator(plain_name)]
PlainPoolName = Annotated[PlainName, AfterValidator(plain_pool_name)]
PlainQuantity = Annotated[int, BeforeValidator(plain_whole(1))]
RULES: dict[str, tuple[Any, Any]] = {
    "name": (Name, PlainName),
    "pool's name": (PoolName, PlainPoolName),
    "reason": (Reason, Annotated[str, BeforeValidator(plain_reason)]),
    "quantity": (Quantity, PlainQuantity),
    "amount": (Amount, Annotated[int, BeforeValidator(plain_whole(0))]),
    "quantities": (
        Quantities,
        Annotated[dict[PlainPoolName, PlainQuantity], Field(min_length=1, max_length=ENTRIES_MAX)],
    ),
    "tags": (Tags, Annotated[dict[PlainName, PlainName], Field(max_length=ENTRIES_MAX)]),
}
ADAPTERS = {rule: (TypeAdapter[Any](one), TypeAdapter[Any](other)) for rule, (one, other) in RULES.items()}
"""Each rule as it is checked, and as the plain functions check it."""


class Text(str):
    """A string that may behave as it likes."""

    __slots__ = ()


class Whole(int):
    """A number that may behave as it likes."""


class Word(StrEnum):
    """Text by another name."""

    GPU = "gpu"


class Digit(IntEnum):
    """A number by another name."""

    ONE = 1


texts = st.text(max_size=8) | st.text(st.sampled_from(" \t\n\r=a\x1f\x7f\x85\u00a0\u2028\u3000\ud800é\U0001f600"))
texts |= st.builds(lambda text, length: text * length, st.sampled_from("aé\U0001f600"), st.sampled_from([255, 256]))
texts |= st.builds(lambda text, length: text * length, st.sampled_from("aé\U0001f600"), st.sampled_from([1000, 1001]))
numbers = st.integers() | st.integers(-1, 2) | st.integers(2**63 - 2, 2**64) | st.just(10**400)
others = (
    st.none() | st.booleans() | st.floats() | st.decimals() | st.binary(max_size=3) | st.sampled_from([*Word, *Digit])
)
others |= texts.map(Text) | numbers.map(Whole)
scalars = texts | numbers | others
keys = texts | numbers | texts.map(Text) | st.none() | st.booleans() | st.binary(max_size=3) | st.sampled_from(Word)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(keys, scalars, max_size=3)
values |= st.dictionaries(texts | st.just("gpu"), numbers | texts, max_size=3)


def answer(check: Callable[[Any], Any], value: object) -> object:
    """Give what a check takes a value for, with its type, or all that it says of it."""
    try:
        taken = check(value)
    except ValidationError as error:
        return [
            (one["type"], one["loc"], one["msg"], repr(one["input"]), repr(one.get("ctx"))) for one in error.errors()
        ], str(error).partition("\n")[2]
    return type(taken), taken, [(type(key), type(one)) for key, one in taken.items()] if type(taken) is dict else []


@pytest.mark.parametrize("rule", RULES)
@given(values)
def test_a_value_is_taken_or_refused_as_the_plain_rule_says(rule: str, value: object) -> None:
    """Whatever the value, what is taken, what is said and where are the same."""
    checked, plain = ADAPTERS[rule]
    assert answer(checked.validate_python, value) == answer(plain.validate_python, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | numbers | st.sampled_from([1.0, 1e2]) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=3,
)


@pytest.mark.parametrize("rule", RULES)
@given(json_values)
def test_json_is_taken_or_refused_as_the_plain_rule_says(rule: str, value: object) -> None:
    """The same for what is read from the log."""
    checked, plain = ADAPTERS[rule]
    text = json.dumps(value)
    assert answer(checked.validate_json, text) == answer(plain.validate_json, text)


@pytest.mark.parametrize("rule", ["name", "pool's name", "reason"])
def test_every_character_is_judged_as_the_plain_rule_says(rule: str) -> None:
    """Alone, at both ends and in the middle, which is where blanks and controls count."""
    checked, plain = ADAPTERS[rule]

    def taken(adapter: TypeAdapter[Any], text: str) -> bool:
        return type(answer(adapter.validate_python, text)[0]) is type  # type: ignore[index]  # a tuple, either way

    characters = [*range(0x3100), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10100), *range(0xE0000, 0xE0200)]
    for character in map(chr, [*characters, sys.maxunicode]):
        for text in (character, f"a{character}", f"{character}a", f"a{character}a"):
            assert taken(checked, text) == taken(plain, text), ascii(text)


@given(scalars)
def test_a_name_outside_a_command_has_the_same_rule(value: object) -> None:
    """A ledger checks the names that it is asked about."""
    try:
        expected: object = plain_name(value)
    except ValueError as error:
        with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
            check_name(value)
    else:
        assert check_name(value) is expected
