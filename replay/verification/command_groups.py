"""Groups rows into commands, and checks that each command has all its rows, one after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from holdbook.domain.events import Expired
from holdbook.replay.verification.findings import Check, Harm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.records import Recorded, StoredRow
    from holdbook.replay.verification.findings import Findings


@dataclass(slots=True)
class Group:
    """The rows of one command."""

    command_id: str
    ordinals: int
    rows: int = 0
    """How many of its rows have been read."""
    records: list[Recorded] = field(default_factory=list)
    """The events of the rows that could be read."""
    whole: bool = True
    """False if rows are missing, unreadable or out of place."""
    position: int = 0
    """The position of its last row."""


class Commands:
    """Groups rows into commands."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._group: Group | None = None
        self._rows_lost = False
        """Whether the row before is missing or unreadable, so that the next row need not begin a command."""

    @property
    def is_between(self) -> bool:
        """Tell whether the next row should begin a command."""
        return self._group is None and not self._rows_lost

    def add(self, row: StoredRow, recorded: Recorded | None) -> list[Group]:
        """Add a row whose columns are sound, and its event if that can be read; gives the commands that it ends."""
        ended = []
        group = self._group
        if group is not None and (row.command_id != group.command_id or row.ordinal != group.rows):
            ended.append(self._break_off(group, row))
            group = None
        if group is None:
            group = self._group = self._begin(row)
        elif row.ordinals != group.ordinals:
            message = f"the command has {row.ordinals} rows by this row, {group.ordinals} by the row before"
            self._findings.add(row.position, Check.COMMANDS, message)
            group.whole, group.ordinals = False, row.ordinals
        group.rows, group.position = row.ordinal + 1, row.position
        if recorded is None:
            group.whole = False
        else:
            group.records.append(recorded)
        if group.rows == group.ordinals:
            ended.append(group)
            self._group = None
        return ended

    def lose(self) -> list[Group]:
        """Note that rows are missing, or that one cannot be read; gives the command that this cuts off."""
        group, self._group = self._group, None
        self._rows_lost = True
        if group is None:
            return []
        group.whole = False
        return [group]

    def end(self) -> list[Group]:
        """Note the end of the log; gives the command that this cuts off."""
        group = self._group
        if group is not None:
            message = f"the log ends after {group.rows} of the {group.ordinals} rows of command {group.command_id!r}"
            self._findings.add(group.position, Check.COMMANDS, message, Harm.CUT_TAIL)
        return self.lose()

    def _break_off(self, group: Group, row: StoredRow) -> Group:
        message = (
            f"ordinal {row.ordinal} of command {row.command_id!r} stands "
            f"where ordinal {group.rows} of command {group.command_id!r} belongs"
        )
        self._findings.add(row.position, Check.COMMANDS, message)
        self._rows_lost = True
        group.whole = False
        return group

    def _begin(self, row: StoredRow) -> Group:
        group = Group(row.command_id, row.ordinals)
        lost, self._rows_lost = self._rows_lost, False
        if row.ordinal != 0:
            group.whole = False
            if not lost:
                message = f"command {row.command_id!r} begins with ordinal {row.ordinal}"
                self._findings.add(row.position, Check.COMMANDS, message)
        return group


def carrier(records: Sequence[Recorded], findings: Findings) -> Recorded | None:
    """Find the event that carries a command's text; check that no other has it and that the envelopes agree.

    Gives None if the text is missing.
    """
    first = records[0]
    place = next((r for r in records if not isinstance(r.event, Expired)), first)
    for recorded in records:
        if _shared(recorded) != _shared(first):
            _report_differences(recorded, first, findings)
        if recorded is not place and recorded.command is not None:
            message = f"the command's text belongs to position {place.position}, and to no other"
            findings.add(recorded.position, Check.COMMANDS, message)
    if place.command is None:
        findings.add(place.position, Check.COMMANDS, "the command's text is missing from the first of its own events")
        return None
    return place


_SHARED = ("recorded_at", "actor", "correlation_id", "causation_id")
"""The columns that are equal in all rows of a command."""

_shared = attrgetter(*_SHARED)


def _report_differences(recorded: Recorded, first: Recorded, findings: Findings) -> None:
    for name in _SHARED:
        here, before = getattr(recorded, name), getattr(first, name)
        if here != before:
            message = f"{name} is {here!s}, in the first row of the command {before!s}"
            findings.add(recorded.position, Check.COMMANDS, message)
