"""Given what happened, when a command comes, then these events: the language that tests of decisions are written in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from holdbook.domain.allocation import STATE_AFTER
from holdbook.domain.decisions.context import AllocationRecord, DecisionContext, named_pools, reach, time_of
from holdbook.domain.decisions.decide import decide
from holdbook.domain.events import (
    Allocated,
    Ending,
    Event,
    LedgerClosed,
    Opening,
    PoolOpened,
    Reserved,
    ValidationFailed,
)
from holdbook.domain.limits import Limits
from holdbook.domain.pool import Pool, evolve
from holdbook.domain.records import Recorded
from holdbook.domain.waiting import Waiting
from holdbook.infrastructure.log.memory_log import MemoryEventLog
from support.plain_ledger import PlainLedger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdbook.domain.commands import Command
    from holdbook.domain.errors import Refused
    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.refusals import RefusalCode

T0 = datetime(2026, 1, 1, tzinfo=UTC)
"""When everything begins."""


def after(seconds: float) -> datetime:
    """Tell the instant so many seconds after the beginning."""
    return T0 + timedelta(seconds=seconds)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = T0) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now

    def set(self, seconds_after: float) -> None:
        """Set it to so many seconds after the beginning, earlier ones too."""
        self.now = after(seconds_after)


def opened(pool: str = "gpu", *, total: int = 8, unit: str = "device", **limits: object) -> Event:
    """A pool was opened."""
    return PoolOpened(pool=pool, resource_type="accelerator", unit=unit, limits=Limits(total=total, **limits))


def granted(  # noqa: PLR0913 - all that a grant says
    kind: type[Opening],
    allocation_id: str,
    quantities: dict[str, int],
    *,
    owner: str = "ann",
    until: float | None = None,
    tags: dict[str, str] | None = None,
    epoch: int = 1,
) -> list[Event]:
    """An allocation was granted in all its pools."""
    names = sorted(quantities)
    return [
        kind(
            pool=name,
            allocation_id=allocation_id,
            owner=owner,
            quantity=quantities[name],
            pools=tuple(names),
            epoch=epoch,
            tags=tags or {},
            deadline=None if until is None else after(until),
        )
        for name in names
    ]


def allocated(allocation_id: str, owner: str = "ann", until: float | None = None, **quantities: int) -> list[Event]:
    """An allocation was granted, for good or until so many seconds after the beginning."""
    return granted(Allocated, allocation_id, quantities, owner=owner, until=until)


def reserved(allocation_id: str, owner: str = "ann", until: float = 60, **quantities: int) -> list[Event]:
    """A reservation was granted until so many seconds after the beginning."""
    return granted(Reserved, allocation_id, quantities, owner=owner, until=until)


def envelope(event: Event, **changes: Any) -> Recorded:  # noqa: ANN401 - fields by name
    """Put one event into the log's envelope."""
    recorded = Recorded(
        position=1,
        version=1,
        command_id="given-1",
        ordinal=0,
        ordinals=1,
        occurred_at=T0,
        recorded_at=T0,
        actor="tests",
        correlation_id=None,
        causation_id=None,
        command="{}",
        event=event,
    )
    return recorded._replace(**changes)


@dataclass(frozen=True)
class History:
    """What happened, as the log holds it."""

    records: tuple[Recorded, ...] = ()
    epoch: int = 1
    behind: tuple[str, ...] = ()

    def given(self, *happened: Event | Sequence[Event], at: float = 0) -> History:
        """Add what one command each recorded, so many seconds after the beginning."""
        records = list(self.records)
        versions = Counter(recorded.event.stream_id for recorded in records)
        for one in happened:
            events = [one] if isinstance(one, Event) else one
            command_id = f"given-{len(records) + 1}"
            for ordinal, event in enumerate(events):
                versions[event.stream_id] += 1
                recorded = envelope(
                    event,
                    position=len(records) + 1,
                    version=versions[event.stream_id],
                    command_id=command_id,
                    ordinal=ordinal,
                    ordinals=len(events),
                    command=None if ordinal else "{}",
                    occurred_at=after(at),
                )
                records.append(recorded)
        return replace(self, records=tuple(records))

    def in_epoch(self, epoch: int) -> History:
        """Say how often the log was restored."""
        return replace(self, epoch=epoch)

    def waited_for(self, *pools: str) -> History:
        """Say that somebody waits for pools."""
        return replace(self, behind=pools)

    def pools(self) -> dict[str, Pool]:
        """Fold every pool."""
        pools: dict[str, Pool] = {}
        for recorded in self.records:
            kind, _, name = recorded.event.stream_id.partition(":")
            if kind == "pool":
                pools[name] = evolve(pools.get(name), recorded)
        return pools

    def past(self, allocation_id: str | None) -> AllocationRecord | None:
        """Find what is known of an allocation id."""
        past = None
        for recorded in self.records:
            event = recorded.event
            if isinstance(event, Opening) and event.allocation_id == allocation_id:
                past = AllocationRecord(event.pools)
            if isinstance(event, Ending) and event.allocation_id == allocation_id and past:
                past = past._replace(ended=STATE_AFTER[type(event)])
        return past

    def log(self) -> MemoryEventLog:
        """Write it into a log in memory."""
        log = MemoryEventLog()
        log.epoch = self.epoch
        with log.writing() as writer:
            writer.append(self.records)
            if self.behind:
                writer.move_queue([waiting("somebody", **dict.fromkeys(self.behind, 1))], ())
        return log

    def ledger(self, at: float = 0) -> PlainLedger:
        """Open a ledger on it, so many seconds after the beginning."""
        return ledger_on(self.log(), Clock(after(at)))

    def when(self, command: Command, *, at: float = 0) -> Decision:
        """Decide a command, so many seconds after the beginning."""
        every = self.pools()
        past = self.past(getattr(command, "allocation_id", None))
        named = every if command.verb == "close_ledger" else named_pools(command, past)
        touched = {name: every[name] for name in named if name in every}
        moment = time_of(command, after(at), touched.values())
        if command.verb == "expire" and getattr(command, "pool", None) is None:
            touched = {name: pool for name, pool in every.items() if pool.due(moment)}
        while missing := reach(touched, moment, getattr(command, "limit", None)):
            touched |= {name: every[name] for name in missing}
        closed = any(isinstance(recorded.event, LedgerClosed) for recorded in self.records)
        situation = DecisionContext(touched, past, self.epoch, "new", self.behind, closed=closed)
        return Decision(self, command, at, moment, decide(situation, command, moment))


@dataclass(frozen=True)
class Decision:
    """What a command led to."""

    history: History
    command: Command
    at: float
    moment: datetime
    """The one time that it was decided at."""
    events: list[Event] = field(default_factory=list)

    def then(self, *expected: Event | Iterable[Event]) -> Decision:
        """It led to these events, in order."""
        flat = [event for one in expected for event in ([one] if isinstance(one, Event) else one)]
        assert self.events == flat
        return self

    def then_refused(self, code: RefusalCode, **data: object) -> Decision:
        """It was refused, alone on the table, with this code and, among others, these data."""
        assert [type(event) for event in self.events] == [ValidationFailed], self.events
        failed = self.failed
        assert (failed.code, failed.data) == (code, {**failed.data, **data})
        return self

    def then_nothing(self) -> Decision:
        """Nothing happened."""
        return self.then()

    def then_repeats_if_delivered_twice(self) -> Decision:
        """Delivered again through a ledger, it has the outcome that it had, and nothing is appended."""
        ledger = self.history.ledger(self.at)
        command = self.command.model_copy(update={"command_id": self.command.command_id or "twice"})
        first = ledger.submit(command).result()
        assert [recorded.event for recorded in first.records] == self.events
        rows = ledger.log.rows()
        second = ledger.submit(command).result()
        assert second.repeated
        assert [recorded.event for recorded in second.records] == self.events
        assert ledger.log.rows() == rows
        return self

    @property
    def failed(self) -> ValidationFailed:
        """The refusal."""
        event = self.events[-1]
        assert isinstance(event, ValidationFailed), event
        return event


def waiting(command_id: str, **quantities: int) -> Waiting:
    """A command that wants to wait, for a minute at most."""
    return Waiting(
        ticket=0, command_id=command_id, owner="ann", quantities=quantities, since=T0, until=T0 + timedelta(minutes=1)
    )


def given(*happened: Event | Sequence[Event], at: float = 0) -> History:
    """Say what happened: events, or lists of events that one command recorded."""
    return History().given(*happened, at=at)


def ledger_on(log: MemoryEventLog, clock: Clock | None = None, *, actor: str | None = "tests") -> PlainLedger:
    """Open the domain's ledger on a log in memory, with ids that can be foretold."""
    numbers = count(len(log.rows(limit=10**9)) + 1)
    return PlainLedger(log, clock=clock or Clock(), new_id=lambda: f"id-{next(numbers)}", actor=actor)


def refusal(ledger: LedgerInterface, command: Command) -> Refused:
    """Submit a command that is to be refused, and give the refusal."""
    refused = ledger.submit(command).result().refusal
    assert refused is not None, f"{command} was granted"
    return refused


def kinds_of(ledger: LedgerInterface) -> list[str]:
    """Name the events in a ledger's log."""
    return [type(event).__name__ for event in events_of(ledger)]


def events_of(ledger: LedgerInterface) -> list[Event]:
    """Read every event of a ledger's log."""
    return [ledger.log.decode(row).event for row in ledger.log.rows(limit=10**9)]


SEVERAL = (
    given(opened(), opened("cpu"), opened("ram", total=1))
    .given(granted(Allocated, "b", {"cpu": 1, "gpu": 2}, owner="bob", until=50, tags={"job": "1", "qos": "low"}))
    .given(granted(Allocated, "a", {"gpu": 1}, owner="ann", tags={"job": "1"}))
    .given(reserved("r", owner="ann", until=60, cpu=1))
)
"""Several pools and several allocations, one of them reserved."""
