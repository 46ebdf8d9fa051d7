"""An incident run again on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits, Refused
from support.cli import Holdbook, run
from support.incidents import parsed

if TYPE_CHECKING:
    from pathlib import Path

MORNING = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

WINDOW = ("--from", "2026-01-05T09:00:00Z", "--to", "2026-01-05T11:00:00Z")


class Clock:
    """A clock that is moved."""

    now = MORNING

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger with an incident: a full pool, a refusal, lowered limits, a lapse nobody noticed."""
    clock = Clock()
    with Ledger.open(database_url, actor="tester", clock=clock) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", unit="device", limits=Limits(total=8))
        ledger.open_pool("idle", resource_type="cpu", unit="core", limits=Limits(total=8))
        ledger.allocate({"gpu": 5}, owner="ann", allocation_id="a")
        clock.now += timedelta(minutes=30)
        ledger.allocate({"gpu": 2}, owner="bob", allocation_id="b", ttl=timedelta(minutes=45))
        with pytest.raises(Refused):
            ledger.allocate({"gpu": 4}, owner="eve", allocation_id="c", actor="robot")
        with pytest.raises(Refused):
            ledger.release("nobody")
        clock.now += timedelta(minutes=15)
        ledger.change_limits("gpu", Limits(total=6))
    return Holdbook(database_url)


def levels(step: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Read the levels of a step."""
    return tuple(tuple(step[place].values()) for place in ("before", "after"))


class TestJson:
    """For programs."""

    def test_steps(self, holdbook: Holdbook) -> None:
        """One line a step, with its pool before and after it, lapsed holds last; then what it comes to."""
        *steps, summary = holdbook.lines("replay", *WINDOW, "--pool", "gpu")
        assert [(one["position"], one["type"], *levels(one)) for one in steps] == [
            (1, "PoolOpened", (0, 0, 0), (0, 8, 0)),
            (3, "Allocated", (0, 8, 0), (5, 8, 1)),
            (4, "Allocated", (5, 8, 1), (7, 8, 2)),
            (5, "ValidationFailed", (7, 8, 2), (7, 8, 2)),
            (7, "LimitsChanged", (7, 8, 2), (7, 6, 2)),
            (None, "Lapsed", (7, 6, 2), (5, 6, 1)),
        ]
        refused, lapsed = steps[3], steps[5]
        told = {"pool": "gpu", "allocation_id": "c", "owner": "eve", "quantity": 4, "actor": "robot"}
        assert (
            refused.items() >= {**told, "code": "pool_exhausted", "occurred_at": "2026-01-05T09:30:00.000000Z"}.items()
        )
        assert (
            lapsed.items()
            >= {"occurred_at": "2026-01-05T10:15:00.000000Z", "recorded_at": None, "owner": "bob"}.items()
        )
        assert {one["as_of_position"] for one in steps} == {7}
        assert summary["pools"] == [
            {
                "pool": "gpu",
                "unit": "device",
                "before": {"used": 0, "capacity": 0, "allocations": 0},
                "after": {"used": 5, "capacity": 6, "allocations": 1},
                "peak": 7,
                "peak_at": "2026-01-05T09:30:00.000000Z",
                "events": {"PoolOpened": 1, "Allocated": 2, "LimitsChanged": 1, "Lapsed": 1},
                "granted": 7,
                "ended": 2,
                "refused": {"pool_exhausted": 1},
            }
        ]
        assert (summary["steps"], summary["position"], summary["refused_of_no_pool"]) == (6, 7, {})

    def test_all_pools(self, holdbook: Holdbook) -> None:
        """Without a choice there are all the pools, and refusals that name none."""
        *steps, summary = holdbook.lines("replay", *WINDOW)
        assert [one["position"] for one in steps] == [*range(1, 8), None]
        assert (steps[5]["pool"], steps[5]["before"], steps[5]["code"]) == (None, None, "allocation_not_found")
        assert [one["pool"] for one in summary["pools"]] == ["gpu", "idle"]
        assert summary["refused_of_no_pool"] == {"allocation_not_found": 1}

    def test_page(self, holdbook: Holdbook, tmp_path: Path) -> None:
        """With a page, what is printed is one document, which names it."""
        path = tmp_path / "incident.html"
        summary = holdbook.json("replay", *WINDOW, "--html", str(path))
        assert (summary["html"], summary["steps"]) == (str(path), 8)
        assert len(parsed(path.read_text("utf-8")).all("tr", kind="refused")) == 2


class TestPeople:
    """For people."""

    def test_steps_and_plot(self, holdbook: Holdbook) -> None:
        """The steps, a plot of each pool in which something happened, its refusals marked, and what it comes to."""
        said = holdbook("replay", *WINDOW, "--from", "2026-01-05T09:15:00Z").out
        lines = said.splitlines()
        assert lines[0].split() == [
            *("position", "at", "pool", "event", "allocation", "owner"),
            *("quantity", "used", "limit", "allocations", "actor"),
        ]
        (refused,) = (line for line in lines if " eve " in line)
        assert refused.split()[:10] == [
            *("5", "2026-01-05", "09:30:00Z", "gpu", "pool_exhausted", "c", "eve", "4", "7", "8"),
        ]
        assert any("Lapsed" in line and "7 → 5" in line for line in lines)
        assert any("LimitsChanged" in line and "8 → 6" in line for line in lines)
        assert "\ngpu, in device\n" in said
        assert "idle, in" not in said
        assert any(line.strip() == "×" for line in lines)  # noqa: RUF001 - a sign that is meant
        assert lines[-2:] == [
            (
                "gpu: 5 used at first, at most 7, 5 of 6 device in the end; "
                "1 Allocated, 1 LimitsChanged, 1 Lapsed, refused: pool_exhausted 1"
            ),
            "refused, of no pool that there is: allocation_not_found 1",
        ]

    def test_rows(self, holdbook: Holdbook) -> None:
        """No more steps are listed than are asked for; it says so."""
        said = holdbook("replay", *WINDOW, "--rows", "2").out
        assert "2 of 8 steps" in said
        assert "Allocated" not in said.split("2 of 8 steps")[0]
        assert "0 of 8 steps" in holdbook("replay", *WINDOW, "--rows", "0").out

    def test_page(self, holdbook: Holdbook, tmp_path: Path) -> None:
        """With a page, what it comes to, and where it is; an older page of that name is replaced."""
        path = tmp_path / "incident.html"
        path.write_text("old")
        said = holdbook("replay", *WINDOW, "--html", str(path), "--rows", "4").out
        assert said.splitlines()[-1] == f"8 steps written to {path}"
        assert "The first 4 of 8." in " ".join(path.read_text("utf-8").split())
        assert [file.name for file in tmp_path.glob("incident*")] == ["incident.html"]

    def test_nothing(self, holdbook: Holdbook) -> None:
        """A window in which nothing happened is said to be one; a pool that is asked for is drawn all the same."""
        early = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
        assert holdbook("replay", *early).out == "nothing happened in that time\n"
        said = holdbook("replay", *early, "--pool", "gpu").out
        assert "\ngpu, in units\n" in said
        assert said.endswith("nothing happened in that time\n")


def test_ascii(sqlite_url: str) -> None:
    """On a terminal without Unicode the plot is drawn in ASCII."""
    with Ledger.open(sqlite_url, clock=Clock()) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        with pytest.raises(Refused):
            ledger.allocate({"gpu": 2}, owner="ann")
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("replay", *WINDOW, "--rows", "0", "--database", sqlite_url, env=env).ends(0)
    assert "1 |" in done.out
    assert "x refused" in done.out
    assert "\\u" not in done.out


@pytest.mark.parametrize(
    ("words", "parameter", "code"),
    [
        (["--from", "noon"], "from", 2),
        (["--to", "2026-01-05T11:00:00"], "to", 2),
        (["--to", "2026-01-05T09:00:00Z"], "to", 2),
        (["--pool", "a=b "], "pool", 2),
        (["--html", "."], "--html", 2),
        (["--html", "{folder}/nowhere/a.html"], "--html", 2),
    ],
)
def test_malformed(holdbook: Holdbook, tmp_path: Path, words: list[str], parameter: str, code: int) -> None:
    """What cannot be a window, a name, or a file is named."""
    words = [word.format(folder=tmp_path) for word in words]
    assert holdbook.error("replay", *WINDOW, *words, code=code)["parameter"] == parameter


def test_no_such_pool(holdbook: Holdbook, tmp_path: Path) -> None:
    """A pool that is not there is exit code 1, and no page is written."""
    path = tmp_path / "incident.html"
    error = holdbook.error("replay", *WINDOW, "--pool", "nope", "--html", str(path), code=1)
    assert (error["kind"], error["name"]) == ("pool", "nope")
    assert not path.exists()


def test_a_window_must_be_given(holdbook: Holdbook) -> None:
    """Both ends of the window are needed."""
    assert "--to" in holdbook.error("replay", *WINDOW[:2])["message"]


def test_a_page_that_fails_is_not_there(holdbook: Holdbook, tmp_path: Path) -> None:
    """If a page cannot be written to its end, what was in its place stays, and nothing is left beside it."""
    folder = tmp_path / "page.html"
    folder.mkdir()
    assert holdbook.error("replay", *WINDOW, "--html", str(folder))["parameter"] == "--html"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("page")] == ["page.html"]
