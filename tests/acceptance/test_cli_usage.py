"""Usage reports on the command line, from each database."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, OpenPool, Release
from support.cli import Holdbook

if TYPE_CHECKING:
    from pathlib import Path

MORNING = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = ("--between", "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z")


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger in which two teams used a pool."""
    job = Allocate(
        allocation_id="a", quantities={"gpu": 1500}, owner="ann", ttl=60, tags={"team": "vision"}, at=MORNING
    )
    noon = MORNING + timedelta(hours=3)
    with Ledger.open(database_url) as ledger:
        ledger.record(
            [
                OpenPool(pool="gpu", resource_type="gpu", unit="GPUs", limits=Limits(total=2000), at=MORNING),
                job,
                Allocate(quantities={"gpu": 501}, owner="bob", at=MORNING),
                Allocate(allocation_id="b", quantities={"gpu": 2}, owner="bob", at=noon),
                Release(allocation_id="b", at=noon + timedelta(microseconds=7)),
            ]
        )
    return Holdbook(database_url)


def test_as_json(holdbook: Holdbook) -> None:
    """One document: the window, where in the log it is true, and exact numbers; a pool's rows add up to the pool's."""
    document = holdbook.json("usage", "--by", "owner", *DAY)
    begin, end = "2026-01-05T00:00:00.000000Z", "2026-01-06T00:00:00.000000Z"
    assert (document["by"], document["begin"], document["end"], document["position"]) == ("owner", begin, end, 6)
    told = {"pool": "gpu", "unit": "GPUs", "allocations": 1}
    assert document["usage"] == [
        {"group": "ann", **told, "unit_seconds": "90000", "peak": 1500, "refused": 0, "refused_quantity": 0},
        {"group": "bob", **told, "unit_seconds": "0.000014", "peak": 2, "refused": 1, "refused_quantity": 501},
    ]
    (pool,) = holdbook.json("usage", *DAY)["usage"]
    assert (pool["group"], pool["unit_seconds"], pool["peak"], pool["allocations"]) == ("gpu", "90000.000014", 1500, 2)
    first = holdbook.json("usage", "--between", "2026-01-05T09:00:00Z", "now")
    assert holdbook.json("usage")["begin"] == first["begin"] == "2026-01-05T09:00:00.000000Z"


def test_as_csv(holdbook: Holdbook) -> None:
    """A header and the rows of the JSON; a group without a name is empty."""
    printed = list(csv.DictReader(io.StringIO(holdbook("usage", "--by", "tag:team", *DAY, "--csv").out)))
    document = holdbook.json("usage", "--by", "tag:team", *DAY)["usage"]
    assert [one["group"] for one in document] == ["vision", None]
    assert printed == [{key: "" if one is None else str(one) for key, one in row.items()} for row in document]


def test_for_people(holdbook: Holdbook) -> None:
    """A table with a column for the groups, by pool without one, and what it is true of."""
    lines = holdbook("usage", "--by", "tag:team", *DAY).out.splitlines()
    assert lines[0].startswith("team ")
    assert re.split(r"  +", lines[0])[1:-2] == ["pool", "unit", "unit-seconds", "peak", "allocations"]
    assert lines[2].split() == ["vision", "gpu", "GPUs", "90,000", "1,500", "1", "0", "0"]
    assert lines[3].split() == ["none", "gpu", "GPUs", "0.000014", "2", "1", "1", "501"]
    assert lines[4] == "from 2026-01-05 00:00:00Z until 2026-01-06 00:00:00Z, as the log tells up to position 6"
    assert holdbook("usage", *DAY).out.splitlines()[2].split()[:3] == ["gpu", "GPUs", "90,000.000014"]


def test_wrong_questions(tmp_path: Path) -> None:
    """What is not well formed is named; a ledger in which nothing happened has nothing to tell."""
    url = f"sqlite:///{tmp_path}/x.db"
    Ledger.open(url).close()
    holdbook = Holdbook(url)
    for words, parameter, value in (
        (("--by", "team"), "by", "team"),
        (("--between", "2026-01-05", "now"), "between", "2026-01-05"),
        (("--between", "2026-01-05T00:00:00Z", "soon"), "between", "soon"),
        (("--between", "2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z"), "between", "2026-01-05T00:00:00Z"),
        (("--csv",), "csv", "--csv"),
    ):
        error = holdbook.error("usage", *words)
        assert (error["type"], error["parameter"], error["value"]) == ("Malformed", parameter, value)
    assert holdbook.json("usage")["usage"] == []
    assert holdbook("usage").out == "nothing was held or refused in that time\n"
