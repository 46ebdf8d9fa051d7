"""The commands `import`, for workloads, and `export`, for the log."""

from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, TextIO

from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.issue import catch_up
from holdbook.infrastructure.cli.terminal.files import STANDARD_INPUT, readable, whole_file
from holdbook.infrastructure.cli.terminal.options import CommonOptions, WriteOptions
from holdbook.infrastructure.cli.terminal.output import emit, emit_line, progress, say, show
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import sheet
from holdbook.infrastructure.interchange.export import export_lines
from holdbook.infrastructure.interchange.workload import BATCH_COMMANDS, Summary, read_lines, run_workload
from holdbook.infrastructure.presentation.shapes.operation import exported_shape, imported_shape
from holdbook.infrastructure.presentation.wording.operation import bundle_text, exported_text
from holdbook.infrastructure.seals.prover import Prover

top = Typer()


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CommonOptions):
    """The options of `export`."""

    proofs: Annotated[
        bool, Option("--proofs", help="Write a bundle, which `verify-bundle` checks without a database.")
    ] = False
    checkpoint: Annotated[
        int | None, Option(metavar="NUMBER", min=1, help="With --proofs: number of the checkpoint. Default: the last.")
    ] = None


@command(top, "import", "holdbook import workload.jsonl", "generate | holdbook import - --json")
def import_workload(
    file: Annotated[
        str, Argument(metavar="FILE", help="File with JSON Lines; - for the standard input.", show_default=False)
    ],
    batch: Annotated[
        int, Option(min=1, max=10_000, help="How many commands to decide in one transaction.")
    ] = BATCH_COMMANDS,
    *,
    options: WriteOptions,
) -> None:
    """Run the commands of a recorded workload; if there is no database yet, make one.

    Importing a file twice, or again after an interruption, changes nothing of what is recorded. Refusals are recorded
    and counted. A malformed line, or a command id that another command had, stops the import, and nothing of its batch
    is recorded. As JSON, one document that counts what was newly decided; "repeated" counts commands decided before.
    """
    name = "<stdin>" if file == STANDARD_INPUT else file
    with readable(file) as (source, size), progress("importing", silent=options.json) as tell:
        lines = read_lines(source, name)
        first = list(islice(lines, 1))  # if that is malformed, no database is made
        with options.open_as_actor(create=True) as ledger:

            def read() -> None:
                if size:
                    tell(source.tell(), size)

            summary = run_workload(ledger, chain(first, lines), name, batch_commands=batch, progress=read)
            catch_up(ledger, tell)
    _print_summary(summary, as_json=options.json)


def _print_summary(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        emit(imported_shape(summary))
    else:
        show(sheet((name.replace("_", " "), f"{value:,}") for name, value in asdict(summary).items()))


@command(
    top,
    "export",
    "holdbook export --from 1 --to 1000",
    "holdbook export --output events.jsonl",
    "holdbook export --proofs --from 1 --to 1000 --output events.bundle",
)
def export(
    first: Annotated[int, Option("--from", metavar="POSITION", min=1, help="Position of the first event.")] = 1,
    last: Annotated[
        int | None,
        Option("--to", metavar="POSITION", min=1, help="Position of the last event. Default: the end of the log."),
    ] = None,
    output: Annotated[Path | None, Option(metavar="FILE", help="Write to this file, whole or not at all.")] = None,
    *,
    options: ExportOptions,
) -> None:
    """Write events as JSON Lines: every column of the log by its name, hashes in hexadecimal digits.

    With --proofs, write a bundle: events that a signed checkpoint covers, and the proof of that.
    """
    if options.checkpoint is not None and not options.proofs:
        raise Malformed("--checkpoint", options.checkpoint, "expected --proofs with it")
    with options.open() as ledger:
        if options.proofs:
            _export_bundle(Prover(ledger), (first, last, options.checkpoint), output, options)
            return
        if output is None:
            for line in export_lines(ledger.log, first, last):
                emit_line(line)
            return
        with progress("exporting", silent=options.json) as tell, whole_file("--output", output) as file:
            events = sum(_write_line(file, line) for line in export_lines(ledger.log, first, last, tell))
    if options.json:
        emit(exported_shape(events, str(output)))
    else:
        say(exported_text(events, str(output)))


def _export_bundle(
    prover: Prover, chosen: tuple[int, int | None, int | None], output: Path | None, options: CommonOptions
) -> None:
    """Write a bundle of the events from the first to the last one chosen, with the checkpoint chosen."""
    if output is None:
        raise Malformed("--output", output, "expected a file to write the bundle to")
    with progress("exporting", silent=options.json, unit="events") as tell, whole_file("--output", output) as file:
        lines = sum(_write_line(file, line.decode()[:-1]) for line in prover.bundle(*chosen, tell))
    events = lines - 1  # the first line tells of the checkpoint
    if options.json:
        emit(exported_shape(events, str(output)))
    else:
        say(bundle_text(events, str(output)))


def _write_line(file: TextIO, line: str) -> int:
    """Write a line, and give 1, for counting lines."""
    file.write(f"{line}\n")
    return 1
