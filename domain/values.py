"""The small values that everything is made of: names, quantities, instants, durations, tokens, canonical JSON."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

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

_FORBIDDEN_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORBIDDEN_IN_REASONS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_WHOLE_TOKEN = re.compile(r"([0-9]{1,19}):([0-9]{1,19})")


def check_name(value: object) -> str:
    """Accept a name or an id as it is; raises ValueError."""
    if (
        type(value) is not str
        or not 1 <= len(value) <= NAME_CHARACTERS_MAX
        or value != value.strip()
        or _FORBIDDEN_IN_NAMES.search(value)
    ):
        message = f"expected 1 to {NAME_CHARACTERS_MAX} characters, no control characters, no blanks at the ends"
        raise ValueError(message)
    return value


def _check_pool_name(value: str) -> str:
    if "=" in value:
        message = "expected a pool's name, which has no '='"
        raise ValueError(message)
    return value


def _check_reason(value: object) -> str:
    if (
        type(value) is not str
        or not 1 <= len(value) <= REASON_CHARACTERS_MAX
        or not value.strip()
        or _FORBIDDEN_IN_REASONS.search(value)
    ):
        message = f"expected 1 to {REASON_CHARACTERS_MAX} characters without control characters"
        raise ValueError(message)
    return value


def _check_whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        message = f"expected a whole number from {least} to {most}"
        raise ValueError(message)
    return value


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
        if type(value) in {int, float, Decimal}:
            value = timedelta(seconds=float(value))  # type: ignore[arg-type]  # its type was just looked at
        if isinstance(value, timedelta) and timedelta() < value <= timedelta(seconds=TTL_SECONDS_MAX):
            return value
    except (ValueError, OverflowError):
        pass
    message = f"expected a duration above 0 and up to {TTL_SECONDS_MAX} seconds"
    raise ValueError(message)


def seconds(duration: timedelta) -> int | float:
    """Write a duration as seconds, whole where it is whole."""
    return int(duration.total_seconds()) if not duration.microseconds else duration.total_seconds()


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


Name = Annotated[str, BeforeValidator(check_name)]
PoolName = Annotated[Name, AfterValidator(_check_pool_name)]
Reason = Annotated[str, BeforeValidator(_check_reason)]
Quantity = Annotated[int, BeforeValidator(lambda value: _check_whole(value, 1, QUANTITY_MAX))]
Amount = Annotated[int, BeforeValidator(lambda value: _check_whole(value, 0, QUANTITY_MAX))]
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
