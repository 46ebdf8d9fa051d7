"""Findings about events that contradict the books."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdbook.domain.values import instant_text
from holdbook.replay.verification.findings import Check, Harm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdbook.domain.records import Recorded
    from holdbook.replay.verification.findings import Findings
    from holdbook.replay.verification.pool_book import HoldPart, PoolBook


class Contradictions:
    """Reports events that contradict the books."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.excused: set[str] = set()
        """Ids of allocations of which events are missing or unreadable; contradictions about these are not reported."""

    def compare(self, recorded: Recorded, field: str, stated: object, expected: object) -> None:
        """Compare what an event says of an allocation with what the events before it say."""
        if stated != expected:
            event: Any = recorded.event
            message = (
                f"{type(event).__name__} of allocation {event.allocation_id!r} in pool {event.pool!r}: "
                f"{field} is {_shown(stated)}, by the events before it {_shown(expected)}"
            )
            self.add(recorded, Check.CONSERVATION, message, event.allocation_id)

    def check_reserved(self, recorded: Recorded, part: HoldPart, *, expected: bool) -> None:
        """Report an event for which the allocation would have to be a reservation, or must not be one."""
        if part.reserved != expected:
            event: Any = recorded.event
            state = "a reservation" if part.reserved else "not a reservation"
            message = f"{type(event).__name__} of allocation {event.allocation_id!r}, which is {state}"
            self.add(recorded, Check.ALLOCATIONS, message, event.allocation_id)

    def report_breaches(self, recorded: Recorded, breaches: Iterable[str]) -> None:
        """Report the limits that an event passes."""
        for breach in breaches:
            event: Any = recorded.event
            message = f"{type(event).__name__} of allocation {event.allocation_id!r} in pool {event.pool!r}: {breach}"
            self.add(recorded, Check.LIMITS, message)

    def report_outlived(
        self, recorded: Recorded, pool: PoolBook, allocation_id: str, deadline: datetime, *, more: int
    ) -> None:
        """Report a hold that is past its deadline by the time of its pool."""
        others = f" (and {more} more like it)" if more else ""
        message = (
            f"allocation {allocation_id!r} is still held after its deadline, {instant_text(deadline)}, "
            f"by the time of pool {pool.opened.pool!r}, {instant_text(pool.time)}{others}"
        )
        self.add(recorded, Check.TIME, message, allocation_id, Harm.LEAK)

    def add(
        self,
        recorded: Recorded,
        check: Check,
        message: str,
        allocation_id: str | None = None,
        harm: Harm | None = None,
    ) -> None:
        """Report a contradiction, unless it is about an allocation of which events are missing."""
        if allocation_id not in self.excused:
            self._findings.add(recorded.position, check, message, harm)


def _shown(value: object) -> str:
    return instant_text(value) if isinstance(value, datetime) else repr(value)
