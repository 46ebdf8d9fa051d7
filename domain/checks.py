"""Checks of arguments that are not fields of a command. Each raises `Malformed`, naming the parameter."""

from __future__ import annotations

from threading import TIMEOUT_MAX

from holdbook.domain.errors import Malformed
from holdbook.domain.values import check_name


def given_name(parameter: str, value: str) -> str:
    """Give back a name or an id of 1 to 255 characters as it is; raises `Malformed` for anything else."""
    try:
        return check_name(value)
    except ValueError as error:
        raise Malformed(parameter, value, str(error)) from None


def given_seconds(parameter: str, value: float) -> float:
    """Give back a time to wait: seconds above 0, up to what a thread can wait; raises `Malformed` for anything else."""
    if type(value) not in {int, float} or not 0 < value <= TIMEOUT_MAX:
        raise Malformed(parameter, value, "expected a number of seconds above 0")
    return value
