"""The command `what-if`: what other limits would have changed."""

from typing import Annotated

from rich.text import Text
from typer import Exit, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, show
from holdbook.infrastructure.cli.terminal.parsing import limit, moment, pairs
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import brief, table
from holdbook.infrastructure.presentation.shapes.simulation import outcome_counts, what_if_shape
from holdbook.infrastructure.presentation.wording.simulation import (
    decided_again_text,
    divergence_text,
    flips_text,
    other_limits_text,
)
from holdbook.infrastructure.presentation.wording.values import quantities_text, time_to_second
from holdbook.replay.simulation.outcomes import Flip
from holdbook.replay.simulation.what_if import FLIPS, WhatIf
from holdbook.replay.simulation.world import Peak

top = Typer()

_FORM = "POOL.LIMIT=VALUE, such as gpu.total=12"
"""What --set expects."""


@command(
    top,
    "what-if",
    "holdbook what-if --set gpu.total=12",
    "holdbook what-if --set gpu.total=12 --set gpu.max_size=none --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z",
)
def what_if(
    changes: Annotated[
        list[str] | None,
        Option("--set", metavar="POOL.LIMIT=VALUE", help="Another value for a limit; none lifts it. May be repeated."),
    ] = None,
    begin: Annotated[
        str | None,
        Option(
            "--from",
            metavar="TIME",
            help="Only commands from this time on, such as 2026-01-31T14:03:00Z. Default: all.",
        ),
    ] = None,
    end: Annotated[
        str | None, Option("--to", metavar="TIME", help="Only commands before this time. Default: all.")
    ] = None,
    flips: Annotated[
        int, Option(metavar="N", min=1, help="How many of the commands that would end otherwise to list.")
    ] = FLIPS,
    *,
    options: CommonOptions,
) -> None:
    """Decide every recorded command again under other limits, refused ones too, and record nothing.

    Each command is also decided again under the recorded limits; if that does not lead to its recorded outcome, the
    exit code is 1. What callers would have done after another answer is not known: their commands stay as recorded.
    """
    limits = _limits(changes)
    since = None if begin is None else moment("from", begin)
    until = None if end is None else moment("to", end)
    with options.open() as ledger, progress("deciding again", silent=options.json) as tell:
        found = ledger.what_if(limits, since=since, until=until, flips=flips, progress=tell)
    if options.json:
        emit(what_if_shape(found))
    else:
        _print(found)
    if not found.ok:
        raise Exit(1)


def _limits(words: list[str] | None) -> dict[str, dict[str, object]]:
    """Read words such as ``gpu.total=12`` as limits by pool; the last dot ends the name of the pool."""
    found: dict[str, dict[str, object]] = {}
    for key, text in pairs("set", _FORM, words).items():
        pool, _, name = key.rpartition(".")
        if not pool:
            raise Malformed("set", f"{key}={text}", f"expected {_FORM}")
        found.setdefault(pool, {})[name] = limit(name, text, key)
    return found


def _print(found: WhatIf) -> None:
    if found.fault is not None:
        say(divergence_text(found.fault))
        return
    say(decided_again_text(found))
    if not found.limits or not found.commands:
        return
    say(Text.assemble("with ", (other_limits_text(found), "bold"), ":\n"))
    counts = (
        (verb, outcome, f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "")
        for verb, outcome, before, after in outcome_counts(found)
    )
    show(table(("command", "outcome", "recorded", "what if", ""), counts, right=("recorded", "what if", "")))
    say("")
    _print_peaks(found)
    if found.flipped:
        columns = ("position", "at", "command", "allocation", "asked", "recorded", "what if")
        show(table(columns, map(_flip_cells, found.flips), right=("position",)))
    say(flips_text(found))


def _print_peaks(found: WhatIf) -> None:
    columns = ("pool", "unit", "peak", "of", "at", "peak what if", "of what if", "at what if")
    rows = ((one.name, one.unit, *_peak_cells(one.recorded), *_peak_cells(one.what_if)) for one in found.pools)
    show(table(columns, rows, right=("peak", "of", "peak what if", "of what if")))
    say("")


def _peak_cells(one: Peak) -> tuple[str, str, str]:
    return f"{one.used:,}", f"{one.capacity:,}", time_to_second(one.at)


def _flip_cells(one: Flip) -> tuple[str | Text, ...]:
    return (
        f"{one.position:,}",
        time_to_second(one.occurred_at),
        one.command.verb,
        brief(one.allocation_id or "", 30),
        quantities_text(vars(one.command).get("quantities") or {}),
        *(Text(of.word, style="red" if of.code else "green") for of in (one.recorded, one.what_if)),
    )
