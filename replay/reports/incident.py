"""A window of time run again: each event with its pool before it and after it, and what the window comes to.

Steps come in the order of the log. What happens in a pool is recorded in the order of time; an expiry that was noticed
late, because nothing happened in its pools meanwhile, stands where it was noticed. Holds whose deadline passed with no
event to say so come last: nothing happened in their pools since.
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
"""What a step is called whose hold was over at its deadline with no event to say so yet."""

REFUSED: Final = "Refused"
"""What a step is called that is a refusal."""

_FIRST: Final = datetime.min.replace(tzinfo=UTC) + MICROSECOND
"""The first moment that has another before it."""


class Level(NamedTuple):
    """How a pool stood."""

    used: int
    capacity: int
    allocations: int

    @classmethod
    def of(cls, pool: Pool | None) -> Level:
        """Look at a pool; before it is opened, there is nothing."""
        return cls(0, 0, 0) if pool is None else cls(pool.used, pool.capacity, len(pool.holds))


class IncidentStep(NamedTuple):
    """One event of the window, or one deadline."""

    at: datetime
    kind: str
    """Type of the event; `REFUSED`; `LAPSED`."""
    pool: str | None
    """As the event names it; a refusal may name one that there is not."""
    allocation_id: str | None
    owner: str | None
    quantity: int | None
    """What is held after the event; what was held, for an ending; what was asked of the pool, for a refusal."""
    deadline: datetime | None
    """When it ends unless renewed, or ended."""
    words: str
    """What else there is to say: the reason, the refusal, what it was before."""
    recorded: Recorded | None
    """The event; None if no event says it."""
    before: Level | None
    """The pool before it; None if it is about no pool that there is."""
    after: Level | None

    @property
    def code(self) -> RefusalCode | None:
        """Why it was refused."""
        event = self.recorded.event if self.recorded else None
        return event.code if type(event) is ValidationFailed else None


class Timeline:
    """A pool over the window."""

    def __init__(self, name: str, window: Window, pool: Pool | None) -> None:
        self.name = name
        self.unit = pool.unit if pool else ""
        self.before = Level.of(pool)
        """How it stood at the beginning."""
        self.after = self.before
        """How it stood at the end."""
        self.used = StepLine(window, self.before.used)
        self.capacity = StepLine(window, self.before.capacity)
        self.refusals = RefusalMarks(window)
        self.events: Counter[str] = Counter()
        """How many steps of each kind there were, refusals apart."""
        self.granted = 0
        """What was granted, in units."""
        self.ended = 0
        """What ended, in units."""

    @property
    def is_eventful(self) -> bool:
        """Tell whether anything happened, a refusal too."""
        return bool(self.events) or bool(self.refusals.codes)

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most of use and capacity."""
        values = [point.value for line in (self.used, self.capacity) for point in line.points]
        return min(values), max(values)

    def add(self, step: IncidentStep, pool: Pool) -> None:
        """Note a step and how the pool stands after it."""
        self.unit = pool.unit
        self.events[step.kind] += 1
        self.after = Level.of(pool)
        self.used.add(step.at, pool.used)
        self.capacity.add(step.at, pool.capacity)


class Incident:
    """The ledger over a window of time, as the log has it now: its steps, read once, and then its pools.

    It takes memory for the pools and their plots, not for what happened. Raises `Malformed` for a window that has no
    time in it, `NotFound` for a pool that there is not, and as `state_at` does.
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
        """Position in the log that all of this is true at."""
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
        """The pools that there were, or that are asked for, by name; and what happened in them, as far as was read."""
        self.unknown: Counter[RefusalCode] = Counter()
        """Refusals that name no pool that there is, by code."""
        self.count = 0
        """How many steps there were, as far as was read."""

    def steps(self, tell: Callable[[int, int], object] = lambda *_: None) -> Iterator[IncidentStep]:
        """Give each step in order, telling how far the log has been read; for once, and to the end."""
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
        """Read every step, and keep the first of them, so many at most."""
        steps = self.steps(tell)
        kept = list(islice(steps, rows))
        deque(steps, maxlen=0)
        return kept

    def _step(self, recorded: Recorded) -> IncidentStep:
        event = recorded.event
        if type(event) is ValidationFailed:
            return self._refusal(event, recorded)
        if type(event) is Reclaimed:  # the pool is as it was
            level = Level.of(self._pools.get(event.pool))
            return _step_of(recorded, level, level)
        if type(event) is LedgerClosed:
            return _step_of(recorded, None, None)
        name: str = event.pool  # type: ignore[attr-defined]  # every other event is a pool's
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
        """Find the holds that nobody has noticed to be over: their deadlines, ids and pools."""
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
