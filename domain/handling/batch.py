"""A batch: commands that are decided one after another on one look at the log, before anything is recorded."""

from __future__ import annotations

import json
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from holdbook.domain.allocation import STATE_AFTER, Allocation, AllocationState, fold
from holdbook.domain.commands import Allocate, CloseLedger, Command, Expire, OpenPool, Reclaim, Reserve, content
from holdbook.domain.decisions.context import (
    ASKING_IF_CLOSED,
    AllocationRecord,
    DecisionContext,
    named_pools,
    reach,
    time_of,
)
from holdbook.domain.decisions.decide import decide
from holdbook.domain.errors import CommandIdReused, HoldbookError, LogCorrupt, LogUnavailable, Refused
from holdbook.domain.events import LEDGER_STREAM, Ending, Event, Expired, PoolOpened, ValidationFailed, is_ending
from holdbook.domain.handling.outcome import Outcome, PendingCommand, PoolStatus, describe, no_allocation
from holdbook.domain.handling.queue import Queue, Undecided
from holdbook.domain.records import Recorded
from holdbook.domain.refusals import is_transient
from holdbook.domain.values import first_difference
from holdbook.domain.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.handling.pool_cache import PoolCache
    from holdbook.domain.pool import Hold, Pool
    from holdbook.domain.ports import LogReader


_GRANTS = frozenset({Allocate, Reserve})
_DESCRIBE_NONE = frozenset({Expire, Reclaim})
"""Commands whose outcome describes no allocation: they are about many, or about one that has ended."""


class Batch:
    """Decides commands one by one. Each command sees the events of those before it, though none is recorded yet."""

    def __init__(  # noqa: PLR0913 - everything that a decision may depend on, each by name
        self,
        asked: Sequence[PendingCommand],
        *,
        reader: LogReader,
        cache: PoolCache,
        epoch: int,
        now: datetime,
        actor: str | None,
        new_id: Callable[[], str],
    ) -> None:
        """Look up what the commands need: earlier outcomes of their ids, the allocations they name, the queue.

        ``epoch`` goes into fencing tokens, ``now`` is the instant at which live commands are decided, and ``actor`` is
        recorded for commands that name none.
        """
        self._reader = reader
        self._cache = cache
        self._epoch = epoch
        self._now = now
        self._actor = actor
        self._new_id = new_id
        self.records: list[Recorded] = []
        """The events to be appended, in order."""
        self._about: dict[str, list[Recorded]] = {}
        """The same events by the allocation that they are about."""
        self._taking = False
        """Whether pools are being changed now. An error meanwhile would leave them in a state that no log has."""
        self._decided = reader.commands({one.command_id for one in asked if not one.fresh})
        self._past = self._recorded_past(asked)
        self._histories = reader.histories(self._repeated_subjects())
        self.queue = Queue(reader, len(asked))
        """The order of the commands that wait, and which of them enter and leave the queue with this batch."""
        cache.look(reader)

    def _recorded_past(self, asked: Iterable[PendingCommand]) -> dict[str, AllocationRecord]:
        ids = {vars(one.command).get("allocation_id") for one in asked if one.command_id not in self._decided}
        cached = {allocation_id: self._cache.where(allocation_id) for allocation_id in ids if allocation_id}
        found = self._reader.granted({allocation_id for allocation_id, pools in cached.items() if not pools})
        # What the cache knows is kept too: the cache forgets an allocation once it reads that another process ended it.
        return {allocation_id: AllocationRecord(pools) for allocation_id, pools in (cached | found).items() if pools}

    def _repeated_subjects(self) -> set[str]:
        events = (records[-1].event for records in self._decided.values())
        return {event.subject for event in events if event.subject and not isinstance(event, ValidationFailed)}

    def answer(self, one: PendingCommand, *, atomic: bool) -> Outcome | Exception:
        """Decide one command. An error in it is its answer and does not affect the others, unless ``atomic``."""
        try:
            return self.run(one)
        except LogUnavailable:
            raise
        except Exception as error:
            if atomic or self._taking:
                raise
            return error

    def run(self, one: PendingCommand, *, dry: bool = False) -> Outcome:
        """Decide one command. With ``dry``, the pools and the events to be appended stay as they are.

        Raises `CommandIdReused`, `PoolAlreadyOpen`, and `Undecided` if the command has to wait in the queue.
        """
        decided = self._decided.get(one.command_id)
        if decided and self._is_repeat(one, decided):
            if type(one.command) in _GRANTS:
                self.queue.leave(one.command_id)
            return self._repeat(one, decided)
        situation, moment = self._situation(one)
        subject = None if type(one.command) in _GRANTS else vars(one.command).get("allocation_id")
        before = self._holds(subject) if subject else {}
        if decided:  # the id derived from a name is taken by the first opening: another outcome gets a fresh id
            one = PendingCommand(one.command, self._new_id(), fresh=True)
        records = self._number(one, decide(situation, one.command, moment), moment)
        if type(one.command) in _GRANTS:
            self._move_in_queue(one, records)
        if not dry:
            self.take(one, records)
        return self._outcome(one, records, before)

    def would_decide(self, one: PendingCommand) -> bool:
        """Tell whether a command that waits would be decided now, be it granted, refused for good or in error."""
        try:
            self.run(one, dry=True)
        except Undecided:
            return False
        except LogUnavailable:
            raise
        except HoldbookError:
            pass  # an error is a decision too
        return True

    def _move_in_queue(self, one: PendingCommand, records: Sequence[Recorded]) -> None:
        """Have a command that is refused for now enter the queue, if it may: raises `Undecided`. Else it leaves it."""
        event = records[-1].event
        if one.may_wait and type(event) is ValidationFailed and is_transient(event.code):
            command: Any = one.command
            self.queue.enter(
                one.command_id,
                Waiting(
                    ticket=0,
                    command_id=one.command_id,
                    owner=command.owner,
                    quantities=command.quantities,
                    since=self._now,
                    until=self._now + command.wait,
                ),
            )
            raise Undecided
        self.queue.leave(one.command_id)

    def _is_repeat(self, one: PendingCommand, decided: Sequence[Recorded]) -> bool:
        if _own(decided).command == one.command.canonical():
            return True
        difference = _difference(one, decided)
        if not difference[0]:
            return True
        if isinstance(one.command, OpenPool | CloseLedger) and one.command.command_id is None:
            return False  # the id only says which pool, or which ledger: the decision tells whether this is a repeat
        raise CommandIdReused(one.command_id, *difference)

    def _repeat(self, one: PendingCommand, decided: Sequence[Recorded]) -> Outcome:
        event = _own(decided).event
        if isinstance(event, ValidationFailed):
            refusal = Refused(event.code, event.data, command_id=one.command_id, repeated=True)
            return Outcome(command_id=one.command_id, records=tuple(decided), repeated=True, refusal=refusal)
        subject = None if type(one.command) in _DESCRIBE_NONE else event.subject
        present = self._present(subject) if subject else None
        return Outcome(
            command_id=one.command_id,
            records=tuple(decided),
            repeated=True,
            description=lambda: present,
            pool=self._status(one.command),
        )

    def _present(self, allocation_id: str) -> Allocation | None:
        """Describe an allocation in its present state, open or ended, the events of this batch included."""
        held = self._holds(allocation_id)
        if held:
            return describe(allocation_id, held).lapsed_at(self._now)
        past = self._histories.get(allocation_id) or self._reader.histories({allocation_id}).get(allocation_id, [])
        return fold(chain(past, self._about.get(allocation_id, ())))

    def _situation(self, one: PendingCommand) -> tuple[DecisionContext, datetime]:
        """Load every pool that a command reaches, and find the time at which it is decided."""
        command: Any = one.command
        allocation_id = vars(command).get("allocation_id")
        past = self._find_past(allocation_id) if allocation_id else None
        pools = self._load(self._pool_names() if type(command) is CloseLedger else named_pools(command, past))
        moment = time_of(command, self._now, pools.values())
        limit = command.limit if type(command) is Expire else None
        if type(command) is Expire and command.pool is None:
            pools = {name: pool for name, pool in self._load(self._pool_names()).items() if pool.has_due(moment)}
        while missing := reach(pools, moment, limit):
            pools |= self._load(missing)
        if type(command) in _GRANTS:
            new_id = self._new_id() if allocation_id is None else ""
            behind = self.queue.behind(one.command_id, command.quantities)
            return DecisionContext(pools, past, self._epoch, new_id, behind), moment
        closed = type(command) in ASKING_IF_CLOSED and self._cache.version(LEDGER_STREAM, self._reader) > 0
        return DecisionContext(pools, past, self._epoch, closed=closed), moment

    def _pool_names(self) -> list[str]:
        """List the names of all pools ever opened, those of this batch included."""
        opened = (recorded.event.pool for recorded in self.records if isinstance(recorded.event, PoolOpened))
        return sorted({*self._reader.pool_names(), *opened})

    def _load(self, names: Iterable[str]) -> dict[str, Pool]:
        return {name: pool for name in names if (pool := self._cache.pool(name, self._reader))}

    def _find_past(self, allocation_id: str) -> AllocationRecord | None:
        pools = self._cache.where(allocation_id)
        past = AllocationRecord(pools) if pools else self._past.get(allocation_id)
        if past is None or past.ended:
            return past
        first = self._cache.pool(past.pools[0], self._reader)
        is_held = first is not None and allocation_id in first.holds
        return past if is_held else AllocationRecord(past.pools, self._state_at_end(allocation_id))

    def _state_at_end(self, allocation_id: str) -> AllocationState:
        for recorded in reversed(self._reader.histories({allocation_id}).get(allocation_id, [])):
            if isinstance(recorded.event, Ending):
                return STATE_AFTER[type(recorded.event)]
        message = f"allocation {allocation_id!r} is held by none of its pools, and no event ended it"
        raise LogCorrupt(message)

    def _holds(self, allocation_id: str) -> dict[str, Hold]:
        """Find what an allocation holds, by pool; nothing if it is not open."""
        pools = self._load(self._cache.where(allocation_id) or ())
        return {name: hold for name, pool in pools.items() if (hold := pool.holds.get(allocation_id))}

    def _number(self, one: PendingCommand, events: Sequence[Event], occurred_at: datetime) -> list[Recorded]:
        """Put events into envelopes, numbered from the end of the log and of each stream."""
        position = self._reader.head + len(self.records)
        versions: dict[str, int] = {}
        first_own = next((i for i, e in enumerate(events) if type(e) is not Expired), 0)
        records = []
        for ordinal, event in enumerate(events):
            stream_id = event.stream_id
            version = versions.get(stream_id) or self._cache.version(stream_id, self._reader)
            versions[stream_id] = version + 1
            records.append(
                Recorded(
                    position=position + ordinal + 1,
                    version=version + 1,
                    command_id=one.command_id,
                    ordinal=ordinal,
                    ordinals=len(events),
                    occurred_at=event.deadline if type(event) is Expired else occurred_at,
                    recorded_at=self._now,
                    actor=one.command.actor or self._actor,
                    correlation_id=one.command.correlation_id,
                    causation_id=one.command.causation_id,
                    command=one.command.canonical() if ordinal == first_own else None,
                    event=event,
                )
            )
        return records

    def take(self, one: PendingCommand, records: Sequence[Recorded]) -> None:
        """Change the pools by what was decided, so that the commands that come after see it."""
        self._taking = True
        self.records += records
        if records:
            self._decided[one.command_id] = list(records)
        for recorded in records:
            event = recorded.event
            if event.subject is not None:
                self._about.setdefault(event.subject, []).append(recorded)
            if is_ending(event) and (pools := self._cache.where(event.allocation_id)):
                self._past[event.allocation_id] = AllocationRecord(pools, STATE_AFTER[type(event)])
            self._cache.apply(recorded)
        self._taking = False

    def _outcome(self, one: PendingCommand, records: Sequence[Recorded], before: Mapping[str, Hold]) -> Outcome:
        if not records and type(one.command) is not Expire:
            return Outcome(command_id=one.command_id, records=(), repeated=True, pool=self._status(one.command))
        refusal = None
        description: Callable[[], Allocation | None] = no_allocation
        event = records[-1].event if records else None
        if type(event) is ValidationFailed:
            refusal = Refused(event.code, event.data, command_id=one.command_id)
        elif event and type(one.command) not in _DESCRIBE_NONE:
            description = partial(_after, event.subject, records, before)
        return Outcome(
            command_id=one.command_id,
            records=tuple(records),
            refusal=refusal,
            description=description,
            pool=self._status(one.command),
        )

    def _status(self, command: Command) -> PoolStatus | None:
        name = vars(command).get("pool")
        pool = self._cache.pool(name, self._reader) if name else None
        return PoolStatus.of(pool) if pool else None


def _own(records: Sequence[Recorded]) -> Recorded:
    """Find the event that carries the command: the first that is not an expiry noticed on the way."""
    return next(recorded for recorded in records if recorded.command is not None)


def _difference(one: PendingCommand, decided: Sequence[Recorded]) -> tuple[str, Any, Any]:
    """Find the first field in which a command differs from the one recorded under its id: name, recorded value, value.

    The name is "" if they do not differ.
    """
    recorded = content(json.loads(_own(decided).command or "{}"))
    return first_difference(recorded, content(one.command.as_dict())) or ("", None, None)


def _after(allocation_id: str | None, records: Sequence[Recorded], before: Mapping[str, Hold]) -> Allocation | None:
    """Describe an allocation as a command left it; None if the command is about none."""
    own = (recorded for recorded in records if recorded.event.subject == allocation_id)
    return fold(own, describe(allocation_id, before) if before else None) if allocation_id else None
