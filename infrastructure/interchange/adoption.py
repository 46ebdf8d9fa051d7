"""Adoption: the ledger takes over what an old manager holds, all of it in one transaction or nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.commands import OpenPool
from holdbook.domain.errors import CommandIdReused, PoolAlreadyOpen
from holdbook.domain.refusals import RefusalCode, explain
from holdbook.domain.values import instant_text
from holdbook.infrastructure.interchange.old_form import AdoptionStopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.errors import Malformed, Refused
    from holdbook.domain.events import Event
    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.infrastructure.interchange.old_form import Entry, HeldLine, LimitsLine, OldState

_FIELDS: Final = {
    RefusalCode.POOL_NOT_FOUND: "resource_type",
    RefusalCode.LEDGER_CLOSED: "resource_type",
    RefusalCode.POOL_CLOSED: "resource_type",
    RefusalCode.ALLOCATION_ID_TAKEN: "id",
    RefusalCode.TTL_REQUIRED: "expiration_time",
    RefusalCode.TTL_TOO_LONG: "expiration_time",
}
"""The field of the old form that a refusal is about; any other refusal is about ``size``."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was adopted; after a rehearsal, what would be."""

    pools: int
    """How many pools were opened."""
    adopted: int
    """How many allocations were taken over."""
    repeated: int
    """How many lines, of limits and of allocations, had been adopted before."""
    last_position: int
    """The position of the log's last event afterwards."""


class _Rehearsed(Exception):
    """Ends a rehearsal in which all lines were accepted, before anything is recorded. It never leaves this module."""


def adopt(
    ledger: LedgerInterface,
    state: OldState,
    now: datetime,
    *,
    rehearse: bool = False,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Adopted:
    """Take over what an old manager holds, in one transaction: first pools that are missing, then each allocation.

    An allocation begins at its own ``allocation_time`` and ends at its own ``expiration_time``. Adopting again what was
    adopted before changes nothing. With ``rehearse``, all is checked and nothing is recorded. ``progress`` is called
    with the number of lines done and the number of all lines. Raises `AdoptionStopped` for the first line that the
    ledger cannot take over exactly as it is, and `LogUnavailable`; then nothing is recorded.
    """
    commands = list(state.commands())
    until = commands[-1] if rehearse and commands else None
    checker = _OutcomeChecker(state, now, len(commands), progress, until)
    try:
        with suppress(_Rehearsed):
            ledger.record(commands, accept=checker)
    except PoolAlreadyOpen as error:
        raise AdoptionStopped(state.name, state.limits[error.pool].number, error) from error
    except CommandIdReused as error:
        entry = next(one for one in state.held.values() if one.line.opening().id_from_content() == error.command_id)
        raise state.stopped(entry, _other_content(entry, error)) from error
    with ledger.log.reading() as reader:
        head = reader.head
    pools, adopted = len(checker.opened), len(checker.taken)
    return Adopted(pools=pools, adopted=adopted, repeated=len(commands) - pools - adopted, last_position=head)


def _other_content(entry: Entry[HeldLine], error: CommandIdReused) -> Malformed:
    """Make the error for an allocation id that the ledger has with other content, naming the field that differs."""
    name, recorded = error.field, error.recorded
    if name.startswith("quantities."):
        name = "size" if recorded is not None and error.given is not None else "resource_type"
    elif name == "ttl":
        name = "expiration_time"
    expected = f"expected what the ledger has under id {entry.line.id!r} already"
    return entry.fault(name, f"{expected}: {error.field} is {recorded!r}")


@dataclass(slots=True)
class _OutcomeChecker:
    """Checks the outcome of each line before anything is recorded; raises `AdoptionStopped`."""

    state: OldState
    now: datetime
    total: int
    """How many commands there are."""
    progress: Callable[[int, int], object]
    until: Command | None
    """The last command of a rehearsal; None if all is to be recorded."""
    opened: set[str] = field(default_factory=set)
    """The pools that were missing."""
    taken: set[str] = field(default_factory=set)
    """The allocations that were missing."""
    done: int = 0

    def __call__(self, command: Command, outcome: Outcome) -> None:
        """Check the outcome of one command; raises `_Rehearsed` after the last one of a rehearsal."""
        if isinstance(command, OpenPool):
            self._check_pool(self.state.limits[command.pool], outcome)
        else:
            self._check_held(self.state.held[vars(command)["allocation_id"]], outcome)
        self.done += 1
        self.progress(min(self.done, self.total), self.total)
        if command is self.until:
            raise _Rehearsed

    def _check_pool(self, entry: Entry[LimitsLine], outcome: Outcome) -> None:
        if outcome.refusal is not None:
            raise self._refused(entry, outcome.refusal)
        if not outcome.repeated:
            self.opened.add(entry.line.resource_type)

    def _check_held(self, entry: Entry[HeldLine], outcome: Outcome) -> None:
        line = entry.line
        if not outcome.repeated:
            self._check_times(entry)
        if outcome.refusal is not None:
            raise self._refused(entry, outcome.refusal)
        granted = outcome.records[-1]
        if granted.occurred_at != line.allocation_time:
            began = instant_text(granted.occurred_at)
            if outcome.repeated:
                expected = f"expected {began}, when the ledger has it that {line.id!r} began"
            else:
                expected = (
                    f"expected a time from {began} on, which is how far pool {line.resource_type!r} has come: "
                    "adopt before the pool is used"
                )
            raise self.state.stopped(entry, entry.fault("allocation_time", expected))
        if not outcome.repeated:
            self._check_deadline(entry, granted.event)
            self.taken.add(line.id)

    def _check_times(self, entry: Entry[HeldLine]) -> None:
        line, now = entry.line, instant_text(self.now)
        if line.allocation_time > self.now:
            raise self.state.stopped(entry, entry.fault("allocation_time", f"expected a time up to now, {now}"))
        if line.expiration_time is not None and line.expiration_time <= self.now:
            expected = f"expected a time after now, {now}: what has expired is not held"
            raise self.state.stopped(entry, entry.fault("expiration_time", expected))

    def _check_deadline(self, entry: Entry[HeldLine], event: Event) -> None:
        deadline = vars(event)["deadline"]
        if deadline != entry.line.expiration_time:
            expected = f"expected a time: pool {entry.line.resource_type!r} lets nothing be held for ever"
            raise self.state.stopped(entry, entry.fault("expiration_time", expected))

    def _refused(self, entry: Entry[Any], refusal: Refused) -> AdoptionStopped:
        name = _FIELDS.get(refusal.code, "size")
        expected = f"expected what the ledger grants ({refusal.code}: {explain(refusal.code, refusal.data)})"
        return self.state.stopped(entry, entry.fault(name, expected))
