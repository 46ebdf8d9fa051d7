"""What the ledger holds, and what became of a command, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.domain.commands import Allocate, Command, Expire, Reserve
from holdbook.infrastructure.presentation.wording.tones import Sentence, Tone
from holdbook.infrastructure.presentation.wording.values import quantities_text, time_to_second

if TYPE_CHECKING:
    from holdbook.domain.allocation import Allocation
    from holdbook.domain.errors import Refused
    from holdbook.domain.handling.outcome import Outcome

_DONE: Final = {
    "open_pool": "opened",
    "change_limits": "changed",
    "close_pool": "closed",
    "close_ledger": "closed",
    "allocate": "granted",
    "reserve": "reserved",
    "confirm": "confirmed",
    "void": "voided",
    "renew": "renewed",
    "resize": "resized",
    "transfer": "transferred",
    "release": "released",
    "expire": "expired",
}
"""What is said of each command that was done, by its verb."""

NO_POOLS: Final = "no pools then"
"""Said of a moment at which no pool had been opened."""

NOBODY_WAITS: Final = "nobody waits"
"""Said of an empty queue."""


def allocations_text(count: int) -> str:
    """Say how many allocations there are."""
    return f"{count} allocation{'s' * (count != 1)}" if count else "no such allocations"


def outcome_text(command: Command, outcome: Outcome, *, dry_run: bool) -> Sentence:
    """Say what a command did, or in a dry run what it would do."""
    said = f"{_DONE[command.verb]}: {_subject(command, outcome, dry_run=dry_run)}"
    if dry_run:
        said = f"would be {said}"
    if not outcome.repeated:
        return Sentence.of(said)
    note = f" (decided before{_since(command, outcome)}; nothing is recorded anew)"
    return Sentence.of(said, (note, Tone.CAUTION))


def refusal_text(refusal: Refused, *, dry_run: bool = False) -> str:
    """Say that a command was refused, or in a dry run that it would be."""
    return f"it would be {refusal}" if dry_run else str(refusal)


def _since(command: Command, outcome: Outcome) -> str:
    """Say how the allocation of a repeated command has ended since, if another command ended it."""
    allocation = outcome.allocation
    if allocation is None or allocation.state.is_open or allocation.state.value == _DONE[command.verb]:
        return ""
    return f", {allocation.state.value} since"


def _subject(command: Command, outcome: Outcome, *, dry_run: bool) -> str:
    """Say what a command was about: its allocation, what expired, or its pool."""
    if outcome.allocation is not None:
        return _allocation(outcome.allocation, command if dry_run else None)
    if isinstance(command, Expire):
        return ", ".join(outcome.expired) or "nothing is due"
    name = f"pool {getattr(command, 'pool', '')}"
    pool = None if dry_run else outcome.pool
    return f"{name}: capacity {pool.capacity}, used {pool.used}, free {pool.free} {pool.unit}" if pool else name


def _allocation(allocation: Allocation, tried: Command | None) -> str:
    """Describe an allocation; if a grant was only tried, without the id and the token, which nobody will see again."""
    until = f" until {time_to_second(allocation.deadline)}" if allocation.deadline and allocation.state.is_open else ""
    content = f"{quantities_text(allocation.quantities)} for {allocation.owner}{until}"
    if isinstance(tried, Allocate | Reserve):
        return content
    token = f" (token {allocation.token})" if allocation.state.is_open else ""
    return f"{allocation.id}: {content}{token}"
