"""Upcasters: how the fields of an older schema version become those of the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Upcasters = Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]
"""By stored type name and the version it starts from; each step is pure and leads to the next version."""


def released_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 2 of ``Released`` says whether it was forced; before, nobody could."""
    return {**fields, "forced": False}


UPCASTERS: Upcasters = {("Released", 1): released_2}
"""Every step released so far."""
