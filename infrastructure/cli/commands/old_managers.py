"""The commands `adopt` and `rollback`, which take over from an old manager and hand back to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.issue import catch_up
from holdbook.infrastructure.cli.terminal.files import STANDARD_INPUT, readable, whole_file
from holdbook.infrastructure.cli.terminal.options import ReasonOption, WriteOptions
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, say_all
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.interchange.adoption import adopt
from holdbook.infrastructure.interchange.old_form import read_old_form
from holdbook.infrastructure.interchange.rollback import roll_back
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.opening import holds_ledger
from holdbook.infrastructure.presentation.shapes.operation import adopted_shape, rolled_back_shape
from holdbook.infrastructure.presentation.wording.operation import adopted_text, rolled_back_lines

top = Typer()


@dataclass(frozen=True, kw_only=True)
class AdoptOptions(WriteOptions):
    """The options of `adopt`."""

    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be taken over, and record nothing.")] = False


@command(top, "adopt", "holdbook adopt held.jsonl --dry-run", "holdbook adopt held.jsonl")
def adopt_file(
    file: Annotated[
        str, Argument(metavar="FILE", help="File with JSON Lines; - for the standard input.", show_default=False)
    ],
    *,
    options: AdoptOptions,
) -> None:
    """Take over what an old manager holds; if there is no database yet, make one.

    The file is in the form of the old managers: limits, then allocations. All of it is recorded in one transaction, or
    nothing: a line that is malformed, that contradicts another line, or that the ledger does not grant stops it.
    Adopting a file twice changes nothing.
    """
    name = "<stdin>" if file == STANDARD_INPUT else file
    with readable(file) as (source, _), progress("adopting", silent=options.json, unit="lines") as tell:
        state = read_old_form(source, name)
        there = holds_ledger(options.url)
        if not there:  # first in memory, so that no database is made for a file that the ledger cannot take
            with Ledger.in_memory(actor=options.who) as trial:
                adopted = adopt(trial, state, system_clock(), progress=tell)
        if there or not options.dry_run:
            with options.open_as_actor(create=not there) as ledger:
                adopted = adopt(ledger, state, system_clock(), rehearse=options.dry_run, progress=tell)
                if not options.dry_run:
                    catch_up(ledger, tell)
    if options.json:
        emit(adopted_shape(adopted, dry_run=options.dry_run))
    else:
        say(adopted_text(adopted, dry_run=options.dry_run))


@command(top, "rollback", 'holdbook rollback held.jsonl --reason "back to the old managers"')
def rollback(
    file: Annotated[Path, Argument(metavar="FILE", help="File to write.", show_default=False)],
    reason: ReasonOption = None,
    *,
    force: Annotated[bool, Option("--force", help="Overwrite a file that exists.")] = False,
    options: WriteOptions,
) -> None:
    """Close the ledger to new grants, for ever, and write what is held in the form of the old managers.

    The file is written whole or not at all. That form has no words for reservations, nor for allocations from several
    pools: if there are any, they are listed, and nothing is closed or written. Run again later, it writes what is held
    by then.
    """
    if not force and file.exists():
        raise Malformed("FILE", str(file), "expected a file that is not there yet, or --force with it")
    with options.open_as_actor() as ledger:
        with (
            progress("writing", silent=options.json, unit="lines") as tell,
            whole_file("FILE", file) as written,
        ):
            done = roll_back(ledger, written, system_clock, reason=reason, progress=tell)
        catch_up(ledger)
    if options.json:
        emit(rolled_back_shape(done, str(file)))
    else:
        say_all(rolled_back_lines(done, str(file)))
