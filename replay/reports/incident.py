"""A window of time played back: each event with its pool before and after it, and totals for each pool.

Steps come in the order of the log. Within a pool that is the order of time. An expiry that was recorded late, because
nothing happened in its pools, comes where it was recorded. Holds that were past their deadline with no expiry recorded
come last.
"""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from holdbook.domain.errors import Malformed, NotFound
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import LedgerClosed, LimitsChanged, Reclaimed, ValidationFailed, is_ending, is_opening
from holdbook.domain.pool import evolve
from holdbook.domain.refusals import explain
from holdbook.domain.values import instant_text
from holdbook.replay.history.as_of import MICROSECOND, state_before
from holdbook.replay.history.pages import PAGE_ROWS, find_pages
from holdbook.replay.reports.timeline import RefusalMarks, StepLine, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from holdbook.domain.events import Event
    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded
    from holdbook.domain.refusals import RefusalCode

LAPSED: Final = "Lapsed"
"""The kind of a step for a hold that is past its deadline with no expiry recorded."""

REFUSED: Final = "Refused"
"""The kind of a step for a refusal."""

_FIRST: Final = datetime.min.replace(tzinfo=UTC) + MICROSECOND
"""The first moment that has another one before it."""


class Level(NamedTuple):
    """What was held of a pool, its capacity, and how many allocations held something."""

    used: int
    capacity: int
    allocations: int

    @classmethod
    def of(cls, pool: Pool | None) -> Level:
        """Read a pool's level; all is 0 for a pool that is not open yet."""
        return cls(0, 0, 0) if pool is None else cls(pool.used, pool.capacity, len(pool.holds))


class IncidentStep(NamedTuple):
    """An event of the window, or a deadline that passed in it."""

    at: datetime
    kind: str
    """The type of the event, or `REFUSED`, or `LAPSED`."""
    pool: str | None
    """The pool that the event names; the one that a refusal names may not exist."""
    allocation_id: str | None
    owner: str | None
    quantity: int | None
    """The quantity held after the event; for an ending, what was held; for a refusal, what was asked of the pool."""
    deadline: datetime | None
    """When the hold ends unless renewed, or when it ended."""
    words: str
    """What else there is to say: a reason, why it was refused, or the value before."""
    recorded: Recorded | None
    """The event; None for a deadline."""
    before: Level | None
    """The pool's level before the step; None if the step is about no existing pool."""
    after: Level | None

    @property
    def code(self) -> RefusalCode | None:
        """The code of a refusal; None for any other step."""
        event = self.recorded.event if self.recorded else None
        return event.code if type(event) is ValidationFailed else None


class Timeline:
    """One pool over the window."""

    def __init__(self, name: str, window: Window, pool: Pool | None) -> None:
        self.name = name
        self.unit = pool.unit if pool else ""
        self.before = Level.of(pool)
        """The pool's level at the beginning of the window."""
        self.after = self.before
        """The pool's level at the end of the window."""
        self.used = StepLine(window, self.before.used)
        self.capacity = StepLine(window, self.before.capacity)
        self.refusals = RefusalMarks(window)
        self.events: Counter[str] = Counter()
        """How many steps of each kind there were, refusals not counted."""
        self.granted = 0
        """The sum of the quantities granted."""
        self.ended = 0
        """The sum of the quantities that ended."""

    @property
    def is_eventful(self) -> bool:
        """Tell whether anything happened in the pool, refusals included."""
        return bool(self.events) or bool(self.refusals.codes)

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the greatest value that use and capacity have."""
        values = [point.value for line in (self.used, self.capacity) for point in line.points]
        return min(values), max(values)

    def add(self, step: IncidentStep, pool: Pool) -> None:
        """Add a step, given the pool as it is after it."""
        self.unit = pool.unit
        self.events[step.kind] += 1
        self.after = Level.of(pool)
        self.used.add(step.at, pool.used)
        self.capacity.add(step.at, pool.capacity)


class Incident:
    """The ledger over a window of time: first its steps, which are read once, then its pools.

    Memory grows with the number of pools and with what is held, not with the number of events. Raises `Malformed` for a
    window that does not end after it begins, `NotFound` for a pool that does not exist, and what `state_at` raises.
    """

    def __init__(
        self,
        log: EventLog,
        since: datetime,
        until: datetime,
        pools: Collection[str] | None = None,
        *,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        since = max(since, _FIRST)
        if until <= since:
            raise Malformed("to", instant_text(until), "expected a time after the window's beginning")
        with log.reading() as reader:
            missing = sorted({*(pools or ())} - {*reader.pool_names()})
        if missing:
            raise NotFound("pool", missing[0])
        state = state_before(log, since, pools)
        self.window = Window(since, until)
        self.position = state.position
        """The position in the log that the report is true at."""
        self.ledger_id = log.ledger_id
        self._log = log
        self._page_rows = page_rows
        self._pools = state.pools
        for pool in self._pools.values():
            for allocation_id in pool.due(since - MICROSECOND):
                pool.take(allocation_id)
        self._names = None if pools is None else frozenset(pools)
        names = self._pools if pools is None else {*pools}
        self.pools = {name: Timeline(name, self.window, self._pools.get(name)) for name in sorted(names)}
        """The pools that existed or were asked for, by name, with what happened in them as far as steps were read."""
        self.unknown: Counter[RefusalCode] = Counter()
        """Refusals that name no existing pool, by code."""
        self.count = 0
        """How many steps were read."""

    def steps(self, tell: Callable[[int, int], object] = lambda *_: None) -> Iterator[IncidentStep]:
        """Read the steps in order, once; ``tell`` is called with the position reached and the last one."""
        wanted = EventFilter(pools=self._names, since=self.window.since, until=self.window.until)
        for rows in find_pages(self._log, wanted, 0, self.position, self._page_rows):
            for row in rows:
                self.count += 1
                yield self._step(self._log.decode(row))
            tell(rows[-1].position, self.position)
        tell(self.position, self.position)
        for at, allocation_id, pool in sorted(
            self._unnoticed_deadlines(), key=lambda due: (due[0], due[1], due[2].name)
        ):
            self.count += 1
            yield self._lapse(at, allocation_id, pool)
        self.pools = dict(sorted(self.pools.items()))

    def read(self, rows: int, tell: Callable[[int, int], object] = lambda *_: None) -> list[IncidentStep]:
        """Read every step, and keep the first ``rows`` of them."""
        steps = self.steps(tell)
        kept = list(islice(steps, rows))
        deque(steps, maxlen=0)
        return kept

    def _step(self, recorded: Recorded) -> IncidentStep:
        event = recorded.event
        if type(event) is ValidationFailed:
            return self._refusal(event, recorded)
        if type(event) is Reclaimed:  # the pool does not change
            level = Level.of(self._pools.get(event.pool))
            return _step_of(recorded, level, level)
        if type(event) is LedgerClosed:
            return _step_of(recorded, None, None)
        name: str = event.pool  # type: ignore[attr-defined]  # every other event is about a pool
        before = Level.of(self._pools.get(name))
        pool = self._pools[name] = evolve(self._pools.get(name), recorded)
        step = _step_of(recorded, before, Level.of(pool))
        if name not in self.pools:
            self.pools[name] = Timeline(name, self.window, None)
        timeline = self.pools[name]
        timeline.add(step, pool)
        if is_opening(event):
            timeline.granted += event.quantity
        elif is_ending(event):
            timeline.ended += event.quantity
        return step

    def _refusal(self, event: ValidationFailed, recorded: Recorded) -> IncidentStep:
        pool = self._pools.get(event.pool or "") if event.known else None
        if pool is None:
            self.unknown[event.code] += 1
        else:
            self.pools[pool.name].refusals.add(recorded.occurred_at, recorded.position, event.code)
        level = Level.of(pool) if pool else None
        quantity = event.asked.get("quantities", {}).get(event.pool)
        return _step_of(recorded, level, level)._replace(
            kind=REFUSED, owner=event.asked.get("owner"), quantity=quantity
        )

    def _unnoticed_deadlines(self) -> Iterator[tuple[datetime, str, Pool]]:
        """Find the holds past their deadline with no expiry recorded: deadline, allocation id and pool."""
        for pool in self._pools.values():
            for allocation_id in pool.due(self.window.until - MICROSECOND):
                yield cast("datetime", pool.holds[allocation_id].deadline), allocation_id, pool

    def _lapse(self, at: datetime, allocation_id: str, pool: Pool) -> IncidentStep:
        before = Level.of(pool)
        hold = pool.take(allocation_id)
        step = IncidentStep(
            at=at,
            kind=LAPSED,
            pool=pool.name,
            allocation_id=allocation_id,
            owner=hold.owner,
            quantity=hold.quantity,
            deadline=at,
            words="not noticed yet",
            recorded=None,
            before=before,
            after=Level.of(pool),
        )
        self.pools[pool.name].add(step, pool)
        self.pools[pool.name].ended += hold.quantity
        return step


def _step_of(recorded: Recorded, before: Level | None, after: Level | None) -> IncidentStep:
    event = recorded.event
    return IncidentStep(
        at=recorded.occurred_at,
        kind=type(event).__name__,
        pool=getattr(event, "pool", None),
        allocation_id=event.subject,
        owner=getattr(event, "owner", None),
        quantity=getattr(event, "quantity", None),
        deadline=getattr(event, "deadline", None),
        words=_describe(event),
        recorded=recorded,
        before=before,
        after=after,
    )


def _describe(event: Event) -> str:
    if type(event) is ValidationFailed:
        return explain(event.code, event.data)
    if type(event) is LimitsChanged:
        before, after = (limits.model_dump(mode="json") for limits in (event.previous, event.limits))
        return ", ".join(f"{name} {before[name]} to {after[name]}" for name in after if before[name] != after[name])
    held, owner = getattr(event, "previous_quantity", None), getattr(event, "previous_owner", None)
    forced = "by force" if getattr(event, "forced", False) else None
    parts = (held and f"was {held:,}", owner and f"from {owner}", forced, getattr(event, "reason", None))
    return ", ".join(part for part in parts if part)
