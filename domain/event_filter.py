"""What to choose events by: one description of a question to the log, for every log and every way in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdbook.domain.checks import given_name
from holdbook.domain.errors import Malformed
from holdbook.domain.refusals import RefusalCode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """What events must be like, in every respect that is given; what is None is not asked for.

    Raises `Malformed` for a name, a code or a time that is none.
    """

    allocation: str | None = None
    """They are about this allocation, refusals that name it included."""
    pools: frozenset[str] | None = None
    """They are of one of these pools, or refusals by one of them."""
    owner: str | None = None
    """They are about what this owner holds, gets or hands over; or refusals of what was asked for this owner."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """They are about allocations granted with all of these tags, or refusals of commands that asked with them."""
    actor: str | None = None
    """Their commands were issued by this actor."""
    correlation: str | None = None
    """Their commands carry this id of correlation."""
    since: datetime | None = None
    """They occurred at this time or later."""
    until: datetime | None = None
    """They occurred before this time."""
    refused: bool = False
    """They are refusals."""
    code: RefusalCode | None = None
    """They are refusals with this code."""

    def __post_init__(self) -> None:
        """Check every value."""
        if isinstance(self.pools, str):
            raise Malformed("pools", self.pools, "expected a set of names")
        given = {"allocation": self.allocation, "owner": self.owner, "actor": self.actor}
        pairs = [*given.items(), ("correlation", self.correlation), *(("pools", pool) for pool in self.pools or ())]
        pairs += [("tags", key) for key in self.tags]
        pairs += [(f"tags.{key}", value) for key, value in self.tags.items()]
        for parameter, name in pairs:
            if name is not None:
                given_name(parameter, name)
        for parameter, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.utcoffset() is None:
                raise Malformed(parameter, moment, "expected a time with its offset from UTC")
        if self.code is not None and self.code not in set(RefusalCode):
            raise Malformed("code", self.code, f"expected one of {', '.join(RefusalCode)}")
