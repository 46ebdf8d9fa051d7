"""``holdbook verify``: what it says, and how it repairs a view."""

import pytest

from holdbook import Ledger, Limits
from holdbook.projections.views.metrics import METRICS
from holdbook.replay.verification.findings import Check, Finding, Harm, Report, ViewChecked
from support.cli import Holdbook
from support.tampering import tampering

EVENTS = 4


@pytest.fixture
def holdbook(database_url: str) -> Holdbook:
    """The command line on a ledger, its views up to date."""
    with Ledger.open(database_url, actor="tester") as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="held")
        ledger.allocate({"gpu": 1}, owner="ann", allocation_id="done")
        ledger.release("done", reason="finished")
        ledger.projector().catch_up()
    return Holdbook(database_url)


def test_a_ledger_as_it_was_written_is_verified(holdbook: Holdbook) -> None:
    """Every promise holds: exit code 0, and how much was checked."""
    assert holdbook("verify").out.startswith("every promise holds: 4 events")
    report = holdbook.json("verify")
    assert (report["ok"], report["events"], report["findings"]) == (True, EVENTS, [])


def test_a_broken_promise_is_exit_code_1(holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding is named with the kind of harm and its place."""
    findings = (
        Finding(3, Check.CHAIN, "the hash is another", Harm.ALTERED),
        Finding(None, Check.VIEWS, "a row is missing", Harm.VIEW),
    )
    report = Report(9, 9, findings, 5, (ViewChecked("current_allocations", 9, 0, 2),), 1)
    monkeypatch.setattr("holdbook.infrastructure.cli.commands.verify.verify_ledger", lambda *_, **__: report)
    said = holdbook("verify", code=1).out.splitlines()
    assert said == [
        "altered event (chain): position 3: the hash is another",
        "view that differs (views): a row is missing",
        "and 5 more",
        "7 broken promises: 9 events, current_allocations (2 rows) and 1 snapshots checked",
    ]
    assert holdbook.json("verify", code=1)["ok"] is False


def test_what_is_new_is_said_to_be_new(holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report on what came after a position says so, and that views were not compared."""
    report = Report(3, 12, snapshots=1, since=9)
    monkeypatch.setattr("holdbook.infrastructure.cli.commands.verify.verify_ledger", lambda *_, **__: report)
    assert holdbook("verify").out.splitlines() == [
        "every promise holds: 3 events after position 9 and 1 snapshots checked",
        "what came before had been verified then, and was not read; views were not compared",
    ]


class TestRepair:
    """``holdbook verify --repair-view``."""

    @pytest.fixture
    def broken(self, holdbook: Holdbook) -> Holdbook:
        """A ledger of which two views differ from the log."""
        with tampering(holdbook.url) as tamperer:
            tamperer.run("UPDATE gen_current_allocations_1 SET owner = 'mallory'")
            tamperer.run("DELETE FROM gen_metrics_1")
        return holdbook

    def test_rebuilt(self, broken: Holdbook) -> None:
        """The view that is named is rebuilt and shown; another one that differs is still a broken promise."""
        said = broken("verify", "--repair-view", "metrics", code=1).out
        assert "the view metrics was rebuilt: generation 2 equals the log, and is shown now" in said
        repaired = broken.json("verify", "--repair-view", "current_allocations")
        assert repaired["repair"]["repaired"] is True
        assert {finding["harm"] for finding in repaired["findings"]} == {"view that differs"}
        assert broken("verify").out.startswith("every promise holds")

    def test_nothing_to_repair(self, holdbook: Holdbook) -> None:
        """A view that says what the log says is left as it is."""
        said = holdbook("verify", "--repair-view", "metrics").out
        assert said.splitlines()[-1] == "the view metrics was not touched: it says what the log says"

    def test_log_comes_first(self, broken: Holdbook) -> None:
        """While the log itself is harmed, no view is touched."""
        with tampering(broken.url) as tamperer:
            tamperer.run("UPDATE events SET actor = 'mallory' WHERE position = 3")
        said = broken.json("verify", "--repair-view", "metrics", code=1)
        assert said["repair"] == {
            "view": "metrics",
            "repaired": False,
            "told": "the view metrics was not touched: what is wrong with the log comes first",
        }
        assert broken.json("projections", "status")["views"][3]["generation"] == 1

    def test_built_by_other_code(self, broken: Holdbook) -> None:
        """A view that other code built is not compared, and not touched."""
        with tampering(broken.url) as tamperer:
            tamperer.run("UPDATE generations SET fingerprint = 'other' WHERE view = 'metrics'")
        said = broken("verify", "--repair-view", "metrics", code=1).out
        assert said.splitlines()[-1].startswith("the view metrics was not compared, as other code built it")

    def test_handler_that_fails(self, broken: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
        """A view that cannot be built says why, and stays as it was."""

        def fail(*_: object) -> None:
            raise ValueError("no")

        monkeypatch.setitem(METRICS.handlers, "Released", fail)
        said = broken("verify", "--repair-view", "metrics", code=1).out
        assert "the view metrics could not be rebuilt: view metrics failed on Released at position " in said

    def test_unknown_view(self, holdbook: Holdbook) -> None:
        """A name that no view has is an error, before anything is read."""
        assert holdbook.error("verify", "--repair-view", "colours", code=1)["kind"] == "view"
