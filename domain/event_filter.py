"""The filter of events: what a reader searches the log for, the same for every log and every interface."""

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
    """The conditions that an event must meet, all that are given. Without any, every event does.

    Raises `Malformed` for an ill-formed name, an unknown code, or a time without its offset from UTC.
    """

    allocation: str | None = None
    """The event is about this allocation, or it is the refusal of a command that names it."""
    pools: frozenset[str] | None = None
    """The event is about one of these pools, or it is a refusal by one of them."""
    owner: str | None = None
    """The event is about an allocation that this owner holds, receives or hands over, or it is the refusal of a
    command that asked for this owner."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The event is about an allocation granted with all these tags, or it is the refusal of a command with them."""
    actor: str | None = None
    """This actor issued the event's command."""
    correlation: str | None = None
    """The event's command has this correlation id."""
    since: datetime | None = None
    """The event occurred at this time or later."""
    until: datetime | None = None
    """The event occurred before this time."""
    refused: bool = False
    """If True, the event is a refusal."""
    code: RefusalCode | None = None
    """The event is a refusal with this code."""

    def __post_init__(self) -> None:
        """Check every value; raises `Malformed`, naming the parameter."""
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
