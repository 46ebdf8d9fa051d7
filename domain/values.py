"""The values that commands and events are made of: names, quantities, times, durations, fencing tokens, JSON.

The types (`Name`, `Quantity`, …) are for fields of pydantic models. Each accepts only its exact Python type, or text or
numbers that mean the same, and says what it expects of anything else.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

QUANTITY_MAX: Final = 2**63 - 1
"""The largest quantity, capacity and sum, in units of the pool: the largest BIGINT of SQL."""

NAME_CHARACTERS_MAX: Final = 255
"""The longest name or id, in Unicode characters."""

REASON_CHARACTERS_MAX: Final = 1000
"""The longest reason given with a command, in Unicode characters."""

TTL_SECONDS_MAX: Final = 100 * 366 * 24 * 3600
"""The longest time to live, about a hundred years, in seconds."""

ENTRIES_MAX: Final = 256
"""The most pools that one allocation may name, and the most tags that it may carry."""

AT_YEAR_MAX: Final = 9800
"""The latest year that a command's ``at`` may be in: with the longest time to live, the year is still below 10,000."""

_NAME_EXPECTED: Final = f"expected 1 to {NAME_CHARACTERS_MAX} characters, no control characters, no blanks at the ends"
_REASON_EXPECTED: Final = f"expected 1 to {REASON_CHARACTERS_MAX} characters without control characters"
_POOL_EXPECTED: Final = "expected a pool's name, which has no '='"
_TTL_MAX: Final = timedelta(seconds=TTL_SECONDS_MAX)
_NO_TIME: Final = timedelta()
_NUMBERS: Final = frozenset({int, float, Decimal})
_TOKEN_TEXT = re.compile(r"([0-9]{1,19}):([0-9]{1,19})")

# Text and whole numbers, by far the most values, are checked by schemas of pydantic-core, which run in Rust. Times,
# durations and tokens are checked by Python functions.


def _schema(schema: CoreSchema) -> GetPydanticSchema:
    """Make an annotation that has pydantic check a field by this schema."""
    return GetPydanticSchema(lambda _source, _handler: schema)


def _expecting(expected: str, schema: CoreSchema) -> CoreSchema:
    """Give a schema the error message that a function has which raises ``ValueError(expected)``."""
    context = {"error": ValueError(expected)}
    return core_schema.custom_error_schema(schema, custom_error_type="value_error", custom_error_context=context)


def _exactly(kind: type, schema: CoreSchema) -> CoreSchema:
    """Restrict a schema to values of exactly this type: a bool is no int, and a subclass may behave differently.

    Values parsed from JSON need no restriction: they are never of a subclass.
    """
    return core_schema.json_or_python_schema(
        schema, core_schema.tagged_union_schema({kind: schema}, discriminator=type)
    )


def _text(expected: str, characters_max: int, pattern: str) -> CoreSchema:
    """Make a schema for text of 1 character up to a maximum that a pattern matches."""
    # The pattern need not exclude lone surrogates: Rust accepts no string that has one.
    schema = core_schema.str_schema(strict=True, max_length=characters_max, pattern=pattern)
    return _expecting(expected, _exactly(str, schema))


def _whole(least: int) -> CoreSchema:
    """Make a schema for whole numbers from ``least`` up to `QUANTITY_MAX`."""
    schema = core_schema.int_schema(strict=True, ge=least, le=QUANTITY_MAX)
    return _expecting(f"expected a whole number from {least} to {QUANTITY_MAX}", _exactly(int, schema))


_NAME = _text(_NAME_EXPECTED, NAME_CHARACTERS_MAX, r"^[^\s\p{Cc}]([^\p{Cc}]*[^\s\p{Cc}])?$")
_POOL_NAME = core_schema.chain_schema([_NAME, _expecting(_POOL_EXPECTED, core_schema.str_schema(pattern="^[^=]*$"))])
_REASON = _text(_REASON_EXPECTED, REASON_CHARACTERS_MAX, r"^[\t\n\P{Cc}]*[^\s\p{Cc}][\t\n\P{Cc}]*$")


def _check_instant(value: object) -> datetime:
    """Accept an aware datetime, or its text in ISO 8601, and convert it to UTC; raises ValueError."""
    try:
        moment = datetime.fromisoformat(value) if type(value) is str else value
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "expected a time with its offset from UTC, such as 2026-01-31T12:00:00Z"
    raise ValueError(message)


def _check_at(value: datetime) -> datetime:
    """Accept a time up to the year `AT_YEAR_MAX`; raises ValueError."""
    if value.year > AT_YEAR_MAX:
        message = f"expected a time up to the year {AT_YEAR_MAX}"
        raise ValueError(message)
    return value


def _check_duration(value: object) -> timedelta:
    """Accept a timedelta or a number of seconds, above 0 and up to `TTL_SECONDS_MAX`; raises ValueError."""
    try:
        if type(value) in _NUMBERS:
            value = timedelta(seconds=float(value))  # type: ignore[arg-type]  # its type was just looked at
        if isinstance(value, timedelta) and _NO_TIME < value <= _TTL_MAX:
            return value
    except (ValueError, OverflowError):
        pass
    message = f"expected a duration above 0 and up to {TTL_SECONDS_MAX} seconds"
    raise ValueError(message)


def seconds(duration: timedelta) -> int | float:
    """Write a duration as a number of seconds: an int if it is a whole number, else a float."""
    return int(duration.total_seconds()) if not duration.microseconds else duration.total_seconds()


@lru_cache(maxsize=256)  # all events of a batch have the same time
def instant_text(moment: datetime) -> str:
    """Write an aware datetime in UTC, such as ``2026-01-31T12:00:00.000000Z``: the order of texts is that of times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def instant(text: str) -> datetime:
    """Read a time that `instant_text` wrote."""
    return datetime.fromisoformat(text)


class Token(NamedTuple):
    """The fencing token of a grant, written ``epoch:position``. A later grant always has a greater token.

    A resource that remembers the greatest token it has seen can refuse a holder whose time is over: see `Fence`, and
    Kleppmann, "How to do distributed locking" (2016).
    """

    epoch: int
    """How often the log was restored from a backup, from 1."""
    position: int
    """Position in the log of the grant's first event, from 1."""

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"

    @classmethod
    def check(cls, value: object) -> Self:
        """Accept a token, or the text that ``str`` makes of one; raises ValueError."""
        text = str(value) if isinstance(value, cls) else value
        match = _TOKEN_TEXT.fullmatch(text) if type(text) is str else None
        if match is None:
            message = "expected a fencing token written epoch:position, such as 1:42"
            raise ValueError(message)
        return cls(int(match[1]), int(match[2]))


Name = Annotated[str, _schema(_NAME)]
"""A name or an id: 1 to 255 characters, no control characters, no blanks at the ends."""

PoolName = Annotated[str, _schema(_POOL_NAME)]
"""A name without ``=``, so that ``gpu=2`` can be read in one way only."""

Reason = Annotated[str, _schema(_REASON)]
"""Text for people: 1 to 1,000 characters, not all blank; of control characters only tabs and line feeds."""

Quantity = Annotated[int, _schema(_whole(1))]
"""A whole number from 1 to `QUANTITY_MAX`."""

Amount = Annotated[int, _schema(_whole(0))]
"""A whole number from 0 to `QUANTITY_MAX`."""

Instant = Annotated[
    datetime, BeforeValidator(_check_instant), PlainSerializer(instant_text, return_type=str, when_used="json")
]
"""A time with its offset from UTC, kept in UTC; in JSON, text."""

At = Annotated[Instant, AfterValidator(_check_at)]
"""A time that a command brings: an instant up to the year `AT_YEAR_MAX`."""

Duration = Annotated[
    timedelta,
    BeforeValidator(_check_duration),
    PlainSerializer(seconds, return_type=int | float, when_used="json"),
]
"""A time to live or to wait, above 0 and up to `TTL_SECONDS_MAX` seconds; in JSON, a number of seconds."""

FencingToken = Annotated[
    Token,
    BeforeValidator(Token.check),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+:[0-9]+$"}),
]
"""A `Token`; in JSON, its text."""

Quantities = Annotated[dict[PoolName, Quantity], Field(min_length=1, max_length=ENTRIES_MAX)]
"""A quantity for each of 1 to `ENTRIES_MAX` pools, by pool's name."""

Tags = Annotated[dict[Name, Name], Field(max_length=ENTRIES_MAX)]
"""Up to `ENTRIES_MAX` names with values, which are names too."""

_name = TypeAdapter[str](Name)


def check_name(value: object) -> str:
    """Give back a name or an id as it is; raises ValueError for anything that is no `Name`."""
    try:
        return _name.validate_python(value)
    except ValidationError:
        raise ValueError(_NAME_EXPECTED) from None


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: object) -> str:
    """Write a JSON value in the one canonical way: keys sorted, no blanks, no escapes where none is needed."""
    return _encode(value)


def derived_id(*parts: str) -> str:
    """Derive a command id from the parts that name a command: ``~``, then SHA-256 (hex) of the parts joined by NUL."""
    return "~" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def first_difference(recorded: object, given: object, path: str = "") -> tuple[str, object, object] | None:
    """Find the first field, by name, in which two JSON values differ; None if they are equal.

    Gives its dotted path, below ``path`` if that is given, and its two values, None where a value has no such field.
    """
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in sorted(recorded.keys() | given.keys()):
            inside = first_difference(recorded.get(key), given.get(key), f"{path}.{key}" if path else key)
            if inside:
                return inside
        return None
    return None if recorded == given else (path, recorded, given)
