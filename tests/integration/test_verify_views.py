"""Verification of what is derived: views and snapshots, while the log goes on."""

from __future__ import annotations

import json
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.infrastructure.verification.view_checks import SQLView
from holdbook.projections.views.catalogue import VIEWS
from holdbook.replay.verification.findings import Check
from support.logs import take_snapshot
from support.story import Clock, seconds, tell
from support.tampering import tampering

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 36
"""Rows that the story leaves."""


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(database_url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger in which everything has happened, its views up to date, one snapshot a pool."""
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        for pool in ("cpu", "gpu", "seats"):
            take_snapshot(ledger.log, pool)  # type: ignore[arg-type]  # a log in a database
        yield ledger


def found(ledger: Ledger) -> list[str]:
    """Verify a ledger whose log is as it was: what is wrong with what is derived from it."""
    report = verify_ledger(ledger)
    assert {(f.position is None, f.check) for f in report.findings} <= {
        (True, Check.VIEWS),
        (False, Check.SNAPSHOTS),
        (True, Check.SNAPSHOTS),
    }
    return [finding.message for finding in report.findings]


class TestViews:
    """Views that say something else than the log."""

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            (
                "UPDATE gen_current_allocations_1 SET quantity = 11 WHERE allocation_id = 'a4'",
                "view current_allocations differs at allocation_id 'a4', pool 'cpu': quantity is 11, the log says 10",
            ),
            (
                "UPDATE gen_current_allocations_1 SET owner = NULL WHERE allocation_id = 'a4'",
                "view current_allocations differs at allocation_id 'a4', pool 'cpu': owner is None, the log says 'gil'",
            ),
            (
                "UPDATE gen_current_allocations_1 SET allocation_id = 'x' WHERE allocation_id = 'a4'",
                "view current_allocations has a row with none in the log, at allocation_id 'x', pool 'cpu'",
            ),
            (
                "DELETE FROM gen_current_allocations_1 WHERE allocation_id = 'a4'",
                "view current_allocations lacks the row at allocation_id 'a4', pool 'cpu'",
            ),
            (
                "UPDATE gen_allocation_history_1 SET actor = 'mallory' WHERE position = 23",
                "view allocation_history differs at position 23: actor is 'mallory', the log says 'teller'",
            ),
            (
                "DELETE FROM gen_allocation_history_1 WHERE position = 23",
                "view allocation_history lacks the row at position 23",
            ),
            (
                "INSERT INTO gen_allocation_history_1 (position) VALUES (19)",
                "view allocation_history has a row with none in the log, at position 19",
            ),
            (
                "INSERT INTO gen_allocation_history_1 (position) VALUES (1000)",
                "view allocation_history has a row with none in the log, at position 1000",
            ),
            (
                "INSERT INTO gen_allocation_history_1 (position) VALUES (-5)",
                "view allocation_history has a row with none in the log, at position -5",
            ),
            (
                "UPDATE gen_pool_usage_1 SET peak = 3 WHERE pool = 'gpu'",
                (
                    "view pool_usage differs at pool 'gpu', bucket '2026-01-01T00:00:00.000000Z': "
                    "peak is 3, the log says 5"
                ),
            ),
            (
                "DELETE FROM gen_pool_usage_1 WHERE pool = 'cpu'",
                "view pool_usage lacks the row at pool 'cpu', bucket '2026-01-01T00:00:00.000000Z'",
            ),
            (
                "INSERT INTO gen_pool_usage_1 (pool, bucket) VALUES ('tpu', 'never')",
                "view pool_usage has a row with none in the log, at pool 'tpu', bucket 'never'",
            ),
            (
                "UPDATE gen_metrics_1 SET count = 3 WHERE pool = 'gpu' AND operation = 'void'",
                (
                    "view metrics differs at pool 'gpu', operation 'void', outcome 'done', code '': "
                    "count is 3, the log says 1"
                ),
            ),
            (
                "DELETE FROM gen_metrics_1 WHERE pool = 'gpu' AND operation = 'void'",
                "view metrics lacks the row at pool 'gpu', operation 'void', outcome 'done', code ''",
            ),
            (
                "INSERT INTO gen_metrics_1 (pool, operation, outcome, code) VALUES ('tpu', 'allocate', 'done', '')",
                (
                    "view metrics has a row with none in the log, "
                    "at pool 'tpu', operation 'allocate', outcome 'done', code ''"
                ),
            ),
            (
                "UPDATE gen_metrics_1 SET le_1s = 1 WHERE pool = 'gpu' AND operation = 'void'",
                (
                    "view metrics differs at pool 'gpu', operation 'void', outcome 'done', code '': "
                    "le_1s is 1, the log says 0"
                ),
            ),
            (
                "UPDATE gen_metrics_holds_1 SET opened_at = 'then' WHERE allocation_id = 'a4'",
                (
                    "view metrics differs at allocation_id 'a4', pool 'cpu': "
                    "opened_at is 'then', the log says '2026-01-01T00:06:40.000000Z'"
                ),
            ),
            (
                "DELETE FROM gen_metrics_holds_1 WHERE allocation_id = 'a4'",
                "view metrics lacks the row at allocation_id 'a4', pool 'cpu'",
            ),
            (
                "INSERT INTO gen_metrics_holds_1 (allocation_id, pool) VALUES ('a4', 'tpu')",
                "view metrics has a row with none in the log, at allocation_id 'a4', pool 'tpu'",
            ),
            (
                "UPDATE gen_validation_failures_1 SET owner = 'mallory' WHERE owner = 'eve'",
                "view validation_failures differs at position 20: owner is 'mallory', the log says 'eve'",
            ),
            (
                "DELETE FROM gen_validation_failures_1 WHERE owner = 'eve'",
                "view validation_failures lacks the row at position 20",
            ),
            (
                "INSERT INTO gen_validation_failures_1 (position) VALUES (1)",
                "view validation_failures has a row with none in the log, at position 1",
            ),
            (
                "UPDATE generations SET position = 99 WHERE view = 'allocation_history'",
                "view allocation_history is at position 99; the log ends at 36",
            ),
            (
                "UPDATE generations SET position = 34 WHERE view = 'allocation_history'",
                "view allocation_history has a row with none in the log, at position 35",
            ),
        ],
    )
    def test_altered(self, ledger: Ledger, database_url: str, statement: str, message: str) -> None:
        """A row altered, added or removed in a view is named by its key."""
        with tampering(database_url) as tamperer:
            tamperer.run(statement)
        assert message in found(ledger)

    def test_moving(self, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """A view that moves on between two looks is caught up with and compared where it is then."""
        look, looks = SQLView.look, []

        def look_later(view: SQLView) -> object:
            looks.append(view.name)
            if len(looks) > len(VIEWS):
                clock.set(500 + len(looks))
                ledger.release(ledger.allocate({"cpu": 5}, owner="zoe").id)
                ledger.projector().catch_up()
            return look(view)

        monkeypatch.setattr(SQLView, "look", look_later)
        report = verify_ledger(ledger)
        assert report.findings == ()
        assert report.head == ROWS
        assert all(view.position > ROWS and view.behind == 0 for view in report.views)

    def test_concurrent(self, ledger: Ledger, clock: Clock) -> None:
        """While others write and views move, verification finds nothing wrong, ever."""
        stop = Event()

        def write() -> None:
            while not stop.is_set():
                clock.now += seconds(1)
                held = ledger.allocate({"cpu": 5}, owner="zoe", ttl=seconds(3))
                ledger.renew(held.id, ttl=seconds(5))
                ledger.projector().catch_up()

        writer = Thread(target=write)
        writer.start()
        try:
            reports = [verify_ledger(ledger) for _ in range(10)]
        finally:
            stop.set()
            writer.join()
        assert [report.findings for report in reports] == [()] * 10
        assert reports[-1].head > reports[0].head

    def test_rebuilt(self, ledger: Ledger, database_url: str) -> None:
        """After a rebuild the live generation is compared, and no other."""
        (built,) = ledger.projector().rebuild("current_allocations")
        assert (built.published, built.generation) == (True, 2)
        assert found(ledger) == []
        with tampering(database_url) as tamperer:
            tamperer.run("UPDATE gen_current_allocations_1 SET owner = 'mallory'")  # kept, and no longer shown
        assert found(ledger) == []
        with tampering(database_url) as tamperer:
            tamperer.run("UPDATE gen_current_allocations_2 SET owner = 'mallory' WHERE allocation_id = 'a4'")
        assert found(ledger) == [
            "view current_allocations differs at allocation_id 'a4', pool 'cpu': owner is 'mallory', the log says 'gil'"
        ]


class TestSnapshots:
    """Snapshots that say something else than the log."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("pool:gpu", '"closed":false', '"closed":true'), "version 12: closed is True, the log says False"),
            (("pool:gpu", '"total":2,', '"total":3,'), "version 12: limits is Limits(total=3"),
            (("pool:gpu", '"holds":1', '"holds":2'), "lacks some of its holds"),
            (("pool:gpu", '"version":12', '"version":11'), "version is 11, the log says 12"),
            (("pool:gpu", '{"pool"', '{"pol"'), "it cannot be read: KeyError"),
            (("pool:gpu", "{", "["), "it cannot be read: JSONDecodeError"),
            (("holds:12:gpu", '["r3",1,', '["r3",2,'), "used is 2, the log says 1"),
            (("holds:12:gpu", '["r3",1,', '["r9",1,'), "allocation 'r3' is missing"),
            (("holds:12:gpu", '["r3",1,', '["r3","1",'), "it cannot be read: TypeError"),
            (("holds:12:gpu", '"gil"', '"eve"'), "allocation 'r3' is not held as the log says"),
        ],
    )
    def test_altered(self, ledger: Ledger, database_url: str, change: tuple[str, str, str], message: str) -> None:
        """An altered snapshot is named, at the position of the event that it was taken at."""
        stream_id, old, new = change
        with tampering(database_url) as tamperer:
            data = tamperer.ask("SELECT data FROM snapshots WHERE stream_id = :id", id=stream_id)
            assert old in data
            tamperer.run(
                "UPDATE snapshots SET data = :data WHERE stream_id = :id", id=stream_id, data=data.replace(old, new)
            )
        (finding,) = verify_ledger(ledger).findings
        assert (finding.position, finding.check) == (36, Check.SNAPSHOTS)
        assert "the snapshot of pool 'gpu' at version 12: " in finding.message
        assert message in finding.message

    def test_one_too_many(self, ledger: Ledger, database_url: str) -> None:
        """A hold in a snapshot that the log does not know is named."""
        with tampering(database_url) as tamperer:
            (hold,) = json.loads(tamperer.ask("SELECT data FROM snapshots WHERE stream_id = 'holds:12:gpu'"))
            held = json.dumps([hold, ["x", *hold[1:]]])
            header = tamperer.ask("SELECT data FROM snapshots WHERE stream_id = 'pool:gpu'").replace(
                '"holds":1', '"holds":2'
            )
            change = "UPDATE snapshots SET data = :data WHERE stream_id = :id"
            tamperer.run(change, id="holds:12:gpu", data=held)
            tamperer.run(change, id="pool:gpu", data=header)
        (message,) = found(ledger)
        assert "used is 2" in message

    def test_of_nothing(self, ledger: Ledger, database_url: str) -> None:
        """A snapshot at a version where no command ended, or of no pool, is named."""
        with tampering(database_url) as tamperer:
            tamperer.run("UPDATE snapshots SET version = 77 WHERE stream_id = 'pool:gpu'")
        assert found(ledger) == ["the snapshot of pool 'gpu' at version 77: no command of the log ends there"]
