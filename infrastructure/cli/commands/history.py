"""What auditors ask of the log: what happened, to what, by whose action, and what each event changed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from rich.table import Table
from rich.text import Text
from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.events import AllocationEvent, PoolOpened, Reclaimed, ValidationFailed
from holdbook.domain.refusals import RefusalCode, explain
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TagOption, command
from holdbook.infrastructure.cli.terminal.output import STATE_STYLES, brief, emit, progress, say, show, table, when
from holdbook.infrastructure.cli.terminal.parsing import moment, name, pairs
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes import step_shape
from holdbook.replay.history.stories import STEPS_MAX, Page, StoryStep, find

top = Typer()

JSON_STEPS: Final = 1000
"""How many events are read at a time for programs, which get them all."""


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """What events are to be about: all that is given holds."""

    pool: Annotated[str | None, Option(metavar="NAME", help="Only those of this pool, its refusals too.")] = None
    owner: Annotated[
        str | None, Option(metavar="NAME", help="Only what this owner holds, gets or hands over, or was refused.")
    ] = None
    tag: TagOption = None
    actor: Annotated[str | None, Option(metavar="NAME", help="Only what this actor's commands did.")] = None
    correlation: Annotated[str | None, Option(metavar="ID", help="Only commands with this id of correlation.")] = None
    between: Annotated[
        tuple[str, str] | None,
        Option(metavar="TIME TIME", help="Only what occurred from the first time on, before the second."),
    ] = None
    refused: Annotated[bool, Option("--refused", help="Only refusals.")] = False
    code: Annotated[str | None, Option(metavar="CODE", help="Only refusals with this code.")] = None

    def wanted(self, allocation: str | None) -> EventFilter:
        """Say what is wanted; raises `Malformed`, naming the option."""
        given = {"id": allocation, "pool": self.pool, "owner": self.owner, "actor": self.actor}
        for option, text in (given | {"correlation": self.correlation}).items():
            if text is not None:
                name(option, text)
        begin, end = (moment("between", text) for text in self.between) if self.between else (None, None)
        if begin and end and begin >= end:
            raise Malformed("between", self.between, "expected two times, the earlier one first")
        return EventFilter(
            allocation=allocation,
            pools=None if self.pool is None else frozenset({self.pool}),
            owner=self.owner,
            tags=pairs("tags", "KEY=VALUE", self.tag),
            actor=self.actor,
            correlation=self.correlation,
            since=begin,
            until=end,
            refused=self.refused,
            code=None if self.code is None else _code(self.code),
        )


def _code(text: str) -> RefusalCode:
    if text not in set(RefusalCode):
        raise Malformed("code", text, f"expected one of {', '.join(RefusalCode)}")
    return RefusalCode(text)


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Which part of an answer to print."""

    limit: Annotated[
        int | None, Option(metavar="N", min=1, help="At most so many events. Default: 100; with --json, all.")
    ] = None
    after: Annotated[int, Option(metavar="POSITION", min=0, help="Go on after this position.")] = 0
    upto: Annotated[
        int | None, Option(metavar="POSITION", min=0, help="Nothing beyond this position. Default: the log's end.")
    ] = None

    def pages(self, ledger: Ledger, wanted: EventFilter, size: int, *, silent: bool) -> Iterator[Page]:
        """Read the part, page by page, all as of the first one's position."""
        after, upto, left = self.after, self.upto, self.limit
        while True:
            limit = size if left is None else min(left, size)
            with progress("searching the log", silent=silent) as tell:
                page = find(ledger.log, wanted, after=after, limit=limit, upto=upto, progress=tell)
            yield page
            left = None if left is None else left - len(page)
            if page.next is None or left == 0:
                return
            after, upto = page.next, page.position


@command(
    top,
    "history",
    "holdbook history job-42",
    "holdbook history --pool gpu --refused --between 2026-01-31T08:00:00Z 2026-01-31T20:00:00Z",
    "holdbook history --owner trainer-17 --tag team=vision --json",
)
def history(
    allocation: Annotated[
        str | None, Argument(metavar="ID", help="Id of an allocation. Default: any.", show_default=False)
    ] = None,
    *,
    about: EventOptions,
    paging: PageOptions,
    options: CommonOptions,
) -> None:
    """Print everything that happened, refusals too, and what each event changed; of one allocation, or what is chosen.

    As JSON, one line an event. Its "next" is what to give to --after to go on behind it, null on the last one of all;
    "as_of_position" is what to give to --upto.
    """
    wanted = about.wanted(allocation)
    with options.open() as ledger:
        size = JSON_STEPS if options.json else paging.limit or STEPS_MAX
        pages = paging.pages(ledger, wanted, size, silent=options.json)
        page = next(pages)
        if not page and allocation is not None:
            ledger.history(allocation)  # raises `NotFound` if there is nothing about it at all
        if options.json:
            _emit(page)
            for more in pages:
                _emit(more)
        else:
            _tell(page, alone=allocation is not None)


def _emit(page: Page) -> None:
    for number, step in enumerate(page, start=1):
        following = page.next if number == len(page) else step.recorded.position
        emit({**step_shape(step), "as_of_position": page.position, "next": following})


def _tell(page: Page, *, alone: bool) -> None:
    if page:
        show(history_table(page, alone=alone))
    counted = f"{len(page):,} event{'s' * (len(page) != 1)}" if page else "no such events"
    more = f"; go on with --after {page.next} --upto {page.position}" if page.next else ""
    say(f"{counted}, as of position {page.position:,}{more}")


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
