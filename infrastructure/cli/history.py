"""What auditors ask: who holds what, as of any moment, and what happened to it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from rich.table import Table
from rich.text import Text
from typer import Option, Typer

from bursar.domain.allocation import Allocation, AllocationState
from bursar.domain.answers import Answer
from bursar.domain.events import Event, ValidationFailed
from bursar.domain.ledger import select
from bursar.domain.records import Recorded
from bursar.domain.refusals import explain
from bursar.infrastructure.cli.options import AllocationId, Common, Past, TagOption, command
from bursar.infrastructure.cli.output import allocation_sheet, allocation_table, brief, emit, say, show, table, when
from bursar.infrastructure.cli.parsing import name, pairs
from bursar.infrastructure.cli.shapes import allocation_shape, recorded_shape
from bursar.infrastructure.clock import system_clock
from bursar.replay.as_of import allocations_as_of, state_at

top = Typer()


class Wanted(StrEnum):
    """The states to choose from."""

    OPEN = "open"
    ALL = "all"
    RESERVED = "reserved"
    ACTIVE = "active"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"

    @property
    def state(self) -> AllocationState | None:
        """The one state; None for several."""
        return None if self in {Wanted.OPEN, Wanted.ALL} else AllocationState(self.value)

    @property
    def is_open(self) -> bool:
        """Tell whether only what is held is wanted."""
        return self is Wanted.OPEN or (self.state is not None and self.state.is_open)


@command(
    top,
    "allocations",
    "bursar allocations --owner trainer-17",
    "bursar allocations --pool gpu --state all --as-of 2026-01-31T14:03:00Z --json",
)
def allocations(  # noqa: PLR0913 - a filter each
    owner: Annotated[str | None, Option(metavar="NAME", help="Only this owner's.")] = None,
    pool: Annotated[str | None, Option(metavar="NAME", help="Only those that hold something of this pool.")] = None,
    tag: TagOption = None,
    state: Annotated[Wanted, Option(help="Only those in this state; open is reserved or active.")] = Wanted.OPEN,
    *,
    past: Past,
    options: Common,
) -> None:
    """List allocations, oldest grant first; as JSON, one line each.

    What was open is read from the pools' snapshots and what came after them; ended ones from the log's beginning.
    """
    when, tags = past.when, pairs("tags", "KEY=VALUE", tag)
    with options.open() as ledger:
        if when is None and state.is_open:
            found = ledger.allocations(owner=owner, pool=pool, tags=tags, state=state.state)
        else:
            when = system_clock() if when is None else when
            then = state_at(ledger.log, when).allocations() if state.is_open else allocations_as_of(ledger.log, when)
            found = Answer(select(then, owner=owner, pool=pool, tags=tags, state=state.state), then.position)
        _list(found, as_json=options.json)


def _list(found: Answer[Allocation], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            emit({**allocation_shape(one), "as_of_position": found.position})
    elif found:
        show(allocation_table(found))
        say(f"{len(found)} allocation{'s' * (len(found) != 1)}")
    else:
        say("no such allocations")


@command(top, "history", "bursar history job-42")
def history(allocation: AllocationId, options: Common) -> None:
    """Print everything that happened to an allocation, refusals too; as JSON, one line an event."""
    allocation = name("ID", allocation)
    with options.open() as ledger:
        records = ledger.history(allocation)
    if options.json:
        for one in records:
            emit({**recorded_shape(one), "as_of_position": records.position})
    else:
        show(history_table(records))


def history_table(records: Iterable[Recorded]) -> Table:
    """Lay events out."""
    columns = ("position", "occurred at", "event", "pool", "", "actor", "command")
    return table(columns, map(_row, records), right=("position",))


def _row(one: Recorded) -> tuple[str | Text, ...]:
    event = one.event
    refused = isinstance(event, ValidationFailed)
    return (
        str(one.position),
        when(one.occurred_at),
        Text("Refused" if refused else type(event).__name__, style="red" if refused else ""),
        getattr(event, "pool", None) or "",
        what(event),
        one.actor or "",
        brief(one.command_id),
    )


def what(event: Event) -> str:
    """Say in words what an event adds to its name."""
    if isinstance(event, ValidationFailed):
        return explain(event.code, event.data)
    quantity, owner = getattr(event, "quantity", None), getattr(event, "owner", None)
    until, reason = getattr(event, "deadline", None), getattr(event, "reason", None)
    forced = "by force" if getattr(event, "forced", False) else ""
    parts = (f"{quantity} for {owner}", until and f"until {when(until)}", forced, reason)
    return ", ".join(part for part in parts if part)


@command(top, "show", "bursar show job-42 --json")
def show_allocation(allocation: AllocationId, options: Common) -> None:
    """Print one allocation, open or ended; as JSON, one document."""
    allocation = name("ID", allocation)
    with options.open() as ledger:
        one = ledger.allocation(allocation)
    if options.json:
        emit({**allocation_shape(one), "as_of_position": one.as_of_position})
    else:
        show(allocation_sheet(one))
