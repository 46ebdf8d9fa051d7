"""``holdbook verify --since``: what is new since a checkpoint."""

from pathlib import Path

import pytest

from holdbook import Ledger, Limits
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.replay.evidence.notes import Kind, SignerKey
from support.cli import Holdbook
from support.tampering import tampering

KEY = SignerKey.generate("auditor.example", Kind.NOTE)


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger with two checkpoints, at positions 3 and 4, and two events after them."""
    with Ledger.open(database_url, actor="tester") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="held")
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="done")
        Sealer(ledger).seal(KEY, system_clock())
        ledger.release("done")
        Sealer(ledger).seal(KEY, system_clock())
        ledger.allocate({"gpu": 2}, owner="bob", allocation_id="new")
        ledger.release("held")
    return Holdbook(database_url)


def note(holdbook: Holdbook, number: int, folder: Path) -> str:
    """Keep a checkpoint outside."""
    with Ledger.open(holdbook.url) as ledger:
        seals = sealing_of(ledger).seals
        text = dict(seals.notes())[number] if seals else ""
    path = folder / f"{number}.txt"
    path.write_text(text)
    return str(path)


def test_by_number_and_by_file(holdbook: Holdbook, tmp_path: Path) -> None:
    """Only what came after is read, from the pools as they were then, and the report says so."""
    for given, position in (("1", 3), (note(holdbook, 1, tmp_path), 3), ("2", 4), (note(holdbook, 2, tmp_path), 4)):
        report = holdbook.json("verify", "--since", given, "--key", str(KEY.verifier))
        assert (report["ok"], report["since"], report["events"], report["views"]) == (True, position, 6 - position, [])
    assert holdbook("verify", "--since", "2").out.splitlines()[-1].endswith("views were not compared")


def test_what_was_before_is_not_read(holdbook: Holdbook) -> None:
    """An event before the checkpoint may be anything; one after it may not."""
    with tampering(holdbook.url) as tamperer:
        tamperer.set(2, actor="mallory")
    assert holdbook.json("verify", "--since", "2")["ok"] is True
    with tampering(holdbook.url) as tamperer:
        tamperer.set(6, actor="mallory")
    (found,) = holdbook.json("verify", "--since", "2", code=1)["findings"]
    assert (found["position"], found["harm"]) == (6, "altered event")


def test_cut_before_the_checkpoint(holdbook: Holdbook) -> None:
    """A log that ends before the checkpoint has lost its tail."""
    with tampering(holdbook.url) as tamperer:
        tamperer.run("DELETE FROM events WHERE position > 3")
    harms = {found["harm"] for found in holdbook.json("verify", "--since", "2", code=1)["findings"]}
    assert harms == {"cut tail"}


def test_cut_within_a_command(holdbook: Holdbook) -> None:
    """A checkpoint that does not end a command is none to begin at."""
    with tampering(holdbook.url) as tamperer:
        tamperer.set(4, ordinals=2)
    assert "ends within a command" in holdbook.error("verify", "--since", "2", code=3)["message"]


def test_not_trusted(holdbook: Holdbook, tmp_path: Path) -> None:
    """A checkpoint that no trusted key signed is none to begin at."""
    other = str(SignerKey.generate("other.example", Kind.NOTE).verifier)
    for given in ("2", note(holdbook, 2, tmp_path)):
        error = holdbook.error("verify", "--since", given, "--key", other, code=1)
        assert error["message"] == "checkpoint 2 is not signed by a key that is trusted: verify the whole log"


@pytest.mark.parametrize("number", [1, 2])
def test_altered_checkpoint(holdbook: Holdbook, number: int) -> None:
    """A stored checkpoint that was altered, and one that cannot be read, is none to begin at."""
    with tampering(holdbook.url) as tamperer:
        text = tamperer.ask("SELECT note FROM checkpoints WHERE number = :number", number=number)
        text = text.replace("number", "nmber") if number == 1 else f"{text[:-4]}AAA\n"
        tamperer.run("UPDATE checkpoints SET note = :text WHERE number = :number", number=number, text=text)
    assert holdbook.error("verify", "--since", str(number), code=1)["type"] in {"NotFound", "NotSealed"}
    report = holdbook.json("verify", "--since", str(3 - number), code=1)
    assert {found["harm"] for found in report["findings"]} == {"forged checkpoint"}


def test_not_there(holdbook: Holdbook, tmp_path: Path) -> None:
    """A number that no checkpoint has, a file that holds none, and one of another ledger are named."""
    assert holdbook.error("verify", "--since", "9", code=1)["kind"] == "checkpoint"
    holdbook.error("verify", "--since", str(tmp_path / "none"), code=2)
    with Ledger.open(f"sqlite:///{tmp_path / 'other.db'}") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        Sealer(ledger).seal(KEY, system_clock())
    kept = note(Holdbook(f"sqlite:///{tmp_path / 'other.db'}"), 1, tmp_path)
    error = holdbook.error("verify", "--since", kept, "--key", str(KEY.verifier), code=2)
    assert "expected a checkpoint of ledger" in error["message"]


def test_no_repair_of_what_is_not_compared(holdbook: Holdbook) -> None:
    """No view can be repaired by a verification that compares none."""
    assert holdbook.error("verify", "--since", "2", "--repair-view", "metrics", code=2)["parameter"] == "repair_view"
