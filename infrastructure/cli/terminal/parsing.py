"""Reads the words of a command line as values. Every function raises `Malformed`, which names the parameter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from holdbook.domain.errors import Malformed
from holdbook.domain.values import Instant, Name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_PARTS: Final = re.compile(
    r"(?=[0-9])(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,12}(?:\.[0-9]{1,6})?)s)?"
)
_UNIT_SECONDS: Final = (86400, 3600, 60, 1)
"""Seconds in a day, an hour, a minute and a second, in the order of the groups of `_PARTS`."""

LIFTED: Final = "none"
"""The word for no limit."""

_DURATIONS: Final = frozenset({"default_ttl", "max_ttl"})
"""The limits whose values are durations."""

_Value = TypeVar("_Value")

_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def duration(parameter: str, text: str | None) -> float | None:
    """Read a duration such as 30m, 1h30m or 90, and give it in seconds; None if none is given."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return _number(text)
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise Malformed(parameter, text, "expected a duration such as 90s, 30m, 2h, 1d, 1h30m, or seconds")
    return sum(unit * _number(part) for unit, part in zip(_UNIT_SECONDS, parts.groups(), strict=True) if part)


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def moment(parameter: str, text: str) -> datetime:
    """Read a time with its offset from UTC, such as 2026-01-31T14:03:00Z."""
    return _read(_INSTANT, parameter, text)


def name(parameter: str, text: str) -> str:
    """Read a name or an id: 1 to 255 characters without control characters or blanks at the ends."""
    return _read(_NAME, parameter, text)


def _read(kind: TypeAdapter[_Value], parameter: str, text: str) -> _Value:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise Malformed(parameter, text, Malformed.from_validation(error).expected) from None


def whole(text: str) -> int | str:
    """Read a whole number; text that is none is given back as it is, so that the command reports it as malformed."""
    return int(text) if _WHOLE.fullmatch(text) else text


def limit(name: str, text: str, parameter: str | None = None) -> object:
    """Read the value of a limit; None for "none", which lifts it."""
    if text == LIFTED:
        return None
    if name in _DURATIONS:
        return duration(parameter or name, text)
    return text if name == "overcommit" else whole(text)


def quantities(words: Iterable[str]) -> dict[str, int | str]:
    """Read quantities by pool, such as ``gpu=2 cpu=8000``."""
    return {pool: whole(text) for pool, text in pairs("quantities", "POOL=QUANTITY", words).items()}


def pairs(parameter: str, form: str, words: Iterable[str] | None) -> dict[str, str]:
    """Read words such as ``key=value`` as a dict; ``form`` says in an error what they look like.

    A key may be given only once.
    """
    found: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals:
            raise Malformed(parameter, word, f"expected {form}")
        if key in found:
            raise Malformed(f"{parameter}.{key}", word, f"expected {key!r} once")
        found[key] = value
    return found
