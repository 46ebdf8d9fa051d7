"""Windows of ledgers in memory, read to the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from holdbook import MemoryEventLog
from holdbook.domain.commands import command_from
from holdbook.infrastructure.presentation.incident_page import write_page
from holdbook.replay.reports.incident import Incident, IncidentStep
from support.deciding import Clock, ledger_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from holdbook.domain.ports import EventLog

VOID = {"meta", "br"}
"""Elements that have no end."""


def log_of(limits: Iterable[dict[str, Any]], steps: Iterable[tuple[dict[str, Any], float]]) -> MemoryEventLog:
    """Decide commands one after another, seconds apart, on pools a, b, c with limits."""
    clock, log = Clock(), MemoryEventLog()
    ledger = ledger_on(log, clock)
    for name, one in zip("abc", limits, strict=False):
        fields = {"command": "open_pool", "pool": name, "resource_type": "r", "unit": "u", "limits": one}
        ledger.submit(command_from(fields)).result()
    for number, (fields, seconds) in enumerate(steps):
        clock.now += timedelta(seconds=seconds)
        ledger.submit(command_from({**fields, "command_id": f"c{number}"})).exception()
    return log


def replayed(
    log: EventLog, since: datetime, until: datetime, pools: Collection[str] | None = None, *, page_rows: int = 1000
) -> tuple[Incident, list[IncidentStep]]:
    """Read a window to its end."""
    incident = Incident(log, since, until, pools, page_rows=page_rows)
    return incident, list(incident.steps())


def page_of(incident: Incident, *, rows: int = 1000, shown: Collection[str] = ()) -> str:
    """Write the page of an incident that was not read yet."""
    parts: list[str] = []
    write_page(incident, parts.append, rows=rows, shown=shown)
    return "".join(parts)


class Element:
    """An element of a page: its attributes, what is in it, and its text."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.inside: list[Element] = []
        self.text = ""
        """Its text, and that of what is in it."""

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Find elements in it, in order, with these values of attributes; ``kind`` is the class."""
        wanted = {"class" if name == "kind" else name: value for name, value in attributes.items()}
        found = [self] if self.tag == tag and wanted.items() <= self.attributes.items() else []
        return found + [one for child in self.inside for one in child.all(tag, **attributes)]

    def every(self) -> list[Element]:
        """List it and all in it."""
        return [self, *(one for child in self.inside for one in child.every())]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def parsed(page: str) -> Element:
    """Parse a page; every element that needs an end must have it, in its place."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, reader.open[-1].tag
    return reader.open[0]
