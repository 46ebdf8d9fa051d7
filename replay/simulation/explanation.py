"""What stands in the way of a request: the refusal, the holds that lead to it, and when enough of them will have ended.

Nothing here knows a limit: the domain decides the request again and again, at the moments at which something expires.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from holdbook.domain.decisions.context import DecisionContext, time_of
from holdbook.domain.decisions.decide import decide
from holdbook.domain.events import Expired, ValidationFailed
from holdbook.domain.refusals import RefusalCode, explain, is_transient
from holdbook.domain.values import AT_YEAR_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from holdbook.domain.commands import Allocate
    from holdbook.domain.events import Event
    from holdbook.domain.pool import Pool
    from holdbook.replay.history.as_of import LedgerState


class Holder(NamedTuple):
    """A hold that stands in the way."""

    allocation_id: str
    owner: str
    quantity: int
    deadline: datetime | None
    """When it expires, unless renewed; None: never by itself."""
    reserved: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One reason to refuse, for as long as it is the first of those that apply."""

    code: RefusalCode
    pool: str | None
    """The pool that refuses."""
    data: Mapping[str, Any]
    """What the decision is made on: what is free, which limit, by code."""
    since: datetime
    """When it is met."""
    until: datetime | None
    """The first moment at which enough will have expired; None if no expiry is ever enough."""
    holders: tuple[Holder, ...]
    """Who holds what it is about, in the order in which they expire: of an owner's limit, the owner's own."""

    @property
    def transient(self) -> bool:
        """Tell whether time or other holders' releases may lift it; if not, somebody has to change something."""
        return is_transient(self.code)

    def __str__(self) -> str:
        return explain(self.code, self.data)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Whether a request would be granted, and if not, why not and when it would be, were nothing else to happen."""

    moment: datetime
    """When it would be decided."""
    position: int
    """Position in the log that this is true at."""
    obstacles: tuple[Obstacle, ...]
    """What stands in the way, one after another; empty if it would be granted."""

    @property
    def granted_at(self) -> datetime | None:
        """The earliest moment at which it would be granted; None if no expiry is ever enough."""
        return self.obstacles[-1].until if self.obstacles else self.moment

    @property
    def granted(self) -> bool:
        """Tell whether it would be granted at once."""
        return not self.obstacles


def explained(state: LedgerState, command: Allocate, now: datetime) -> Explanation:
    """Decide a request over a state at a moment, if refused also at later ones. The state is used up.

    Without other commands, nothing but expiry happens as time goes on: what is held only shrinks, limits stay as they
    are. So a reason that has gone does not come back, the first of those that apply only moves on in their order of
    precedence, and when it does can be found by bisection.
    """
    named = [state.pools[name] for name in command.quantities if name in state.pools]
    start = moment = time_of(command, now, named)
    deadlines = sorted({hold.deadline for pool in named for hold in pool.holds.values() if hold.deadline is not None})
    deadlines = [one for one in deadlines if one.year <= AT_YEAR_MAX]  # as far as a command can ever be issued
    obstacles: list[Obstacle] = []
    future = _Future(state.pools, command)
    while refusal := future.refusal_at(moment):
        later = deadlines[bisect_right(deadlines, moment) :] if is_transient(refusal.code) else []
        holders = tuple(_holders(state.pools, refusal, moment))
        until = future.end_of(refusal, later)
        obstacles.append(
            Obstacle(
                code=refusal.code,
                pool=refusal.pool,
                data=refusal.data,
                since=moment,
                until=until,
                holders=holders,
            )
        )
        if until is None:
            break
        moment = until
    return Explanation(moment=start, position=state.position, obstacles=tuple(obstacles))


class _Future(NamedTuple):
    """What becomes of a request at later and later moments, if nothing else happens."""

    pools: Mapping[str, Pool]
    command: Allocate

    def refusal_at(self, moment: datetime) -> ValidationFailed | None:
        """Decide at a moment."""
        event = self._decide(moment)[-1]
        return event if isinstance(event, ValidationFailed) else None

    def end_of(self, refusal: ValidationFailed, moments: Sequence[datetime]) -> datetime | None:
        """Find the first of some moments, in order, at which a refusal is no longer the one; None if there is none."""
        low, high = 0, len(moments)
        while low < high:
            middle = (low + high) // 2
            events = self._decide(moments[middle])
            last = events[-1]
            if isinstance(last, ValidationFailed) and (last.code, last.pool) == (refusal.code, refusal.pool):
                self._expire(events)
                low = middle + 1
            else:
                high = middle
        return moments[low] if low < len(moments) else None

    def _decide(self, moment: datetime) -> list[Event]:
        return decide(DecisionContext(self.pools, new_id="asked"), self.command, moment)

    def _expire(self, events: Iterable[Event]) -> None:
        """Take what has expired off the pools, so that no later decision has to."""
        for event in events:
            if isinstance(event, Expired):
                self.pools[event.pool].take(event.allocation_id)
        for pool in self.pools.values():
            pool.trim()


def _holders(pools: Mapping[str, Pool], refusal: ValidationFailed, moment: datetime) -> Iterator[Holder]:
    pool = pools.get(refusal.pool or "")
    if pool is None or not is_transient(refusal.code):
        return
    owner = refusal.data["owner"] if refusal.code is RefusalCode.OWNER_EXHAUSTED else None
    for allocation_id, hold in sorted(pool.holds.items(), key=lambda item: (_last_if_none(item[1].deadline), item[0])):
        if (owner is None or hold.owner == owner) and (hold.deadline is None or hold.deadline > moment):
            yield Holder(allocation_id, hold.owner, hold.quantity, hold.deadline, hold.reserved, hold.tags)


def _last_if_none(deadline: datetime | None) -> datetime:
    return datetime.max.replace(tzinfo=UTC) if deadline is None else deadline
