"""Coming from the managers from before the ledger, and going back."""

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
from holdbook.infrastructure.interchange.adoption import Adopted, adopt
from holdbook.infrastructure.interchange.old_form import read_old_form
from holdbook.infrastructure.interchange.rollback import RolledBack, roll_back
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.opening import holds_ledger
from holdbook.infrastructure.presentation.shapes.operation import adopted_shape, rolled_back_shape
from holdbook.infrastructure.presentation.wording.operation import adopted_text, rolled_back_lines

top = Typer()


@dataclass(frozen=True, kw_only=True)
class AdoptOptions(WriteOptions):
    """What an adoption takes."""

    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be taken over; record nothing.")] = False


@command(top, "adopt", "holdbook adopt held.jsonl --dry-run", "holdbook adopt held.jsonl")
def adopt_file(
    file: Annotated[str, Argument(metavar="FILE", help="JSON Lines; - for the standard input.", show_default=False)],
    *,
    options: AdoptOptions,
) -> None:
    """Take over what an old manager holds; makes the database if it is not there.

    The file is in the old form: limits, then allocations. All of it is recorded in one transaction, or nothing: a line
    that is malformed, that contradicts another, or that the ledger does not grant stops it. Adopting a file twice
    changes nothing.
    """
    name = "<stdin>" if file == STANDARD_INPUT else file
    with readable(file) as (source, _), progress("adopting", silent=options.json, unit="lines") as tell:
        state = read_old_form(source, name)
        there = holds_ledger(options.url)
        if not there:  # so that no database is made for a file that it cannot take
            with Ledger.in_memory(actor=options.who) as trial:
                adopted = adopt(trial, state, system_clock(), progress=tell)
        if there or not options.dry_run:
            with options.open_as_actor(create=not there) as ledger:
                adopted = adopt(ledger, state, system_clock(), rehearse=options.dry_run, progress=tell)
                if not options.dry_run:
                    catch_up(ledger, tell)
    _tell_adopted(adopted, options)


def _tell_adopted(adopted: Adopted, options: AdoptOptions) -> None:
    if options.json:
        emit(adopted_shape(adopted, dry_run=options.dry_run))
    else:
        say(adopted_text(adopted, dry_run=options.dry_run))


@command(top, "rollback", 'holdbook rollback held.jsonl --reason "back to the old managers"')
def rollback(
    file: Annotated[Path, Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    reason: ReasonOption = None,
    *,
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
    options: WriteOptions,
) -> None:
    """Close the ledger to new grants, for ever, and write what is held in the old form.

    The file is written whole or not at all. What the old form has no words for, reservations and allocations over
    several pools, is listed, and stops it before the ledger is closed. Again, it writes what is held by then.
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
    _tell_rolled_back(done, file, options)


def _tell_rolled_back(done: RolledBack, file: Path, options: WriteOptions) -> None:
    if options.json:
        emit(rolled_back_shape(done, str(file)))
    else:
        say_all(rolled_back_lines(done, str(file)))
