"""The words of the queue: a command that waits for what it asks for, and how long a process may be silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

STAY_SECONDS: Final = 3.0
"""How often a process says that it is alive while commands of its callers wait."""

GONE_SECONDS: Final = 10.0
"""How long a process may say nothing before its waiting commands lose their places."""

AHEAD_SECONDS_MAX: Final = 60.0
"""How far in the future the last sign of life of a process may lie. One that lies further ahead was given by a clock
that has been set back since, and does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A command in the queue. It is decided when it can be granted, or when its time is up."""

    ticket: int
    """Its place in the queue: commands that came later have greater numbers."""
    command_id: str
    owner: str
    quantities: Mapping[str, int]
    """The quantity that it asks for, by pool."""
    since: datetime
    """When it entered the queue, by its process's clock (UTC)."""
    until: datetime
    """When it is decided at the latest (UTC)."""
