"""Tables and sheets for people, and the words for the values in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table
from rich.text import Text

from holdbook.domain.allocation import AllocationState
from holdbook.domain.events import AllocationEvent, PoolOpened, Reclaimed, ValidationFailed
from holdbook.domain.refusals import explain
from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

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


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = ()) -> Table:
    """Lay rows out: no cell is cut short, and a column that is empty throughout is left out."""
    laid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    cells = list(zip(*rows, strict=True))
    kept = [number for number, column in enumerate(cells) if any(map(str, column))]
    for number in kept:
        laid.add_column(columns[number], justify="right" if columns[number] in right else "left", overflow="fold")
    for row in zip(*(cells[number] for number in kept), strict=True):
        laid.add_row(*row)
    return laid


def sheet(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Lay names and values out, one below the other."""
    laid = Table.grid(padding=(0, 2))
    laid.add_column(style="bold", no_wrap=True)
    laid.add_column(overflow="fold")
    for name, value in rows:
        laid.add_row(name, value)
    return laid


def when(moment: datetime | None) -> str:
    """Say an instant in UTC, to the second; programs see the microseconds."""
    return "" if moment is None else f"{instant_text(moment)[:19].replace('T', ' ')}Z"


def holds(quantities: Mapping[str, int]) -> str:
    """Say quantities as the command line takes them."""
    return " ".join(f"{pool}={quantity}" for pool, quantity in sorted(quantities.items()))


def holds_tags(tags: Mapping[str, str]) -> str:
    """Say tags as the command line takes them."""
    return " ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def brief(text: str, characters_max: int = 12) -> str:
    """Cut a long id for people, to its end, in which those that are near in time differ; programs see it whole."""
    return text if len(text) <= characters_max else f"…{text[1 - characters_max :]}"


# Pools and allocations


def pool_table(pools: Iterable[PoolStatus]) -> Table:
    """Lay pools out."""
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
    """Lay limits out under the names that the options have."""
    present = limits.model_dump(mode="json")
    rows = [(name.replace("_", "-"), "none" if value is None else str(value)) for name, value in present.items()]
    return sheet([*rows, ("capacity", str(limits.capacity))])


def allocation_table(allocations: Iterable[Allocation]) -> Table:
    """Lay allocations out."""
    columns = ("allocation", "owner", "state", "holds", "since", "until", "ended", "tags")
    rows = (
        (
            one.id,
            one.owner,
            Text(one.state.value, style=STATE_STYLES[one.state]),
            holds(one.quantities),
            when(one.opened_at),
            when(one.deadline),
            when(one.ended_at),
            holds_tags(one.tags),
        )
        for one in allocations
    )
    return table(columns, rows)


def allocation_sheet(one: Allocation) -> Table:
    """Lay one allocation out."""
    rows: list[tuple[str, str | Text]] = [
        ("allocation", one.id),
        ("owner", one.owner),
        ("state", Text(one.state.value, style=STATE_STYLES[one.state])),
        ("holds" if one.state.is_open else "held", holds(one.quantities)),
        ("since", when(one.opened_at)),
        ("until", when(one.deadline) or "released"),
        ("ended", when(one.ended_at)),
        ("reason", one.reason or ""),
        ("token", str(one.token)),
        ("tags", holds_tags(one.tags)),
    ]
    return sheet((name, value) for name, value in rows if value)


# The history


def history_table(steps: Iterable[StoryStep], *, alone: bool = True) -> Table:
    """Lay events out; of one allocation alone, without its id."""
    columns = ("position", "occurred at", "event", "allocation", "pool", "", "state", "actor", "command")
    return table(columns, (_row(one, alone=alone) for one in steps), right=("position",))


def _row(step: StoryStep, *, alone: bool) -> tuple[str | Text, ...]:
    one, event = step.recorded, step.recorded.event
    refused = isinstance(event, ValidationFailed)
    return (
        str(one.position),
        when(one.occurred_at),
        Text("Refused" if refused else type(event).__name__, style="red" if refused else ""),
        "" if alone else event.subject or "",
        getattr(event, "pool", None) or "",
        _what(step),
        _state(step),
        one.actor or "",
        f"{step.command} {brief(one.command_id)}",
    )


def _state(step: StoryStep) -> Text:
    """Say the allocation's state, and what it was before if that changed."""
    if step.after is None:
        return Text()
    text = Text(step.after.state.value, style=STATE_STYLES[step.after.state])
    if step.before is not None and step.before.state is not step.after.state:
        return Text.assemble((step.before.state.value, STATE_STYLES[step.before.state]), " → ", text)
    return text


def _what(step: StoryStep) -> Text:
    """Say in words what an event adds to its name; what it changed has what it was before, and an arrow."""
    event = step.recorded.event
    if isinstance(event, ValidationFailed):
        return Text(explain(event.code, event.data))
    if isinstance(event, Reclaimed):
        had = "was never granted" if event.state is None else f"had {_HAD[event.state]}"
        return Text(", ".join(filter(None, (f"what was really held was taken back: its right {had}", event.reason))))
    parts = _hold(step, event) if isinstance(event, AllocationEvent) else _pool(step)
    reason = [] if step.reason is None else [Text(step.reason)]
    return Text(", ").join([*parts, *reason])


_HAD: Final = {"released": "been released", "voided": "been voided", "expired": "expired"}
"""How a right had ended, in words."""


def _hold(step: StoryStep, event: AllocationEvent) -> Iterator[Text]:
    before = step.before
    quantity, owner = (None, None) if before is None else (str(before.quantities.get(event.pool)), before.owner)
    yield Text.assemble(_arrow(quantity, str(event.quantity)), " for ", _arrow(owner, event.owner))
    if getattr(event, "forced", False):
        yield Text("by force")
    if not hasattr(event, "deadline"):
        return  # it leaves the deadline as it was
    until = None if before is None else _until(before.deadline)
    if event.deadline is not None or (before is not None and before.deadline is not None):
        yield Text.assemble("until ", _arrow(until, _until(event.deadline)))


def _until(deadline: datetime | None) -> str:
    return when(deadline) or "released"


def _pool(step: StoryStep) -> Iterator[Text]:
    for field, change in step.changes.items():
        if field.startswith("limits."):
            before, after = ("none" if value is None else str(value) for value in change)
            opened = isinstance(step.recorded.event, PoolOpened)
            yield Text.assemble(f"{field.removeprefix('limits.')} ", _arrow(None if opened else before, after))


def _arrow(before: str | None, after: str) -> Text:
    return Text(after) if before in {None, after} else Text.assemble(f"{before} ", (f"→ {after}", "bold"))
