"""Issuing one command and saying what became of it."""

from __future__ import annotations

from concurrent import futures
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.text import Text
from typer import Exit

from holdbook.domain.commands import Allocate, Command, Expire, Reserve
from holdbook.domain.errors import HoldbookError, Refused
from holdbook.infrastructure.cli.terminal.output import emit, progress, say
from holdbook.infrastructure.cli.terminal.tables import holds, when
from holdbook.infrastructure.presentation.shapes.ledger import outcome_shape, refusal_shape
from holdbook.infrastructure.telemetry.logging import get_logger
from holdbook.projections.engine import no_progress

if TYPE_CHECKING:
    from holdbook.domain.allocation import Allocation
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.infrastructure.cli.terminal.options import CommandOptions
    from holdbook.infrastructure.ledger import Ledger
    from holdbook.projections.engine import Progress

_TELL_SECONDS: Final = 0.5
"""How often to tell how long a command has been waiting."""

logger = get_logger()

DONE: Final = {
    "open_pool": "opened",
    "change_limits": "changed",
    "close_pool": "closed",
    "close_ledger": "closed",
    "allocate": "granted",
    "reserve": "reserved",
    "confirm": "confirmed",
    "void": "voided",
    "renew": "renewed",
    "resize": "resized",
    "transfer": "transferred",
    "release": "released",
    "expire": "expired",
}
"""What to say of each command once it is done."""


def issue(options: CommandOptions, command: Command, *, create: bool = False) -> None:
    """Open the ledger, decide a command, and say what became of it."""
    with options.open_as_actor(create=create and not options.dry_run) as ledger:
        decide(ledger, options, command)


def decide(ledger: Ledger, options: CommandOptions, command: Command) -> None:
    """Decide a command, or look what would become of it, and say so. Raises `Refused`, and `Exit` for a dry run."""
    outcome = ledger.check(command) if options.dry_run else execute(ledger, command, silent=options.json)
    if outcome.refusal is not None:
        tell_refusal(outcome.refusal, as_json=options.json, dry_run=True)
        raise Exit(1)
    if options.json:
        emit(outcome_shape(command, outcome, dry_run=options.dry_run))
    else:
        say(sentence(command, outcome, dry_run=options.dry_run))


def execute(ledger: Ledger, command: Command, *, silent: bool) -> Outcome:
    """Decide a command and bring the views up to date, refused or not."""
    try:
        outcome = ledger.execute(command) if vars(command).get("wait") is None else wait(ledger, command, silent=silent)
    except Refused:
        catch_up(ledger)
        raise
    catch_up(ledger)
    return outcome


def wait(ledger: Ledger, command: Command, *, silent: bool) -> Outcome:
    """Decide a command that may wait, and show people how much of its time is over. Raises `Refused`."""
    seconds, since = vars(command)["wait"].total_seconds(), monotonic()
    promise = ledger.submit(command)
    with progress("waiting", silent=silent) as tell:
        try:
            while not promise.done():
                tell(int(monotonic() - since), ceil(seconds))
                futures.wait([promise], timeout=_TELL_SECONDS)
        except BaseException:  # an interrupt: it leaves the queue
            promise.cancel()
            raise
    outcome = promise.result()
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome


def catch_up(ledger: Ledger, progress: Progress = no_progress) -> None:
    """Bring the views up to date; what was decided stands even if that fails."""
    try:
        ledger.projector().catch_up(progress)
    except HoldbookError as error:
        logger.warning(
            "views_behind",
            error=str(error),
            way_out="the next command that may write brings them up to date",
        )


def tell_refusal(refusal: Refused, *, as_json: bool, dry_run: bool = False) -> None:
    """Say that a command was refused: to programs as its outcome, to people as an error."""
    if as_json:
        emit(refusal_shape(refusal, dry_run=dry_run))
    else:
        say(f"it would be {refusal}" if dry_run else str(refusal), errors=True)


def sentence(command: Command, outcome: Outcome, *, dry_run: bool) -> Text:
    """Say for people what became of a command."""
    said = f"{DONE[command.verb]}: {_object(command, outcome, dry_run=dry_run)}"
    text = Text(f"would be {said}" if dry_run else said)
    if outcome.repeated:
        text.append(f" (decided before{_since(command, outcome)}; nothing is recorded anew)", style="yellow")
    return text


def _since(command: Command, outcome: Outcome) -> str:
    """Say what has become of the allocation since, if it has ended otherwise than by this command."""
    one = outcome.allocation
    ended = one is not None and not one.state.is_open and one.state.value != DONE[command.verb]
    return f", {one.state.value} since" if one is not None and ended else ""


def _object(command: Command, outcome: Outcome, *, dry_run: bool) -> str:
    if outcome.allocation is not None:
        return _allocation(outcome.allocation, command if dry_run else None)
    if isinstance(command, Expire):
        return ", ".join(outcome.expired) or "nothing is due"
    name = f"pool {getattr(command, 'pool', '')}"
    pool = None if dry_run else outcome.pool
    return f"{name}: capacity {pool.capacity}, used {pool.used}, free {pool.free} {pool.unit}" if pool else name


def _allocation(one: Allocation, tried: Command | None) -> str:
    """Say an allocation; of a grant that was only tried, not the id and token that nobody will see again."""
    until = f" until {when(one.deadline)}" if one.deadline and one.state.is_open else ""
    content = f"{holds(one.quantities)} for {one.owner}{until}"
    if isinstance(tried, Allocate | Reserve):
        return content
    return f"{one.id}: {content} (token {one.token})" if one.state.is_open else f"{one.id}: {content}"
