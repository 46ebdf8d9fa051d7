"""Tables for people: pools, limits, allocations and histories, each with its columns and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table
from rich.text import Text

from holdbook.domain.allocation import AllocationState
from holdbook.domain.events import ValidationFailed
from holdbook.infrastructure.cli.terminal.output import styled
from holdbook.infrastructure.presentation.wording.history import event_text
from holdbook.infrastructure.presentation.wording.values import quantities_text, tags_text, time_to_second

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.outcome import PoolStatus
    from holdbook.domain.limits import Limits
    from holdbook.replay.history.stories import StoryStep

STATE_STYLES: Final = {
    AllocationState.ACTIVE: "green",
    AllocationState.RESERVED: "yellow",
    AllocationState.EXPIRED: "magenta",
    AllocationState.RELEASED: "dim",
    AllocationState.VOIDED: "dim",
}
"""The style in which the terminal shows each state."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = ()) -> Table:
    """Make a table: no cell is cut short, and a column whose cells are all empty is left out."""
    laid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    cells = list(zip(*rows, strict=True))
    kept = [number for number, column in enumerate(cells) if any(map(str, column))]
    for number in kept:
        laid.add_column(columns[number], justify="right" if columns[number] in right else "left", overflow="fold")
    for row in zip(*(cells[number] for number in kept), strict=True):
        laid.add_row(*row)
    return laid


def sheet(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Make a table of names and their values, one below the other, without a head."""
    laid = Table.grid(padding=(0, 2))
    laid.add_column(style="bold", no_wrap=True)
    laid.add_column(overflow="fold")
    for name, value in rows:
        laid.add_row(name, value)
    return laid


def brief(text: str, characters_max: int = 12) -> str:
    """Cut a long id to its end: fresh ids that were made at about the same time differ only there."""
    return text if len(text) <= characters_max else f"…{text[1 - characters_max :]}"


def pool_table(pools: Iterable[PoolStatus]) -> Table:
    """Make a table of pools."""
    columns = ("pool", "type", "unit", "capacity", "used", "free", "full", "allocations", "")
    rows = (
        (
            one.name,
            one.resource_type,
            one.unit,
            f"{one.capacity:,}",
            f"{one.used:,}",
            f"{one.free:,}",
            f"{one.used / one.capacity:.0%}" if one.capacity else "",
            f"{one.allocations:,}",
            Text("closed", style="magenta") if one.closed else "",
        )
        for one in pools
    )
    return table(columns, rows, right=("capacity", "used", "free", "full", "allocations"))


def limits_sheet(limits: Limits) -> Table:
    """Make a table of a pool's limits, by the names of the options that set them."""
    present = limits.model_dump(mode="json")
    rows = [(name.replace("_", "-"), "none" if value is None else str(value)) for name, value in present.items()]
    return sheet([*rows, ("capacity", str(limits.capacity))])


def allocation_table(allocations: Iterable[Allocation]) -> Table:
    """Make a table of allocations."""
    columns = ("allocation", "owner", "state", "holds", "since", "until", "ended", "tags")
    rows = (
        (
            one.id,
            one.owner,
            Text(one.state.value, style=STATE_STYLES[one.state]),
            quantities_text(one.quantities),
            time_to_second(one.opened_at),
            time_to_second(one.deadline),
            time_to_second(one.ended_at),
            tags_text(one.tags),
        )
        for one in allocations
    )
    return table(columns, rows)


def allocation_sheet(one: Allocation) -> Table:
    """Make a table of one allocation's fields."""
    rows: list[tuple[str, str | Text]] = [
        ("allocation", one.id),
        ("owner", one.owner),
        ("state", Text(one.state.value, style=STATE_STYLES[one.state])),
        ("holds" if one.state.is_open else "held", quantities_text(one.quantities)),
        ("since", time_to_second(one.opened_at)),
        ("until", time_to_second(one.deadline) or "released"),
        ("ended", time_to_second(one.ended_at)),
        ("reason", one.reason or ""),
        ("token", str(one.token)),
        ("tags", tags_text(one.tags)),
    ]
    return sheet((name, value) for name, value in rows if value)


def history_table(steps: Iterable[StoryStep], *, alone: bool = True) -> Table:
    """Make a table of events; if all are of one allocation, without a column for its id."""
    columns = ("position", "occurred at", "event", "allocation", "pool", "", "state", "actor", "command")
    return table(columns, (_row(one, alone=alone) for one in steps), right=("position",))


def _row(step: StoryStep, *, alone: bool) -> tuple[str | Text, ...]:
    one, event = step.recorded, step.recorded.event
    refused = isinstance(event, ValidationFailed)
    return (
        str(one.position),
        time_to_second(one.occurred_at),
        Text("Refused" if refused else type(event).__name__, style="red" if refused else ""),
        "" if alone else event.subject or "",
        getattr(event, "pool", None) or "",
        styled(event_text(step)),
        _state(step),
        one.actor or "",
        f"{step.command} {brief(one.command_id)}",
    )


def _state(step: StoryStep) -> Text:
    """Show the state of an allocation after an event, and the state before it if that was another."""
    if step.after is None:
        return Text()
    text = Text(step.after.state.value, style=STATE_STYLES[step.after.state])
    if step.before is not None and step.before.state is not step.after.state:
        return Text.assemble((step.before.state.value, STATE_STYLES[step.before.state]), " → ", text)
    return text
