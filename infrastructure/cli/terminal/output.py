"""What people and programs see: JSON, tables, sentences, a progress bar."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from holdbook.domain.allocation import AllocationState
from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.outcome import PoolStatus
    from holdbook.domain.limits import Limits

PROGRESS_AFTER_SECONDS: Final = 1.0
"""How long something takes before its progress is shown."""

_PIPE_COLUMNS: Final = 200
"""Width of a table that is not written to a terminal."""

STATE_STYLES: Final = {
    AllocationState.ACTIVE: "green",
    AllocationState.RESERVED: "yellow",
    AllocationState.EXPIRED: "magenta",
    AllocationState.RELEASED: "dim",
    AllocationState.VOIDED: "dim",
}


class Screen(Console):
    """A console that leaves it to the program what becomes of a reader that has gone."""

    def on_broken_pipe(self) -> None:
        """Raise the error that Rich would make an exit."""
        raise BrokenPipeError


def screen(*, errors: bool = False) -> Console:
    """Give the standard output, or the standard error, for people; names are shown as they are."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Screen(stderr=errors, width=width, markup=False, highlight=False, emoji=False)


def emit(value: object, *, errors: bool = False) -> None:
    """Print one JSON document on one line."""
    emit_line(json.dumps(value, ensure_ascii=False, default=str), errors=errors)


def emit_line(line: str, *, errors: bool = False) -> None:
    """Print a line that is JSON already."""
    print(line, file=sys.stderr if errors else sys.stdout)


def emit_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print a header and rows as CSV; what is null is empty."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def say(text: str | Text, *, errors: bool = False) -> None:
    """Print a sentence, as long as it is."""
    screen(errors=errors).print(text, soft_wrap=True)


def tell_failure(error: Exception, *, as_json: bool) -> None:
    """Say what failed, where the work goes on."""
    if as_json:
        emit({"error": {"type": type(error).__name__, "message": str(error)}}, errors=True)
    else:
        say(Text(str(error), style="red"), errors=True)


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


def show(thing: Table) -> None:
    """Print a table."""
    screen().print(thing)


# Words for values


def when(moment: datetime | None) -> str:
    """Say an instant in UTC, to the second; programs see the microseconds."""
    return "" if moment is None else f"{instant_text(moment)[:19].replace('T', ' ')}Z"


def holds(quantities: Mapping[str, int]) -> str:
    """Say quantities as the command line takes them."""
    return " ".join(f"{pool}={quantity}" for pool, quantity in sorted(quantities.items()))


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


def holds_tags(tags: Mapping[str, str]) -> str:
    """Say tags as the command line takes them."""
    return " ".join(f"{key}={value}" for key, value in sorted(tags.items()))


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


def brief(text: str, characters_max: int = 12) -> str:
    """Cut a long id for people, to its end, in which those that are near in time differ; programs see it whole."""
    return text if len(text) <= characters_max else f"…{text[1 - characters_max :]}"


# Progress


class ProgressBar:
    """A progress bar on the standard error, shown once the work has taken a while."""

    def __init__(self, console: Console, title: str, unit: str = "", clock: Callable[[], float] = monotonic) -> None:
        counts = [TextColumn("{task.fields[counts]}")] if unit else []
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), *counts
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task(title, total=None, counts="")
        self._unit = unit
        self._clock = clock
        self._since = clock()
        self._first: tuple[float, int] | None = None
        """When it was first told how much is done, and how much that was."""
        self._console = console
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Note how much is done."""
        if not self._console.is_terminal:
            return
        now = self._clock()
        if self._first is None or done < self._first[1]:
            self._first = now, done
        if now - self._since < PROGRESS_AFTER_SECONDS:
            return
        if not self._shown:
            self._shown = True
            self._progress.start()
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-3)
        counts = f"{done:,} of {total:,} {self._unit}, {rate:,.0f}/s"
        self._progress.update(self._task, completed=done, total=total, counts=counts)

    def close(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._progress.stop()


@contextmanager
def progress(title: str, *, silent: bool = False, unit: str = "") -> Iterator[Callable[[int, int], Any]]:
    """Give a function to tell of progress, shown to people at a terminal; with a unit, also how much, and how fast."""
    if silent:
        yield lambda *_: None
        return
    bar = ProgressBar(screen(errors=True), title, unit)
    try:
        yield bar
    finally:
        bar.close()
