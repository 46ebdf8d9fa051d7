"""An incident as a page that stands alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits, Refused
from holdbook.replay.reports.incident import Incident
from support.incidents import Element, page_of, parsed
from support.story import T0, Clock, seconds, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

NASTY = "<script>alert('1')</script> & \"x\" {{ 7*7 }} javascript:0"


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.in_memory(clock=clock, actor="ops") as ledger:
        yield ledger


def incident(ledger: Ledger, begin: float = 0, end: float = 500, pools: list[str] | None = None) -> Incident:
    """Look at a window, in seconds after the story's beginning."""
    return Incident(ledger.log, T0 + seconds(begin), T0 + seconds(end), pools)


def cells(row: Element) -> list[str]:
    """Read the cells of a row, without the blanks around."""
    return [" ".join(cell.text.split()) for cell in row.inside]


def rows(page: Element, kind: str) -> list[list[str]]:
    """Read the rows of a table's body that are cells throughout."""
    (body,) = [body for table in page.all("table", kind=kind) for body in table.all("tbody")]
    return [cells(row) for row in body.inside if "day" not in row.attributes.values()]


def test_structure(ledger: Ledger, clock: Clock) -> None:
    """The page says which window of which ledger it is of, as of which position, and has plots and steps."""
    tell(ledger, clock)
    one = incident(ledger)
    page = parsed(page_of(one))
    (header,) = page.all("header")
    said = " ".join(header.text.split())
    assert said.startswith("2026-01-01 00:00:00Z to 2026-01-01 00:08:20Z")
    assert f"as of position {one.position} of ledger {ledger.log.ledger_id}" in said
    assert [title.text for title in page.all("h2")] == ["cpu", "gpu", "seats", "Steps"]
    assert len(page.all("svg")) == 3
    for picture in page.all("svg"):
        assert [len(picture.all("path", kind=kind)) for kind in ("used", "area", "limit")] == [1, 1, 1]
    assert len(rows(page, "steps")) == one.count
    assert "Refused, of no pool that there is: allocation_not_found 1." in page.text


def test_summary(ledger: Ledger, clock: Clock) -> None:
    """Each pool: use at first, at most and when, in the end, its limit, what was granted, what ended and how."""
    tell(ledger, clock)
    page = parsed(page_of(incident(ledger, 10, 30)))
    (head,) = page.all("table", kind="summary")[0].all("thead")
    assert [cell.text for cell in head.all("th")] == [
        *("pool", "used at first", "at most", "reached", "in the end", "limit", "granted"),
        *("voided", "released", "refused"),
    ]
    assert rows(page, "summary")[1] == [*("gpu", "0", "5", "2026-01-01 00:00:10Z", "1", "8 → 2", "3", "1", "1", "1")]


def test_steps(ledger: Ledger, clock: Clock) -> None:
    """Each step has its place in the log, its pool before and after it, and who, what and why; days stand apart."""
    tell(ledger, clock)
    page = parsed(page_of(incident(ledger, 20, 500)))
    found = {row[0]: row for row in rows(page, "steps")}
    resized = next(row for row in found.values() if row[3] == "Resized" and row[2] == "gpu")
    assert resized[1:] == ["00:00:20Z", "gpu", "Resized", "a1", "ann", "1", "4 → 3", "8", "2", "ops", "was 2"]
    refused = next(row for row in found.values() if row[2] == "gpu" and "Refused" in row[3])
    assert refused[3:] == [
        *("Refusedpool_exhausted", "a3", "eve", "1", "3", "2", "2", "ops"),
        "pool 'gpu' has 0 of 2 unit free, 1 asked",
    ]
    allocated = next(row for row in found.values() if row[3] == "Allocated")
    assert allocated[-1] == "until 2026-01-01 00:01:20Z"
    (steps,) = page.all("table", kind="steps")
    assert [cells(row) for row in steps.all("tr", kind="day")] == [["", "2026-01-01"]]


def test_lapsed_holds(ledger: Ledger) -> None:
    """A hold that is over and was not noticed is a row of its own, without a place in the log."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=9))
    ledger.allocate({"gpu": 4}, owner="ann", allocation_id="late", ttl=seconds(50))
    page = parsed(page_of(incident(ledger, 1, 60)))
    (row,) = page.all("tr", kind="lapsed")
    assert cells(row) == [
        "",
        "00:00:50Z",
        "gpu",
        "Lapsed",
        "late",
        "ann",
        "4",
        "4 → 0",
        "9",
        "1 → 0",
        "",
        "not noticed yet",
    ]
    assert "id" not in row.attributes


def test_marks_lead_to_their_rows(ledger: Ledger, clock: Clock) -> None:
    """A mark says how many were refused, when and why, and leads to the row of the first, if that is in the table."""
    ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
    for at in (1, 2, 30):
        clock.set(at)
        with pytest.raises(Refused):
            ledger.allocate({"gpu": 2}, owner="ann")
    page = parsed(page_of(incident(ledger, 0, 3000), rows=2))
    first, second = page.all("rect", kind="bar")
    assert [title.text for title in first.inside] == [
        "2 refused, 2026-01-01 00:00:01Z to 2026-01-01 00:00:02Z: above_capacity 2"
    ]
    assert second.text == "1 refused, 2026-01-01 00:00:30Z: above_capacity 1"
    assert float(first.attributes["height"]) > float(second.attributes["height"])
    links = [link for link in page.all("a") if link.all("rect")]
    assert [link.attributes["href"] for link in links] == ["#p2"]
    assert page.all("tr", id="p2")
    assert "1 refused: " not in page.text
    assert "3 refused: above_capacity 3" in page.text


def test_a_long_window_is_cut(ledger: Ledger, clock: Clock) -> None:
    """The table has so many rows at most, and the page says so, and how to get the others."""
    tell(ledger, clock)
    one = incident(ledger)
    page = parsed(page_of(one, rows=3))
    assert len(rows(page, "steps")) == 3
    said = " ".join(page.text.split())
    assert f"The first 3 of {one.count}. The plots and the summary are of all of them." in said
    assert "--rows" in said
    assert f"All {one.count}, in the order of the log." in " ".join(parsed(page_of(incident(ledger))).text.split())
    assert parsed(page_of(incident(ledger), rows=0)).all("table", kind="steps") == []


def test_quiet_pools(ledger: Ledger, clock: Clock) -> None:
    """Pools in which nothing happened are named; only those that are asked for are drawn all the same."""
    tell(ledger, clock)
    page = parsed(page_of(incident(ledger, 30, 40)))
    assert [title.text for title in page.all("h2")] == ["seats", "Steps"]
    assert "Nothing happened in cpu, gpu." in " ".join(page.text.split())
    alone = parsed(page_of(incident(ledger, 30, 40, ["cpu"]), shown={"cpu"}))
    assert [title.text for title in alone.all("h2")] == ["cpu"]
    empty = " ".join(parsed(page_of(incident(ledger, 600, 700))).text.split())
    assert "Nothing happened. Nothing happened in cpu, gpu, seats." in empty


def test_it_needs_nothing_else(ledger: Ledger, clock: Clock) -> None:
    """No script, no address of anything outside of the page, and a policy that forbids the browser to follow one."""
    tell(ledger, clock)
    page = page_of(incident(ledger))
    root = parsed(page)
    for element in root.every():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            assert name not in {"src", "srcset", "action", "data", "xlink:href", "background", "poster"}
            assert name != "href" or value.startswith("#")
    assert re.search(r"://|@import|url\(|//[a-z]", page) is None
    (policy,) = root.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    targets = {element.attributes["href"][1:] for element in root.all("a")}
    assert targets <= {element.attributes.get("id", "") for element in root.every()}


def test_names_are_text(clock: Clock) -> None:
    """What comes from the log is shown as it is, whatever it looks like."""
    with Ledger.in_memory(clock=clock, actor=NASTY) as ledger:
        pool = NASTY.replace("=", "")
        ledger.open_pool(pool, resource_type=NASTY, unit=NASTY, limits=Limits(total=3))
        ledger.open_pool("idle " + pool, resource_type="r", limits=Limits(total=3))
        clock.set(5)
        ledger.allocate({pool: 1}, owner=NASTY, allocation_id=NASTY, tags={NASTY: NASTY})
        ledger.release(NASTY, reason=NASTY)
        with pytest.raises(Refused):
            ledger.allocate({pool: 9}, owner=NASTY)
        written = page_of(incident(ledger, 5, 50))
    page = parsed(written)
    assert page.all("script") == []
    assert "<script" not in written
    assert page.all("h2")[0].text == pool
    released = next(row for row in rows(page, "steps") if row[3] == "Released")
    assert [released[place] for place in (2, 4, 5, 10, 11)] == [pool, NASTY, NASTY, NASTY, NASTY]
    (picture,) = page.all("svg")
    assert picture.attributes["aria-label"] == f"Use of {pool} against its limit"


def test_the_same_window_is_the_same_page(ledger: Ledger, clock: Clock) -> None:
    """Nothing in a page depends on when it was made: whoever doubts it makes it again."""
    tell(ledger, clock)
    assert page_of(incident(ledger)) == page_of(incident(ledger))


def test_light_and_dark(ledger: Ledger) -> None:
    """Colours are named once for each of the two, and nothing else has any."""
    page = page_of(incident(ledger))
    style = parsed(page).all("style")[0].text
    light, dark = (set(re.findall(r"(--[\w-]+): #", block)) for block in style.split("prefers-color-scheme: dark")[:2])
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", style)) == light
    assert re.findall(r"(?<!-): #|(?:fill|stroke)=", page.split("</style>")[1]) == []
