"""The commands that show allocations: all of them, now or in the past, or one."""

from enum import StrEnum
from typing import Annotated

from typer import Option, Typer

from holdbook.domain.allocation import Allocation, AllocationState
from holdbook.domain.answers import Answer
from holdbook.domain.handling.named_queries import select
from holdbook.infrastructure.cli.terminal.options import AllocationId, CommonOptions, MomentOptions, TagFilter
from holdbook.infrastructure.cli.terminal.output import emit, say, show
from holdbook.infrastructure.cli.terminal.parsing import name, pairs
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import allocation_sheet, allocation_table
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.presentation.shapes.ledger import allocation_shape, as_of
from holdbook.infrastructure.presentation.wording.ledger import allocations_text
from holdbook.replay.history.as_of import allocations_as_of, state_at

top = Typer()


class StateChoice(StrEnum):
    """The values of --state."""

    OPEN = "open"
    ALL = "all"
    RESERVED = "reserved"
    ACTIVE = "active"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"

    @property
    def state(self) -> AllocationState | None:
        """The state to choose allocations by; None if it is several."""
        return None if self in {StateChoice.OPEN, StateChoice.ALL} else AllocationState(self.value)

    @property
    def is_open(self) -> bool:
        """Whether only open allocations are chosen."""
        return self is StateChoice.OPEN or (self.state is not None and self.state.is_open)


@command(
    top,
    "allocations",
    "holdbook allocations --owner trainer-17",
    "holdbook allocations --pool gpu --state all --as-of 2026-01-31T14:03:00Z --json",
)
def allocations(  # noqa: PLR0913 - a filter each
    owner: Annotated[str | None, Option(metavar="NAME", help="Only allocations of this owner.")] = None,
    pool: Annotated[
        str | None, Option(metavar="NAME", help="Only allocations that hold something of this pool.")
    ] = None,
    tag: TagFilter = None,
    state: Annotated[
        StateChoice, Option(help="Only allocations in this state; open means reserved or active.")
    ] = StateChoice.OPEN,
    *,
    past: MomentOptions,
    options: CommonOptions,
) -> None:
    """List allocations, the oldest grant first; as JSON, one line each.

    Open allocations are read from the snapshots of the pools and what came after them; for ended ones, the whole log is
    read.
    """
    when, tags = past.when, pairs("tags", "KEY=VALUE", tag)
    with options.open() as ledger:
        if when is None and state.is_open:
            found = ledger.allocations(owner=owner, pool=pool, tags=tags, state=state.state)
        else:
            when = system_clock() if when is None else when
            then = state_at(ledger.log, when).allocations() if state.is_open else allocations_as_of(ledger.log, when)
            found = Answer(select(then, owner=owner, pool=pool, tags=tags, state=state.state), then.position)
        _print(found, as_json=options.json)


def _print(found: Answer[Allocation], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            emit(as_of(allocation_shape(one), found.position))
        return
    if found:
        show(allocation_table(found))
    say(allocations_text(len(found)))


@command(top, "show", "holdbook show job-42 --json")
def show_allocation(allocation: AllocationId, options: CommonOptions) -> None:
    """Show one allocation, open or ended; as JSON, one document."""
    allocation = name("ID", allocation)
    with options.open() as ledger:
        one = ledger.allocation(allocation)
    if options.json:
        emit(as_of(allocation_shape(one), one.as_of_position))
    else:
        show(allocation_sheet(one))
