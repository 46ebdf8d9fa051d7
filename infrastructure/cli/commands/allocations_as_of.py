"""What auditors ask: who holds what, now or as of any moment."""

from enum import StrEnum
from typing import Annotated

from typer import Option, Typer

from holdbook.domain.allocation import Allocation, AllocationState
from holdbook.domain.answers import Answer
from holdbook.domain.handling.named_queries import select
from holdbook.infrastructure.cli.terminal.options import AllocationId, CommonOptions, MomentOptions, TagOption
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
        return None if self in {StateChoice.OPEN, StateChoice.ALL} else AllocationState(self.value)

    @property
    def is_open(self) -> bool:
        """Tell whether only what is held is wanted."""
        return self is StateChoice.OPEN or (self.state is not None and self.state.is_open)


@command(
    top,
    "allocations",
    "holdbook allocations --owner trainer-17",
    "holdbook allocations --pool gpu --state all --as-of 2026-01-31T14:03:00Z --json",
)
def allocations(  # noqa: PLR0913 - a filter each
    owner: Annotated[str | None, Option(metavar="NAME", help="Only this owner's.")] = None,
    pool: Annotated[str | None, Option(metavar="NAME", help="Only those that hold something of this pool.")] = None,
    tag: TagOption = None,
    state: Annotated[
        StateChoice, Option(help="Only those in this state; open is reserved or active.")
    ] = StateChoice.OPEN,
    *,
    past: MomentOptions,
    options: CommonOptions,
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
            emit(as_of(allocation_shape(one), found.position))
        return
    if found:
        show(allocation_table(found))
    say(allocations_text(len(found)))


@command(top, "show", "holdbook show job-42 --json")
def show_allocation(allocation: AllocationId, options: CommonOptions) -> None:
    """Print one allocation, open or ended; as JSON, one document."""
    allocation = name("ID", allocation)
    with options.open() as ledger:
        one = ledger.allocation(allocation)
    if options.json:
        emit(as_of(allocation_shape(one), one.as_of_position))
    else:
        show(allocation_sheet(one))
