"""Workloads: files of recorded commands, which an import reads and runs in batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.commands import Command, OpenPool, command_from
from holdbook.domain.errors import CommandIdReused, Malformed, PoolAlreadyOpen
from holdbook.domain.events import Allocated, Released
from holdbook.domain.values import derived_id
from holdbook.infrastructure.interchange.json_lines import ImportStopped, json_object, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.handling.outcome import Outcome

BATCH_COMMANDS: Final = 500
"""How many commands an import records in one transaction."""


@dataclass(frozen=True, slots=True)
class WorkloadLine:
    """A command, and the number of its line in the file, from 1."""

    number: int
    command: Command


@dataclass(slots=True)
class Summary:
    """What an import did. It counts allocations, not their parts in single pools."""

    commands: int = 0
    """Commands that were read, whether they were decided now or before."""
    allocated: int = 0
    released: int = 0
    expired: int = 0
    refused: int = 0
    repeated: int = 0
    """Commands that had been decided before. No other field but ``commands`` counts them."""
    events: int = 0
    """Events that were appended to the log."""
    last_position: int = 0
    """The position of the log's last event afterwards."""

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of a command."""
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
    """Read the commands of a workload and give each its id; raises `ImportStopped` at the first malformed line."""
    seen: Counter[str] = Counter()
    for number, raw in numbered_lines(file):
        try:
            command = parse_line(raw)
        except Malformed as error:
            raise ImportStopped(name, number, error) from None
        yield WorkloadLine(number, with_id(command, seen))


def parse_line(raw: bytes) -> Command:
    """Parse a line as a command; raises `Malformed`, which names the field."""
    command = command_from(json_object(raw))
    if command.at is None:
        raise Malformed("at", None, "expected the command's own time, such as 2026-01-31T12:00:00Z")
    return command


def with_id(command: Command, seen: Counter[str]) -> Command:
    """Give a command an id that is the same whenever the same file is imported.

    This is the command's own id; or else the one derived from what the command names, which the ledger sets itself; or
    else one derived from the whole command and the number of equal commands so far, which ``seen`` counts.
    """
    if command.command_id or command.id_from_content():
        return command
    content = command.canonical()
    seen[content] += 1
    return command.model_copy(update={"command_id": derived_id("import", content, str(seen[content]))})


def run_workload(
    ledger: LedgerInterface,
    lines: Iterable[WorkloadLine],
    name: str,
    *,
    batch_commands: int = BATCH_COMMANDS,
    progress: Callable[[], None] = lambda: None,
) -> Summary:
    """Record a workload, each batch in one transaction; ``progress`` is called after each batch.

    Raises `LogUnavailable`, and `ImportStopped` for a line that cannot be run; batches before its own stay recorded.
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
    """Find the number of the line that an error is about.

    Of the lines with the command id or the pool of the error, this is the first that has the value that the error
    gives, or else the first.
    """
    if isinstance(error, CommandIdReused):
        lines = [line for line in batch if _command_id(line.command) == error.command_id]
    else:
        lines = [line for line in batch if isinstance(line.command, OpenPool) and line.command.pool == error.pool]
    exact = (line for line in lines if _value_at(line.command.as_dict(), error.field) == error.given)
    return next(exact, lines[0]).number


def _command_id(command: Command) -> str | None:
    return command.command_id or command.id_from_content()


def _value_at(fields: Mapping[str, Any], path: str) -> object:
    """Look up the value at a dotted path; the names of fields may have dots in them."""
    for name, value in fields.items():
        if name == path:
            return value
        if path.startswith(f"{name}.") and isinstance(value, dict):
            return _value_at(value, path[len(name) + 1 :])
    return None
