"""Verification of logs whose chain holds and whose rows contradict each other: every rule by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, Limits
from holdbook.domain.values import canonical_json
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.verifier import verify
from support.story import Clock, seconds, tell
from support.tampering import rechained, renumbered, rewritten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow


@pytest.fixture
def clock() -> Clock:
    """A clock for the ledger."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.in_memory(clock=clock, actor="teller") as ledger:
        yield ledger


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> EventLog:
    """A log in which everything has happened."""
    tell(ledger, clock)
    return ledger.log


def findings(log: EventLog, rows: Sequence[StoredRow], *, epoch: int = 1) -> list[str]:
    """Verify forged rows under a chain that holds: positions, checks and messages."""
    report = verify(log, stored=RowsInMemory(rechained(rows, log.ledger_id), log.ledger_id, epoch))
    return [f"{finding.position} {finding.check}: {finding.message}" for finding in report.findings]


def forged(log: EventLog, position: int, **columns: Any) -> list[str]:  # noqa: ANN401 - columns by name
    """Verify a log in which columns of one row were forged."""
    rows = log.rows()
    rows[position - 1] = rows[position - 1]._replace(**columns)
    return findings(log, rows)


def rewrote(
    log: EventLog, position: int, data: dict[str, Any] | None = None, command: dict[str, Any] | None = None
) -> list[str]:
    """Verify a log in which fields of one row's event and command were forged."""
    rows = log.rows()
    rows[position - 1] = rewritten(rows[position - 1], data, command)
    return findings(log, rows)


def test_nothing_forged(told: EventLog) -> None:
    """The rows as they were written pass, so whatever is found below was forged."""
    assert findings(told, told.rows()) == []


class TestCommands:
    """Commands and their events."""

    def test_rows_disagree_on_their_number(self, told: EventLog) -> None:
        """A row that gives its command another number of rows is named."""
        rows = told.rows()
        rows[4] = rows[4]._replace(ordinals=3)
        assert any(one.startswith("5 commands: the command has 3 rows by this row, 2") for one in findings(told, rows))

    def test_another_command_within(self, told: EventLog) -> None:
        """A row of one command among those of another is named."""
        found = forged(told, 26, command_id="intruder")
        assert found[0].startswith("26 commands: ordinal 1 of command 'intruder' stands where ordinal 1 of command ")

    def test_begins_late(self, told: EventLog) -> None:
        """A command whose first row is not there is named by the first that is."""
        rows = told.rows()
        rows[5] = rows[5]._replace(ordinal=1, ordinals=2)
        assert "6 commands: command 'c2' begins with ordinal 1" in findings(told, rows)

    def test_id_twice(self, told: EventLog) -> None:
        """A command id that was decided before is named."""
        assert forged(told, 23, command_id="c2") == ["23 commands: command id 'c2' was decided before"]

    @pytest.mark.parametrize("column", ["actor", "correlation_id", "causation_id"])
    def test_rows_disagree(self, told: EventLog, column: str) -> None:
        """Rows of one command that have another actor or origin are named."""
        assert forged(told, 5, **{column: "x"})[0].startswith(f"5 commands: {column} is x, in the first row")

    def test_rows_disagree_on_when(self, told: EventLog) -> None:
        """Rows of one command that were recorded at different times are named."""
        found = forged(told, 5, recorded_at="2026-01-01T00:00:11.000000Z")
        assert found[0].startswith("5 commands: recorded_at is ")

    def test_text_in_another_row(self, told: EventLog) -> None:
        """A command's text in a row where it does not belong is named."""
        assert forged(told, 5, command="{}") == [
            "5 commands: the command's text belongs to position 4, and to no other"
        ]

    def test_text_not_on_the_first_own_event(self, told: EventLog) -> None:
        """A command's text belongs to the first event that is no expiry."""
        text = told.rows()[29].command
        rows = told.rows()
        rows[24], rows[29] = rows[24]._replace(command=text), rows[29]._replace(command=None)
        assert [one.split(":")[0] for one in findings(told, rows)] == ["25 commands", "30 commands"]

    @pytest.mark.parametrize("text", ["", "[", "[]", "{}", "7", '{"command":"conjure"}', "[" * 100_000])
    def test_text_that_is_no_command(self, told: EventLog, text: str) -> None:
        """A text that is no command is named."""
        assert [one.split(":")[:2] for one in forged(told, 23, command=text)] == [
            ["23 commands", " the command cannot be read"]
        ]

    @pytest.mark.parametrize(
        ("position", "command"),
        [
            (1, {"unit": "core"}),
            (1, {"limits": {"total": 101, "step": 5}}),
            (4, {"owner": "eve"}),
            (4, {"quantities": {"cpu": 25, "gpu": 2}}),
            (4, {"quantities": {"cpu": 20}}),
            (4, {"tags": {}}),
            (4, {"ttl": 99}),
            (4, {"ttl": None}),
            (4, {"allocation_id": "a9"}),
            (4, {"command": "reserve"}),
            (6, {"actor": "eve"}),
            (10, {"ttl": 1}),
            (10, {"correlation_id": None}),
            (10, {"causation_id": "x"}),
            (10, {"allocation_id": "a9"}),
            (12, {"reason": "need"}),
            (13, {"ttl": 1}),
            (13, {"token": "1:5"}),
            (13, {"at": "2026-01-01T00:00:21Z"}),
            (15, {"quantities": {"cpu": 45, "gpu": 1}}),
            (15, {"quantities": {"cpu": 40}}),
            (17, {"to": "eve"}),
            (19, {"limits": {"total": 3, "max_size": 4}}),
            (20, {"owner": "ann"}),
            (20, {"at": "2026-01-01T00:00:21Z"}),
            (23, {"reason": None}),
            (32, {"reason": "stolen"}),
            (33, {"at": "2026-01-01T00:05:49Z"}),
        ],
    )
    def test_text_says_something_else(self, told: EventLog, position: int, command: dict[str, Any]) -> None:
        """A command that does not ask for what its events say was done is named."""
        found = rewrote(told, position, command=command)
        assert found
        assert found[0].startswith(f"{position} commands: ")

    def test_other_time(self, told: EventLog) -> None:
        """Events that did not occur when their command was decided are named."""
        (found,) = forged(told, 23, occurred_at="2026-01-01T00:00:21.000000Z")
        assert found.startswith("23 commands: occurred_at is ")

    def test_time_beyond_the_calendar(self, told: EventLog) -> None:
        """A time so late that no deadline can follow it is named, and does no harm."""
        found = forged(told, 4, recorded_at="9999-12-31T23:59:59.000000Z")
        assert found[0].startswith("4 commands: ")

    def test_refused_before_it_was_asked(self, told: EventLog) -> None:
        """A refusal that occurred before it was asked for is named."""
        (found,) = forged(told, 21, occurred_at="2026-01-01T00:00:19.000000Z")
        assert found.startswith("21 commands: occurred_at is ")

    def test_refusal_of_an_unknown_pool(self, told: EventLog) -> None:
        """A refusal says whether its pool is known."""
        assert rewrote(told, 21, data={"pool": "cpu"})[0].startswith("21 commands: known is False")

    def test_expire_of_one_pool(self, ledger: Ledger, clock: Clock) -> None:
        """An expiry of one pool passes, and was decided no earlier than that pool's own time."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        ledger.allocate({"cpu": 1}, owner="ann", ttl=seconds(5))
        clock.set(9)
        ledger.expire("cpu")
        assert findings(ledger.log, ledger.log.rows()) == []

    def test_unreadable_row_in_a_command(self, told: EventLog) -> None:
        """An event that cannot be read is one finding, and what its command did else is entered."""
        assert [one.split(":")[0] for one in forged(told, 26, data="{}")] == ["26 decoding"]


class TestPools:
    """The books of pools."""

    def test_opened_twice(self, told: EventLog) -> None:
        """A pool that is opened a second time is named."""
        rows = told.rows()
        again = rows[0]._replace(command_id="again")
        found = findings(told, renumbered([rows[0], again, *rows[1:]]))
        assert found[0] == "2 pools: pool 'cpu' is opened a second time"

    def test_never_opened(self, told: EventLog) -> None:
        """Events in a pool that was never opened are one finding."""
        found = findings(told, renumbered([row for row in told.rows() if row.position != 3]))
        assert [one for one in found if " pools: " in one] == [
            "7 pools: Reserved in pool 'seats', which was never opened"
        ]

    def test_limits_changed_from_others(self, told: EventLog) -> None:
        """A change from limits that the pool did not have is named."""
        assert rewrote(told, 19, data={"previous": {"total": 1}}) == [
            "19 pools: the previous limits are not those that pool 'gpu' had"
        ]

    def test_granted_after_closing(self, told: EventLog) -> None:
        """A grant in a closed pool is named, and so is another change of it."""
        rows = told.rows()
        closing = rows[31]._replace(occurred_at=rows[30].occurred_at)
        found = findings(told, renumbered([*rows[:30], closing, rows[30], *rows[32:]]))
        assert found == ["32 pools: Allocated in pool 'seats', which was closed"]

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"min_size": 3}, "2 is below min_size, 3"),
            ({"max_size": 1}, "2 is above max_size, 1"),
            ({"step": 4}, "2 is not a multiple of step, 4"),
            ({"total": 3}, "4 are held then, above the capacity, 3"),
            ({"per_owner": 3}, "owner 'ann' holds 4 then, above per_owner, 3"),
            ({"max_allocations": 1}, "2 allocations are held then, above max_allocations, 1"),
            ({"max_ttl": 60}, "the deadline is further away than max_ttl, 0:01:00"),
        ],
    )
    def test_limits_passed(self, ledger: Ledger, limits: dict[str, int], message: str) -> None:
        """Every limit is checked at every grant; one that stays passed is one finding."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        for ttl in (100, 101, 102):
            ledger.allocate({"cpu": 2}, owner="ann", ttl=seconds(ttl))
        rows = ledger.log.rows()
        forged = {"limits": {"total": 9, **limits}}
        rows[0] = rewritten(rows[0], forged, forged)
        (found,) = findings(ledger.log, rows)
        assert found.endswith(message)

    def test_limit_passed_again(self, ledger: Ledger) -> None:
        """A limit that is passed again, after a grant that fitted, is another finding."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        for number in (5, 1, 5):
            ledger.release(ledger.allocate({"cpu": number}, owner="ann").id)
        rows = ledger.log.rows()
        forged = {"limits": {"total": 3}}
        rows[0] = rewritten(rows[0], forged, forged)
        assert [one.split(":")[0] for one in findings(ledger.log, rows)] == ["2 limits", "6 limits"]

    def test_enlarged_and_transferred_beyond(self, ledger: Ledger) -> None:
        """Limits are checked at every enlargement and transfer."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        ann, bob = (ledger.allocate({"cpu": 2}, owner=owner).id for owner in ("ann", "bob"))
        ledger.resize(ann, {"cpu": 4})
        ledger.resize(ann, {"cpu": 3})
        ledger.transfer(bob, to="ann")
        ledger.transfer(bob, to="ann")
        rows = ledger.log.rows()
        forged = {"limits": {"total": 9, "per_owner": 3}}
        rows[0] = rewritten(rows[0], forged, forged)
        assert [one.split(":")[0] for one in findings(ledger.log, rows)] == ["4 limits", "6 limits"]


class TestAllocations:
    """The books of allocations."""

    @pytest.mark.parametrize(
        ("position", "data", "field"),
        [
            (10, {"quantity": 10}, "quantity"),
            (10, {"owner": "eve"}, "owner"),
            (13, {"quantity": 10}, "quantity"),
            (13, {"owner": "eve"}, "owner"),
            (13, {"previous_deadline": None}, "previous_deadline"),
            (15, {"previous_quantity": 5}, "previous_quantity"),
            (15, {"owner": "eve"}, "owner"),
            (17, {"previous_owner": "eve"}, "previous_owner"),
            (17, {"quantity": 5}, "quantity"),
            (23, {"quantity": 1}, "quantity"),
            (23, {"owner": "eve"}, "owner"),
            (23, {"reserved": True}, "reserved"),
            (5, {"epoch": 2}, "epoch"),
        ],
    )
    def test_said_and_known(self, told: EventLog, position: int, data: dict[str, Any], field: str) -> None:
        """What an event says of its allocation is compared with what the events before it said."""
        (found,) = rewrote(told, position, data=data)
        assert found.startswith(f"{position} conservation: ")
        assert f": {field} is " in found

    def test_expired_early(self, told: EventLog) -> None:
        """An expiry at another deadline than the allocation's is named."""
        earlier = "2026-01-01T00:01:09.000000Z"
        rows = told.rows()
        for index in (24, 25):
            rows[index] = rewritten(rows[index], {"deadline": earlier})._replace(occurred_at=earlier)
        assert [one.split(":")[0] for one in findings(told, rows)] == ["25 conservation", "26 conservation"]

    def test_released_reservation(self, told: EventLog) -> None:
        """Only an allocation is released, and only a reservation is voided or confirmed."""
        rows = told.rows()
        rows[11] = rewritten(rows[11], {"reserved": True}, {"command": "release"})._replace(type="Released")
        assert findings(told, rows) == ["12 allocations: Released of allocation 'r2', which is a reservation"]
        rows = told.rows()
        fields = {name: value for name, value in json.loads(rows[22].data).items() if name != "forced"}
        voided = rows[22]._replace(type="Voided", schema_version=1, data=json.dumps(fields))
        rows[22] = rewritten(voided, {}, {"command": "void"})
        assert findings(told, rows) == ["23 allocations: Voided of allocation 'a2', which is not a reservation"]

    def test_forced(self, ledger: Ledger, clock: Clock) -> None:
        """What is ended by force may be a reservation; that it was forced is what its command asked, or it is named."""
        tell(ledger, clock)
        ledger.release("r3", force=True, reason="stuck")
        assert findings(ledger.log, ledger.log.rows()) == []
        last = len(ledger.log.rows())
        (found,) = rewrote(ledger.log, last - 1, data={"reserved": False})
        assert found.startswith(
            f"{last - 1} conservation: Released of allocation 'r3' in pool 'cpu': reserved is False"
        )
        quiet, asked = {"forced": False}, {"force": None}
        assert rewrote(ledger.log, last - 1, quiet)[0] == (
            f"{last - 1} commands: forced is False; by its command it is True"
        )
        assert rewrote(ledger.log, last - 1, command=asked)[0] == (
            f"{last - 1} commands: forced is True; by its command it is False"
        )
        rows = ledger.log.rows()
        rows[-2:] = [rewritten(row, quiet, asked) for row in rows[-2:]]
        assert findings(ledger.log, rows)[0] == (
            f"{last - 1} allocations: Released of allocation 'r3', which is a reservation"
        )
        (found,) = rewrote(ledger.log, last - 1, command={"reason": None})
        assert found.startswith(f"{last - 1} commands: the command cannot be read: force: expected a reason")

    def test_epoch(self, told: EventLog) -> None:
        """A grant's epoch is not above the ledger's, and never goes back."""
        assert rewrote(told, 6, data={"epoch": 2}) == ["6 envelope: epoch 2 follows 1; the ledger is in epoch 1"]
        rows = told.rows()
        rows[5] = rewritten(rows[5], {"epoch": 2})
        assert findings(told, rows, epoch=2)[0] == "7 envelope: epoch 1 follows 2; the ledger is in epoch 2"

    @pytest.mark.parametrize("position", [10, 13, 15, 17, 23])
    def test_nothing_held(self, told: EventLog, position: int) -> None:
        """A change or an end of what was never granted is named."""
        rows = told.rows()
        for index, row in enumerate(rows):
            if row.command_id == rows[position - 1].command_id:
                ghost = {"allocation_id": "ghost"}
                rows[index] = rewritten(row, ghost, ghost)._replace(allocation_id="ghost")
        found = findings(told, rows)
        assert found[0].startswith(f"{position} conservation: ")
        assert found[0].endswith("of allocation 'ghost', which was never granted")

    def test_granted_twice_after_its_end(self, told: EventLog) -> None:
        """An id that is granted again after its end is named."""
        rows = told.rows()
        taken = {"allocation_id": "a2"}
        rows[33] = rewritten(rows[33], taken, taken)._replace(allocation_id="a2")
        assert findings(told, rows) == ["34 allocations: allocation 'a2' is granted a second time"]

    def test_granted_twice_in_another_pool(self, told: EventLog) -> None:
        """What is granted in another pool under an id that is held is named, and its end there as well."""
        rows = told.rows()
        taken = {"allocation_id": "a1"}
        rows[23] = rewritten(rows[23], taken, taken)._replace(allocation_id="a1")
        found = findings(told, rows)
        assert found[0] == "24 allocations: allocation 'a1' is granted a second time"

    def test_part_of_another_pool(self, told: EventLog) -> None:
        """An end in a pool of which the allocation holds nothing is named."""
        rows = told.rows()
        rows[22] = rewritten(rows[22], {"pool": "cpu"})._replace(stream_id="pool:cpu", version=9)
        found = findings(told, rows)
        assert any("Released of allocation 'a2', which holds nothing of pool 'cpu'" in one for one in found)

    def test_outlived_many(self, ledger: Ledger, clock: Clock) -> None:
        """Many holds that outlive their deadlines at once are one finding."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        for _ in range(3):
            ledger.allocate({"cpu": 1}, owner="ann", ttl=seconds(5))
        clock.set(9)
        ledger.allocate({"cpu": 1}, owner="bob")
        rows = [row for row in ledger.log.rows() if row.type != "Expired"]
        (found,) = findings(ledger.log, renumbered(rows))
        assert found.startswith("5 time: allocation ")
        assert "(and 2 more like it)" in found

    def test_many_renewals(self, ledger: Ledger) -> None:
        """Deadlines that were moved often cost no memory, and the last one holds."""
        ledger.open_pool("cpu", resource_type="cpu", limits=Limits(total=9))
        held = ledger.allocate({"cpu": 1}, owner="ann", ttl=seconds(5))
        for number in range(200):
            ledger.renew(held.id, ttl=seconds(6 + number))
        assert findings(ledger.log, ledger.log.rows()) == []


def test_canonical_text_is_not_wanted(told: EventLog) -> None:
    """A command's text may be written in any way that JSON allows: its bytes are for the chain."""
    rows = told.rows()
    rows[22] = rewritten(rows[22], {}, {})
    assert rows[22].command != canonical_json({"command": "release"})
    assert findings(told, rows) == []
