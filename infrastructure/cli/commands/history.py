"""What auditors ask of the log: what happened, to what, by whose action, and what each event changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.domain.event_filter import EventFilter
from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TagOption
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
    for step in page:
        emit(page_step_shape(page, step))


def _tell(page: Page, *, alone: bool) -> None:
    if page:
        show(history_table(page, alone=alone))
    more = f"; go on with --after {page.next} --upto {page.position}" if page.next else ""
    say(f"{page_text(page)}{more}")
