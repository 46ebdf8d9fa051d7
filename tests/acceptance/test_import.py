"""Importing a workload: what it gives, twice, after a crash, and where it stops."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from holdbook import Ledger
from holdbook.domain.values import canonical_json, derived_id
from support.cli import PROCESS_SECONDS_MAX, Holdbook, call, environment, jsonl, program, run
from support.workloads import made_up, write_workload

AT = "2026-03-01T00:00:00Z"
POOL = {"at": AT, "command": "open_pool", "pool": "gpu", "resource_type": "gpu", "limits": {"total": 4}}


def grant(name: str, size: int = 1, **more: object) -> dict[str, Any]:
    """Write a line that allocates."""
    line = {"at": AT, "command": "allocate", "allocation_id": name, "quantities": {"gpu": size}, "owner": "o"}
    return {**line, **more}


def story(holdbook: Holdbook) -> list[Any]:
    """Tell everything that happened, less what depends on when it was recorded."""
    own = ("position", "stream_id", "version", "type", "command_id", "ordinal", "occurred_at", "actor", "data")
    return [[event[name] for name in own] for event in holdbook("export").lines]


def counted(events: list[Any]) -> dict[str, int]:
    """Count an export by kinds, in allocations, not pools."""

    def allocations(kind: str) -> int:
        return len({event["allocation_id"] for event in events if event["type"] == kind})

    kinds = [event["type"] for event in events]
    return {
        "allocated": allocations("Allocated"),
        "released": allocations("Released"),
        "expired": allocations("Expired"),
        "refused": kinds.count("ValidationFailed"),
        "events": len(events),
        "last_position": len(events),
    }


def test_an_import_says_what_it_decided(empty_database_url: str, tmp_path: Path) -> None:
    """The summary counts allocations, refusals and events as the log has them; the database is made."""
    file = write_workload(tmp_path / "w.jsonl", made_up(1200))
    holdbook = Holdbook(empty_database_url)
    summary = holdbook.json("import", str(file))
    expected = counted(holdbook("export").lines)
    assert min(expected.values()) > 10, "the workload has something of everything"
    assert summary.pop("commands") == 1200
    assert summary.pop("repeated") > 0
    assert summary == expected


def test_importing_a_file_twice_changes_nothing(empty_database_url: str, tmp_path: Path) -> None:
    """The second run repeats every command and records nothing."""
    lines = [line for line in made_up(800, seed=2) if line["command"] != "expire"]
    file = write_workload(tmp_path / "w.jsonl", lines)
    holdbook = Holdbook(empty_database_url)
    holdbook("import", str(file))
    before = story(holdbook)
    assert holdbook.json("import", str(file)) == {
        "commands": len(lines),
        "allocated": 0,
        "released": 0,
        "expired": 0,
        "refused": 0,
        "repeated": len(lines),
        "events": 0,
        "last_position": len(before),
    }
    assert story(holdbook) == before


def test_the_size_of_batches_changes_nothing(empty_sqlite_url: str, tmp_path: Path) -> None:
    """What is decided depends on the commands alone."""
    file = write_workload(tmp_path / "w.jsonl", made_up(300, seed=3))
    one, many = Holdbook(empty_sqlite_url), Holdbook(f"sqlite:///{tmp_path / 'other.db'}")
    one("import", str(file), "--batch", "1")
    many("import", str(file), "--batch", "10000")
    assert story(one) == story(many)


@pytest.mark.crash
def test_an_import_that_is_killed_goes_on(database_url: str, tmp_path: Path) -> None:
    """After `kill -9` in the middle, running it again ends in the state of a run that was not disturbed."""
    file = write_workload(tmp_path / "w.jsonl", made_up(4000, seed=4))
    whole = Holdbook(f"sqlite:///{tmp_path / 'whole.db'}")
    whole("import", str(file))
    holdbook = Holdbook(database_url)
    command = program("import", str(file), "--batch", "20", "--database", database_url)
    with Ledger.open(database_url, create=False) as ledger, subprocess.Popen(command, env=environment()) as process:
        with ledger.log.watching() as news:
            while head_of(ledger) < 1000:
                news(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(PROCESS_SECONDS_MAX)
        at_death = head_of(ledger)
    assert at_death < len(story(whole))
    summary = holdbook.json("import", str(file))
    assert summary["repeated"] > 500
    assert summary["events"] == summary["last_position"] - at_death
    assert story(holdbook) == story(whole)
    assert holdbook("verify").code == 0


def head_of(ledger: Ledger) -> int:
    """Find the position of the log's last event."""
    with ledger.log.reading() as reader:
        return reader.head


def test_the_standard_input_is_imported(empty_sqlite_url: str) -> None:
    """`-` reads what another program writes; blank lines are passed over."""
    done = run(
        "import",
        "-",
        "--database",
        empty_sqlite_url,
        input=f"\n{jsonl([POOL])}  \n\n{jsonl([grant('a'), grant('b', 9)])}",
    )
    told = dict(line.rsplit(maxsplit=1) for line in done.ends(0).out.splitlines())
    assert (told["commands"], told["allocated"], told["refused"], told["last position"]) == ("3", "1", "1", "3")


def test_an_empty_workload_is_imported(empty_sqlite_url: str) -> None:
    """Nothing to do is done."""
    summary = Holdbook(empty_sqlite_url).json("import", "-", stdin="")
    assert summary == dict.fromkeys(summary, 0)


def test_commands_get_the_ids_that_are_documented(empty_sqlite_url: str) -> None:
    """Given, derived from what the command names, or derived from its content and its count in the file."""
    release = {"at": AT, "command": "release", "allocation_id": "a"}
    lines = [POOL, grant("a"), grant("b", command_id="mine"), release, release]
    holdbook = Holdbook(empty_sqlite_url)
    holdbook("import", "-", stdin=jsonl(lines))
    content = canonical_json({**release, "at": "2026-03-01T00:00:00.000000Z"})
    assert [event["command_id"] for event in holdbook("export").lines] == [
        derived_id("open_pool", "gpu"),
        derived_id("allocate", "a"),
        "mine",
        derived_id("import", content, "1"),
        derived_id("import", content, "2"),
    ]


def test_a_reservation_that_is_confirmed_was_not_allocated(empty_sqlite_url: str) -> None:
    """The counters follow the events of their names."""
    reserve = {**grant("r"), "command": "reserve", "ttl": 60}
    confirm = {"at": AT, "command": "confirm", "allocation_id": "r"}
    summary = Holdbook(empty_sqlite_url).json("import", "-", stdin=jsonl([POOL, reserve, confirm]))
    assert (summary["commands"], summary["allocated"], summary["events"]) == (3, 0, 3)


def test_actors_come_from_the_line_or_the_option(empty_sqlite_url: str) -> None:
    """A line may name its actor; the others have the import's, who may be another the next time."""
    text = jsonl([POOL, grant("a", actor="somebody")])
    holdbook = Holdbook(empty_sqlite_url)
    holdbook("import", "-", "--actor", "importer", stdin=text)
    assert [event["actor"] for event in holdbook("export").lines] == ["importer", "somebody"]
    assert holdbook.json("import", "-", "--actor", "another", stdin=text)["repeated"] == 2


def test_the_views_are_brought_up_to_date(empty_database_url: str) -> None:
    """After an import no view is behind."""
    holdbook = Holdbook(empty_database_url)
    holdbook("import", "-", stdin=jsonl([POOL, grant("a")]))
    assert {view["behind"] for view in holdbook.json("projections")["views"]} == {0}


# Where it stops

LONG = '{"at": "' + "x" * 2**22 + '"}'

MALFORMED: dict[str, tuple[str | bytes, str, object]] = {
    "a negative quantity": (json.dumps(grant("a", -1)), "quantities.gpu", -1),
    "a quantity of text": (json.dumps(grant("a", quantities={"gpu": "2"})), "quantities.gpu", "2"),
    "a truth": (json.dumps(grant("a", quantities={"gpu": True})), "quantities.gpu", True),
    "no owner": (json.dumps({**grant("a"), "owner": None}), "owner", None),
    "an unknown field": (json.dumps(grant("a", colour="red")), "colour", "red"),
    "an unknown verb": (json.dumps(grant("a", command="borrow")), "command", "borrow"),
    "a verb that is no text": (json.dumps(grant("a", command=["allocate"])), "command", ["allocate"]),
    "no time": (json.dumps(grant("a", at=None)), "at", None),
    "a time without offset": (json.dumps(grant("a", at="2026-03-01T00:00:00")), "at", "2026-03-01T00:00:00"),
    "a time to live of nothing": (json.dumps(grant("a", ttl=0)), "ttl", 0),
    "an endless time to live": (json.dumps(grant("a"))[:-1] + ', "ttl": 1e999}', "ttl", float("inf")),
    "a field twice": ('{"at": 1, "at": 2}', "at", [1, 2]),
    "not a number": ('{"ttl": NaN}', "line", "NaN"),
    "no object": ("[1]", "line", [1]),
    "no JSON": ('{"at": ', "line", '{"at":'),
    "a number beyond measure": ('{"ttl": ' + "9" * 5000 + "}", "line", ('{"ttl": ' + "9" * 5000)[:200]),
    "a deep nesting": ("[" * 100_000, "line", "[" * 200),
    "no UTF-8": (b'{"owner": "\xff"}', "line", 'b\'{"owner": "\\xff"}\\n\''),
    "a line without end": (LONG, "line", str(LONG[:80].encode())),
}


@pytest.mark.parametrize(("line", "field", "value"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_stops_an_import(
    sqlite_url: str, tmp_path: Path, line: str | bytes, field: str, value: object
) -> None:
    """The error names file, line, field and value; nothing of the batch is recorded, what was before it stays."""
    file = tmp_path / "bad lines.jsonl"
    before = jsonl([POOL, grant("x"), grant("y")]).encode()
    file.write_bytes(
        before + (line if isinstance(line, bytes) else line.encode()) + b"\n" + jsonl([grant("z")]).encode()
    )
    holdbook = Holdbook(sqlite_url)
    error = holdbook.error("import", str(file), "--batch", "2", code=2)
    assert (error["type"], error["file"], error["line"]) == ("ImportStopped", str(file), 4)
    assert (error["field"], error["value"]) == (field, value)
    assert error["message"].startswith(f"{file}, line 4: {field}: ")
    assert [event["allocation_id"] for event in holdbook("export").lines] == [None, "x"]


def test_a_malformed_first_line_makes_no_database(tmp_path: Path) -> None:
    """Who gives the wrong file finds no database afterwards."""
    database = tmp_path / "none.db"
    call("import", "-", "--database", f"sqlite:///{database}", stdin="nonsense\n").ends(2)
    assert not database.exists()


def test_an_id_with_other_content_stops_an_import(database_url: str) -> None:
    """Against the log: the error names the line, the field, and the value there."""
    holdbook = Holdbook(database_url)
    holdbook("import", "-", stdin=jsonl([POOL, grant("a")]))
    error = holdbook.error("import", "-", stdin=jsonl([POOL, grant("b"), grant("a", owner="another")]))
    assert (error["file"], error["line"], error["field"], error["value"]) == ("<stdin>", 3, "owner", "another")
    assert len(holdbook("export").lines) == 2, "nothing of the batch"


def test_an_id_with_other_content_in_the_same_batch_stops_an_import(sqlite_url: str) -> None:
    """Of the lines that have the id, the one that differs is named."""
    lines = [POOL, grant("a", tags={"k.l": "1"}), grant("a", tags={"k.l": "1"}), grant("a", tags={"k.l": "2"})]
    error = Holdbook(sqlite_url).error("import", "-", stdin=jsonl(lines))
    assert (error["line"], error["field"], error["value"]) == (4, "tags.k.l", "2")
    assert Holdbook(sqlite_url)("export").out == ""


def test_a_field_that_is_missing_is_named(sqlite_url: str) -> None:
    """What one line has and another has not differs too."""
    lines = [POOL, grant("a", tags={"k": "1"}), grant("a")]
    error = Holdbook(sqlite_url).error("import", "-", stdin=jsonl(lines))
    assert (error["line"], error["field"], error["value"]) == (3, "tags.k", None)


def test_a_pool_with_other_content_stops_an_import(sqlite_url: str) -> None:
    """A pool is not opened twice with other content; the line that tries is named."""
    other = {**POOL, "limits": {"total": 5}}
    error = Holdbook(sqlite_url).error("import", "-", stdin=jsonl([POOL, grant("a"), POOL, other]))
    assert (error["line"], error["field"], error["value"]) == (4, "limits.total", 5)
    assert Holdbook(sqlite_url)("export").out == ""


@pytest.mark.parametrize("file", ["none.jsonl", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, a folder, no name at all: wrong usage, and no database is made."""
    monkeypatch.chdir(tmp_path)
    error = call("import", file, "--json").ends(2).error
    assert (error["type"], error["parameter"], error["value"]) == ("Malformed", "FILE", file)
    assert list(tmp_path.iterdir()) == []
