"""What other limits would have changed."""

from typing import Annotated

from rich.text import Text
from typer import Exit, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, show
from holdbook.infrastructure.cli.terminal.parsing import limit, moment, pairs
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import brief, holds, table, when
from holdbook.infrastructure.presentation.shapes.simulation import outcome_counts, what_if_shape
from holdbook.replay.simulation.what_if import FLIPS, Divergence, Flip, WhatIf

top = Typer()

_FORM = "POOL.LIMIT=VALUE, such as gpu.total=12"


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
        str | None, Option("--from", metavar="TIME", help="From 2026-01-31T14:03:00Z on, say. Default: all.")
    ] = None,
    end: Annotated[str | None, Option("--to", metavar="TIME", help="Before this time. Default: all.")] = None,
    flips: Annotated[int, Option(metavar="N", min=1, help="List so many commands that would end otherwise.")] = FLIPS,
    *,
    options: CommonOptions,
) -> None:
    """Decide every recorded command again, refused ones too, under other limits; record nothing.

    Under the recorded limits each must have its recorded outcome: that is checked each time, and exit code 1 if not.
    What its callers would have done after another answer is not known: their commands are those that are recorded.
    """
    limits = _limits(changes)
    since = None if begin is None else moment("from", begin)
    until = None if end is None else moment("to", end)
    with options.open() as ledger, progress("deciding again", silent=options.json) as tell:
        found = ledger.what_if(limits, since=since, until=until, flips=flips, progress=tell)
    if options.json:
        emit(what_if_shape(found))
    else:
        _tell(found)
    if not found.ok:
        raise Exit(1)


def _limits(words: list[str] | None) -> dict[str, dict[str, object]]:
    """Read ``gpu.total=12``: a pool's name may hold dots, a limit's has none."""
    found: dict[str, dict[str, object]] = {}
    for key, text in pairs("set", _FORM, words).items():
        pool, _, name = key.rpartition(".")
        if not pool:
            raise Malformed("set", f"{key}={text}", f"expected {_FORM}")
        found.setdefault(pool, {})[name] = limit(name, text, key)
    return found


# For people


def _tell(found: WhatIf) -> None:
    if found.fault is not None:
        _tell_fault(found.fault)
        return
    again = f"{found.commands:,} command{'s' * (found.commands != 1)} decided again"
    say(f"{again}: under the recorded limits they lead to the {found.events:,} events recorded")
    if not found.limits or not found.commands:
        return
    said = ", ".join(f"{pool}.{name}={_said(to)}" for pool, all_ in found.limits.items() for name, to in all_.items())
    say(Text.assemble("with ", (said, "bold"), ":\n"))
    counts = (
        (verb, outcome, f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "")
        for verb, outcome, before, after in outcome_counts(found)
    )
    show(table(("command", "outcome", "recorded", "what if", ""), counts, right=("recorded", "what if", "")))
    say("")
    _tell_peaks(found)
    _tell_flips(found)


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def _tell_fault(fault: Divergence) -> None:
    message = (
        f"position {fault.position}: {fault.field} is {_brief(fault.recorded)} in the log; "
        f"decided again it is {_brief(fault.again)}"
    )
    say(Text.assemble(("the log does not follow from its commands: ", "bold red"), message))


def _brief(value: object) -> str:
    return f"{value!s:.200}"


def _tell_peaks(found: WhatIf) -> None:
    columns = ("pool", "unit", "peak", "of", "at", "peak what if", "of what if", "at what if")
    rows = (
        (
            one.name,
            one.unit,
            *(cell for of in (one.recorded, one.what_if) for cell in (f"{of.used:,}", f"{of.capacity:,}", when(of.at))),
        )
        for one in found.pools
    )
    show(table(columns, rows, right=("peak", "of", "peak what if", "of what if")))
    say("")


def _tell_flips(found: WhatIf) -> None:
    if not found.flipped:
        say("no command ends otherwise")
        return
    columns = ("position", "at", "command", "allocation", "asked", "recorded", "what if")
    show(table(columns, map(_flip_cells, found.flips), right=("position",)))
    some = f"{found.flipped:,} command{'s end' if found.flipped != 1 else ' ends'} otherwise"
    gained = f"{found.gained:,} done that {_were(found.gained)} refused"
    lost = f"{found.lost:,} refused that {_were(found.lost)} done"
    say(f"{some}, the first at position {found.flips[0].position:,}: {gained}, {lost}")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _flip_cells(one: Flip) -> tuple[str | Text, ...]:
    return (
        f"{one.position:,}",
        when(one.occurred_at),
        one.command.verb,
        brief(one.allocation_id or "", 30),
        holds(vars(one.command).get("quantities") or {}),
        *(Text(of.word, style="red" if of.code else "green") for of in (one.recorded, one.what_if)),
    )
