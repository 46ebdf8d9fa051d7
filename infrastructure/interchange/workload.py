"""Workloads: recorded commands as JSON Lines, run in batches; and the log, written as JSON Lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.commands import Command, OpenPool, command_from
from holdbook.domain.errors import CommandIdReused, HoldbookError, LogCorrupt, Malformed, PoolAlreadyOpen
from holdbook.domain.events import Allocated, Released
from holdbook.domain.values import derived_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow

LINE_BYTES_MAX: Final = 4 * 2**20
"""The longest line of a workload: more than the largest command takes, all of it escaped."""

BATCH_COMMANDS: Final = 500
"""How many commands an import records in one transaction."""

PAGE_EVENTS: Final = 2000
"""About how many events an export reads at a time."""


class ImportStopped(HoldbookError):
    """A line of a workload cannot be run; nothing of its batch was recorded, what was before it stays."""

    def __init__(self, file: str, line: int, error: Malformed | CommandIdReused | PoolAlreadyOpen) -> None:
        self.file = file
        self.line = line
        """Number of the line, from 1."""
        self.field = error.parameter if isinstance(error, Malformed) else error.field
        """Dotted path of the field at fault."""
        self.value = error.value if isinstance(error, Malformed) else error.given
        """What the line has there."""
        super().__init__(f"{file}, line {line}: {error}")


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


# Reading lines


def read_lines(file: BinaryIO, name: str) -> Iterator[WorkloadLine]:
    """Read a workload's commands, each with its id; raises `ImportStopped` at the first line that is malformed."""
    seen: Counter[str] = Counter()
    for number, raw in numbered_lines(file):
        try:
            command = parse_line(raw)
        except Malformed as error:
            raise ImportStopped(name, number, error) from None
        yield WorkloadLine(number, with_id(command, seen))


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file that are not blank, with their numbers from 1; of one that is too long, the start."""
    for number, raw in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 1):
        if raw.strip():
            yield number, raw


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


def json_object(raw: bytes) -> dict[str, Any]:
    """Read the JSON object that a line is; raises `Malformed`."""
    if len(raw) > LINE_BYTES_MAX:
        raise _bad_line(raw[:80], f"expected a line of at most {LINE_BYTES_MAX} bytes")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except Malformed:
        raise
    except UnicodeDecodeError as error:
        raise _bad_line(raw[:80], f"expected UTF-8, which byte {error.start + 1} is not") from None
    except json.JSONDecodeError as error:
        raise _bad_line(_start(raw), f"expected one JSON object ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError):  # a number, or a nesting, beyond what Python reads
        raise _bad_line(_start(raw), "expected one JSON object, with no such number or nesting") from None
    if not isinstance(value, dict):
        raise _bad_line(value, "expected one JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        (name, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise Malformed(name, [value for key, value in pairs if key == name], "expected the field once in its object")
    return fields


def _no_constant(name: str) -> None:
    raise _bad_line(name, "expected numbers that JSON has")


def _bad_line(value: object, expected: str) -> Malformed:
    return Malformed("line", value, expected)


def _start(raw: bytes) -> str:
    return raw[:200].decode(errors="replace").strip()


# Running them


def run_workload(
    ledger: LedgerInterface,
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


# Writing the log

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def export_lines(
    log: EventLog, first: int = 1, last: int | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Iterator[str]:
    """Write the events from one position to another, or to the log's present end, one JSON object each."""
    with log.reading() as reader:
        head = reader.head
    end = head if last is None else min(last, head)
    position = first - 1
    while position < end and (rows := log.rows(position, PAGE_EVENTS, upto=end)):
        yield from map(export_line, rows)
        position = rows[-1].position
        progress(position - first + 1, end - first + 1)


def export_line(row: StoredRow) -> str:
    """Write a row: every column under its name, ``data`` as the object it is, ``hash`` in hexadecimal digits.

    The text of ``data`` is the stored one to the byte, as the hash covers it.
    """
    try:
        json.loads(row.data)
    except ValueError as error:
        message = f"position {row.position}: the data of {row.type} is no JSON: {error}"
        raise LogCorrupt(message) from None
    columns = {**row._asdict(), "hash": row.hash.hex()}
    del columns["data"]
    return f'{_encode(columns)[:-1]},"data":{row.data}}}'
