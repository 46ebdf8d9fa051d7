"""Explaining refusals: why a request is refused, which holds are in the way, and when enough of them will have expired.

No limit is checked here. The domain decides the same request again at each moment at which a hold expires, until it is
granted or no expiry is left.
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
    """A hold that is in the way of a request."""

    allocation_id: str
    owner: str
    quantity: int
    deadline: datetime | None
    """When the hold expires unless it is renewed; None if it has no deadline."""
    reserved: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One reason for refusing the request, for as long as it is the first of the reasons that apply."""

    code: RefusalCode
    pool: str | None
    """The pool that refuses; None if no pool does."""
    data: Mapping[str, Any]
    """The values that the decision used, such as what is free or which limit applies; they depend on the code."""
    since: datetime
    """The moment from which the request is refused for this reason."""
    until: datetime | None
    """The first moment at which enough holds will have expired; None if expiry is never enough."""
    holders: tuple[Holder, ...]
    """The holds it is about, first to expire first. For a limit per owner, these are the owner's own."""

    @property
    def transient(self) -> bool:
        """Tell whether the end of other holds may remove it; if not, somebody has to change something."""
        return is_transient(self.code)

    def __str__(self) -> str:
        return explain(self.code, self.data)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Whether a request would be granted; if not, why not, and when it would be if nothing else happens until then."""

    moment: datetime
    """The time at which the request would be decided."""
    position: int
    """The position in the log that the answer is true at."""
    obstacles: tuple[Obstacle, ...]
    """The reasons for refusing, one after another in time; empty if the request would be granted."""

    @property
    def granted_at(self) -> datetime | None:
        """The earliest moment at which the request would be granted; None if expiry is never enough."""
        return self.obstacles[-1].until if self.obstacles else self.moment

    @property
    def granted(self) -> bool:
        """Tell whether the request would be granted at once."""
        return not self.obstacles


def explained(state: LedgerState, command: Allocate, now: datetime) -> Explanation:
    """Decide a request on a state at a moment, and if it is refused, at later ones. Changes the state's pools.

    If no other command comes, only expiry happens: holds only become fewer, and limits stay the same. So a reason that
    has disappeared does not come back, and the first reason that applies only moves on in the order of precedence. That
    is why bisection over the deadlines finds the moment at which it does.
    """
    named = [state.pools[name] for name in command.quantities if name in state.pools]
    start = moment = time_of(command, now, named)
    deadlines = sorted({hold.deadline for pool in named for hold in pool.holds.values() if hold.deadline is not None})
    deadlines = [one for one in deadlines if one.year <= AT_YEAR_MAX]  # no command can be issued later
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
    """The pools at later and later moments, if nothing but expiry happens."""

    pools: Mapping[str, Pool]
    command: Allocate

    def refusal_at(self, moment: datetime) -> ValidationFailed | None:
        """Decide the request at a moment; gives the refusal, or None if it is granted."""
        event = self._decide(moment)[-1]
        return event if isinstance(event, ValidationFailed) else None

    def end_of(self, refusal: ValidationFailed, moments: Sequence[datetime]) -> datetime | None:
        """Find by bisection the first of some moments at which this refusal no longer comes; None if there is none."""
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
        """Remove expired holds from the pools, so that later decisions need not expire them again."""
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
