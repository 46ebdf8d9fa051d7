"""Stories: what happened, event by event, with the allocation's state before and after, a page at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdbook.domain.allocation import fold
from holdbook.domain.answers import Answer
from holdbook.domain.errors import Malformed
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import LedgerClosed, LimitsChanged, PoolClosed, PoolOpened
from holdbook.domain.values import instant_text
from holdbook.replay.history.as_of import end_of_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.events import Event
    from holdbook.domain.limits import Limits
    from holdbook.domain.ports import EventLog, LogReader
    from holdbook.domain.records import Recorded, StoredRow

STEPS_MAX: Final = 100
"""How many steps a page has, unless told."""

SPAN_EVENTS: Final = 50_000
"""How many events are searched at a time: no statement takes long, and progress can be told."""

EVERYTHING: Final = EventFilter()


class Change(NamedTuple):
    """What one field was and what it is, as JSON values; None for what there was not, or is not any more."""

    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One event, and what it did.

    The events of one command that do the same to an allocation, one in each of its pools, are one change: each of them
    has the states before the first and after the last of them, as no reader ever sees half of it.
    """

    recorded: Recorded
    command: str
    """The verb of the command that recorded it; an expiry may have been noticed by any command."""
    before: Allocation | None
    """The allocation that the event is about, as it was; None if there was none, or the event is about none."""
    after: Allocation | None
    """The same as it was then."""

    @property
    def reason(self) -> str | None:
        """The reason given, if one was."""
        return getattr(self.recorded.event, "reason", None)

    @property
    def changes(self) -> dict[str, Change]:
        """What changed: fields of the allocation, or of the pool, by their dotted names."""
        before, after = _described(self.before), _described(self.after)
        if self.recorded.event.subject is None:
            before, after = _pool_before_and_after(self.recorded.event)
        return {
            name: Change(before.get(name), after.get(name))
            for name in after | before
            if before.get(name) != after.get(name)
        }


class Page(Answer[StoryStep]):
    """Some of the steps that are wanted, in the order of the log, as of a position."""

    def __init__(self, found: Iterable[StoryStep], position: int, next_: int | None) -> None:
        super().__init__(found, position)
        self.next = next_
        """What to go on after, up to the same position; None if this is the last page of the answer."""


def _no_progress(_done: int, _total: int) -> None:
    pass


def find(  # noqa: PLR0913 - the last four by name
    log: EventLog,
    wanted: EventFilter = EVERYTHING,
    *,
    after: int = 0,
    limit: int = STEPS_MAX,
    upto: int | None = None,
    progress: Callable[[int, int], object] = _no_progress,
) -> Page:
    """Find what is wanted after a position: at most so many steps, none beyond a command that ends by ``upto``.

    Positions only grow, and nothing ever comes between them. So whoever goes on after ``next`` of each page, up to
    ``position`` of the first, sees all that was wanted then, each event once, whatever is recorded meanwhile. Going on
    after that position then gives what came later. Raises `Malformed`, `LogUnavailable`, `LogCorrupt`.
    """
    for parameter, value, least in (("after", after, 0), ("limit", limit, 1)):
        if type(value) is not int or value < least:
            raise Malformed(parameter, value, f"expected a whole number from {least}")
    end = _last_position(log, upto)
    rows: list[StoredRow] = []
    begin = after
    while begin < end and len(rows) <= limit:
        until = min(begin + SPAN_EVENTS, end)
        rows += log.find(wanted, begin, min(limit + 1 - len(rows), SPAN_EVENTS), upto=until)
        begin = until
        progress(begin, end)
    shown = rows[:limit]
    return Page(steps(log, [log.decode(row) for row in shown]), end, shown[-1].position if len(rows) > limit else None)


def _last_position(log: EventLog, upto: int | None) -> int:
    """Find the last position to read to: that of a whole command; raises `Malformed`."""
    with log.reading() as reader:
        head = reader.head
    return head if upto is None else end_of_command(log, upto, head, "upto")


def steps(log: EventLog, records: Sequence[Recorded]) -> list[StoryStep]:
    """Tell what each event did; raises `LogUnavailable`, `LogCorrupt`."""
    subjects = {subject for one in records if (subject := one.event.subject) is not None}
    with log.reading() as reader:
        verbs = _verb_by_command(reader, records)
        states = {
            position: state
            for history in reader.histories(subjects).values()
            for position, state in _states_by_position(history, records[-1].position)
        }
    return [StoryStep(one, verbs.get(one.command_id, ""), *states.get(one.position, (None, None))) for one in records]


def _verb_by_command(reader: LogReader, records: Iterable[Recorded]) -> dict[str, str]:
    found = {one.command_id: one.command for one in records if one.command is not None}
    rest = {one.command_id for one in records} - found.keys()
    other_records = (one for whole in reader.commands(rest).values() for one in whole)
    found |= {one.command_id: one.command for one in other_records if one.command is not None}
    return {command_id: _verb(text) for command_id, text in found.items()}


def _verb(text: str) -> str:
    """Read a command's verb; nothing if the text is none that was ever written: saying so is for `verify`."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(fields.get("command", "")) if isinstance(fields, dict) else ""


def _states_by_position(
    history: Iterable[Recorded], last: int
) -> Iterator[tuple[int, tuple[Allocation | None, Allocation | None]]]:
    """Give the states of one allocation before and after each of its events up to a position."""
    before = None
    for _, act in groupby(history, key=lambda one: (one.command_id, type(one.event))):
        records = list(act)
        if records[0].position > last:
            return
        after = fold(records, before)
        yield from ((one.position, (before, after)) for one in records)
        before = after


def _described(one: Allocation | None) -> dict[str, Any]:
    if one is None:
        return {}
    return {
        "state": one.state.value,
        "owner": one.owner,
        **{f"quantities.{pool}": quantity for pool, quantity in one.quantities.items()},
        "deadline": _time(one.deadline),
        "ended_at": _time(one.ended_at),
        "reason": one.reason,
        **{f"tags.{key}": value for key, value in one.tags.items()},
    }


def _pool_before_and_after(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe what a pool's own event, or the ledger's, changes, before and after it."""
    match event:
        case PoolOpened():
            return {}, _limits(event.limits)
        case LimitsChanged():
            return _limits(event.previous), _limits(event.limits)
        case PoolClosed() | LedgerClosed():
            return {"closed": False}, {"closed": True}
        case _:  # a refusal of a command that names no allocation
            return {}, {}


def _limits(limits: Limits) -> dict[str, Any]:
    return {f"limits.{name}": value for name, value in limits.model_dump(mode="json").items()}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else instant_text(moment)
