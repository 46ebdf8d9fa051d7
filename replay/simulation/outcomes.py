"""How commands end, as recorded and under other limits: verdicts, flips, peaks, and counts of them."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdbook.domain.refusals import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.records import Recorded
    from holdbook.domain.refusals import RefusalCode
    from holdbook.replay.simulation.recorded_commands import RecordedCommand
    from holdbook.replay.simulation.world import Decided, Peak

DONE: Final = "done"
"""The outcome of a command that was not refused."""


class Divergence(NamedTuple):
    """The first difference between a command decided again under the recorded limits and what was recorded."""

    position: int
    field: str
    """The field of the event that differs; ``type`` or ``occurred_at`` if that differs."""
    recorded: object
    again: object


class Verdict(NamedTuple):
    """How a command ends: done or refused."""

    code: RefusalCode | None
    """Why it is refused; None if it is done."""
    data: Mapping[str, Any]

    @classmethod
    def of(cls, decided: Decided) -> Verdict:
        """Read the verdict from what was decided."""
        refusal = decided.refusal
        return cls(refusal.code, refusal.data) if refusal else _DONE

    @property
    def word(self) -> str:
        """``done``, or the code of the refusal."""
        return self.code.value if self.code else DONE

    @property
    def message(self) -> str | None:
        """The refusal in words; None if it is done."""
        return explain(self.code, self.data) if self.code else None


_DONE: Final = Verdict(None, {})


class Flip(NamedTuple):
    """A command that is done instead of refused, or refused instead of done."""

    position: int
    """The position of the first event that the command itself caused, expiries aside."""
    occurred_at: datetime
    command: Command
    allocation_id: str | None
    """The id of the allocation that the command is about; None if it is about none."""
    recorded: Verdict
    what_if: Verdict


class PoolPeaks(NamedTuple):
    """The most that was held of a pool at once, and the most that would have been."""

    name: str
    unit: str
    recorded: Peak
    what_if: Peak


class Outcomes:
    """Counts the outcomes of commands as recorded and under other limits, and keeps the first flips."""

    def __init__(self, ledger_id: str, flips_max: int) -> None:
        self.events = 0
        self.commands = 0
        self.recorded: Counter[tuple[str, str]] = Counter()
        self.what_if: Counter[tuple[str, str]] = Counter()
        self.turns: Counter[tuple[str, str, str]] = Counter()
        self.flips: list[Flip] = []
        self._ledger_id = ledger_id
        self._flips_max = flips_max

    def compare(self, entry: RecordedCommand, recorded: Verdict, other: Verdict) -> None:
        """Count how a command ended and how it would have ended."""
        command, before, after = entry.command, recorded.word, other.word
        self.events += len(entry.records)
        self.commands += 1
        self.recorded[command.verb, before] += 1
        self.what_if[command.verb, after] += 1
        if before == after:
            return
        self.turns[command.verb, before, after] += 1
        if DONE in {before, after} and len(self.flips) < self._flips_max:
            about = vars(command).get("allocation_id") or (entry.new_id(self._ledger_id) or None)
            self.flips.append(Flip(entry.first.position, entry.first.occurred_at, command, about, recorded, other))

    @property
    def gained(self) -> int:
        """How many commands are done instead of refused."""
        return sum(number for (_, _, after), number in self.turns.items() if after == DONE)

    @property
    def lost(self) -> int:
        """How many commands are refused instead of done."""
        return sum(number for (_, before, _), number in self.turns.items() if before == DONE)


def first_divergence(decided: Decided, records: Sequence[Recorded]) -> Divergence | None:
    """Find the first difference between what was decided and what was recorded; None if they are equal."""
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
