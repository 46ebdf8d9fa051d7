"""From the words of a command line to values; each raises `Malformed`, naming the parameter."""

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

LIFTED: Final = "none"
"""What stands for a limit that is lifted."""

_DURATIONS: Final = frozenset({"default_ttl", "max_ttl"})
"""The limits that are durations."""

T = TypeVar("T")

_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def duration(parameter: str, text: str | None) -> float | None:
    """Read a duration such as 30m, 1h30m or 90 as seconds."""
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
    """Read a time with its offset from UTC."""
    return _read(_INSTANT, parameter, text)


def name(parameter: str, text: str) -> str:
    """Read a name or an id."""
    return _read(_NAME, parameter, text)


def _read(kind: TypeAdapter[T], parameter: str, text: str) -> T:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise Malformed(parameter, text, Malformed.from_validation(error).expected) from None


def whole(text: str) -> int | str:
    """Read a whole number; what is none is left as it is, for the command to refuse."""
    return int(text) if _WHOLE.fullmatch(text) else text


def limit(name: str, text: str, parameter: str | None = None) -> object:
    """Read the value of a limit; None for one that is lifted."""
    if text == LIFTED:
        return None
    if name in _DURATIONS:
        return duration(parameter or name, text)
    return text if name == "overcommit" else whole(text)


def quantities(words: Iterable[str]) -> dict[str, int | str]:
    """Read ``gpu=2 cpu=8000``."""
    return {pool: whole(text) for pool, text in pairs("quantities", "POOL=QUANTITY", words).items()}


def pairs(parameter: str, form: str, words: Iterable[str] | None) -> dict[str, str]:
    """Read words of the form ``key=value``, each key once."""
    found: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals:
            raise Malformed(parameter, word, f"expected {form}")
        if key in found:
            raise Malformed(f"{parameter}.{key}", word, f"expected {key!r} once")
        found[key] = value
    return found
