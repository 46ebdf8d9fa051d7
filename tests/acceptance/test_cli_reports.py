"""What the published views tell on the command line: the same as plain SQL on them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits, Refused
from holdbook.projections.views.metrics import LASTED
from holdbook.projections.views.validation_failures import VALIDATION_FAILURES
from support.cli import Holdbook, run
from support.logs import account, query

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MORNING = datetime(2026, 1, 5, 9, 20, tzinfo=UTC)


HEAD = 11
"""How many events the ledger has."""


class Clock:
    """A clock that is moved."""

    now = MORNING

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger with two pools of one type, refusals and idle hours; its views are behind."""
    clock = Clock()
    with Ledger.open(database_url, actor="tester", clock=clock) as ledger:
        for pool in ("gpu-a", "gpu-b"):
            ledger.open_pool(pool, resource_type="gpu", unit="device", limits=Limits(total=8))
        ledger.allocate({"gpu-a": 6, "gpu-b": 1}, owner="ann", allocation_id="a")
        refused(lambda: ledger.allocate({"gpu-a": 4}, owner="bob"))
        clock.now += timedelta(hours=3)
        ledger.release("a")
        ledger.allocate({"gpu-a": 2}, owner="ann", allocation_id="b")
        refused(lambda: ledger.allocate({"tpu": 1}, owner="bob", actor="robot"))
        clock.now += timedelta(hours=1)
        refused(lambda: ledger.release("a"))
        refused(lambda: ledger.allocate({"gpu-a": 7}, owner='eve, "the" other', actor="robot"))
    return Holdbook(database_url)


def refused(ask: Callable[[], object]) -> None:
    """Ask for what is refused."""
    with pytest.raises(Refused):
        ask()


def table(done: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(io.StringIO(done)))


class TestMetrics:
    """Operations, counted."""

    def test_by_type(self, holdbook: Holdbook) -> None:
        """What is printed is what SQL gives on the published name: the counters by resource type, and times."""
        printed = holdbook.json("metrics")["metrics"]
        sums = ", ".join(f"sum({name})" for name in ("count", "milliseconds", *LASTED))
        sql = (
            f"SELECT resource_type, operation, outcome, code, {sums} FROM metrics "  # noqa: S608 - names of our own
            "GROUP BY resource_type, operation, outcome, code ORDER BY resource_type, operation, outcome, code"
        )
        rows = [(*row[:4], *(one if one is None else int(one) for one in row[4:])) for row in query(holdbook.url, sql)]
        assert [tuple(row.values()) for row in printed] == rows
        named = {"resource_type": "gpu", "outcome": "done", "code": ""}
        untimed = {"milliseconds": None, **dict.fromkeys(LASTED)}
        assert {**named, "operation": "allocate", "count": 3, **untimed} in printed
        took = {"milliseconds": 2 * 3 * 3_600_000, **dict.fromkeys(LASTED, 0), "le_6h": 2, "le_1d": 2, "le_7d": 2}
        assert {**named, "operation": "release", "count": 2, **took, "le_30d": 2} in printed

    def test_position(self, holdbook: Holdbook) -> None:
        """The answer says where in the log it is true."""
        assert holdbook.json("metrics")["position"] == holdbook.json("metrics", "--by-pool")["position"] == HEAD

    def test_by_pool(self, holdbook: Holdbook) -> None:
        """Each pool apart, the rows are those of the view."""
        printed = holdbook.json("metrics", "--by-pool")["metrics"]
        rows = query(holdbook.url, "SELECT * FROM metrics ORDER BY resource_type, pool, operation, outcome, code")
        assert [tuple(row.values()) for row in printed] == rows
        assert sum(row["count"] for row in printed) == HEAD

    def test_csv(self, holdbook: Holdbook) -> None:
        """CSV has a header and the rows of the JSON."""
        for words in ((), ("--by-pool",)):
            printed = table(holdbook("metrics", "--csv", *words).out)
            assert printed == [
                {name: "" if value is None else str(value) for name, value in row.items()}
                for row in holdbook.json("metrics", *words)["metrics"]
            ]

    def test_people(self, holdbook: Holdbook, tmp_path: Path, sqlite_template: Path) -> None:
        """A table of counts and one of times, or that there is nothing to count."""
        said = holdbook("metrics").out
        assert "pool_exhausted" in said
        assert "resource type" in said
        assert "pool_" not in said.splitlines()[0]
        assert re.search(r"\ngpu +release +2 +3:00:00 +6h +6h +6h *\n", said)
        assert re.search(r"\ngpu +gpu-b +release +1 +3:00:00 +6h +6h +6h *\n", holdbook("metrics", "--by-pool").out)
        empty = Holdbook(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'nothing.db')}")
        assert empty("metrics").out == "nothing has happened yet\n"


class TestFailures:
    """Refusals, each whole."""

    def test_all(self, holdbook: Holdbook) -> None:
        """What is printed is what SQL gives on the published name, and says it in words."""
        printed = holdbook.lines("failures")
        rows = query(holdbook.url, "SELECT * FROM validation_failures ORDER BY position")
        names = list(VALIDATION_FAILURES.published.columns)
        assert len(printed) == len(rows) == 4
        for one, row in zip(printed, rows, strict=True):
            stored = dict(zip(names, row, strict=True))
            stored |= {"asked": json.loads(stored["asked"]), "data": json.loads(stored["data"])}
            assert {name: one[name] for name in names} == stored
            assert one["as_of_position"] == HEAD
        assert printed[0]["message"] == "pool 'gpu-a' has 2 of 8 device free, 4 asked"
        assert [one["transient"] for one in printed] == [True, False, False, True]

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["--pool", "gpu-a"], [0, 2, 3]),
            (["--pool", "tpu"], [1]),
            (["--owner", "bob"], [0, 1]),
            (["--actor", "robot"], [1, 3]),
            (["--code", "allocation_ended"], [2]),
            (["--since", "2026-01-05T12:20:00Z"], [1, 2, 3]),
            (["--until", "2026-01-05T13:20:00Z"], [0, 1]),
            (["--since", "2026-01-05T13:20:00+01:00", "--until", "2026-01-05T12:20:00.000001Z"], [1]),
            (["--owner", "bob", "--actor", "tester", "--code", "pool_exhausted", "--pool", "gpu-a"], [0]),
            (["--owner", "nobody"], []),
        ],
    )
    def test_chosen(self, holdbook: Holdbook, words: list[str], found: list[int]) -> None:
        """By pool, owner, actor, code, time: from a moment on, before a moment."""
        every = [one["position"] for one in holdbook.lines("failures")]
        assert [every.index(one["position"]) for one in holdbook.lines("failures", *words)] == found

    def test_csv(self, holdbook: Holdbook) -> None:
        """CSV has the columns of the view, whatever is in them; what is null is empty."""
        printed = table(holdbook("failures", "--csv").out)
        assert list(printed[0]) == list(VALIDATION_FAILURES.published.columns)
        assert [row["owner"] for row in printed] == ["bob", "bob", "", 'eve, "the" other']
        assert json.loads(printed[0]["asked"])["quantities"] == {"gpu-a": 4}
        assert table(holdbook("failures", "--csv", "--owner", "nobody").out) == []

    def test_people(self, holdbook: Holdbook) -> None:
        """A table with the reason in words, or that there are none."""
        said = holdbook("failures").out
        assert "pool 'gpu-a' has 2 of 8 device free, 4 asked" in said
        assert said.splitlines()[-1] == "4 refusals"
        assert holdbook("failures", "--code", "pool_not_found").out.splitlines()[-1] == "1 refusal"
        assert holdbook("failures", "--owner", "nobody").out == "no such refusals\n"

    @pytest.mark.parametrize(
        ("words", "parameter"),
        [
            (["--code", "nonsense"], "code"),
            (["--since", "yesterday"], "since"),
            (["--until", "2026-01-05T09:00:00"], "until"),
            (["--owner", " x"], "owner"),
        ],
    )
    def test_malformed(self, holdbook: Holdbook, words: list[str], parameter: str) -> None:
        """A filter that could never match is an error that names it."""
        assert holdbook.error("failures", *words)["parameter"] == parameter


class TestUsage:
    """A pool over time."""

    def test_json(self, holdbook: Holdbook) -> None:
        """Every hour from the opening to the last refusal; where something happened, it is the view's row."""
        printed = holdbook.json("usage-over-time", "gpu-a")
        assert (printed["pool"], printed["unit"], printed["bucket_seconds"]) == ("gpu-a", "device", 3600)
        assert printed["position"] == HEAD
        hours = printed["buckets"]
        fields = ("used", "peak", "capacity", "allocations", "grants", "endings", "refusals")
        assert [(hour["bucket"][11:13], *(hour[field] for field in fields)) for hour in hours] == [
            ("09", 6, 6, 8, 1, 1, 0, 1),
            ("10", 6, 6, 8, 1, 0, 0, 0),
            ("11", 6, 6, 8, 1, 0, 0, 0),
            ("12", 2, 6, 8, 1, 1, 1, 0),
            ("13", 2, 2, 8, 1, 0, 0, 2),
        ]
        sql = "SELECT bucket, used, peak, capacity, allocations, grants, endings FROM pool_usage WHERE pool = 'gpu-a'"
        assert set(query(holdbook.url, sql)) <= {tuple(hour.values())[:-1] for hour in hours}

    def test_csv(self, holdbook: Holdbook) -> None:
        """CSV has the rows of the JSON."""
        buckets = holdbook.json("usage-over-time", "gpu-a")["buckets"]
        printed = table(holdbook("usage-over-time", "gpu-a", "--csv").out)
        assert printed == [{name: str(value) for name, value in row.items()} for row in buckets]

    def test_a_part(self, holdbook: Holdbook) -> None:
        """From the hour of a time to before a time."""
        words = ("--from", "2026-01-05T10:30:00Z", "--to", "2026-01-05T12:00:00Z")
        hours = [one["bucket"][11:13] for one in holdbook.json("usage-over-time", "gpu-a", *words)["buckets"]]
        assert hours == ["10", "11"]
        assert holdbook.json("usage-over-time", "gpu-a", "--to", "2026-01-01T00:00:00Z")["buckets"] == []

    def test_plot(self, holdbook: Holdbook) -> None:
        """People see a plot, and what it comes to."""
        said = holdbook("usage-over-time", "gpu-a").out
        assert "8 │" in said
        assert said.splitlines()[-1] == (
            "gpu-a: 2 of 8 device used in the end, at most 6 in the hour from 2026-01-05 09:00:00Z; "
            "2 granted, 1 ended, 3 refused"
        )
        early = holdbook("usage-over-time", "gpu-a", "--to", "2026-01-01T00:00:00Z").out
        assert early == "nothing happened in pool gpu-a in that time\n"

    def test_ascii(self, holdbook: Holdbook) -> None:
        """On a terminal without Unicode the plot is drawn in ASCII."""
        env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        done = run("usage-over-time", "gpu-a", "--database", holdbook.url, env=env).ends(0)
        assert "8 |" in done.out
        assert "\\u" not in done.out

    def test_no_such_pool(self, holdbook: Holdbook) -> None:
        """A pool that is not there is exit code 1."""
        assert holdbook.error("usage-over-time", "nope", code=1)["name"] == "nope"

    @pytest.mark.parametrize(
        ("words", "parameter"),
        [(["--from", "noon"], "from"), (["--to", "noon"], "to"), (["--to", "3026-01-01T00:00:00Z"], "from")],
    )
    def test_malformed(self, holdbook: Holdbook, words: list[str], parameter: str) -> None:
        """A time that is none, or more hours than anybody could read."""
        assert holdbook.error("usage-over-time", "gpu-a", *words)["parameter"] == parameter


@pytest.mark.parametrize("words", [("metrics",), ("failures",), ("usage-over-time", "gpu-a")])
class TestEvery:
    """What the three have in common."""

    def test_one_form(self, holdbook: Holdbook, words: tuple[str, ...]) -> None:
        """JSON and CSV together are an error."""
        assert holdbook.error(*words, "--csv")["parameter"] == "csv"

    def test_up_to_date(self, holdbook: Holdbook, words: tuple[str, ...]) -> None:
        """The views are brought up to date first."""
        assert {view["behind"] for view in holdbook.json("projections")["views"]} != {0}
        holdbook(*words)
        assert {view["behind"] for view in holdbook.json("projections")["views"]} == {0}


def test_a_reader_who_may_not_write(postgres_url: str) -> None:
    """Whoever may only read is told that the views are behind, and gets what they hold; exit code 0."""
    with Ledger.open(postgres_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.projector().catch_up()
    with account(postgres_url, "SELECT") as reader:
        done = run("metrics", "--json", "--database", reader).ends(0)
        assert done.err == ""
        with Ledger.open(postgres_url) as ledger:
            ledger.allocate({"gpu": 1}, owner="ann")
        done = run("metrics", "--json", "--database", reader).ends(0)
    counted: list[dict[str, Any]] = done.document["metrics"]
    assert done.document["position"] == 1
    assert [row["operation"] for row in counted] == ["open_pool"]
    assert "views_behind" in done.err
    assert "permission denied" in done.err
