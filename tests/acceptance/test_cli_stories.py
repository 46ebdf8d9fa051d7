"""What auditors ask of the log, and what whoever was refused asks: `history` with filters and pages, and `explain`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from holdbook import Ledger, Limits
from support.cli import Holdbook
from support.story import T0, Clock, seconds, tell


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger in which everything has happened."""
    clock = Clock()
    with Ledger.open(database_url, actor="tester", clock=clock) as ledger:
        tell(ledger, clock)
    return Holdbook(database_url)


def positions(holdbook: Holdbook, *words: str) -> list[int]:
    """Where in the log is what is found."""
    return [one["position"] for one in holdbook.lines("history", *words)]


CHOSEN: Sequence[tuple[Sequence[str], Sequence[int]]] = (
    (["a2"], [6, 23]),
    (["--pool", "seats"], [3, 8, 11, 24, 26, 27, 31, 32, 33]),
    (["--pool", "gpu", "--refused"], [20]),
    (["--refused"], [20, 21, 30]),
    (["--code", "allocation_ended"], [30]),
    (["--owner", "ann"], [4, 5, 13, 14, 15, 16, 17, 18]),
    (["--owner", "bob", "--pool", "cpu"], [17, 22, 28]),
    (["--owner", "eve"], [20]),
    (["--tag", "job=7", "--owner", "bob"], [17, 18, 22, 28, 29]),
    (["--tag", "job=8"], []),
    (["--actor", "bob"], [6]),
    (["--correlation", "story"], [10, 11]),
    (["--between", "2026-01-01T00:00:30Z", "2026-01-01T00:01:20Z"], [24, 25, 26]),
    (["a1", "--between", "2026-01-01T00:03:40Z", "2026-01-01T02:05:00+02:00"], [28, 29]),
    (["--pool", "gpu", "--after", "5", "--upto", "10", "--limit", "2"], [6, 9]),
    (["--after", "36"], []),
    (["--pool", "gpu", "--refused", "--limit", "9" * 30], [20]),
    (["--after", "9" * 30], []),
)


def test_events_are_chosen(holdbook: Holdbook) -> None:
    """By allocation, pool, owner, tag, actor, correlation, time, refusal; and conditions combine."""
    for words, found in CHOSEN:
        assert positions(holdbook, *words) == found, words


def test_a_line_says_what_changed(holdbook: Holdbook) -> None:
    """Programs get each event with its command, the allocation before and after, and what changed."""
    line = holdbook.lines("history", "a1")[4]
    assert (line["type"], line["command"], line["reason"], line["actor"]) == ("Resized", "resize", None, "tester")
    assert (line["before"]["quantities"], line["after"]["quantities"]) == ({"cpu": 20, "gpu": 2}, {"cpu": 40, "gpu": 1})
    assert line["changes"] == {
        "quantities.cpu": {"before": 20, "after": 40},
        "quantities.gpu": {"before": 2, "after": 1},
    }
    assert holdbook.lines("history", "a3")[0]["before"] is None


def test_people_see_what_changed(holdbook: Holdbook) -> None:
    """What changed has what it was before, and an arrow; the command is named, and the end says how much there is."""
    told = holdbook("history").out
    for part in (
        "20 → 40 for ann",
        "40 for ann → bob",
        "until 2026-01-01 00:01:50Z → 2026-01-01 00:03:40Z",
        "total 8 → 2, per_owner 6 → none",
        "total 2, reserved 0, overcommit 1, default_ttl 50, max_ttl 60",
        "reserved → voided",
        "active → expired",
        "allocation 'a1' has ended: expired",
        "there is no allocation 'nobody'",
        "2 for bob, done",
        "moved",
        "transfer …",
    ):
        assert part in told
    assert told.splitlines()[-1] == "36 events, as of position 36"
    assert holdbook("history", "a3").out.splitlines()[-1] == "1 event, as of position 36"
    assert holdbook("history", "--owner", "nobody").out == "no such events, as of position 36\n"
    assert holdbook("history", "a1", "--after", "30").out == "no such events, as of position 36\n"


def test_what_is_rare(sqlite_url: str) -> None:
    """A deadline that is lifted, one that is given later, and an end by force are told in words."""
    with Ledger.open(sqlite_url, actor="tester") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.reserve({"gpu": 1}, owner="ann", allocation_id="a", ttl=timedelta(days=1))
        ledger.confirm("a")
        ledger.renew("a", ttl=timedelta(days=1))
        ledger.release("a", force=True, reason="stuck")
    told = Holdbook(sqlite_url)("history", "a").out
    assert "Z → released" in told
    assert "until released → " in told
    assert "1 for ann, by force, stuck" in told


def test_what_was_reclaimed(sqlite_url: str) -> None:
    """What was really held without a right is told in words, with how its right had ended, and why."""
    with Ledger.open(sqlite_url, actor="tester") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="a")
        ledger.release("a")
        ledger.reclaim("gpu", "a", reason="still there")
        ledger.reclaim("gpu", "b")
    holdbook = Holdbook(sqlite_url)
    assert "taken back: its right had been released, still there" in " ".join(holdbook("history", "a").out.split())
    assert holdbook.lines("history", "a")[-1]["data"]["state"] == "released"
    assert "taken back: its right was never granted" in " ".join(holdbook("history", "b").out.split())


def test_pages_go_on(holdbook: Holdbook) -> None:
    """The end of a page says how to go on; whoever does sees each event once, though the log grows meanwhile."""
    assert holdbook("history", "--limit", "5").out.splitlines()[-1] == (
        "5 events, as of position 36; go on with --after 5 --upto 36"
    )
    seen, after = [], 0
    while after is not None:
        lines = holdbook.lines("history", "--limit", "7", "--after", str(after), "--upto", "36")
        assert {one["as_of_position"] for one in lines} == {36}
        assert [one["next"] for one in lines[:-1]] == [one["position"] for one in lines[:-1]]
        seen += [one["position"] for one in lines]
        after = lines[-1]["next"]
        holdbook("allocate", "gpu=9", "--owner", "late", code=1)
    assert seen == list(range(1, 37))
    assert positions(holdbook, "--after", "36", "--limit", "1") == [37]


def test_programs_get_all(holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit programs get every line, however many are read at a time; only the last has nothing after it."""
    monkeypatch.setattr("holdbook.infrastructure.cli.commands.history.JSON_STEPS", 10)
    lines = holdbook.lines("history")
    assert [one["position"] for one in lines] == list(range(1, 37))
    assert [one["next"] for one in lines] == [*range(1, 36), None]
    limited = holdbook.lines("history", "--limit", "25")
    assert [one["next"] for one in limited] == list(range(1, 26))


@pytest.mark.parametrize(
    ("words", "parameter"),
    [
        (["--code", "no_reason"], "code"),
        (["--pool", ""], "pool"),
        (["--owner", " x"], "owner"),
        (["--actor", ""], "actor"),
        (["--correlation", ""], "correlation"),
        (["--tag", "job"], "tags"),
        (["--tag", "job="], "tags.job"),
        (["--between", "yesterday", "today"], "between"),
        (["--between", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"], "between"),
        (["--upto", "37"], "upto"),
        ([""], "id"),
    ],
    ids=" ".join,
)
def test_questions_that_are_none(sqlite_url: str, words: list[str], parameter: str) -> None:
    """What is malformed is named, as the option is."""
    assert Holdbook(sqlite_url).error("history", *words)["parameter"] == parameter


# Explain


@pytest.fixture
def full(database_url: str) -> Holdbook:
    """The command line on a ledger with a pool that is full until the day after tomorrow."""
    with Ledger.open(database_url, actor="tester", clock=Clock()) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", unit="GPUs", limits=Limits(total=30, per_owner=20))
        ledger.open_pool("seat", resource_type="seat", limits=Limits(total=9, max_allocations=1))
        ledger.allocate({"gpu": 4}, owner="ann", allocation_id="lasting", tags={"job": "7"})
        ledger.reserve({"gpu": 3}, owner="bob", allocation_id="promised", ttl=seconds(86400.5))
        for number in range(23):
            ledger.allocate({"gpu": 1}, owner=f"o{number}", allocation_id=f"n{number:02}", ttl=seconds(2 * 86400))
        ledger.allocate({"seat": 1}, owner="ann", allocation_id="seated")
    return Holdbook(database_url)


AT = ("--at", "2026-01-01T12:00:00Z")


def test_explain_names_holders_and_the_moment(full: Holdbook) -> None:
    """Programs get every holder in the order in which they expire, and the moment at which it would be granted."""
    told: dict[str, Any] = full.json("explain", "--pool", "gpu", "--quantity", "3", *AT, code=1)
    (obstacle,) = told["obstacles"]
    holders = obstacle.pop("holders")
    assert (told["granted"], told["granted_at"]) == (False, "2026-01-02T00:00:00.500000Z")
    assert (told["moment"], told["position"]) == ("2026-01-01T12:00:00.000000Z", 28)
    assert obstacle == {
        "code": "pool_exhausted",
        "pool": "gpu",
        "transient": True,
        "message": "pool 'gpu' has 0 of 30 GPUs free, 3 asked",
        "data": {"pool": "gpu", "unit": "GPUs", "capacity": 30, "used": 30, "free": 0, "limit": 30, "asked": 3},
        "since": "2026-01-01T12:00:00.000000Z",
        "until": "2026-01-02T00:00:00.500000Z",
    }
    assert [one["allocation_id"] for one in holders] == [
        "promised",
        *(f"n{number:02}" for number in range(23)),
        "lasting",
    ]
    assert holders[0] == {
        "allocation_id": "promised", "owner": "bob", "quantity": 3, "deadline": "2026-01-02T00:00:00.500000Z",
        "reserved": True, "tags": {},
    }  # fmt: skip


def test_explain_tells_people(full: Holdbook) -> None:
    """People see the refusal, the first holders, what the others hold, and when it would be granted."""
    lines = full("explain", "--pool", "gpu", "--quantity", "3", *AT, code=1).out.splitlines()
    assert lines[0] == "refused (pool_exhausted): pool 'gpu' has 0 of 30 GPUs free, 3 asked"
    assert lines[3].split() == ["2026-01-02T00:00:00.500000Z", "promised", "bob", "3", "reserved"]
    assert lines[-2:] == [
        "and 5 more, which hold 8",
        "granted from 2026-01-02T00:00:00.500000Z on, if nothing but expiry happens, as of position 28",
    ]


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["--pool", "gpu", "--quantity", "31"], "no expiry lifts this: somebody has to change something"),
        (["gpu=20"], "granted from 2026-01-03T00:00:00Z on, if nothing but expiry happens"),
        (["gpu=3", "seat=1"], "no expiry will be enough: 1 of them has no deadline"),
        (["gpu=17", "--owner", "ann"], "no expiry will be enough: 4 GPUs are held without a deadline"),
    ],
    ids=" ".join,
)
def test_explain_says_whether_time_helps(full: Holdbook, words: list[str], last: str) -> None:
    """The last line says when time alone is enough, or that it never is, and why."""
    assert full("explain", *words, *AT, code=1).out.splitlines()[-1] == f"{last}, as of position 28"


def test_explain_tells_one_obstacle_after_another(full: Holdbook) -> None:
    """What stands in the way next is told with the moment from which on it does."""
    with Ledger.open(full.url, actor="tester", clock=Clock()) as ledger:
        ledger.change_limits("seat", Limits(total=9))
        ledger.allocate({"seat": 8}, owner="cid", allocation_id="eight", ttl=seconds(3 * 86400))
    lines = full("explain", "gpu=3", "seat=2", *AT, code=1).out.splitlines()
    assert lines[0].startswith("refused (pool_exhausted): pool 'gpu'")
    assert (
        "then, at 2026-01-02T00:00:00.500000Z, refused (pool_exhausted): pool 'seat' has 0 of 9 unit free, 2 asked"
        in lines
    )
    assert lines[-1].startswith("granted from 2026-01-04T00:00:00Z on")


def test_explain_what_would_be_granted(full: Holdbook) -> None:
    """A request that would be granted is exit code 0; the moment it was told is such a moment."""
    assert full("explain", "gpu=3", "--ttl", "1h", "--at", "2026-01-02T00:00:00.500000Z").out == (
        "it would be granted at 2026-01-02T00:00:00.500000Z, as of position 28\n"
    )
    told = full.json("explain", "gpu=17", "--owner", "ann", code=1)
    assert datetime.fromisoformat(told["moment"]) > T0 + seconds(2 * 86400), "the present, as nothing else is said"
    assert full.json("explain", "gpu=16", "--owner", "ann")["granted"] is True
    assert told["granted_at"] is None


@pytest.mark.parametrize(
    ("words", "parameter"),
    [
        ([], "pool"),
        (["--pool", "gpu"], "quantity"),
        (["--quantity", "4"], "pool"),
        (["gpu=4", "--pool", "cpu"], "quantity"),
        (["gpu=4", "--pool", "gpu", "--quantity", "4"], "quantities.gpu"),
        (["gpu=four"], "quantities.gpu"),
        (["gpu"], "quantities"),
        (["gpu=4", "--owner", ""], "owner"),
        (["gpu=4", "--ttl", "soon"], "ttl"),
        (["gpu=4", "--at", "noon"], "at"),
        (["gpu=4", "--at", "9999-01-01T00:00:00Z"], "at"),
    ],
    ids=" ".join,
)
def test_requests_that_are_none(sqlite_url: str, words: list[str], parameter: str) -> None:
    """What is malformed is named, as the option is."""
    assert Holdbook(sqlite_url).error("explain", *words)["parameter"] == parameter
