"""The command line as a whole: its commands, its errors, and its exit codes."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from io import UnsupportedOperation
from typing import Annotated, Any, NoReturn

from pydantic import ValidationError
from typer import BadParameter, Context, Exit, Option, Typer
from typer.core import TyperGroup

from holdbook.domain.errors import HoldbookError, LogCorrupt, LogUnavailable, Malformed, NotFound, Refused
from holdbook.infrastructure.cli.commands import (
    allocations,
    allocations_as_of,
    demo,
    explain,
    history,
    import_export,
    old_managers,
    pools,
    projections,
    prove,
    replay,
    reports,
    schema,
    seal,
    usage,
    verify,
    what_if,
)
from holdbook.infrastructure.cli.issue import tell_refusal
from holdbook.infrastructure.cli.terminal.output import emit, say
from holdbook.infrastructure.cli.terminal.registration import ReaderGone
from holdbook.infrastructure.interchange.rollback import NotRolledBack
from holdbook.infrastructure.presentation.shapes.ledger import error_shape, usage_error_shape
from holdbook.infrastructure.presentation.shapes.operation import version_shape
from holdbook.infrastructure.presentation.wording.operation import version_text
from holdbook.infrastructure.schema.revision import HEAD, SchemaMismatch
from holdbook.infrastructure.seals.store import NotSealed
from holdbook.infrastructure.seals.tiles import TreeDamaged
from holdbook.infrastructure.seals.witness import NotCosigned
from holdbook.infrastructure.settings import Settings
from holdbook.infrastructure.telemetry.logging import configure_logging
from holdbook.projections.projector import ViewStopped
from holdbook.replay.evidence.bundle import BundleRefused

REFUSED = 1
"""Exit code of what is refused or not found, and of a check that fails."""
MISUSED = 2
"""Exit code of wrong usage, of malformed input, and of a file that cannot be read or written."""
UNUSABLE = 3
"""Exit code of a database that cannot be reached or used."""
INTERRUPTED = 130
"""Exit code after an interrupt: 128 plus the number of SIGINT, as the shell has it."""
READER_GONE = 141
"""Exit code if the reader of the output has gone: 128 plus the number of SIGPIPE, as the shell has it."""

_FAILED = (Refused, NotFound, ViewStopped, NotSealed, NotCosigned, TreeDamaged, BundleRefused, NotRolledBack)
"""Errors with the exit code `REFUSED`: what was asked is well formed, but the state of the ledger does not allow it."""

_USAGE_ERROR: Any = BadParameter.__mro__[1]
"""The class of Typer's errors of usage, which Typer does not export."""

HELP = """Keep a ledger of finite resources: who holds how much of what, since when and until when.

Every grant, release, expiry and refusal is recorded as an event in a log that only grows. `holdbook demo` shows how it
works, and `holdbook COMMAND --help` explains a command, with examples.

Exit codes: 0 done; 1 refused, not found, or a check failed; 2 wrong usage or malformed input; 3 the database cannot be
reached or used.

With --json, a command prints one JSON document, or one line of JSON for each thing that it lists (allocations, history,
failures, replay, export, seal list, seal cosign, seal --watch, expire --watch, demo). A refusal is a document whose
"outcome" is "refused". An error is a document on the standard error: {"error": {"type": …, "message": …, "exit_code":
…}}.

Environment variables: HOLDBOOK_DATABASE_URL, HOLDBOOK_ACTOR, HOLDBOOK_LOG_LEVEL (debug, info, warning, error),
HOLDBOOK_LOG_FORMAT (console, json), HOLDBOOK_SEAL_KEY.
"""

EXAMPLES = "Examples  holdbook demo\n\n  holdbook allocate gpu=2 --owner trainer-17 --ttl 30m"
"""What is shown below the list of commands."""


class RootGroup(TyperGroup):
    """The group of all commands; it turns errors into messages and exit codes."""

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: object, **__: object
    ) -> NoReturn:
        """Run a command line, by default that of this process, and exit with its code."""
        words = sys.argv[1:] if args is None else list(args)
        as_json = "--json" in words
        _prepare_streams(for_programs=as_json or "--csv" in words)
        try:
            settings = _settings()
            configure_logging(settings, silent={"commit_failed"})  # the error of the command tells its caller
            code = super().main(words, prog_name or "holdbook", standalone_mode=False, obj=settings) or 0
            sys.stdout.flush()
        except (ReaderGone, BrokenPipeError):
            code = READER_GONE
            _discard_output()
        except (HoldbookError, _USAGE_ERROR, OSError) as error:
            code = _print_error(error, as_json=as_json)
            if isinstance(error, OSError):
                _discard_output()
        if code == INTERRUPTED:
            say("interrupted: each command not answered yet was recorded whole or not at all", errors=True)
        sys.exit(code)


def _prepare_streams(*, for_programs: bool) -> None:
    """Write JSON and CSV in UTF-8 in any locale, and escape characters that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8" if for_programs else None, errors="backslashreplace")


def _settings() -> Settings:
    """Read the settings; raises `Malformed`, which names the environment variable."""
    try:
        return Settings()
    except ValidationError as error:
        fault = Malformed.from_validation(error)
        raise Malformed(f"HOLDBOOK_{fault.parameter.upper()}", fault.value, fault.expected) from None


def _discard_output() -> None:
    """Throw away output that could not be written, because the interpreter flushes once more as it ends."""
    with suppress(UnsupportedOperation):  # a program that calls `main` may have replaced the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(error: Exception, *, as_json: bool) -> int:
    """Print an error, and give its exit code."""
    code = _exit_code(error)
    if isinstance(error, Refused):
        tell_refusal(error, as_json=as_json)
    elif isinstance(error, _USAGE_ERROR):
        _print_usage_error(error, as_json=as_json)
    elif as_json:
        emit(error_shape(error, code), errors=True)
    else:
        say(f"error: {error}", errors=True)
    return code


def _print_usage_error(error: Any, *, as_json: bool) -> None:  # noqa: ANN401 - Typer does not export the class
    message = error.format_message()
    if as_json:
        emit(usage_error_shape(message, MISUSED), errors=True)
    else:
        path = error.ctx.command_path if error.ctx else "holdbook"
        say(f"error: {message}\nTry '{path} --help'.", errors=True)


def _exit_code(error: Exception) -> int:
    """Give the exit code for an error."""
    if isinstance(error, _FAILED):
        return REFUSED
    return UNUSABLE if isinstance(error, LogUnavailable | LogCorrupt | SchemaMismatch) else MISUSED


app = Typer(cls=RootGroup, help=HELP, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


def _print_version(context: Context, *, asked: bool) -> None:
    """Print which version this is, and exit, if that was asked for."""
    if not asked:
        return
    if context.params["as_json"]:
        emit(version_shape(version("holdbook"), HEAD))
    else:
        say(version_text(version("holdbook"), HEAD))
    raise Exit


@app.callback(invoke_without_command=True, help=HELP, epilog=EXAMPLES)
def root(
    context: Context,
    *,
    _version: Annotated[
        bool,
        Option(
            "--version",
            callback=_print_version,
            help="Print the version of Holdbook and the revision of the schema that it works with.",
        ),
    ] = False,
    # Eager, so that it is read before --version, in whatever order they are given.
    as_json: Annotated[bool, Option("--json", is_eager=True, help="With --version: print JSON, for programs.")] = False,
) -> None:
    """Print the help if no command is given."""
    if as_json:
        raise _USAGE_ERROR("expected a command before --json, or --version beside it", context)
    if context.invoked_subcommand is None:
        say(context.get_help())


app.add_typer(pools.pool, name="pool")
for part in (
    pools,
    allocations,
    allocations_as_of,
    history,
    explain,
    replay,
    what_if,
    reports,
    usage,
    import_export,
    old_managers,
    verify,
    prove,
):
    app.add_typer(part.top)
app.add_typer(projections.projections, name="projections")
app.add_typer(projections.events, name="events")
app.add_typer(seal.seal, name="seal")
app.add_typer(schema.db, name="db")
app.add_typer(demo.top)
