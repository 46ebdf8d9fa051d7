"""Issues one command of the ledger and prints what became of it."""

from __future__ import annotations

from concurrent import futures
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from typer import Exit

from holdbook.domain.errors import HoldbookError, Refused
from holdbook.infrastructure.cli.terminal.output import emit, progress, say
from holdbook.infrastructure.presentation.shapes.ledger import outcome_shape, refusal_shape
from holdbook.infrastructure.presentation.wording.ledger import outcome_text, refusal_text
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.projections.engine import no_progress

if TYPE_CHECKING:
    from holdbook.domain.commands import Command
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.infrastructure.cli.terminal.options import CommandOptions
    from holdbook.infrastructure.ledger import Ledger
    from holdbook.projections.engine import Progress

_TELL_SECONDS: Final = 0.5
"""Seconds between two reports of how long a command has been waiting."""

logger = get_logger()


def issue(options: CommandOptions, command: Command, *, create: bool = False) -> None:
    """Open the ledger, decide a command, and print what became of it; with ``create``, make a ledger if there is none.

    Raises what `decide` raises.
    """
    with options.open_as_actor(create=create and not options.dry_run) as ledger:
        decide(ledger, options, command)


def decide(ledger: Ledger, options: CommandOptions, command: Command) -> None:
    """Decide a command, or in a dry run find out what would become of it, and print that.

    Raises `Refused` if it is refused, and `Exit` if it would be.
    """
    outcome = ledger.check(command) if options.dry_run else execute(ledger, command, silent=options.json)
    if outcome.refusal is not None:
        tell_refusal(outcome.refusal, as_json=options.json, dry_run=True)
        raise Exit(1)
    if options.json:
        emit(outcome_shape(command, outcome, dry_run=options.dry_run))
    else:
        say(outcome_text(command, outcome, dry_run=options.dry_run))


def execute(ledger: Ledger, command: Command, *, silent: bool) -> Outcome:
    """Decide a command, and bring the views up to date whether it is refused or not. Raises `Refused`."""
    try:
        outcome = ledger.execute(command) if vars(command).get("wait") is None else wait(ledger, command, silent=silent)
    except Refused:
        catch_up(ledger)
        raise
    catch_up(ledger)
    return outcome


def wait(ledger: Ledger, command: Command, *, silent: bool) -> Outcome:
    """Decide a command that may wait, and show how much of its time is over. Raises `Refused`."""
    seconds, since = vars(command)["wait"].total_seconds(), monotonic()
    promise = ledger.submit(command)
    with progress("waiting", silent=silent) as tell:
        try:
            while not promise.done():
                tell(int(monotonic() - since), ceil(seconds))
                futures.wait([promise], timeout=_TELL_SECONDS)
        except BaseException:  # an interrupt: the command leaves the queue
            promise.cancel()
            raise
    outcome = promise.result()
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome


def catch_up(ledger: Ledger, progress: Progress = no_progress) -> None:
    """Bring the views up to date; if that fails, log a warning, since what was decided stands all the same."""
    try:
        ledger.projector().catch_up(progress)
    except HoldbookError as error:
        logger.warning(
            "views_behind",
            error=str(error),
            way_out="the next command that may write brings them up to date",
        )


def tell_refusal(refusal: Refused, *, as_json: bool, dry_run: bool = False) -> None:
    """Print that a command was refused: for programs as its outcome, for people on the standard error."""
    if as_json:
        emit(refusal_shape(refusal, dry_run=dry_run))
    else:
        say(refusal_text(refusal, dry_run=dry_run), errors=True)
