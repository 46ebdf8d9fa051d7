"""The command `explain`: whether a request would be granted, and if not, why, and from when on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from typer import Argument, Exit, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TtlOption
from holdbook.infrastructure.cli.terminal.output import emit, say, show
from holdbook.infrastructure.cli.terminal.parsing import duration, moment, quantities
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.clock import new_id
from holdbook.infrastructure.presentation.shapes.simulation import explanation_shape
from holdbook.infrastructure.presentation.wording.simulation import more_holders_text, obstacle_text, outlook_text
from holdbook.infrastructure.presentation.wording.values import exact_time, tags_text
from holdbook.replay.simulation.explanation import Explanation, Obstacle

top = Typer()

HOLDERS_SHOWN: Final = 20
"""The most holders that are shown of an obstacle; as JSON, all are."""


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """The options that describe a request."""

    pool: Annotated[str | None, Option(metavar="NAME", help="The pool that something is asked from.")] = None
    quantity: Annotated[str | None, Option(metavar="N", help="How much is asked from it.")] = None
    owner: Annotated[str | None, Option(metavar="NAME", help="Who asks. Default: an owner who holds nothing.")] = None
    ttl: TtlOption = None
    at: Annotated[
        str | None, Option(metavar="TIME", help="When it is asked, in the past or in the future. Default: now.")
    ] = None

    def words(self, asked: Sequence[str]) -> list[str]:
        """Give what is asked as words such as ``gpu=2``; raises `Malformed` if pool and quantity are not both given."""
        if self.pool is not None and self.quantity is not None:
            return [*asked, f"{self.pool}={self.quantity}"]
        if self.pool is None and self.quantity is None and asked:
            return [*asked]
        missing = "pool" if self.pool is None else "quantity"
        raise Malformed(missing, None, "expected --pool NAME --quantity N, or POOL=QUANTITY")


@command(
    top,
    "explain",
    "holdbook explain --pool gpu --quantity 4",
    "holdbook explain gpu=4 cpu=16 --owner trainer-17 --ttl 30m --at 2026-01-31T14:03:00Z --json",
)
def explain(
    asked: Annotated[
        list[str] | None,
        Argument(metavar="POOL=QUANTITY...", help="How much is asked from each of several pools.", show_default=False),
    ] = None,
    *,
    request: RequestOptions,
    options: CommonOptions,
) -> None:
    """Say whether a request would be granted; if not, why, who holds what it needs, and from when on it would be.

    Nothing is recorded. The answer follows from what had happened by the time that is given; after that, only expiries
    are assumed to happen. The exit code is 0 if the request would be granted, and 1 if not.
    """
    quantities_asked = quantities(request.words(asked or ()))
    at = None if request.at is None else moment("at", request.at)
    with options.open() as ledger:
        explanation = ledger.explain(
            quantities_asked,  # type: ignore[arg-type]  # the command reports text that is no number as malformed
            owner=new_id() if request.owner is None else request.owner,
            ttl=duration("ttl", request.ttl),  # type: ignore[arg-type]  # seconds are a duration too
            at=at,
        )
    if options.json:
        emit(explanation_shape(explanation))
    else:
        _print(explanation)
    if not explanation.granted:
        raise Exit(1)


def _print(one: Explanation) -> None:
    for obstacle in one.obstacles:
        say(obstacle_text(obstacle, one.moment))
        if obstacle.holders:
            _print_holders(obstacle)
    say(outlook_text(one))


def _print_holders(obstacle: Obstacle) -> None:
    holders = obstacle.holders
    columns = ("expires", "allocation", "owner", "holds", "", "tags")
    rows = (
        (
            "" if holder.deadline is None else exact_time(holder.deadline),
            holder.allocation_id,
            holder.owner,
            f"{holder.quantity:,}",
            "reserved" if holder.reserved else "",
            tags_text(holder.tags),
        )
        for holder in holders[:HOLDERS_SHOWN]
    )
    show(table(columns, rows, right=("holds",)))
    rest = holders[HOLDERS_SHOWN:]
    if rest:
        say(more_holders_text(rest))
