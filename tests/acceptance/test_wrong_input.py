"""Wrong input and broken databases, as a user meets them: real processes, exit codes, one clear message."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from holdbook import Ledger, Limits
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.schema import revision as schema
from support.cli import Done, Holdbook, call, environment, jsonl, run
from support.workloads import made_up, write_workload


@pytest.fixture
def ledger_url(database_url: str) -> str:
    """A ledger with a pool of eight GPUs."""
    with Ledger.open(database_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
    return database_url


def fails(done: Done, code: int, *said: str) -> None:
    """Check that a process failed with a message that has these parts, and printed nothing else."""
    done.ends(code)
    assert done.out == ""
    for part in said:
        assert part in done.err


def test_a_negative_quantity(ledger_url: str) -> None:
    """It is malformed: exit code 2, naming parameter and value, and nothing is recorded."""
    done = run("allocate", "gpu=-1", "--owner", "o", "--database", ledger_url)
    fails(done, 2, "quantities.gpu", "-1", "whole number from 1")
    assert len(Holdbook(ledger_url)("export").lines) == 1


def test_an_unknown_pool(ledger_url: str) -> None:
    """It is a refusal: exit code 1, and the log has it."""
    fails(run("allocate", "tpu=1", "--owner", "o", "--database", ledger_url), 1, "pool_not_found", "'tpu'")
    assert Holdbook(ledger_url)("export").lines[-1]["data"]["code"] == "pool_not_found"


def test_a_malformed_workload_line(ledger_url: str, tmp_path: Path) -> None:
    """It stops the import: exit code 2, naming file, line, field and value."""
    file = tmp_path / "day.jsonl"
    line = {"at": "2026-03-01T00:00:00Z", "command": "allocate", "quantities": {"gpu": 1.5}, "owner": "o"}
    file.write_text(jsonl([{**line, "quantities": {"gpu": 1}}, line]))
    fails(run("import", str(file), "--database", ledger_url), 2, f"{file}, line 2: quantities.gpu: ", "got 1.5")
    assert len(Holdbook(ledger_url)("export").lines) == 1


def test_a_reused_command_id(ledger_url: str) -> None:
    """With other content it is an error, not a refusal: exit code 2, naming the field."""
    words = ("--owner", "o", "--command-id", "c", "--database", ledger_url)
    run("allocate", "gpu=1", *words).ends(0)
    fails(run("allocate", "gpu=2", *words), 2, "'c'", "quantities.gpu was 1, now 2")
    assert len(Holdbook(ledger_url)("export").lines) == 2


READERS = (
    ["pools"], ["allocations"], ["show", "x"], ["history", "x"], ["history"], ["explain", "x=1"],
    ["export"], ["verify"], ["projections"], ["metrics"], ["failures"], ["usage-over-time", "x"],
    ["projections", "rebuild", "current_allocations"], ["projections", "rebuild", "--all", "--dry-run"],
    ["projections", "rollback", "metrics"], ["projections", "prune", "--all"], ["projections", "retry", "metrics"],
    ["projections", "skip", "metrics", "1", "--reason", "r"], ["projections", "follow"], ["events", "check"],
    ["pool", "limits", "x"], ["db", "current"], ["db", "check"],
    ["allocate", "x=1", "--owner", "o"], ["release", "x"], ["pool", "close", "x"], ["expire"],
)  # fmt: skip


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_mistyped_name(tmp_path: Path, words: list[str]) -> None:
    """Exit code 3 names the database, and none is made."""
    done = call(*words, "--database", f"sqlite:///{tmp_path}/bursra.db").ends(3)
    assert "bursra.db" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_name_on_a_server(postgres_url: str) -> None:
    """PostgreSQL's own word on it is passed on, without a password."""
    mistyped = postgres_url.rpartition("/")[0] + "/bursra"
    fails(run("pools", "--database", mistyped), 3, "bursra", "does not exist")
    error = run("pools", "--database", mistyped, "--json").ends(3).error
    assert (error["type"], error["exit_code"]) == ("LogUnavailable", 3)


@pytest.mark.parametrize("url", ["holdbook.db", "mysql://host/x", "sqlite://", "postgresql://host:port/x"])
def test_an_address_that_is_none(url: str) -> None:
    """It is wrong usage, and an example says what one looks like."""
    assert call("pools", "--database", url, "--json").ends(2).error["parameter"] == "database"


def test_an_older_schema(ledger_url: str) -> None:
    """Exit code 3, with the command that upgrades it."""
    database = Database(ledger_url)
    with database.changing() as connection:
        connection.execute(text("UPDATE holdbook_schema SET version_num = '0000'"))
    database.close()
    fails(run("pools", "--database", ledger_url), 3, "0000", schema.HEAD)


def test_a_database_without_a_ledger(empty_postgres_url: str, tmp_path: Path) -> None:
    """A database of somebody else's is not taken for a ledger."""
    (tmp_path / "empty.db").touch()
    for url in (empty_postgres_url, f"sqlite:///{tmp_path / 'empty.db'}"):
        fails(call("pools", "--database", url), 3, "holds no ledger")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A text is not taken for a database."""
    (tmp_path / "notes.db").write_text("a text " * 1000)
    fails(call("pools", "--database", f"sqlite:///{tmp_path / 'notes.db'}"), 3, "file is not a database")


def test_a_server_that_is_not_there() -> None:
    """Exit code 3 at once, naming the address, without its password."""
    done = run("pools", "--database", "postgresql://me:secret@127.0.0.1:1/ledger")
    fails(done, 3, "127.0.0.1", "refused")
    assert "secret" not in done.err


def test_a_full_disk(sqlite_url: str, tmp_path: Path) -> None:
    """A write that finds no room is exit code 3; what was recorded before is whole, and it can go on later."""
    file = write_workload(tmp_path / "w.jsonl", made_up(2000))
    limit = Path(sqlite_url.removeprefix("sqlite:///")).stat().st_size + 400_000
    code = (
        "import resource, sys; from holdbook.infrastructure.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); main()"
    )
    command = [sys.executable, "-P", "-c", code, "import", str(file), "--database", sqlite_url]
    done = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True, timeout=120)
    fails(Done(done.returncode, done.stdout, done.stderr), 3, "cannot be used", "holdbook.db")
    holdbook = Holdbook(sqlite_url)
    assert holdbook("verify").code == 0
    assert holdbook.json("import", str(file))["commands"] == 2000


def test_a_read_only_database(sqlite_url: str) -> None:
    """A file that may be read but not written is exit code 3 to whoever writes, and is left as it is."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    path.chmod(0o444)
    done = run("pool", "open", "x", "--type", "t", "--total", "1", "--database", sqlite_url, preexec_fn=obey_modes)
    fails(done, 3, "cannot be used", "readonly")
    assert path.read_bytes() == before


def obey_modes() -> None:
    """Make what this process starts obey the modes of files, root or not."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override = 24, 1
        assert ctypes.CDLL(None).prctl(drop_from_bounding_set, override, 0, 0, 0) == 0


@pytest.mark.parametrize("setting", ["HOLDBOOK_LOG_LEVEL", "HOLDBOOK_LOG_FORMAT"])
def test_a_bad_setting(setting: str) -> None:
    """It is wrong usage that names the variable."""
    fails(call("pools", env={setting: "loud"}), 2, setting, "'loud'")


@pytest.mark.parametrize("actor", ["", " x", "a\nb"])
def test_a_bad_actor(sqlite_url: str, actor: str) -> None:
    """Who acts is a name like any other; nothing is recorded under a bad one."""
    holdbook = Holdbook(sqlite_url)
    error = holdbook.error("pool", "open", "x", "--type", "t", "--total", "1", "--actor", actor, code=2)
    assert (error["parameter"], error["value"]) == ("actor", actor)
    assert holdbook("export").out == ""


@pytest.mark.parametrize(
    ("words", "parameter"),
    [
        (["allocate", "gpu=1", "gpu=2", "--owner", "o"], "quantities.gpu"),
        (["allocate", "gpu", "--owner", "o"], "quantities"),
        (["allocate", "gpu=two", "--owner", "o"], "quantities.gpu"),
        (["allocate", "gpu=1", "--owner", "o", "--tag", "k"], "tags"),
        (["allocate", "gpu=1", "--owner", "o", "--tag", "k=1", "--tag", "k=2"], "tags.k"),
        (["allocate", "gpu=1", "--owner", "o", "--ttl", "soon"], "ttl"),
        (["allocate", "gpu=1", "--owner", "o", "--ttl", "0"], "ttl"),
        (["allocate", "gpu=1", "--owner", "o", "--id", " "], "allocation_id"),
        (["release", "x", "--token", "42"], "token"),
        (["allocations", "--as-of", "yesterday"], "as-of"),
        (["pool", "open", "a=b", "--type", "t", "--total", "1"], "pool"),
        (["pool", "open", "a", "--type", "t", "--total", "-1"], "total"),
        (["pool", "open", "a", "--type", "t", "--total", "none"], "total"),
        (["pool", "open", "a", "--type", "t", "--total", "1", "--overcommit", "1e3"], "overcommit"),
    ],
)
def test_a_bad_value(sqlite_url: str, words: list[str], parameter: str) -> None:
    """The parameter is named, as people and as programs read it."""
    assert Holdbook(sqlite_url).error(*words, code=2)["parameter"] == parameter
    assert f"error: {parameter}: expected" in Holdbook(sqlite_url)(*words, code=2).err


@pytest.mark.parametrize(
    "words",
    [["fly"], ["allocate", "gpu=1"], ["allocations", "--state", "gone"], ["import"], ["pool"], ["export", "--to", "x"]],
)
def test_wrong_usage(words: list[str]) -> None:
    """What is missing or unknown is said, with where to read on."""
    done = call(*words)
    fails(done, 2, "error: ", "--help'")
    assert call(*words, "--json").ends(2).error["type"] == "Usage"
