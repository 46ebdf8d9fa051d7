"""An incident as one HTML page: plots, marks, the table of steps. It needs nothing but itself, and no script."""

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
"""The kinds of steps in which holds end."""


def write_page(
    incident: Incident,
    write: Callable[[str], object],
    *,
    rows: int,
    shown: Collection[str] = (),
    tell: Callable[[int, int], object] = lambda *_: None,
) -> None:
    """Read an incident's steps and write its page, with so many rows at most in its table.

    Pools in which nothing happened are only named, but for those to be ``shown`` all the same.
    """
    table = incident.read(rows, tell)
    drawn = [one for one in incident.pools.values() if one.is_eventful or one.name in shown]
    rendered = (
        _environment()
        .get_template("incident.html")
        .generate(
            incident=incident,
            window=incident.window,
            plots=list(drawing.plots(drawn, incident.window)),
            kinds=[kind for kind in ENDINGS if any(one.events[kind] for one in drawn)],
            idle=[one.name for one in incident.pools.values() if not (one.is_eventful or one.name in shown)],
            table=table,
            linked={step.recorded.position for step in table if step.recorded},
        )
    )
    for part in rendered:
        write(part)


def _by_day(steps: Sequence[IncidentStep]) -> Iterator[tuple[str, Iterator[IncidentStep]]]:
    return groupby(steps, lambda step: instant_text(step.at)[:10])


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - nothing else has to wait for it

    found = Environment(
        loader=PackageLoader("holdbook.infrastructure.presentation", "pages"),
        autoescape=True,  # what comes from the log is text, whatever it looks like
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
