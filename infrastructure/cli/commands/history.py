"""The command `history`: what happened, to what, by whose action, and what each event changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TagFilter
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, show
from holdbook.infrastructure.cli.terminal.parsing import moment, name, pairs
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import history_table
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes.history import page_step_shape
from holdbook.infrastructure.presentation.wording.history import page_text
from holdbook.replay.history.stories import STEPS_MAX, Page, find

top = Typer()

JSON_STEPS: Final = 1000
"""How many events are read at a time where all of them are printed as JSON."""


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """The options that choose events; an event must fit all that are given."""

    pool: Annotated[str | None, Option(metavar="NAME", help="Only events of this pool, refusals by it too.")] = None
    owner: Annotated[
        str | None, Option(metavar="NAME", help="Only what this owner holds, gets, hands over or was refused.")
    ] = None
    tag: TagFilter = None
    actor: Annotated[str | None, Option(metavar="NAME", help="Only what this actor's commands did.")] = None
    correlation: Annotated[
        str | None, Option(metavar="ID", help="Only what commands with this correlation id did.")
    ] = None
    between: Annotated[
        tuple[str, str] | None,
        Option(metavar="TIME TIME", help="Only what occurred from the first time on and before the second."),
    ] = None
    refused: Annotated[bool, Option("--refused", help="Only refusals.")] = False
    code: Annotated[str | None, Option(metavar="CODE", help="Only refusals with this code.")] = None

    def event_filter(self, allocation: str | None) -> EventFilter:
        """Make the filter, for one allocation or for all; raises `Malformed`, which names the option."""
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
    """The options that choose which part of the events to print."""

    limit: Annotated[
        int | None, Option(metavar="N", min=1, help="The most events to print. Default: 100, or with --json, all.")
    ] = None
    after: Annotated[int, Option(metavar="POSITION", min=0, help="Begin after this position of the log.")] = 0
    upto: Annotated[
        int | None, Option(metavar="POSITION", min=0, help="Nothing after this position of the log. Default: its end.")
    ] = None

    def pages(self, ledger: Ledger, chosen: EventFilter, size: int, *, silent: bool) -> Iterator[Page]:
        """Read that part in pages of at most ``size`` events, all true at the position of the first page."""
        after, upto, left = self.after, self.upto, self.limit
        while True:
            limit = size if left is None else min(left, size)
            with progress("searching the log", silent=silent) as tell:
                page = find(ledger.log, chosen, after=after, limit=limit, upto=upto, progress=tell)
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
        str | None, Argument(metavar="ID", help="Id of an allocation. Default: all.", show_default=False)
    ] = None,
    *,
    about: EventOptions,
    paging: PageOptions,
    options: CommonOptions,
) -> None:
    """Show what happened, refusals too, and what each event changed: to one allocation, or to all that are chosen.

    As JSON, one line for each event. To go on after it, give its "next" to --after and its "as_of_position" to --upto;
    "next" is null for the last event of all.
    """
    chosen = about.event_filter(allocation)
    with options.open() as ledger:
        size = JSON_STEPS if options.json else paging.limit or STEPS_MAX
        pages = paging.pages(ledger, chosen, size, silent=options.json)
        page = next(pages)
        if not page and allocation is not None:
            ledger.history(allocation)  # raises `NotFound` if there is nothing about it at all
        if options.json:
            _print_json(page)
            for more in pages:
                _print_json(more)
        else:
            _print(page, alone=allocation is not None)


def _print_json(page: Page) -> None:
    for step in page:
        emit(page_step_shape(page, step))


def _print(page: Page, *, alone: bool) -> None:
    if page:
        show(history_table(page, alone=alone))
    more = f"; go on with --after {page.next} --upto {page.position}" if page.next else ""
    say(f"{page_text(page)}{more}")
