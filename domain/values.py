"""The small values that everything is made of: names, quantities, instants, durations, tokens, canonical JSON."""

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
"""The largest quantity, capacity and sum, in units of the pool: what a BIGINT holds."""

NAME_CHARACTERS_MAX: Final = 255
"""The longest name or id, in Unicode characters."""

REASON_CHARACTERS_MAX: Final = 1000
"""The longest reason given with a command, in Unicode characters."""

TTL_SECONDS_MAX: Final = 100 * 366 * 24 * 3600
"""The longest time to live, about a hundred years, in seconds."""

ENTRIES_MAX: Final = 256
"""The most pools that one allocation may name, and the most tags that it may carry."""

AT_YEAR_MAX: Final = 9800
"""The latest year that a command may bring as its time: a deadline after it still fits in a calendar."""

_NAME_EXPECTED: Final = f"expected 1 to {NAME_CHARACTERS_MAX} characters, no control characters, no blanks at the ends"
_REASON_EXPECTED: Final = f"expected 1 to {REASON_CHARACTERS_MAX} characters without control characters"
_POOL_EXPECTED: Final = "expected a pool's name, which has no '='"
_TTL_MAX: Final = timedelta(seconds=TTL_SECONDS_MAX)
_NO_TIME: Final = timedelta()
_NUMBERS: Final = frozenset({int, float, Decimal})
_WHOLE_TOKEN = re.compile(r"([0-9]{1,19}):([0-9]{1,19})")

# Text and numbers, most of what is checked, are checked by schemas, which run in Rust; what is rarer, by functions.


def _schema(schema: CoreSchema) -> GetPydanticSchema:
    return GetPydanticSchema(lambda _source, _handler: schema)


def _expecting(expected: str, schema: CoreSchema) -> CoreSchema:
    """Say of what the schema does not take what a function would say that raises ``ValueError(expected)``."""
    context = {"error": ValueError(expected)}
    return core_schema.custom_error_schema(schema, custom_error_type="value_error", custom_error_context=context)


def _exactly(kind: type, schema: CoreSchema) -> CoreSchema:
    """Take no subclass: no bool for a number, no string that behaves as it likes. From JSON, none can come."""
    return core_schema.json_or_python_schema(
        schema, core_schema.tagged_union_schema({kind: schema}, discriminator=type)
    )


def _text(expected: str, characters_max: int, pattern: str) -> CoreSchema:
    # A lone surrogate needs no word in the pattern: in Rust, what holds one is no string.
    schema = core_schema.str_schema(strict=True, max_length=characters_max, pattern=pattern)
    return _expecting(expected, _exactly(str, schema))


def _whole(least: int) -> CoreSchema:
    schema = core_schema.int_schema(strict=True, ge=least, le=QUANTITY_MAX)
    return _expecting(f"expected a whole number from {least} to {QUANTITY_MAX}", _exactly(int, schema))


_NAME = _text(_NAME_EXPECTED, NAME_CHARACTERS_MAX, r"^[^\s\p{Cc}]([^\p{Cc}]*[^\s\p{Cc}])?$")
_POOL_NAME = core_schema.chain_schema([_NAME, _expecting(_POOL_EXPECTED, core_schema.str_schema(pattern="^[^=]*$"))])
_REASON = _text(_REASON_EXPECTED, REASON_CHARACTERS_MAX, r"^[\t\n\P{Cc}]*[^\s\p{Cc}][\t\n\P{Cc}]*$")


def _check_instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if type(value) is str else value
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "expected a time with its offset from UTC, such as 2026-01-31T12:00:00Z"
    raise ValueError(message)


def _check_at(value: datetime) -> datetime:
    if value.year > AT_YEAR_MAX:
        message = f"expected a time up to the year {AT_YEAR_MAX}"
        raise ValueError(message)
    return value


def _check_duration(value: object) -> timedelta:
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
    """Write a duration as seconds, whole where it is whole."""
    return int(duration.total_seconds()) if not duration.microseconds else duration.total_seconds()


@lru_cache(maxsize=256)  # a batch has one time, written many times
def instant_text(moment: datetime) -> str:
    """Write an aware instant as fixed-width UTC text with microseconds, which sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def instant(text: str) -> datetime:
    """Read what `instant_text` wrote."""
    return datetime.fromisoformat(text)


class Token(NamedTuple):
    """Fencing token of a grant: later grants have greater tokens. Written ``epoch:position``.

    See Kleppmann, "How to do distributed locking" (2016), for what a resource does with it.
    """

    epoch: int
    """How often the log was restored from a backup, from 1."""
    position: int
    """Position in the log of the grant's first event, from 1."""

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"

    @classmethod
    def check(cls, value: object) -> Self:
        """Accept a token, or its text as written by ``str``; raises ValueError."""
        text = str(value) if isinstance(value, cls) else value
        match = _WHOLE_TOKEN.fullmatch(text) if type(text) is str else None
        if match is None:
            message = "expected a fencing token written epoch:position, such as 1:42"
            raise ValueError(message)
        return cls(int(match[1]), int(match[2]))


Name = Annotated[str, _schema(_NAME)]
PoolName = Annotated[str, _schema(_POOL_NAME)]
Reason = Annotated[str, _schema(_REASON)]
Quantity = Annotated[int, _schema(_whole(1))]
Amount = Annotated[int, _schema(_whole(0))]
Instant = Annotated[
    datetime, BeforeValidator(_check_instant), PlainSerializer(instant_text, return_type=str, when_used="json")
]
At = Annotated[Instant, AfterValidator(_check_at)]
Duration = Annotated[
    timedelta,
    BeforeValidator(_check_duration),
    PlainSerializer(seconds, return_type=int | float, when_used="json"),
]
FencingToken = Annotated[
    Token,
    BeforeValidator(Token.check),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+:[0-9]+$"}),
]
Quantities = Annotated[dict[PoolName, Quantity], Field(min_length=1, max_length=ENTRIES_MAX)]
Tags = Annotated[dict[Name, Name], Field(max_length=ENTRIES_MAX)]

_name = TypeAdapter[str](Name)


def check_name(value: object) -> str:
    """Accept a name or an id as it is; raises ValueError."""
    try:
        return _name.validate_python(value)
    except ValidationError:
        raise ValueError(_NAME_EXPECTED) from None


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: object) -> str:
    """Write JSON in one way only: keys sorted, no blanks, nothing escaped that need not be."""
    return _encode(value)


def derived_id(*parts: str) -> str:
    """Derive a command id from what names the command: ``~`` and the SHA-256 of the parts, joined by NUL."""
    return "~" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def first_difference(recorded: object, given: object, path: str = "") -> tuple[str, object, object] | None:
    """Find the first field, by name, in which two JSON values differ: its dotted path and both values."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in sorted(recorded.keys() | given.keys()):
            inside = first_difference(recorded.get(key), given.get(key), f"{path}.{key}" if path else key)
            if inside:
                return inside
        return None
    return None if recorded == given else (path, recorded, given)
