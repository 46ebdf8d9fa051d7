"""What other limits would have changed, on the command line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from support.cli import Holdbook, jsonl
from support.tampering import tampering
from support.workloads import made_up

LIFTED = ("gpu.max_size", "gpu.max_ttl", "licence.per_owner")
"""The limits on sizes and times of the made-up pools."""

AT = "2026-01-05T{:02}:00:00.000000Z"
STORY: list[dict[str, Any]] = [
    {"command": "open_pool", "pool": "gpu", "resource_type": "gpu", "unit": "card", "limits": {"total": 8}},
    {"command": "allocate", "allocation_id": "a", "quantities": {"gpu": 6}, "owner": "ann", "tags": {}},
    {"command": "allocate", "allocation_id": "b", "quantities": {"gpu": 4}, "owner": "ann", "tags": {}},
    {"command": "release", "allocation_id": "b"},
    {"command": "release", "allocation_id": "a"},
]
"""A pool that is full for an hour."""


def story(pool: str = "gpu") -> str:
    """Tell of a pool that is full."""
    lines = ({**line, "at": AT.format(hour)} for hour, line in enumerate(STORY, start=8))
    return jsonl([*lines]).replace('"gpu"', json.dumps(pool))


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger that refused one allocation."""
    holdbook = Holdbook(database_url)
    holdbook("import", "-", stdin=story())
    return holdbook


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Holdbook:
    """The command line on a ledger that nobody changes."""
    holdbook = Holdbook(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/holdbook.db")
    holdbook("import", "-", stdin=story())
    return holdbook


@pytest.fixture
def busy(database_url: str) -> Holdbook:
    """The command line on a ledger in which much happened, most of it in pools that were full."""
    holdbook = Holdbook(database_url)
    holdbook("import", "-", stdin=jsonl(made_up(400)))
    return holdbook


def counted(report: dict[str, Any], which: str, verb: str) -> dict[str, int]:
    """Read how many commands of a kind ended how."""
    return {one["outcome"]: one[which] for one in report["outcomes"] if one["command"] == verb and one[which]}


def test_recorded_limits(busy: Holdbook) -> None:
    """Every recorded outcome is reproduced, on both databases, in the whole log and in a part of it."""
    commands = [event for event in busy("export").lines if event["command"]]
    report = busy.json("what-if")
    assert (report["ok"], report["fault"], report["flipped"], report["turns"]) == (True, None, 0, [])
    assert report["commands"] == len(commands)
    assert sum(one["recorded"] for one in report["outcomes"]) == report["commands"]
    begin, end = (commands[len(commands) * third // 3]["occurred_at"] for third in (1, 2))
    part = busy.json("what-if", "--from", begin, "--to", end)
    assert (part["ok"], part["from"], part["to"]) == (True, begin, end)
    assert part["commands"] == sum(begin <= event["occurred_at"] < end for event in commands)


def test_limits_that_nobody_meets(busy: Holdbook) -> None:
    """With as much of everything as anybody asks for, all is granted."""
    wide = [f"{pool}.total=1000000" for pool in ("cpu", "gpu", "licence")] + [f"{limit}=none" for limit in LIFTED]
    report = busy.json("what-if", *(word for one in wide for word in ("--set", one)), "--flips", "3")
    for verb in ("allocate", "reserve"):
        before = counted(report, "recorded", verb)
        assert len(before) > 1, "some were refused"
        assert counted(report, "what_if", verb) == {"done": sum(before.values())}
    assert report["set"]["licence"] == {"total": 1000000, "per_owner": None}
    assert all(pool["what_if"]["peak"] > pool["recorded"]["peak"] for pool in report["pools"])
    assert (len(report["flips"]), report["flipped"]) == (3, report["gained"] + report["lost"])


def test_as_json(holdbook: Holdbook) -> None:
    """One document: what was asked, what was counted, peaks, and the commands that end otherwise."""
    report = holdbook.json("what-if", "--set", "gpu.total=10")
    flips = report.pop("flips")
    assert report == {
        "ok": True,
        "position": 5,
        "from": None,
        "to": None,
        "set": {"gpu": {"total": 10}},
        "events": 5,
        "commands": 5,
        "outcomes": [
            {"command": "open_pool", "outcome": "done", "recorded": 1, "what_if": 1},
            {"command": "allocate", "outcome": "done", "recorded": 1, "what_if": 2},
            {"command": "allocate", "outcome": "pool_exhausted", "recorded": 1, "what_if": 0},
            {"command": "release", "outcome": "done", "recorded": 1, "what_if": 2},
            {"command": "release", "outcome": "allocation_not_found", "recorded": 1, "what_if": 0},
        ],
        "turns": [
            {"command": "allocate", "recorded": "pool_exhausted", "what_if": "done", "count": 1},
            {"command": "release", "recorded": "allocation_not_found", "what_if": "done", "count": 1},
        ],
        "pools": [
            {
                "name": "gpu",
                "unit": "card",
                "recorded": {"peak": 6, "capacity": 8, "at": AT.format(9)},
                "what_if": {"peak": 10, "capacity": 10, "at": AT.format(10)},
            }
        ],
        "flipped": 2,
        "gained": 2,
        "lost": 0,
        "fault": None,
    }
    assert flips[0] == {
        "position": 3,
        "occurred_at": AT.format(10),
        "command": "allocate",
        "allocation_id": "b",
        "asked": {**STORY[2], "at": AT.format(10)},
        "recorded": {"outcome": "pool_exhausted", "message": "pool 'gpu' has 2 of 8 card free, 4 asked"},
        "what_if": {"outcome": "done", "message": None},
    }


def test_for_people(holdbook: Holdbook) -> None:
    """Tables of outcomes, peaks and commands that end otherwise, and a sentence that names the first."""
    said = holdbook("what-if", "--set", "gpu.total=10", "--set", "gpu.max_size=none", "--flips", "1").out
    assert "5 commands decided again: under the recorded limits they lead to the 5 events recorded" in said
    assert "with gpu.total=10, gpu.max_size=none:" in said
    assert "allocate   pool_exhausted               1        0  -1" in said
    assert re.search("gpu +card +6 +8 +2026-01-05 09:00:00Z +10 +10 +2026-01-05 10:00:00Z", said)
    assert "2026-01-05 10:00:00Z  allocate  b           gpu=4  pool_exhausted  done" in said
    end = "2 commands end otherwise, the first at position 3: 2 done that were refused, 0 refused that were done\n"
    assert said.endswith(end)
    assert said.count("release") == 2, "the second of the two is counted, not listed"


def test_for_people_where_nothing_changes(holdbook: Holdbook) -> None:
    """Without other limits it says that the log was reproduced; with some that change nothing, that too."""
    assert holdbook("what-if").out.count("\n") == 1
    assert holdbook("what-if", "--set", "gpu.total=9").out.endswith("no command ends otherwise\n")
    nothing = holdbook("what-if", "--set", "gpu.total=9", "--from", "2027-01-01T00:00:00Z").out
    assert nothing.splitlines() == [
        "0 commands decided again: under the recorded limits they lead to the 0 events recorded"
    ]
    one = holdbook("what-if", "--set", "gpu.total=4", "--from", "2026-01-05T12:00:00Z").out
    assert one.startswith("1 command decided again")


def test_what_would_have_been_refused(holdbook: Holdbook) -> None:
    """Lower limits refuse what was done; who comes after it may be lucky."""
    said = holdbook("what-if", "--set", "gpu.total=5").out
    assert "2026-01-05 09:00:00Z  allocate  a           gpu=6  done                  above_capacity" in said
    assert said.endswith(": 2 done that were refused, 2 refused that were done\n")
    last = holdbook("what-if", "--set", "gpu.total=4", "--to", AT.format(10)).out
    assert "1 command ends otherwise, the first at position 2: 0 done that were refused, 1 refused that was" in last


def test_a_log_that_does_not_follow(holdbook: Holdbook) -> None:
    """It is told by position and field, in both forms, and the exit code is 1."""
    with tampering(holdbook.url) as tamperer:
        tamperer.set_data(2, quantity=7)
    report = holdbook.json("what-if", "--set", "gpu.total=10", code=1)
    assert report["fault"] == {"position": 2, "field": "quantity", "recorded": 7, "again": 6}
    assert report["ok"] is False
    said = holdbook("what-if", code=1).out
    assert said == (
        "the log does not follow from its commands: position 2: quantity is 7 in the log; decided again it is 6\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "gpu.total"), "set: expected POOL.LIMIT=VALUE, such as gpu.total=12; got 'gpu.total' (str)"),
        (("--set", "total=4"), "set: expected POOL.LIMIT=VALUE, such as gpu.total=12; got 'total=4' (str)"),
        (("--set", "gpu.total=4", "--set", "gpu.total=5"), "set.gpu.total: expected 'gpu.total' once; got "),
        (("--set", "gpu.total=x"), "gpu.total: expected a whole number from 0 to 9223372036854775807; got 'x' (str)"),
        (("--set", "gpu.max_ttl=soon"), "gpu.max_ttl: expected a duration such as 90s"),
        (("--set", "a.b.total=4"), "a.b.total: expected a pool of this ledger, which has no 'a.b'; got 4 (int)"),
        (("--set", "gpu.size=4"), "gpu.size: expected a limit: one of total, reserved"),
        (("--set", "gpu.min_size=4", "--set", "gpu.max_size=2"), "gpu: expected limits that go with the others"),
        (("--from", "yesterday"), "from: expected a time with its offset"),
        (("--to", "2026-01-01"), "to: expected a time with its offset"),
        (("--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"), "to: expected a time after 2026-01-02"),
    ],
)
def test_malformed(reader: Holdbook, words: tuple[str, ...], said: str) -> None:
    """What cannot be asked is an error that names it."""
    assert reader.error("what-if", *words)["message"].startswith(said)


def test_names_with_dots_and_colons(sqlite_url: str) -> None:
    """A pool's name may hold them: the limit comes after the last dot."""
    holdbook = Holdbook(sqlite_url)
    holdbook("import", "-", stdin=story("a:b.c d"))
    report = holdbook.json("what-if", "--set", "a:b.c d.total=10", "--set", "a:b.c d.default_ttl=1h30m")
    assert report["set"] == {"a:b.c d": {"total": 10, "default_ttl": 5400}}
    assert [flip["position"] for flip in report["flips"]] == [3, 4, 5]
