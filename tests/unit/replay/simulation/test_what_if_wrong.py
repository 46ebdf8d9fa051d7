"""What if limits had been different: logs that do not follow from their commands, and malformed questions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Malformed
from holdbook.domain.errors import LogCorrupt
from holdbook.replay.simulation.outcomes import Divergence
from holdbook.replay.simulation.what_if import what_if
from support.logs import written
from support.story import T0, Clock, seconds, tell
from support.tampering import renumbered, rewritten

if TYPE_CHECKING:
    from holdbook.domain.ports import EventLog


@pytest.fixture
def told() -> EventLog:
    """A log in which everything has happened."""
    clock = Clock()
    with Ledger.in_memory(clock=clock) as ledger:
        tell(ledger, clock)
        return ledger.log


def at(number: float) -> datetime:
    """Tell the instant so many seconds after the beginning."""
    return T0 + seconds(number)


class TestFaults:
    """A log that does not follow from its commands."""

    @pytest.mark.parametrize(
        ("position", "changes", "fault"),
        [
            (4, {"data": {"quantity": 21}}, Divergence(4, "quantity", 21, 20)),
            (4, {"command": {"quantities": {"cpu": 25, "gpu": 2}}}, Divergence(4, "quantity", 20, 25)),
            (
                5,
                {"columns": {"occurred_at": "2026-01-01T00:00:11.000000Z"}},
                Divergence(5, "occurred_at", at(11), at(10)),
            ),
            (20, {"data": {"code": "pool_closed"}}, Divergence(20, "code", "pool_closed", "pool_exhausted")),
            (21, {"command": {"allocation_id": "a1"}}, Divergence(21, "type", "ValidationFailed", "Released")),
            (24, {"command": {"quantities": {"seats": 3}}}, Divergence(24, "type", "Allocated", "ValidationFailed")),
            (27, {"data": {"owner": "eve"}}, Divergence(27, "owner", "eve", "cid")),
            (
                12,
                {"command": {"command": "expire", "allocation_id": None, "reason": None}},
                Divergence(12, "type", "Voided", None),
            ),
        ],
    )
    def test_what_differs_is_named(
        self, told: EventLog, position: int, changes: dict[str, dict[str, Any]], fault: Divergence
    ) -> None:
        """The first event that does not follow is named with its field, and nothing after it is decided again."""
        rows = told.rows()
        row = rewritten(rows[position - 1], changes.get("data"), changes.get("command"))
        rows[position - 1] = row._replace(**changes.get("columns", {}))
        found = what_if(written(rows), {"gpu": {"total": 9}})
        assert (found.ok, found.fault) == (False, fault)
        assert found.commands < 24

    def test_an_event_that_is_not_there(self, told: EventLog) -> None:
        """An event that a command leads to but the log lacks is named at the command's last event."""
        rows = told.rows()[:18]
        del rows[17]
        assert what_if(written(rows), {}).fault == Divergence(17, "type", None, "Transferred")

    def test_a_pool_that_is_opened_twice(self, told: EventLog) -> None:
        """A log in which an open pool is opened again does not follow from its commands."""
        rows = told.rows()[:3]
        second = rewritten(rows[2], {"unit": "row"}, {"unit": "row"})
        rows.append(second._replace(position=4, version=4, command_id="again"))
        assert what_if(written(rows), {}).fault == Divergence(4, "type", "PoolOpened", "PoolAlreadyOpen")

    @pytest.mark.parametrize("text", ["{", "[]", '{"command":"fly"}'])
    def test_a_command_that_cannot_be_read(self, told: EventLog, text: str) -> None:
        """A command that cannot be read is an error that names its position."""
        rows = told.rows()
        rows[3] = rows[3]._replace(command=text)
        with pytest.raises(LogCorrupt, match="position 4: the command cannot be read: "):
            what_if(written(rows), {})

    def test_a_command_that_is_missing(self, told: EventLog) -> None:
        """A command whose text is missing is an error that names the position of its event."""
        rows = told.rows()
        rows[3] = rows[3]._replace(command=None)
        with pytest.raises(LogCorrupt, match="position 4: the command is missing"):
            what_if(written(rows), {})

    def test_half_an_allocation(self, told: EventLog) -> None:
        """An allocation that is held in only one of its pools at the beginning is an error that names it."""
        rows = told.rows()
        del rows[4]
        with pytest.raises(LogCorrupt, match="allocation 'a1' is held in pool 'cpu', and not in pool 'gpu'"):
            what_if(written(renumbered(rows)), {}, since=at(15))


class TestMalformed:
    """Malformed questions."""

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            ({"tpu": {"total": 1}}, r"tpu\.total: expected a pool of this ledger, which has no 'tpu'; got 1"),
            ({"gpu": {"totals": 1}}, r"gpu\.totals: expected a limit: one of total, reserved, .*; got 1"),
            ({"gpu": {"total": -1}}, r"gpu\.total: expected a whole number from 0 to \d+; got -1"),
            ({"gpu": {"total": None}}, r"gpu\.total: expected a whole number"),
            ({"gpu": {"overcommit": 1.5}}, r"gpu\.overcommit: expected a decimal above 0 written as text"),
            ({"seats": {"max_ttl": 10}}, r"seats: expected limits that go with the others recorded at position 3: "),
            ({"gpu": {"reserved": 5}}, r"gpu: .* recorded at position 19: reserved is above total; got \{'reserved'"),
        ],
    )
    def test_limits(self, told: EventLog, limits: dict[str, dict[str, object]], said: str) -> None:
        """The error names pool and limit, and says what was expected; limits must not contradict the recorded ones."""
        with pytest.raises(Malformed, match=f"^{said}"):
            what_if(told, limits)

    def test_limits_in_the_beginning(self, told: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other limits must not contradict those in force at the beginning; that is checked before any decision."""
        monkeypatch.setattr("holdbook.replay.simulation.recorded_commands.PAGE_ROWS", 1)
        read: list[int] = []
        with pytest.raises(Malformed, match=r"^gpu: expected limits that go with the others in force when these"):
            what_if(told, {"gpu": {"reserved": 5}}, since=at(25), progress=lambda done, _total: read.append(done))
        assert read == []

    @pytest.mark.parametrize(
        ("since", "until", "said"),
        [
            (datetime(2026, 1, 1), None, "from: expected a time with its offset"),  # noqa: DTZ001 - the fault in question
            (None, datetime(2026, 1, 1), "to: expected a time with its offset"),  # noqa: DTZ001 - as above
            (at(5), at(5), "to: expected a time after 2026-01-01T00:00:05.000000Z"),
        ],
    )
    def test_times(self, told: EventLog, since: datetime | None, until: datetime | None, said: str) -> None:
        """A time needs its offset from UTC, and the end must be after the beginning."""
        with pytest.raises(Malformed, match=f"^{said}"):
            what_if(told, {}, since=since, until=until)
