"""Workloads: recorded commands as JSON Lines, run in batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdbook.domain.commands import Command, OpenPool, command_from
from holdbook.domain.errors import CommandIdReused, Malformed, PoolAlreadyOpen
from holdbook.domain.events import Allocated, Released
from holdbook.domain.values import derived_id
from holdbook.infrastructure.interchange.json_lines import ImportStopped, json_object, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.ports import EventLog

BATCH_COMMANDS: Final = 500
"""How many commands an import records in one transaction."""


class RecordingLedger(Protocol):
    """A ledger that records commands with times of their own; see `holdbook.infrastructure.ledger.Ledger`."""

    @property
    def log(self) -> EventLog:
        """The ledger's log."""
        ...

    def record(self, commands: Sequence[Command], *, accept: Accept | None = None) -> list[Outcome]:
        """Decide commands in one transaction, or none of them.

        ``accept`` is called with each command and its outcome before anything is recorded; what it raises stops all.
        Raises that, `CommandIdReused`, `PoolAlreadyOpen`, `Malformed` and `LogUnavailable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkloadLine:
    """A command and where it was written."""

    number: int
    command: Command


@dataclass(slots=True)
class Summary:
    """What an import decided, in allocations, not pools."""

    commands: int = 0
    """Commands read, decided now or before."""
    allocated: int = 0
    released: int = 0
    expired: int = 0
    refused: int = 0
    repeated: int = 0
    """Commands that had been decided before; they count nowhere else."""
    events: int = 0
    """Events appended."""
    last_position: int = 0
    """Position of the log's last event."""

    def add(self, outcome: Outcome) -> None:
        """Count one more outcome."""
        self.commands += 1
        if outcome.repeated:
            self.repeated += 1
            return
        events = [recorded.event for recorded in outcome.records]
        self.events += len(events)
        self.refused += outcome.refusal is not None
        self.expired += len(outcome.expired)
        self.allocated += any(isinstance(event, Allocated) for event in events)
        self.released += any(isinstance(event, Released) for event in events)


def read_lines(file: BinaryIO, name: str) -> Iterator[WorkloadLine]:
    """Read a workload's commands, each with its id; raises `ImportStopped` at the first line that is malformed."""
    seen: Counter[str] = Counter()
    for number, raw in numbered_lines(file):
        try:
            command = parse_line(raw)
        except Malformed as error:
            raise ImportStopped(name, number, error) from None
        yield WorkloadLine(number, with_id(command, seen))


def parse_line(raw: bytes) -> Command:
    """Make a command of one line; raises `Malformed`, naming the field."""
    command = command_from(json_object(raw))
    if command.at is None:
        raise Malformed("at", None, "expected the command's own time, such as 2026-01-31T12:00:00Z")
    return command


def with_id(command: Command, seen: Counter[str]) -> Command:
    """Give a command the id it is known by whenever the same file is imported.

    That is its own, else the one derived from what it names, else one derived from all its content and from how many
    equal commands the file has had.
    """
    if command.command_id or command.id_from_content():
        return command
    content = command.canonical()
    seen[content] += 1
    return command.model_copy(update={"command_id": derived_id("import", content, str(seen[content]))})


def run_workload(
    ledger: RecordingLedger,
    lines: Iterable[WorkloadLine],
    name: str,
    *,
    batch_commands: int = BATCH_COMMANDS,
    progress: Callable[[], None] = lambda: None,
) -> Summary:
    """Record a workload, each batch in one transaction; ``progress`` is called after each.

    Raises `ImportStopped` for a line that cannot be run: batches before its own stay recorded.
    """
    summary = Summary()
    rest = iter(lines)
    while batch := list(islice(rest, batch_commands)):
        try:
            outcomes = ledger.record([line.command for line in batch])
        except (CommandIdReused, PoolAlreadyOpen) as error:
            raise ImportStopped(name, _at_fault(batch, error), error) from error
        for outcome in outcomes:
            summary.add(outcome)
        progress()
    with ledger.log.reading() as reader:
        summary.last_position = reader.head
    return summary


def _at_fault(batch: Sequence[WorkloadLine], error: CommandIdReused | PoolAlreadyOpen) -> int:
    """Find the line an error is about: of those with its id, or its pool, the first that has the value it names."""
    if isinstance(error, CommandIdReused):
        lines = [line for line in batch if _id_of(line.command) == error.command_id]
    else:
        lines = [line for line in batch if isinstance(line.command, OpenPool) and line.command.pool == error.pool]
    exact = (line for line in lines if _value_at(line.command.as_dict(), error.field) == error.given)
    return next(exact, lines[0]).number


def _id_of(command: Command) -> str | None:
    return command.command_id or command.id_from_content()


def _value_at(fields: Mapping[str, Any], path: str) -> object:
    """Look a dotted path up; names in it may hold dots themselves."""
    for name, value in fields.items():
        if name == path:
            return value
        if path.startswith(f"{name}.") and isinstance(value, dict):
            return _value_at(value, path[len(name) + 1 :])
    return None
