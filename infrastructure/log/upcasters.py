"""Upcasters: functions that turn the fields of an event's older schema version into those of the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Upcasters = Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]
"""A function for each stored type name and schema version that it reads; it is pure, and gives the next version."""


def released_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Add what version 2 of ``Released`` says, whether it was forced: with version 1 there was no force."""
    return {**fields, "forced": False}


UPCASTERS: Upcasters = {("Released", 1): released_2}
"""Every upcaster released so far."""
