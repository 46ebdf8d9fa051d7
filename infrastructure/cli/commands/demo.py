"""The command `demo`, which shows a newcomer what a ledger does."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from rich.text import Text
from typer import Option, Typer

from holdbook.infrastructure.cli.terminal.output import emit, say, show
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.tour import Clock, TourStep, tour
from holdbook.infrastructure.ledger import Ledger

top = Typer()


@command(top, "demo", "holdbook demo")
def demo(
    *, as_json: Annotated[bool, Option("--json", help="Print JSON Lines, for programs, one for each step.")] = False
) -> None:
    """Show what a ledger does, in a temporary one: a race, refusals, an expiry, a history, a verification.

    The tour needs no set-up, takes a few seconds and leaves nothing behind.
    """
    tell = _for_programs if as_json else _for_people
    clock = Clock()
    with (
        TemporaryDirectory(prefix="holdbook-demo-") as folder,
        Ledger.open(f"sqlite:///{Path(folder, 'tour.db')}", actor="tour-guide", clock=clock) as ledger,
    ):
        for number, step in enumerate(tour(ledger, clock), 1):
            tell(number, step)


def _for_programs(number: int, step: TourStep) -> None:
    emit({"number": number, "step": step.name, "title": step.title, **step.data})


def _for_people(number: int, step: TourStep) -> None:
    say(Text(f"{number}. {step.title}", style="bold cyan"))
    for words in step.words:
        say(words)
    if step.table:
        if step.words:
            say("")
        show(step.table)
    say("")
