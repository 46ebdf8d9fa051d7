"""An incident as one HTML page with plots and a table of steps. The page loads nothing else and runs no script."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from holdbook.domain.events import EVENTS, Ending
from holdbook.domain.values import instant_text
from holdbook.infrastructure.presentation import drawing
from holdbook.infrastructure.presentation.wording.history import incident_step_text
from holdbook.infrastructure.presentation.wording.values import codes_text, level_change, number_text, time_text
from holdbook.replay.reports.incident import LAPSED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from jinja2 import Environment

    from holdbook.replay.reports.incident import Incident, IncidentStep

ENDINGS: Final = (*(kind for kind, event in EVENTS.items() if issubclass(event, Ending)), LAPSED)
"""The kinds of steps that end holds."""


def write_page(
    incident: Incident,
    write: Callable[[str], object],
    *,
    rows: int,
    shown: Collection[str] = (),
    tell: Callable[[int, int], object] = lambda *_: None,
) -> None:
    """Read an incident's steps and write its page; its table has at most ``rows`` steps.

    Pools in which nothing happened are only named, except those in ``shown``. ``tell`` gets how many events are read,
    and of how many.
    """
    table = incident.read(rows, tell)
    drawn = [pool for pool in incident.pools.values() if pool.is_eventful or pool.name in shown]
    rendered = (
        _environment()
        .get_template("incident.html")
        .generate(
            incident=incident,
            window=incident.window,
            plots=list(drawing.plots(drawn, incident.window)),
            kinds=[kind for kind in ENDINGS if any(pool.events[kind] for pool in drawn)],
            idle=[pool.name for pool in incident.pools.values() if not (pool.is_eventful or pool.name in shown)],
            table=table,
            linked={step.recorded.position for step in table if step.recorded},
        )
    )
    for part in rendered:
        write(part)


def _by_day(steps: Sequence[IncidentStep]) -> Iterator[tuple[str, Iterator[IncidentStep]]]:
    return groupby(steps, lambda step: instant_text(step.at)[:10])


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - importing it takes long, and only pages need it

    found = Environment(
        loader=PackageLoader("holdbook.infrastructure.presentation", "pages"),
        autoescape=True,  # text from the log is shown as it is, even if it looks like HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "number": number_text,
        "time": time_text,
        "codes": codes_text,
        "words": incident_step_text,
        "groupby_day": _by_day,
    }
    found.globals |= {
        "change": level_change,
        "drawing": drawing,
        "LAPSED": LAPSED,
        "REFUSED": REFUSED,
    }
    return found
