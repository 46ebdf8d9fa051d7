"""What to choose events by: one description of a question to the log, for every log and every way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What events must be like; what is None is not asked for."""

    pools: frozenset[str] | None = None
    """They are of one of these pools, or refusals by one of them."""
    since: datetime | None = None
    """They occurred at this time or later."""
    until: datetime | None = None
    """They occurred before this time."""
