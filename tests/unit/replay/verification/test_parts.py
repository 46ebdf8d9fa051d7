"""Parts of verification on their own: the report, the database, and views that move."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits
from holdbook.domain.errors import LogUnavailable
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.log.raw_rows import SQLRows
from holdbook.replay.verification.findings import FINDINGS_MAX, Check, Finding, Findings, Harm, ViewChecked
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.verifier import verify
from holdbook.replay.verification.view_check import NEAR_EVENTS, CheckedViews, reading
from support.story import Clock, tell
from support.tampering import rechained, rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import Recorded, StoredRow


class TestReport:
    """What a report says."""

    def test_order_and_end(self) -> None:
        """Findings are in order of position, those without one last; beyond a maximum per check they are counted."""
        findings = Findings()
        findings.add(None, Check.VIEWS, "last")
        for position in range(FINDINGS_MAX + 7, 0, -1):
            findings.add(position, Check.CHAIN, "broken")
        found = findings.in_order()
        assert found[0] == Finding(8, Check.CHAIN, "broken", Harm.ALTERED)
        assert found[-1] == Finding(None, Check.VIEWS, "last", Harm.VIEW)
        assert (len(found), findings.more) == (FINDINGS_MAX + 1, 7)
        assert found[0].as_dict() == {
            "harm": "altered event",
            "position": 8,
            "check": "chain",
            "message": "broken",
        }


def test_an_id_with_braces() -> None:
    """A finding about an allocation shows its id as it is, whatever characters it has."""
    with Ledger.in_memory() as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
        ledger.reclaim("gpu", "{x}")
        rows = ledger.log.rows()
        rows[1] = rewritten(rows[1], {"state": "expired"}, {})
        stored = RowsInMemory(rechained(rows, ledger.log.ledger_id), ledger.log.ledger_id)
        [finding] = verify(ledger.log, stored=stored).findings
    assert finding.message == "state is 'expired'; allocation '{x}' was never granted before"


def test_database_that_cannot_be_read(tmp_path: Path) -> None:
    """A database that cannot be read is an error, not a finding."""
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    database.make_file()
    with pytest.raises(LogUnavailable, match="no such table: events"):
        SQLRows(database).page(0, 1, 1)
    database.close()


@dataclass(frozen=True)
class FakeTable:
    """A table of positions and types."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...] = ("position", "type")

    @property
    def grows(self) -> bool:
        """Tell whether rows are only ever added."""
        return self.key == ("position",)


class FakeView:
    """A view of positions and types whose own position is another one at each look."""

    name = "kinds"

    def __init__(self, rows: list[StoredRow], positions: list[int], key: tuple[str, ...], fault: str = "") -> None:
        self.fault = fault
        self.tables = (FakeTable("kinds", key),)
        self._rows = rows
        self._positions = positions
        self._folded: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.position = positions[0]
        self.folded_most = 0
        """The most rows that were folded and not yet forgotten at any time."""

    @contextmanager
    def look(self) -> Iterator[FakeView]:
        """Look at the view at its next position."""
        self.position = self._positions.pop(0) if len(self._positions) > 1 else self._positions[0]
        yield self

    def rows(self, _table: FakeTable, after: int | None, upto: int | None) -> list[tuple[int, str]]:
        """Give the rows of a range of positions."""
        last = self.position if upto is None else min(upto, self.position)
        return [(row.position, row.type) for row in self._rows if (after or 0) < row.position <= last]

    def fold(self, records: Sequence[Recorded]) -> list[str]:
        """Fold more events; those of the type at fault are left out and reported."""
        left_out = [recorded.position for recorded in records if type(recorded.event).__name__ == self.fault]
        for recorded in records:
            if recorded.position in left_out:
                continue
            row = {"position": recorded.position, "type": type(recorded.event).__name__}
            self._folded[tuple(row[one] for one in self.tables[0].key)] = row
        self.folded_most = max(self.folded_most, len(self._folded))
        return [f"view kinds failed at position {position}" for position in left_out]

    def folded(self, _table: FakeTable) -> Mapping[tuple[Any, ...], Mapping[str, Any]]:
        """Give what was folded."""
        return self._folded

    def clear(self, _table: FakeTable) -> None:
        """Forget what was folded."""
        self._folded = {}


@pytest.fixture
def log() -> EventLog:
    """A log in which everything has happened."""
    clock = Clock()
    ledger = Ledger.in_memory(clock=clock)
    tell(ledger, clock)
    ledger.close()
    return ledger.log


class TestMovingViews:
    """Views that move between two looks."""

    @pytest.mark.parametrize(
        ("key", "positions"), [(("position",), [6, 9, 20]), (("position", "type"), [6, 20])], ids=["grows", "changes"]
    )
    def test_catches_up(self, log: EventLog, key: tuple[str, ...], positions: list[int]) -> None:
        """A view that moved beyond the verified end of the log is compared at its new position."""
        rows = log.rows()
        stored = RowsInMemory(rows[:20], log.ledger_id)
        stored.head = lambda: 14  # type: ignore[method-assign]  # the log as it was when verification began
        view = FakeView(rows, positions, key)
        report = verify(log, stored=stored, views=CheckedViews([view], reading(stored, log.decode)))
        assert report.findings == ()
        assert report.views == (ViewChecked("kinds", 20, 0, 20),)

    def test_far_ahead(self) -> None:
        """If a view has moved far ahead, the fold catches up before the view's rows are read."""
        ledger = Ledger.in_memory(clock=Clock())
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        held = ledger.allocate({"cpu": 1}, owner="ann")
        for _ in range(NEAR_EVENTS):
            ledger.resize(held.id, {"cpu": 1})
        rows = ledger.log.rows(0, 2 * NEAR_EVENTS)
        view = FakeView(rows, [0, len(rows)], ("position",))
        stored = RowsInMemory(rows, ledger.log.ledger_id)
        stored.head = lambda: 1  # type: ignore[method-assign]
        report = verify(ledger.log, stored=stored, views=CheckedViews([view], reading(stored, ledger.log.decode)))
        assert report.findings == ()
        assert report.views == (ViewChecked("kinds", len(rows), 0, len(rows)),)
        assert view.folded_most <= NEAR_EVENTS
        ledger.close()

    def test_far_beyond_the_end(self, log: EventLog) -> None:
        """A view that claims a position far beyond the log's end is reported once."""
        rows = log.rows()
        view = FakeView(rows, [10**9], ("position",))
        stored = RowsInMemory(rows, log.ledger_id)
        report = verify(log, stored=stored, views=CheckedViews([view], reading(stored, log.decode)))
        assert [one.message for one in report.findings] == [
            f"view kinds is at position {10**9}; the log ends at {len(rows)}"
        ]

    def test_what_cannot_be_folded(self, log: EventLog) -> None:
        """An event that the view's code cannot fold is reported, and so is every row that it should have made."""
        rows = log.rows()
        voided = next(row.position for row in rows if row.type == "Voided")
        view = FakeView(rows, [len(rows)], ("position",), fault="Voided")
        stored = RowsInMemory(rows, log.ledger_id)
        report = verify(log, stored=stored, views=CheckedViews([view], reading(stored, log.decode)))
        assert [one.message for one in report.findings] == [
            f"view kinds cannot be computed: view kinds failed at position {voided}",
            f"view kinds has a row with none in the log, at position {voided}",
        ]

    def test_went_back(self, log: EventLog) -> None:
        """A view that goes back while it is compared is reported."""
        rows = log.rows()
        view = FakeView(rows, [20, 5], ("position", "type"))
        stored = RowsInMemory(rows, log.ledger_id)
        report = verify(log, stored=stored, views=CheckedViews([view], reading(stored, log.decode)))
        assert [one.message for one in report.findings] == [
            "view kinds went back to position 5 while it was compared; verify again"
        ]

    def test_unreadable_rows_while_reading_on(self, log: EventLog) -> None:
        """A row that cannot be read while the fold catches up is left to the next verification."""
        rows = log.rows()
        rows[29] = rows[29]._replace(type="Conjured")
        stored = RowsInMemory(rechained(rows, log.ledger_id), log.ledger_id)
        stored.head = lambda: 24  # type: ignore[method-assign]
        view = FakeView(rows, [24, 36], ("position",))
        report = verify(log, stored=stored, views=CheckedViews([view], reading(stored, log.decode)))
        assert [one.message for one in report.findings] == ["view kinds has a row with none in the log, at position 30"]
