"""Reading recorded commands again, in the order of the log."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import from_json

from holdbook.domain.commands import Allocate, Reserve, command_from
from holdbook.domain.errors import LogCorrupt
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import is_opening
from holdbook.domain.values import derived_id
from holdbook.replay.history.pages import PAGE_ROWS, find_pages, row_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from holdbook.domain.commands import Command
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded

_LOOK_ROWS: Final = 100
"""How many events are read at a time to find out whether any command of the window is left."""


class RecordedCommand(NamedTuple):
    """A command with the events that the log has of it."""

    records: Sequence[Recorded]
    first: Recorded
    """The first event that the command itself caused; if it caused expiries only, the first of those."""
    command: Command

    def new_id(self, ledger_id: str) -> str:
        """Give an id for the allocation of a command that does not name one: the recorded id, or a derived one.

        It is derived from the ids of the ledger and of the command, so it is always the same. The text is empty if no
        id is needed.
        """
        command, event = self.command, self.first.event
        if not isinstance(command, Allocate | Reserve) or command.allocation_id is not None:
            return ""
        if is_opening(event):
            return event.allocation_id
        return derived_id("what-if", ledger_id, self.first.command_id)


def position_before(log: EventLog, since: datetime, head: int) -> int:
    """Find a position before the end of the first command decided at ``since`` or later; the head if there is none."""
    rows = log.find(EventFilter(since=since), 0, 1, upto=head)
    return rows[0].position - 1 if rows else head


def commands(log: EventLog, after: int, head: int, until: datetime | None) -> Iterator[list[RecordedCommand]]:
    """Read commands, a page at a time, until none is left that was decided before ``until``.

    Commands in between that were decided later are given, too: the clocks of two processes may differ, so a command
    decided earlier may have been refused because of them. Raises `LogCorrupt` for a command that cannot be read.
    """
    for rows in row_pages(log, after, head, PAGE_ROWS):
        groups = groupby(map(log.decode, rows), key=lambda recorded: recorded.command_id)
        yield [_recorded_command(list(records)) for _, records in groups]
        if until is not None and _nothing_follows(log, rows[-1].position, head, until):
            return


def _nothing_follows(log: EventLog, after: int, head: int, until: datetime) -> bool:
    """Tell whether no command after a position was decided before a time, except that expiries may be recorded late."""
    pages = find_pages(log, EventFilter(until=until), after, head, _LOOK_ROWS)
    return all(row.type == "Expired" and row.command is None for rows in pages for row in rows)


def _recorded_command(records: Sequence[Recorded]) -> RecordedCommand:
    first = next((recorded for recorded in records if recorded.command is not None), None)
    if first is None:
        message = f"position {records[0].position}: the command is missing from its first own event"
        raise LogCorrupt(message)
    return RecordedCommand(records, first, _command(first))


def _command(first: Recorded) -> Command:
    try:
        return command_from(from_json(first.command or ""))
    except (ValueError, TypeError, RecursionError) as error:
        message = f"position {first.position}: the command cannot be read: {error}"
        raise LogCorrupt(message) from error
