"""Checks of what a caller gives; each raises `Malformed`, naming the parameter."""

from __future__ import annotations

from threading import TIMEOUT_MAX

from holdbook.domain.errors import Malformed
from holdbook.domain.values import check_name


def given_name(parameter: str, value: str) -> str:
    """Accept a name or an id as it is; raises `Malformed`."""
    try:
        return check_name(value)
    except ValueError as error:
        raise Malformed(parameter, value, str(error)) from None


def given_seconds(parameter: str, value: float) -> float:
    """Accept a time to wait, in seconds above 0, no longer than a thread can; raises `Malformed`."""
    if type(value) not in {int, float} or not 0 < value <= TIMEOUT_MAX:
        raise Malformed(parameter, value, "expected a number of seconds above 0")
    return value
