"""Every command that writes, on both databases: what it does, says, and prints for programs."""

import os
import pwd
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from holdbook import Ledger, Limits, LogUnavailable
from holdbook.infrastructure.database.database import Database
from holdbook.projections.projector import Projector
from support.cli import PROCESS_SECONDS_MAX, Holdbook, call, environment, program
from support.queueing import until_queued


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger with a pool of eight GPUs."""
    with Ledger.open(database_url, actor="setter-up") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", unit="device", limits=Limits(total=8, max_size=4))
    return Holdbook(database_url)


def events_of(holdbook: Holdbook, name: str) -> list[str]:
    """Name the events of an allocation, in order."""
    return [event["type"] for event in holdbook.lines("history", name)]


# Pools


def test_opening_a_pool_makes_the_database(empty_database_url: str) -> None:
    """`pool open` needs nothing to be there."""
    holdbook = Holdbook(empty_database_url)
    done = holdbook(
        "pool", "open", "a b/ç:1", "--type", "gpu", "--total", "8", "--overcommit", "1.5", "--max-ttl", "1d"
    )
    assert done.out == "opened: pool a b/ç:1: capacity 12, used 0, free 12 unit\n"
    (pool,) = holdbook.json("pools")["pools"]
    assert pool["limits"] | {"overcommit": "1.5", "max_ttl": 86400, "total": 8} == pool["limits"]


def test_opening_a_pool_again_is_a_repeat(holdbook: Holdbook) -> None:
    """The same content twice records nothing the second time, and says so."""
    words = ("pool", "open", "gpu", "--type", "gpu", "--unit", "device", "--total", "8", "--max-size", "4")
    assert holdbook.json(*words)["repeated"] is True
    assert "decided before" in holdbook(*words).out


def test_a_repeated_grant_says_what_became_of_its_allocation(holdbook: Holdbook) -> None:
    """A command that was decided before tells that its allocation has ended since, or only that it repeats."""
    words = ("allocate", "gpu=1", "--owner", "ann", "--id", "job-1")
    holdbook(*words)
    assert "(decided before; nothing is recorded anew)" in holdbook(*words).out
    holdbook("release", "job-1")
    assert "(decided before, released since; nothing is recorded anew)" in holdbook(*words).out


def test_opening_a_pool_with_other_content_is_an_error(holdbook: Holdbook) -> None:
    """A pool's content is not changed by opening it anew; exit code 2 says which field differs."""
    error = holdbook.error("pool", "open", "gpu", "--type", "gpu", "--unit", "device", "--total", "9", code=2)
    assert (error["type"], error["pool"], error["field"]) == ("PoolAlreadyOpen", "gpu", "limits.max_size")


def test_limits_are_printed(holdbook: Holdbook) -> None:
    """`pool limits NAME` alone changes nothing."""
    assert "max-size         4" in holdbook("pool", "limits", "gpu").out
    assert holdbook.json("pool", "limits", "gpu")["limits"]["max_size"] == 4


def test_a_limit_is_changed_and_the_others_are_kept(holdbook: Holdbook) -> None:
    """Only what is named changes."""
    assert "capacity 10" in holdbook("pool", "limits", "gpu", "--total", "10").out
    limits = holdbook.json("pool", "limits", "gpu")["limits"]
    assert (limits["total"], limits["max_size"]) == (10, 4)


def test_a_limit_is_lifted_with_none(holdbook: Holdbook) -> None:
    """`none` is how a limit is lifted, and the only way."""
    changed = holdbook.json("pool", "limits", "gpu", "--max-size", "none", "--default-ttl", "30m")
    assert (changed["pool"]["limits"]["max_size"], changed["pool"]["limits"]["default_ttl"]) == (None, 1800)
    assert holdbook.error("pool", "limits", "gpu", "--max-size", "nil", code=2)["parameter"] == "max_size"


def test_a_change_of_limits_can_be_tried(holdbook: Holdbook) -> None:
    """A dry run changes nothing."""
    assert holdbook("pool", "limits", "gpu", "--total", "1", "--dry-run").out == "would be changed: pool gpu\n"
    assert holdbook.json("pool", "limits", "gpu")["limits"]["total"] == 8


def test_a_change_of_limits_expects_what_was_read(holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that somebody changed between the look and the command are not overwritten."""
    read = Ledger.pool

    def read_then_lose(ledger: Ledger, name: str) -> object:
        seen = read(ledger, name)
        ledger.change_limits(name, Limits(total=7))
        return seen

    monkeypatch.setattr(Ledger, "pool", read_then_lose)
    refusal = holdbook.json("pool", "limits", "gpu", "--max-size", "2", code=1)
    assert (refusal["outcome"], refusal["code"], refusal["transient"]) == ("refused", "limits_moved", False)


def test_a_pool_is_closed_for_ever(holdbook: Holdbook) -> None:
    """A closed pool grants nothing and is listed as closed."""
    assert holdbook("pool", "close", "gpu", "--reason", "retired").out.startswith("closed: pool gpu")
    assert "closed" in holdbook("pools").out
    assert holdbook.json("allocate", "gpu=1", "--owner", "o", code=1)["code"] == "pool_closed"


def test_a_ledger_without_pools_says_how_to_open_one(database_url: str) -> None:
    """A newcomer is told the next step."""
    assert "holdbook pool open" in Holdbook(database_url)("pools").out
    assert Holdbook(database_url).json("pools") == {"position": 0, "pools": []}


def test_a_pool_of_nothing_is_shown(database_url: str) -> None:
    """A total of 0 has no percentage."""
    holdbook = Holdbook(database_url)
    holdbook("pool", "open", "none-yet", "--type", "port", "--total", "0")
    assert "none-yet" in holdbook("pools").out


# Allocations


def test_the_life_of_an_allocation(holdbook: Holdbook) -> None:
    """Allocate, renew, resize, transfer and release each record their event."""
    held = holdbook.json(
        "allocate", "gpu=2", "--owner", "a", "--id", "job", "--ttl", "1h30m", "--tag", "k=v=w", "--tag", "x=y"
    )["allocation"]
    assert (held["quantities"], held["tags"], held["state"]) == ({"gpu": 2}, {"k": "v=w", "x": "y"}, "active")
    lasts = datetime.fromisoformat(held["deadline"]) - datetime.fromisoformat(held["opened_at"])
    assert lasts == timedelta(minutes=90)
    assert holdbook("renew", "job", "--ttl", "3600", "--token", held["token"]).out.startswith(
        "renewed: job: gpu=2 for a"
    )
    assert holdbook("resize", "job", "gpu=3").out.startswith("resized: job: gpu=3")
    assert holdbook("transfer", "job", "--to", "b").out.startswith("transferred: job: gpu=3 for b until")
    assert holdbook("release", "job", "--reason", "done").out == "released: job: gpu=3 for b\n"
    assert events_of(holdbook, "job") == ["Allocated", "Renewed", "Resized", "Transferred", "Released"]


def test_a_reservation_is_confirmed_or_voided(holdbook: Holdbook) -> None:
    """The two ends of the first phase."""
    assert holdbook("reserve", "gpu=1", "--owner", "a", "--ttl", "60s", "--id", "r").out.startswith(
        "reserved: r: gpu=1"
    )
    assert holdbook("confirm", "r", "--ttl", "5m").out.startswith("confirmed: r: gpu=1 for a until")
    holdbook("reserve", "gpu=1", "--owner", "a", "--ttl", "60s", "--id", "s")
    assert holdbook("void", "s", "--reason", "no such device").out == "voided: s: gpu=1 for a\n"
    assert events_of(holdbook, "r") == ["Reserved", "Confirmed"]
    assert events_of(holdbook, "s") == ["Reserved", "Voided"]


def test_an_operator_ends_what_is_stuck(holdbook: Holdbook) -> None:
    """A release by force ends a reservation too; the log has the actor, the reason, and that it was forced."""
    holdbook("reserve", "gpu=1", "--owner", "a", "--ttl", "1h", "--id", "stuck")
    assert holdbook.json("release", "stuck", "--reason", "gone", code=1)["code"] == "not_confirmed"
    holdbook.error("release", "stuck", "--force", code=2)
    assert (
        holdbook.error("release", "stuck", "--force", "--reason", "r", "--token", "1:1", code=2)["parameter"] == "force"
    )
    assert events_of(holdbook, "stuck") == ["Reserved", "ValidationFailed"]
    words = ("release", "stuck", "--force", "--reason", "its service is gone", "--actor", "op")
    assert holdbook(*words, "--dry-run").out == "would be released: stuck: gpu=1 for a\n"
    assert holdbook(*words).out == "released: stuck: gpu=1 for a\n"
    last = holdbook.lines("history", "stuck")[-1]
    assert (last["type"], last["actor"]) == ("Released", "op")
    said = {name: last["data"][name] for name in ("forced", "reserved", "reason")}
    assert said == {"forced": True, "reserved": True, "reason": "its service is gone"}
    assert "1 for a, by force, its service is gone" in holdbook("history", "stuck").out
    assert holdbook.json("verify")["ok"]


def test_waiting(holdbook: Holdbook) -> None:
    """`--wait` goes on until there is room, or Ctrl-C, or the time is up; `holdbook queue` shows who waits."""
    assert holdbook("queue").out == "nobody waits\n"
    for name in ("first", "second"):
        holdbook("allocate", "gpu=4", "--owner", "a", "--id", name)
    words = ("allocate", "gpu=2", "--owner", "b", "--wait", "5m", "--database", holdbook.url)
    with (
        Ledger.open(holdbook.url, create=False) as ledger,
        start(*words, "--id", "late") as late,
    ):
        until_queued(ledger, 1)
        with start(*words, "--id", "never") as never:
            until_queued(ledger, 2)
            refused = holdbook("allocate", "gpu=2", "--owner", "c", "--id", "pushy", "--wait", "0.6", code=1)
            assert "refused (pool_exhausted)" in refused.err
            place, asks, owner, *_, command_id = holdbook("queue").out.splitlines()[2].split()
            assert (place, asks, owner, command_id[0]) == ("1", "gpu=2", "b", "~")
            found = holdbook.json("queue", "--pool", "gpu")
            assert found["position"] == 4
            assert [(one["owner"], one["quantities"]) for one in found["queue"]] == [("b", {"gpu": 2})] * 2
            never.send_signal(signal.SIGINT)
            assert never.wait(PROCESS_SECONDS_MAX) == 130
        until_queued(ledger, 1)
        holdbook("release", "first")
        assert late.communicate(timeout=PROCESS_SECONDS_MAX)[0].startswith("granted: late: gpu=2 for b")
    assert holdbook.json("queue") == {"position": 6, "queue": []}
    assert holdbook.error("queue", "--pool", "tpu", code=1)["type"] == "NotFound"


def start(*words: str) -> "subprocess.Popen[str]":
    """Start the command line in a process of its own, which hears interrupts."""
    return subprocess.Popen(
        program(*words),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - it does nothing that another thread's lock could hold up
    )


def hear_interrupts() -> None:
    """Undo what a shell does to what it runs in the background: it has the interrupt ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_expire_records_what_is_due(holdbook: Holdbook) -> None:
    """What lapsed is named; then nothing is left to record."""
    with Ledger.open(holdbook.url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as ledger:
        ledger.open_pool("early", resource_type="t", limits=Limits(total=5))
        ledger.allocate({"early": 1}, owner="a", allocation_id="old", ttl=timedelta(minutes=1))
    assert holdbook("expire", "--pool", "gpu").out == "expired: nothing is due\n"
    assert holdbook.json("expire", "--dry-run")["expired"] == ["old"]
    assert holdbook("expire").out == "expired: old\n"
    assert holdbook.json("expire")["expired"] == []


def test_a_refusal_is_the_outcome_of_a_command(holdbook: Holdbook) -> None:
    """Exit code 1; to programs a document with code, data and whether to try again, to people a sentence."""
    refusal = holdbook.json("allocate", "gpu=5", "--owner", "o", code=1)
    assert (refusal["code"], refusal["transient"], refusal["data"]["limit"]) == ("above_max_size", False, 4)
    said = holdbook("allocate", "gpu=5", "--owner", "o", code=1)
    assert (said.out, said.err.startswith("refused (above_max_size): pool 'gpu' grants 4")) == ("", True)


def test_a_stale_token_is_refused(holdbook: Holdbook) -> None:
    """`--token` guards every command about an allocation."""
    holdbook("allocate", "gpu=1", "--owner", "o", "--id", "job")
    holdbook("reserve", "gpu=1", "--owner", "o", "--id", "r", "--ttl", "1h")
    for words in (
        ["renew", "job", "--ttl", "1"],
        ["resize", "job", "gpu=2"],
        ["transfer", "job", "--to", "x"],
        ["release", "job"],
        ["confirm", "r"],
        ["void", "r"],
    ):
        assert holdbook.json(*words, "--token", "1:1", code=1)["code"] == "token_mismatch"


def test_a_command_id_is_decided_once(holdbook: Holdbook) -> None:
    """A repeat gives the recorded outcome, grant or refusal, and records nothing."""
    words = ("allocate", "gpu=4", "--owner", "o", "--command-id", "c-1")
    first, second = holdbook.json(*words), holdbook.json(*words)
    assert (first["repeated"], second["repeated"], second["position"]) == (False, True, first["position"])
    assert second["allocation"]["id"] == first["allocation"]["id"]
    assert "decided before" in holdbook(*words).out
    refused = ("allocate", "gpu=9", "--owner", "o", "--command-id", "c-2")
    assert holdbook.json(*refused, code=1)["repeated"] is False
    assert holdbook.json(*refused, code=1)["repeated"] is True


def test_a_dry_run_records_nothing_and_names_nothing(holdbook: Holdbook) -> None:
    """It tells grant from refusal, and shows no id or token that nobody will see again."""
    tried = holdbook.json("allocate", "gpu=2", "--owner", "o", "--dry-run")
    assert (tried["dry_run"], tried["command_id"], tried["position"]) == (True, None, None)
    assert (tried["allocation"]["id"], tried["allocation"]["token"]) == (None, None)
    assert holdbook("allocate", "gpu=2", "--owner", "o", "--dry-run").out == "would be granted: gpu=2 for o\n"
    assert "would be refused" in holdbook("allocate", "gpu=5", "--owner", "o", "--dry-run", code=1).err
    assert holdbook.json("allocate", "gpu=5", "--owner", "o", "--dry-run", code=1)["dry_run"] is True
    assert len(holdbook("export").lines) == 1


def test_a_dry_run_of_a_renewal_names_the_allocation(holdbook: Holdbook) -> None:
    """What is there keeps its id and token."""
    holdbook("allocate", "gpu=2", "--owner", "o", "--id", "job")
    assert holdbook("renew", "job", "--ttl", "1h", "--dry-run").out.startswith(
        "would be renewed: job: gpu=2 for o until"
    )
    assert holdbook.json("renew", "job", "--ttl", "1h", "--dry-run")["allocation"]["id"] == "job"


def test_a_dry_run_of_opening_a_pool_makes_no_database(empty_database_url: str) -> None:
    """Whoever only tries leaves nothing behind."""
    words = ("pool", "open", "gpu", "--type", "gpu", "--total", "8", "--dry-run", "--database", empty_database_url)
    call(*words).ends(3)
    call("pools", "--database", empty_database_url).ends(3)


def test_the_envelope_of_a_command(holdbook: Holdbook) -> None:
    """Actor, correlation and causation ids reach the log."""
    ids = ("--correlation-id", "corr", "--causation-id", "cause", "--actor", "operator-é")
    holdbook("allocate", "gpu=1", "--owner", "o", "--id", "job", *ids)
    (event,) = holdbook.lines("history", "job")
    assert (event["actor"], event["correlation_id"], event["causation_id"]) == ("operator-é", "corr", "cause")


def test_the_actor_is_taken_from_the_nearest_place(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option goes before the environment, the environment before the system's user, a number before nothing."""
    holdbook = Holdbook(sqlite_url)
    holdbook("pool", "open", "gpu", "--type", "gpu", "--total", "8")
    call("pool", "close", "gpu", "--database", sqlite_url, env={"HOLDBOOK_ACTOR": "from-env"}).ends(0)
    monkeypatch.setattr("holdbook.infrastructure.cli.terminal.options.getpwuid", {}.__getitem__)
    holdbook("pool", "open", "cpu", "--type", "cpu", "--total", "8")
    system_user = pwd.getpwuid(os.getuid()).pw_name
    actors = [event["actor"] for event in holdbook("export").lines]
    assert actors[:2] == [system_user, "from-env"]
    assert actors[2].startswith("uid-")


def test_views_are_brought_up_to_date(holdbook: Holdbook) -> None:
    """Whoever reads the published views with SQL sees what a command just did, a refusal too."""
    holdbook("allocate", "gpu=1", "--owner", "o", "--id", "job")
    holdbook("allocate", "gpu=5", "--owner", "o", "--id", "big", code=1)
    database = Database(holdbook.url)
    with database.reading() as connection:
        held = connection.execute(text("SELECT allocation_id FROM current_allocations")).scalars().all()
        refused = connection.execute(text("SELECT allocation_id FROM allocation_history WHERE code IS NOT NULL"))
        assert (held, refused.scalars().all()) == (["job"], ["big"])
    database.close()


def test_views_that_cannot_be_written_do_not_fail_a_command(
    holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided stands; the views come later, with a warning."""

    def fail(*_: object) -> None:
        raise LogUnavailable

    monkeypatch.setattr(Projector, "catch_up", fail)
    done = holdbook("allocate", "gpu=1", "--owner", "o")
    assert "views_behind" in done.err
