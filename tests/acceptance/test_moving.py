"""Coming from the old managers and going back, as a team does it on the command line: the whole way there and back."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdbook import Ledger, MemoryResourceManager, Refused
from holdbook.domain.values import canonical_json, instant_text
from support.cli import Holdbook, call, jsonl
from support.old_managers import OldMemoryResourceManager
from support.processes import adopt_halfway, running

NOW = datetime.now(UTC)


def held_lines(count: int) -> str:
    """Write what an old manager holds, so many allocations of two types, in canonical JSON."""
    pools = [
        {"limits": {"total": 10**9, "max_size": 100}, "resource_type": "memory"},
        {"limits": {"total": 10**6}, "resource_type": "ports", "unit": "port"},
    ]
    lines = [canonical_json(pool) for pool in pools]
    began = NOW - timedelta(days=2)
    for number in range(count):
        line = {
            "id": f"res-{number * 7919 % count:05}-é",
            "resource_type": "ports" if number % 3 else "memory",
            "size": number % 100 + 1,
            "allocation_time": instant_text(began + timedelta(seconds=number, microseconds=number % 7)),
            "expiration_time": None if number % 2 else instant_text(NOW + timedelta(days=1, seconds=number)),
            "tags": {} if number % 5 else {"purpose": f"job {number}"},
        }
        lines.append(canonical_json(line if number % 4 else {**line, "owner": f"team-{number % 9}"}))
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file of what is held."""
    path = tmp_path / "held.jsonl"
    path.write_text(held_lines(4), encoding="utf-8")
    return path


def test_ten_thousand_allocations_there_and_back_are_the_same_file(database_url: str, tmp_path: Path) -> None:
    """Adopted in one command, rolled back in another: byte for byte."""
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    before.write_text(held_lines(10_000), encoding="utf-8")
    holdbook = Holdbook(database_url)
    assert holdbook.json("adopt", str(before)) == {
        "pools": 2, "adopted": 10_000, "repeated": 0, "last_position": 10_002, "dry_run": False,
    }  # fmt: skip
    assert holdbook.json("rollback", str(after)) == {
        "resource_types": 2, "allocations": 10_000, "other_limits": [], "position": 10_005, "file": str(after),
    }  # fmt: skip
    assert after.read_bytes() == before.read_bytes()


async def test_the_whole_way_is_rehearsed(empty_database_url: str, tmp_path: Path) -> None:
    """Dump, dry run, adopt, old call sites on the ledger, watch; then roll back, and the old manager goes on."""
    old = OldMemoryResourceManager({"total": 1000, "max_size": 500})
    first, second, third = [await old.allocate_memory(size, tags={"job": str(size)}) for size in (100, 200, 300)]
    there, back = tmp_path / "held.jsonl", tmp_path / "back.jsonl"
    there.write_text("".join(old.dump()), encoding="utf-8")

    holdbook = Holdbook(empty_database_url)
    assert holdbook("adopt", str(there), "--dry-run").out == "would be 3 allocations adopted, 1 pools opened\n"
    assert holdbook("adopt", str(there), "--actor", "migration").out == "3 allocations adopted, 1 pools opened\n"
    assert [(one["id"], one["quantities"]) for one in holdbook.lines("allocations")] == [
        (one.id, {"memory": one.data}) for one in (first, second, third)
    ]
    assert holdbook.lines("history", first.id)[0]["actor"] == "migration"

    with Ledger.open(empty_database_url, create=False) as ledger:
        with pytest.warns(DeprecationWarning, match="use UnifiedResourceManager"):
            memory = MemoryResourceManager({"total": 1000, "max_size": 500}, ledger=ledger)
        fourth = await memory.allocate_memory(400)
        with pytest.raises(Refused, match="pool_exhausted"):
            await memory.allocate_memory(1)
        ledger.release(second.id, reason="its holder is done")
        fifth = await memory.allocate_memory(150, owner="ann")
        assert holdbook("verify").code == 0

        assert holdbook("rollback", str(back), "--reason", "ticket 312").out == (
            f"the ledger is closed to new grants; 4 allocations written to {back}\n"
        )
        with pytest.raises(Refused, match="pool_closed"):
            await memory.allocate_memory(1)
        again = OldMemoryResourceManager.load(back.read_text(encoding="utf-8").splitlines())
        assert again.held == {first.id: 100, third.id: 300, fourth.id: 400, fifth.id: 150}
        with pytest.raises(ValueError, match="Memory limit exceeded"):
            await again.allocate_memory(51)
        await memory.release_memory(fourth)

    holdbook("rollback", str(back), code=2)
    holdbook("rollback", str(back), "--force")
    again = OldMemoryResourceManager.load(back.read_text(encoding="utf-8").splitlines())
    assert again.held == {first.id: 100, third.id: 300, fifth.id: 150}
    await again.allocate_memory(450)
    assert holdbook("verify").code == 0


def test_adopting_a_file_twice_changes_nothing(empty_sqlite_url: str, file: Path) -> None:
    """Every line is told to be a repeat; the standard input is as good as a file."""
    holdbook = Holdbook(empty_sqlite_url)
    holdbook("adopt", str(file))
    before = holdbook("export").out
    assert holdbook("adopt", "-", stdin=file.read_bytes()).out == (
        "0 allocations adopted, 0 pools opened; 6 lines were taken over before\n"
    )
    assert holdbook("export").out == before
    assert {view["behind"] for view in holdbook.json("projections")["views"]} == {0}


def test_a_dry_run_leaves_nothing(empty_database_url: str, sqlite_url: str, file: Path) -> None:
    """Neither a ledger where there is none, nor an event where there is one."""
    for url in (empty_database_url, sqlite_url):
        assert Holdbook(url).json("adopt", str(file), "--dry-run") == {
            "pools": 2, "adopted": 4, "repeated": 0, "last_position": 6 if url == empty_database_url else 0,
            "dry_run": True,
        }  # fmt: skip
    Holdbook(empty_database_url)("pools", code=3)
    assert Holdbook(sqlite_url)("export").out == ""


@pytest.mark.parametrize("last", [{"id": "x"}, {"resource_type": "disk"}])
def test_a_file_that_is_inconsistent_makes_no_database(tmp_path: Path, file: Path, last: dict[str, Any]) -> None:
    """Whether a line is malformed or the ledger would not grant it: the error names file, line, field and value."""
    fields = {"id": "x", "size": 1, "resource_type": "memory", "allocation_time": instant_text(NOW), "tags": {}}
    line = last if last == {"id": "x"} else {**fields, "expiration_time": None, **last}
    with file.open("a", encoding="utf-8") as more:
        more.write(jsonl([line]))
    database = tmp_path / "none.db"
    error = call("adopt", str(file), "--json", "--database", f"sqlite:///{database}").ends(2).error
    assert (error["type"], error["file"], error["line"]) == ("AdoptionStopped", str(file), 7)
    assert error["field"] == "resource_type"
    assert error["value"] == last.get("resource_type", {"id": "x"})
    assert not database.exists()


@pytest.mark.crash
def test_an_adoption_that_is_killed_leaves_nothing(database_url: str, file: Path) -> None:
    """Killed with every row sent and nothing committed: no event is there, and the same file is adopted as if new."""
    with running(adopt_halfway, [(database_url, str(file))]) as [peer]:
        assert peer.receive() == 6
        peer.kill()
    holdbook = Holdbook(database_url)
    assert holdbook("export").out == ""
    assert holdbook.json("adopt", str(file))["adopted"] == 4


# Going back


def test_a_rollback_does_not_write_over_a_file(sqlite_url: str, file: Path) -> None:
    """The ledger stays open, whether there is a file or a folder, or none can be written."""
    holdbook = Holdbook(sqlite_url)
    holdbook("adopt", str(file))
    for path, expected in ((file, "expected a file that is not there yet"), (file.parent, "not there yet")):
        error = holdbook.error("rollback", str(path))
        assert (error["type"], error["parameter"], error["value"]) == ("Malformed", "FILE", str(path))
        assert expected in error["message"]
    assert "expected a file that can be written" in holdbook.error("rollback", str(file / "no"))["message"]
    assert {pool["closed"] for pool in holdbook.json("pools")["pools"]} == {False}
    assert file.read_text(encoding="utf-8") == held_lines(4)


def test_what_cannot_be_said_in_the_old_form_is_listed(sqlite_url: str, file: Path) -> None:
    """Exit 1, every allocation named; no file is there, and the ledger is open."""
    holdbook, back = Holdbook(sqlite_url), file.with_name("back.jsonl")
    holdbook("adopt", str(file))
    holdbook("reserve", "memory=1", "--owner", "o", "--ttl", "1h", "--id", "r")
    holdbook("allocate", "memory=1", "ports=1", "--owner", "o", "--id", "both")
    error = holdbook.error("rollback", str(back), code=1)
    assert (error["type"], error["reserved"], error["several"], error["closed"]) == (
        "NotRolledBack", ["r"], ["both"], False,
    )  # fmt: skip
    assert {path.name for path in file.parent.iterdir()} == {file.name, "holdbook.db"}
    holdbook("void", "r")
    holdbook("release", "both")
    holdbook("rollback", str(back))


def test_limits_that_old_managers_do_not_enforce_are_told(sqlite_url: str, tmp_path: Path) -> None:
    """They are in the file, for an adoption to come."""
    holdbook, back = Holdbook(sqlite_url), tmp_path / "back.jsonl"
    holdbook("pool", "open", "gpu", "--type", "gpu", "--total", "8", "--per-owner", "2")
    said = holdbook("rollback", str(back)).out
    assert said.endswith("limits in the file that old managers do not enforce: gpu.per_owner\n")
    assert json.loads(back.read_text(encoding="utf-8")) == {
        "limits": {"total": 8, "per_owner": 2}, "resource_type": "gpu",
    }  # fmt: skip


def test_a_rollback_of_no_ledger_makes_none(empty_sqlite_url: str, tmp_path: Path) -> None:
    """A mistyped name is told, and no file is written."""
    Holdbook(empty_sqlite_url)("rollback", str(tmp_path / "back.jsonl"), code=3)
    assert list(tmp_path.iterdir()) == []
