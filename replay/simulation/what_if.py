"""What if limits had been others: every recorded command decided again, refused ones too, beside what was recorded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import from_json

from holdbook.domain.allocation import STATE_AFTER
from holdbook.domain.commands import Allocate, ChangeLimits, Command, OpenPool, Reserve, command_from
from holdbook.domain.decisions.context import AllocationRecord
from holdbook.domain.errors import LogCorrupt, Malformed, PoolAlreadyOpen
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import LEDGER_STREAM, ValidationFailed, is_ending, is_opening
from holdbook.domain.limits import Limits
from holdbook.domain.refusals import RefusalCode, explain
from holdbook.domain.values import QUANTITY_MAX, derived_id, instant_text
from holdbook.replay.history.as_of import LedgerState, state_at
from holdbook.replay.simulation.world import Decided, Peak, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.events import Event
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded

    Changes = Mapping[str, Mapping[str, object]]
    """Values of limits by name, by pool."""

PAGE_ROWS: Final = 5000
"""How many events are read at a time."""

FLIPS: Final = 10
"""How many commands that end otherwise are listed, unless told."""

DONE: Final = "done"
"""The outcome of a command that was not refused."""

_LOOK_ROWS: Final = 100
"""How many events are read at a time to find out whether any more is wanted."""


class Divergence(NamedTuple):
    """Where a command, decided again under the recorded limits, has another outcome than the recorded one."""

    position: int
    field: str
    """The first field that differs, of the event, or ``type`` or ``occurred_at``."""
    recorded: object
    again: object


class Verdict(NamedTuple):
    """How a command ends."""

    code: RefusalCode | None
    """Why it is refused; None if it is not."""
    data: Mapping[str, Any]

    @classmethod
    def of(cls, decided: Decided) -> Verdict:
        """Tell how what was decided ends."""
        failed = decided.failed
        return cls(failed.code, failed.data) if failed else _DONE

    @property
    def word(self) -> str:
        """``done``, or the refusal's code."""
        return self.code.value if self.code else DONE

    @property
    def message(self) -> str | None:
        """The refusal in words."""
        return explain(self.code, self.data) if self.code else None


_DONE: Final = Verdict(None, {})


class Flip(NamedTuple):
    """A command that is done where it was refused, or refused where it was done."""

    position: int
    """Position of the first event that is its own."""
    occurred_at: datetime
    command: Command
    allocation_id: str | None
    """The allocation that it is about, if it is known under an id."""
    recorded: Verdict
    what_if: Verdict


class PoolPeaks(NamedTuple):
    """The most that was, and would have been, held of a pool at once."""

    name: str
    unit: str
    recorded: Peak
    what_if: Peak


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What other limits would have changed."""

    limits: Changes
    """The limits that were put in the place of the recorded ones."""
    since: datetime | None
    until: datetime | None
    position: int
    """Position in the log that this is true at."""
    events: int
    """Events read."""
    commands: int
    """Commands decided again."""
    recorded: Counter[tuple[str, str]]
    """How many commands of each kind ended how: ``done``, or the code of the refusal."""
    what_if: Counter[tuple[str, str]]
    """The same under the other limits."""
    turns: Counter[tuple[str, str, str]]
    """How many commands of each kind end otherwise, from what to what; refusals for another reason included."""
    gained: int
    """How many commands are done that were refused."""
    lost: int
    """How many commands are refused that were done."""
    flips: Sequence[Flip]
    """The first of them."""
    pools: Sequence[PoolPeaks]
    fault: Divergence | None
    """Where the recorded limits do not lead to what was recorded; what comes after that was not decided again."""

    @property
    def flipped(self) -> int:
        """How many commands are done that were refused, or refused that were done."""
        return self.gained + self.lost

    @property
    def ok(self) -> bool:
        """Tell whether the recorded limits led to what was recorded, every event of it."""
        return self.fault is None


class _Asked(NamedTuple):
    """A command as the log has it."""

    records: Sequence[Recorded]
    first: Recorded
    """Its first event that is its own; of expiries and nothing else, the first."""
    command: Command


def what_if(  # noqa: PLR0913 - each by name, most with a default
    log: EventLog,
    limits: Changes,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    flips: int = FLIPS,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> WhatIf:
    """Decide every command again that was decided in [since, until), under other limits, in the order of the log.

    Each is decided under the recorded limits too, which must lead to the recorded events. The other limits hold from
    ``since`` on. What is kept in memory grows with the allocations, not with the events. Raises `Malformed`, naming
    pool and limit; `LogUnavailable`, `LogCorrupt`.
    """
    _check_times(since, until)
    with log.reading() as reader:
        head = reader.head
        _check_limits(limits, set(reader.pool_names()))
    state = LedgerState({}, None, 0) if since is None else state_at(log, _before(log, since, head))
    again = _Again(log, limits, state, since=since, until=until, flips=flips)
    for some in _commands(log, state.position, head, until):
        again.look_up(some)
        if not all(map(again.decide, some)):
            break
        progress(some[-1].records[-1].position, head)
    return again.report(head)


def _before(log: EventLog, since: datetime, head: int) -> int:
    """Find a position before, or in, the first command that was decided at a time or later."""
    rows = log.find(EventFilter(since=since), 0, 1, upto=head)
    return rows[0].position - 1 if rows else head


def _check_times(since: datetime | None, until: datetime | None) -> None:
    for parameter, moment in (("from", since), ("to", until)):
        if moment is not None and moment.tzinfo is None:
            raise Malformed(parameter, moment, "expected a time with its offset from UTC")
    if since is not None and until is not None and since >= until:
        raise Malformed("to", instant_text(until), f"expected a time after {instant_text(since)}")


def _check_limits(limits: Changes, pools: set[str]) -> None:
    for pool, changed in limits.items():
        for limit, value in changed.items():
            parameter = f"{pool}.{limit}"
            if pool not in pools:
                raise Malformed(parameter, value, f"expected a pool of this ledger, which has no {pool!r}")
            if limit not in Limits.model_fields:
                raise Malformed(parameter, value, f"expected a limit: one of {', '.join(Limits.model_fields)}")
            try:
                Limits(**{"total": QUANTITY_MAX if limit == "reserved" else 0, limit: value})
            except Malformed as error:
                raise Malformed(parameter, value, error.expected) from None


def _commands(log: EventLog, after: int, head: int, until: datetime | None) -> Iterator[list[_Asked]]:
    """Read commands in the order of the log, a page of events at a time, as long as any was decided before a time.

    Those in between that were decided later are read too: what was refused at a time may have been so for what stands
    in the log as earlier, where the clocks of two processes differ.
    """
    while after < head and (rows := log.rows(after, PAGE_ROWS, upto=head)):
        after = rows[-1].position
        groups = groupby(map(log.decode, rows), key=lambda recorded: recorded.command_id)
        yield [_asked(list(records)) for _, records in groups]
        if until is not None and _is_over(log, after, head, until):
            return


def _is_over(log: EventLog, after: int, head: int, until: datetime) -> bool:
    """Tell whether nothing after a position was decided before a time, though what lapsed before may be noticed."""
    wanted = EventFilter(until=until)
    while rows := log.find(wanted, after, _LOOK_ROWS, upto=head):
        if any(row.type != "Expired" or row.command is not None for row in rows):
            return False
        after = rows[-1].position
    return True


def _asked(records: Sequence[Recorded]) -> _Asked:
    first = next((recorded for recorded in records if recorded.command is not None), None)
    if first is None:
        message = f"position {records[0].position}: the command is missing from its first own event"
        raise LogCorrupt(message)
    return _Asked(records, first, _command(first))


def _command(first: Recorded) -> Command:
    try:
        return command_from(from_json(first.command or ""))
    except (ValueError, TypeError, RecursionError) as error:
        message = f"position {first.position}: the command cannot be read: {error}"
        raise LogCorrupt(message) from error


@dataclass(slots=True)
class _Count:
    """What is counted along the way."""

    events: int = 0
    commands: int = 0
    recorded: Counter[tuple[str, str]] = field(default_factory=Counter)
    what_if: Counter[tuple[str, str]] = field(default_factory=Counter)
    turns: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class _Again:
    """Decides commands in two worlds at once: the recorded one, and the one under other limits."""

    def __init__(  # noqa: PLR0913 - each by name
        self,
        log: EventLog,
        limits: Changes,
        state: LedgerState,
        *,
        since: datetime | None,
        until: datetime | None,
        flips: int,
    ) -> None:
        self._log = log
        self._limits = limits
        self._since, self._until = since, until
        self._begins = state.position
        self._flips_max = flips
        self._flips: list[Flip] = []
        self._count = _Count()
        self._fault: Divergence | None = None
        self._epoch = 1
        """The log's epoch when the command was recorded, as its grants tell."""
        self._recorded = World(state.pools, since, closed=_was_closed(log, state.position))
        self._other = self._recorded.twin(self._begun) if any(limits.values()) else self._recorded
        """The world under the other limits; the recorded one where there are none."""
        for name, pool in state.pools.items():
            self._begun(name, pool.limits)

    def look_up(self, some: Iterable[_Asked]) -> None:
        """Find out about allocations that had ended when this begins, and which commands name now."""
        if not self._begins:
            return
        named = {vars(one.command).get("allocation_id") for one in some}
        begun = {one.first.event.subject for one in some if is_opening(one.first.event)}
        unknown = {key for key in named - begun if key and key not in self._recorded.past}
        with self._log.reading() as reader:
            histories = reader.histories(reader.granted(unknown).keys())
        for allocation_id, records in histories.items():
            past = _past(recorded.event for recorded in records if recorded.position <= self._begins)
            if past is not None:
                for world in (self._recorded, self._other):
                    world.learn(allocation_id, past)

    def decide(self, one: _Asked) -> bool:
        """Decide a command again; False if the recorded limits do not lead to what was recorded."""
        moment = one.first.occurred_at
        begun = self._since is None or self._since <= moment
        counts = begun and (self._until is None or moment < self._until)
        if is_opening(one.first.event) and self._epoch < one.first.event.epoch <= self._log.epoch:
            self._epoch = one.first.event.epoch
        try:
            decided = self._decide(self._recorded, one, one.command, begun=begun)
            self._fault = _difference(decided, one.records)
        except PoolAlreadyOpen as error:
            self._fault = Divergence(one.first.position, "type", type(one.first.event).__name__, type(error).__name__)
        if self._fault is not None:
            return False
        for recorded in one.records:
            self._recorded.take(recorded, counts=counts)
        ends = other = Verdict.of(decided)
        if self._other is not self._recorded:
            command = self._under(one.command, one.first.position) if begun else one.command
            decided = self._decide(self._other, one, command, begun=begun)
            self._other.happen(decided, one.first, counts=counts)
            other = Verdict.of(decided)
        if counts:
            self._compare(one, ends, other)
        return True

    def _decide(self, world: World, one: _Asked, command: Command, *, begun: bool) -> Decided:
        new_id = self._new_id(one, command)
        event = one.records[-1].event
        behind: tuple[str, ...] = ()
        if type(event) is ValidationFailed and event.code is RefusalCode.QUEUED_BEHIND:
            behind = (event.pool or "",)  # who waited before it then does so whatever the limits
        return world.decide(
            command, one.first.recorded_at, epoch=self._epoch, new_id=new_id, behind=behind, begun=begun
        )

    def _compare(self, one: _Asked, recorded: Verdict, other: Verdict) -> None:
        """Count how a command ended, and how it would have ended."""
        command, before, after = one.command, recorded.word, other.word
        self._count.events += len(one.records)
        self._count.commands += 1
        self._count.recorded[command.verb, before] += 1
        self._count.what_if[command.verb, after] += 1
        if before == after:
            return
        self._count.turns[command.verb, before, after] += 1
        if DONE in {before, after} and len(self._flips) < self._flips_max:
            about = vars(command).get("allocation_id") or (self._new_id(one, command) or None)
            self._flips.append(Flip(one.first.position, one.first.occurred_at, command, about, recorded, other))

    def _new_id(self, one: _Asked, command: Command) -> str:
        """Give the id for an allocation that its command does not name: the recorded one, else one made up.

        That is a hash which nobody meets by chance, and the same each time.
        """
        if not isinstance(command, Allocate | Reserve) or command.allocation_id is not None:
            return ""
        event = one.first.event
        if is_opening(event):
            return event.allocation_id
        return derived_id("what-if", self._log.ledger_id, one.first.command_id)

    def _under(self, command: Command, position: int) -> Command:
        """Give the command as it would have been under the other limits."""
        if not isinstance(command, OpenPool | ChangeLimits):
            return command
        where = f"recorded at position {position}"
        update = {"limits": self._changed(command.pool, command.limits, where)}
        if isinstance(command, ChangeLimits) and command.expected is not None:
            update["expected"] = self._changed(command.pool, command.expected, where)
        return command.model_copy(update=update)

    def _begun(self, pool: str, limits: Limits) -> Limits:
        return self._changed(pool, limits, "in force when these begin to hold")

    def _changed(self, pool: str, limits: Limits, where: str) -> Limits:
        changes = self._limits.get(pool)
        if not changes:
            return limits
        try:
            return Limits(**{**limits.model_dump(), **changes})
        except Malformed as error:
            expected = f"expected limits that go with the others {where}: {error.expected}"
            raise Malformed(pool, dict(changes), expected) from None

    def report(self, head: int) -> WhatIf:
        """Tell what was found."""
        count, worlds = self._count, (self._recorded, self._other)
        for world in worlds:
            world.begin(world.pools)
        pools = self._recorded.pools
        return WhatIf(
            limits=self._limits,
            since=self._since,
            until=self._until,
            position=head,
            events=count.events,
            commands=count.commands,
            recorded=count.recorded,
            what_if=count.what_if,
            turns=count.turns,
            gained=sum(number for (_, _, after), number in count.turns.items() if after == DONE),
            lost=sum(number for (_, before, _), number in count.turns.items() if before == DONE),
            flips=self._flips,
            pools=[PoolPeaks(name, pools[name].unit, *(one.peaks[name] for one in worlds)) for name in sorted(pools)],
            fault=self._fault,
        )


def _was_closed(log: EventLog, position: int) -> bool:
    """Tell whether the ledger was closed by a position."""
    with log.reading() as reader:
        return any(recorded.position <= position for recorded in reader.stream(LEDGER_STREAM))


def _past(events: Iterable[Event]) -> AllocationRecord | None:
    """Tell what is known of an allocation from its events."""
    past: AllocationRecord | None = None
    for event in events:
        if is_opening(event):
            past = AllocationRecord(event.pools)
        elif is_ending(event) and past is not None:
            past = past._replace(ended=STATE_AFTER[type(event)])
    return past


def _difference(decided: Decided, records: Sequence[Recorded]) -> Divergence | None:
    """Find the first field in which what was decided differs from what was recorded."""
    for event, occurred_at, recorded in zip_longest(decided.events, decided.times(), records):
        if recorded is None or type(event) is not type(recorded.event):
            names = [type(one).__name__ if one else None for one in (recorded and recorded.event, event)]
            return Divergence((recorded or records[-1]).position, "type", *names)
        if vars(event) != vars(recorded.event):
            name = next(n for n in vars(event) if getattr(event, n) != getattr(recorded.event, n))
            return Divergence(recorded.position, name, getattr(recorded.event, name), getattr(event, name))
        if occurred_at != recorded.occurred_at:
            return Divergence(recorded.position, "occurred_at", recorded.occurred_at, occurred_at)
    return None
