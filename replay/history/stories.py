"""Stories: events page by page, each with the state of its allocation before and after it."""

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
"""How many steps a page has, unless the caller says otherwise."""

SPAN_EVENTS: Final = 50_000
"""How many events one statement searches, so that none takes long and progress can be reported in between."""

EVERYTHING: Final = EventFilter()


class Change(NamedTuple):
    """The value of a field before and after, as JSON values; None where the field did not exist."""

    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One event, and what it changed.

    The events that do one thing to an allocation, one in each of its pools, make up one change. Each of them has the
    states before the first and after the last of them, because nobody ever sees a command half done.
    """

    recorded: Recorded
    command: str
    """The verb of the command that recorded the event. An expiry may be recorded by any command."""
    before: Allocation | None
    """The state before the event of the allocation it is about; None if there was none, or if it is about none."""
    after: Allocation | None
    """The state of that allocation after the event."""

    @property
    def reason(self) -> str | None:
        """The reason that the event gives, if it gives one."""
        return getattr(self.recorded.event, "reason", None)

    @property
    def changes(self) -> dict[str, Change]:
        """What the event changed in its allocation, or else in its pool, by dotted names of fields."""
        before, after = _described(self.before), _described(self.after)
        if self.recorded.event.subject is None:
            before, after = _pool_before_and_after(self.recorded.event)
        return {
            name: Change(before.get(name), after.get(name))
            for name in after | before
            if before.get(name) != after.get(name)
        }


class Page(Answer[StoryStep]):
    """Some of the steps that were found, in the order of the log, true up to a position."""

    def __init__(self, found: Iterable[StoryStep], position: int, next_: int | None) -> None:
        super().__init__(found, position)
        self.next = next_
        """The position to pass as ``after`` for the next page; None if this is the last one."""


def _no_progress(_done: int, _total: int) -> None:
    pass


def find(  # noqa: PLR0913 - all by name but two
    log: EventLog,
    wanted: EventFilter = EVERYTHING,
    *,
    after: int = 0,
    limit: int = STEPS_MAX,
    upto: int | None = None,
    progress: Callable[[int, int], object] = _no_progress,
) -> Page:
    """Find at most ``limit`` steps after a position, up to the last command that ends at or before ``upto``.

    Events are only added at the end of the log. So a caller who passes ``next`` of each page as ``after``, and the
    first page's ``position`` as ``upto``, sees each event that was found at first exactly once, whatever is recorded
    meanwhile. Going on after that position gives what came later. ``progress`` is called with the position reached and
    the last one. Raises `Malformed`, `LogUnavailable`, `LogCorrupt`.
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
    """Find the position to read up to, at the end of a command; raises `Malformed`."""
    with log.reading() as reader:
        head = reader.head
    return head if upto is None else end_of_command(log, upto, head, "upto")


def steps(log: EventLog, records: Sequence[Recorded]) -> list[StoryStep]:
    """Tell what each of some events changed; raises `LogUnavailable`, `LogCorrupt`."""
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
    """Read a command's verb; the empty text if it cannot be read, which `verify` reports."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(fields.get("command", "")) if isinstance(fields, dict) else ""


def _states_by_position(
    history: Iterable[Recorded], last: int
) -> Iterator[tuple[int, tuple[Allocation | None, Allocation | None]]]:
    """Give, for each event of an allocation up to a position, the states before and after it."""
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
    """Describe what an event of a pool or of the ledger changes: fields before it and after it."""
    match event:
        case PoolOpened():
            return {}, _limits(event.limits)
        case LimitsChanged():
            return _limits(event.previous), _limits(event.limits)
        case PoolClosed() | LedgerClosed():
            return {"closed": False}, {"closed": True}
        case _:  # the refusal of a command that names no allocation
            return {}, {}


def _limits(limits: Limits) -> dict[str, Any]:
    return {f"limits.{name}": value for name, value in limits.model_dump(mode="json").items()}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else instant_text(moment)
