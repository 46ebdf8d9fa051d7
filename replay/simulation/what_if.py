"""What if limits had been different: decide every recorded command again, refused ones too, and compare outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdbook.domain.allocation import STATE_AFTER
from holdbook.domain.decisions.context import AllocationRecord
from holdbook.domain.errors import Malformed, PoolAlreadyOpen
from holdbook.domain.events import LEDGER_STREAM, ValidationFailed, is_ending, is_opening
from holdbook.domain.refusals import RefusalCode
from holdbook.domain.values import instant_text
from holdbook.replay.history.as_of import LedgerState, state_at
from holdbook.replay.simulation.limit_changes import LimitChanges, check_limits
from holdbook.replay.simulation.outcomes import Divergence, Outcomes, PoolPeaks, Verdict, first_divergence
from holdbook.replay.simulation.recorded_commands import commands, position_before
from holdbook.replay.simulation.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.events import Event
    from holdbook.domain.ports import EventLog
    from holdbook.replay.simulation.limit_changes import Changes
    from holdbook.replay.simulation.outcomes import Flip
    from holdbook.replay.simulation.recorded_commands import RecordedCommand
    from holdbook.replay.simulation.world import Decided

FLIPS: Final = 10
"""How many flips are listed, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What other limits would have changed."""

    limits: Changes
    """The limits that were put in place of recorded ones."""
    since: datetime | None
    until: datetime | None
    position: int
    """The position in the log that the result is true at."""
    events: int
    """How many events of the window were read."""
    commands: int
    """How many commands of the window were decided again."""
    recorded: Counter[tuple[str, str]]
    """How many commands had which recorded outcome, by verb and outcome: ``done`` or the code of the refusal."""
    what_if: Counter[tuple[str, str]]
    """The same counts under the other limits."""
    turns: Counter[tuple[str, str, str]]
    """How many commands have another outcome, by verb, recorded outcome and new outcome; also for another refusal."""
    gained: int
    """How many commands are done instead of refused."""
    lost: int
    """How many commands are refused instead of done."""
    flips: Sequence[Flip]
    """The first commands of these two kinds."""
    pools: Sequence[PoolPeaks]
    fault: Divergence | None
    """The first place where the recorded limits do not lead to what was recorded; the comparison ends there."""

    @property
    def flipped(self) -> int:
        """How many commands are done instead of refused, or refused instead of done."""
        return self.gained + self.lost

    @property
    def ok(self) -> bool:
        """Tell whether the recorded limits led to every recorded event."""
        return self.fault is None


def what_if(  # noqa: PLR0913 - all by name but two, most with a default
    log: EventLog,
    limits: Changes,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    flips: int = FLIPS,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> WhatIf:
    """Decide again every command that was decided in [since, until), under other limits, in the order of the log.

    Each command is also decided under the recorded limits, which must give the recorded events. The other limits are in
    force from ``since`` on. ``progress`` is called with the position reached and the last one. Memory grows with the
    number of allocations, not with the number of events. Raises `Malformed`, which names pool and limit;
    `LogUnavailable`, `LogCorrupt`.
    """
    _check_times(since, until)
    with log.reading() as reader:
        head = reader.head
        check_limits(limits, set(reader.pool_names()))
    state = LedgerState({}, None, 0) if since is None else state_at(log, position_before(log, since, head))
    again = _TwoWorlds(log, limits, state, since=since, until=until, flips=flips)
    for page in commands(log, state.position, head, until):
        again.look_up(page)
        if not all(map(again.decide, page)):
            break
        progress(page[-1].records[-1].position, head)
    return again.report(head)


def _check_times(since: datetime | None, until: datetime | None) -> None:
    for parameter, moment in (("from", since), ("to", until)):
        if moment is not None and moment.tzinfo is None:
            raise Malformed(parameter, moment, "expected a time with its offset from UTC")
    if since is not None and until is not None and since >= until:
        raise Malformed("to", instant_text(until), f"expected a time after {instant_text(since)}")


class _TwoWorlds:
    """Decides commands in two worlds at once: under the recorded limits, and under the other limits."""

    def __init__(  # noqa: PLR0913 - all by name but three
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
        self._changes = LimitChanges(limits)
        self._since, self._until = since, until
        self._start_position = state.position
        self._outcomes = Outcomes(log.ledger_id, flips)
        self._fault: Divergence | None = None
        self._epoch = 1
        """The epoch in which the command was recorded, as the grants so far tell."""
        self._recorded = World(state.pools, since, closed=_was_closed(log, state.position))
        self._other = self._recorded
        """The world under the other limits; the recorded world itself if no limit changes."""
        if not self._changes.is_empty:
            self._other = self._recorded.twin(self._changes.at_the_beginning)
        for name, pool in state.pools.items():
            self._changes.at_the_beginning(name, pool.limits)

    def look_up(self, page: Iterable[RecordedCommand]) -> None:
        """Learn about the allocations that had ended before the start and that commands of this page name."""
        if not self._start_position:
            return
        named = {vars(one.command).get("allocation_id") for one in page}
        granted_here = {one.first.event.subject for one in page if is_opening(one.first.event)}
        unknown = {key for key in named - granted_here if key and key not in self._recorded.past}
        with self._log.reading() as reader:
            histories = reader.histories(reader.granted(unknown).keys())
        for allocation_id, records in histories.items():
            past = _record_of(recorded.event for recorded in records if recorded.position <= self._start_position)
            if past is not None:
                for world in (self._recorded, self._other):
                    world.learn(allocation_id, past)

    def decide(self, entry: RecordedCommand) -> bool:
        """Decide a command in both worlds; gives False if the recorded limits do not lead to its recorded events."""
        moment = entry.first.occurred_at
        has_begun = self._since is None or self._since <= moment
        is_counted = has_begun and (self._until is None or moment < self._until)
        if is_opening(entry.first.event) and self._epoch < entry.first.event.epoch <= self._log.epoch:
            self._epoch = entry.first.event.epoch
        try:
            decided = self._decide(self._recorded, entry, entry.command, has_begun=has_begun)
            self._fault = first_divergence(decided, entry.records)
        except PoolAlreadyOpen as error:
            self._fault = Divergence(
                entry.first.position, "type", type(entry.first.event).__name__, type(error).__name__
            )
        if self._fault is not None:
            return False
        for recorded in entry.records:
            self._recorded.apply(recorded, is_counted=is_counted)
        verdict = other_verdict = Verdict.of(decided)
        if self._other is not self._recorded:
            command = self._changes.command(entry.command, entry.first.position) if has_begun else entry.command
            decided = self._decide(self._other, entry, command, has_begun=has_begun)
            self._other.apply_decision(decided, entry.first, is_counted=is_counted)
            other_verdict = Verdict.of(decided)
        if is_counted:
            self._outcomes.compare(entry, verdict, other_verdict)
        return True

    def _decide(self, world: World, entry: RecordedCommand, command: Command, *, has_begun: bool) -> Decided:
        new_id = entry.new_id(self._log.ledger_id)
        event = entry.records[-1].event
        behind: tuple[str, ...] = ()
        if type(event) is ValidationFailed and event.code is RefusalCode.QUEUED_BEHIND:
            behind = (event.pool or "",)  # whoever waited before it would do so under any limits
        return world.decide(
            command, entry.first.recorded_at, epoch=self._epoch, new_id=new_id, behind=behind, has_begun=has_begun
        )

    def report(self, head: int) -> WhatIf:
        """Give the result, once every command has been decided."""
        outcomes, worlds = self._outcomes, (self._recorded, self._other)
        for world in worlds:
            world.begin_window(world.pools)
        pools = self._recorded.pools
        return WhatIf(
            limits=self._changes.by_pool,
            since=self._since,
            until=self._until,
            position=head,
            events=outcomes.events,
            commands=outcomes.commands,
            recorded=outcomes.recorded,
            what_if=outcomes.what_if,
            turns=outcomes.turns,
            gained=outcomes.gained,
            lost=outcomes.lost,
            flips=outcomes.flips,
            pools=[PoolPeaks(name, pools[name].unit, *(one.peaks[name] for one in worlds)) for name in sorted(pools)],
            fault=self._fault,
        )


def _was_closed(log: EventLog, position: int) -> bool:
    """Tell whether the ledger had been closed by a position."""
    with log.reading() as reader:
        return any(recorded.position <= position for recorded in reader.stream(LEDGER_STREAM))


def _record_of(events: Iterable[Event]) -> AllocationRecord | None:
    """Fold an allocation's events into what decisions know about it; None if it was not granted."""
    past: AllocationRecord | None = None
    for event in events:
        if is_opening(event):
            past = AllocationRecord(event.pools)
        elif is_ending(event) and past is not None:
            past = past._replace(ended=STATE_AFTER[type(event)])
    return past
