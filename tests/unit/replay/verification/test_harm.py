"""What was done to a log, named rightly: rows changed, taken out, put in, moved, by somebody who spares the hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import Ledger, Limits
from holdbook.domain.records import chain_hash, genesis
from holdbook.replay.verification.findings import Check, Harm
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.tampering import WAITING_MAX
from holdbook.replay.verification.verifier import Start, verify
from support.logs import load_pool_at_head
from support.story import Clock, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.pool import Pool
    from holdbook.domain.ports import EventLog
    from holdbook.domain.records import StoredRow
    from holdbook.replay.verification.findings import Finding, Report

GARBAGE = hashlib.sha256(b"garbage").digest()


def log_of(commands: int = 0) -> EventLog:
    """Make a log in which everything has happened, and then so many single commands."""
    clock = Clock()
    with Ledger.in_memory(clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.open_pool("disk", resource_type="disk", limits=Limits(total=10))
        for number in range(commands // 2):
            ledger.release(ledger.allocate({"disk": 1 + number % 7}, owner="ann").id)
        return ledger.log


LOG = log_of()
LONG = log_of(220)


def verified(log: EventLog, rows: Sequence[StoredRow], since: Start | None = None) -> Report:
    """Verify a log whose rows are these now."""
    return verify(log, stored=RowsInMemory(rows, log.ledger_id), since=since)


def done(log: EventLog, rows: Sequence[StoredRow]) -> list[Finding]:
    """Verify a log whose rows are these now: what is said of its chain and its positions."""
    report = verified(log, rows)
    assert not report.ok
    found = [one for one in report.findings if one.check in {Check.CHAIN, Check.POSITIONS}]
    assert report.findings[0] == found[0]  # the cause is named first
    return found


def numbered(rows: Sequence[StoredRow], first: int = 1) -> list[StoredRow]:
    """Number rows anew by position alone; their hashes are as they were."""
    return [row._replace(position=position) for position, row in enumerate(rows, start=first)]


def rehashed(row: StoredRow, before: bytes) -> StoredRow:
    """Give a row the hash that follows from the one before it."""
    return row._replace(hash=chain_hash(before, row))


def intruder(log: EventLog, position: int, *, follows: bool) -> StoredRow:
    """Forge a row to be put in at a position, with a hash that follows, or with any."""
    rows = log.rows(0, 10_000)
    row = rows[22]._replace(position=position, command_id="intruder", version=1000 + position)
    return rehashed(row, rows[position - 2].hash) if follows else row._replace(hash=GARBAGE)


class TestAltered:
    """Rows that say something else."""

    @pytest.mark.parametrize("position", [1, 6, 17, 36, 37])
    def test_hash_kept(self, position: int) -> None:
        """A row that was changed, its hash kept, is an altered event at its position, and one finding."""
        rows = LOG.rows()
        rows[position - 1] = rows[position - 1]._replace(recorded_at="2026-01-01T00:00:00.000001Z")
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (position, Harm.ALTERED)

    def test_hash_made_anew(self) -> None:
        """A row whose own hash was made anew is named if something else is wrong with it, and not the row after."""
        rows = LOG.rows()
        rows[5] = rehashed(rows[5]._replace(data=rows[5].data.replace('"quantity":2', '"quantity":3')), rows[4].hash)
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (6, Harm.ALTERED)
        assert "the hash at position 7 does not follow from it" in found.message

    def test_hash_made_anew_without_a_trace(self) -> None:
        """Where nothing else is wrong, the message says that it is this row or the one before."""
        rows = LOG.rows()
        rows[5] = rehashed(rows[5]._replace(causation_id="x"), rows[4].hash)
        rows[5] = rehashed(rows[5]._replace(causation_id=None, correlation_id=None), rows[4].hash)
        rows[22] = rehashed(rows[22]._replace(schema_version=1, actor="mallory"), rows[21].hash)
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (24, Harm.ALTERED)
        assert "or the row before it was, and its hash made anew (position 23)" in found.message

    def test_hash_only(self) -> None:
        """A row of which only the hash was changed is told by the row after it."""
        rows = LOG.rows()
        rows[22] = rows[22]._replace(hash=GARBAGE)
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (23, Harm.ALTERED)
        assert "the next row follows from the one that belongs to what this row says" in found.message

    def test_several(self) -> None:
        """Rows one after another that were changed are one finding."""
        rows = LOG.rows()
        for index in (21, 22, 23):
            rows[index] = rows[index]._replace(actor="mallory")
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (22, Harm.ALTERED)
        assert "from here to position 24: these rows were altered" in found.message

    def test_of_another_ledger(self) -> None:
        """The first row of a log under another ledger's id tells that the id may have been changed."""
        report = verify(LOG, stored=RowsInMemory(LOG.rows(), "another"))
        (found,) = report.findings
        assert (found.position, found.harm) == (1, Harm.ALTERED)
        assert "or the ledger's id in ledger_meta was" in found.message

    def test_every_row(self) -> None:
        """However many rows were changed, what is kept of them is bounded, and runs of them are told."""
        rows = [row._replace(hash=hashlib.sha256(row.hash).digest()) for row in LONG.rows(0, 10_000)]
        found = done(LONG, rows)
        assert {one.harm for one in found} == {Harm.ALTERED}
        assert len(found) == -(-len(rows) // WAITING_MAX)

    def test_here_and_there(self) -> None:
        """Many single rows that were changed are as many findings, in order."""
        rows = LONG.rows(0, 10_000)
        for index in range(40, 240, 4):
            rows[index] = rows[index]._replace(actor="mallory")
        assert [one.position for one in done(LONG, rows)] == list(range(41, 241, 4))


class TestHole:
    """Rows that were taken out."""

    @pytest.mark.parametrize("position", [1, 6, 23, 35])
    def test_gap(self, position: int) -> None:
        """A gap in the positions is a hole."""
        rows = [row for row in LOG.rows() if row.position != position]
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (position, Harm.HOLE)

    @pytest.mark.parametrize(("first", "count"), [(1, 1), (6, 1), (6, 3), (23, 1), (34, 1), (2, 30)])
    def test_numbered_anew(self, first: int, count: int) -> None:
        """A hole is found though the rows after it were numbered anew, with how many rows it had."""
        rows = numbered([row for row in LOG.rows() if not first <= row.position < first + count])
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (first, Harm.HOLE)
        assert f"follow only at the positions that they had, {count} further on" in found.message

    def test_two(self) -> None:
        """Two holes, the rows after each numbered anew, are two findings."""
        rows = numbered([row for row in LONG.rows(0, 10_000) if row.position not in {50, 90, 91}])
        assert [(one.position, one.harm) for one in done(LONG, rows)] == [(50, Harm.HOLE), (89, Harm.HOLE)]

    def test_and_what_was_put_in_its_place(self) -> None:
        """A hole that is closed by a row put in elsewhere is told, and so is that row."""
        rows = [row for row in LONG.rows(0, 10_000) if row.position != 50]
        rows = numbered([*rows[:99], intruder(LONG, 100, follows=False), *rows[99:]])
        assert [(one.position, one.harm) for one in done(LONG, rows)] == [(50, Harm.HOLE), (100, Harm.INSERTED)]

    def test_half_a_command_at_the_end(self) -> None:
        """A log that ends within a command has lost its tail."""
        rows = LOG.rows()[:35]
        (found,) = verified(LOG, rows).findings
        assert (found.position, found.harm) == (35, Harm.CUT_TAIL)


class TestInserted:
    """Rows that were put in."""

    @pytest.mark.parametrize("follows", [True, False])
    @pytest.mark.parametrize("position", [2, 6, 23, 35, 36, 37])
    def test_numbered_anew(self, position: int, *, follows: bool) -> None:
        """A row that was put in is named, whatever its hash, though the rows after it were numbered anew."""
        rows = LOG.rows()
        rows = numbered([*rows[: position - 1], intruder(LOG, position, follows=follows), *rows[position - 1 :]])
        (found,) = done(LOG, rows)
        assert (found.position, found.harm) == (position, Harm.INSERTED)

    def test_several(self) -> None:
        """Several rows put in at one place are one finding."""
        rows, forged = LOG.rows(), []
        before = rows[21].hash
        for position in (23, 24, 25):
            forged.append(rehashed(intruder(LOG, position, follows=False), before))
            before = forged[-1].hash
        (found,) = done(LOG, numbered([*rows[:22], *forged, *rows[22:]]))
        assert (found.position, found.harm) == (23, Harm.INSERTED)
        assert "positions 23 to 25 were put in" in found.message

    def test_appended(self) -> None:
        """A row appended carelessly is told from an altered one by what else is wrong with it."""
        rows = LOG.rows()
        (found,) = done(LOG, [*rows, intruder(LOG, 38, follows=False)])
        assert (found.position, found.harm) == (38, Harm.INSERTED)
        assert "appended rather than altered" in found.message

    def test_appended_with_care(self) -> None:
        """A row of which nothing but the hash is wrong may be an altered last one, and the message says so."""
        rows = LONG.rows(0, 10_000)
        rows[-1] = rows[-1]._replace(hash=GARBAGE)
        (found,) = done(LONG, rows)
        assert (found.position, found.harm) == (len(rows), Harm.ALTERED)
        assert "the hash cannot tell which" in found.message

    def test_below_the_first(self) -> None:
        """A row before the first position was put in."""
        rows = LOG.rows()
        found = done(LOG, [rows[22]._replace(position=0), *rows])
        assert (found[0].position, found[0].harm) == (0, Harm.INSERTED)

    def test_position_twice(self) -> None:
        """A second row at a position was put in."""
        rows = LOG.rows()
        found = done(LOG, [*rows[:23], intruder(LOG, 23, follows=False), *rows[23:]])
        assert (found[0].position, found[0].harm) == (23, Harm.INSERTED)
        assert found[0].message == "position 23 comes a second time"


class TestReorder:
    """Rows in each other's places."""

    @pytest.mark.parametrize(("one", "other"), [(6, 22), (6, 7), (6, 8), (1, 2), (1, 37), (36, 37), (23, 37)])
    def test_exchanged(self, one: int, other: int) -> None:
        """Two rows that were exchanged, near or far, are one finding that names both."""
        rows = LOG.rows()
        rows[one - 1], rows[other - 1] = rows[other - 1], rows[one - 1]
        (found,) = done(LOG, numbered(rows))
        assert (found.position, found.harm) == (one, Harm.REORDER)
        assert f"positions {one} and {other} stand in each other's places" in found.message

    def test_moved(self) -> None:
        """A row moved to another place, and those between moved up, are one finding."""
        rows = LOG.rows()
        rows.insert(9, rows.pop(5))
        (found,) = done(LOG, numbered(rows))
        assert (found.position, found.harm) == (6, Harm.REORDER)
        assert "from here to about position 11 stand in another order" in found.message

    @pytest.mark.parametrize(("first", "second", "count"), [(50, 60, 2), (50, 52, 2), (60, 200, 3)])
    def test_blocks(self, first: int, second: int, count: int) -> None:
        """Blocks of rows that were exchanged, such as two commands, are one finding."""
        rows = LONG.rows(0, 10_000)
        one, other = rows[first : first + count], rows[second : second + count]
        rows[first : first + count], rows[second : second + count] = other, one
        (found,) = done(LONG, numbered(rows))
        assert (found.position, found.harm) == (first + 1, Harm.REORDER)

    def test_block_of_the_end(self) -> None:
        """A block that was moved to the log's end, so that another event is its last, is a reorder too."""
        rows = LONG.rows(0, 10_000)
        (found,) = done(LONG, numbered([*rows[:50], *rows[52:], *rows[50:52]]))
        assert (found.position, found.harm) == (51, Harm.REORDER)

    def test_two_pairs(self) -> None:
        """Two exchanges are two findings."""
        rows = LONG.rows(0, 10_000)
        for one, other in ((50, 90), (70, 150)):
            rows[one], rows[other] = rows[other], rows[one]
        found = done(LONG, numbered(rows))
        assert [(one.position, one.harm) for one in found] == [(51, Harm.REORDER), (71, Harm.REORDER)]

    def test_one_of_them_altered(self) -> None:
        """Where one of two exchanged rows was changed as well, the other is placed, and that one is altered."""
        rows = LONG.rows(0, 10_000)
        rows[50], rows[90] = rows[90], rows[50]._replace(actor="mallory")
        found = done(LONG, numbered(rows))
        assert (found[0].position, found[0].harm) == (51, Harm.REORDER)
        assert {one.harm for one in found[1:]} == {Harm.ALTERED}


@settings(max_examples=40)
@given(st.data())
def test_one_deed(data: st.DataObject) -> None:
    """Whatever one deed is done, wherever, to a log whose end is far, it is named rightly, in one finding, first."""
    rows = LONG.rows(0, 10_000)
    place = data.draw(st.integers(min_value=40, max_value=len(rows) - 10), label="position")
    other = data.draw(st.integers(min_value=place + 1, max_value=len(rows) - 3), label="other position")
    harm = data.draw(st.sampled_from([Harm.ALTERED, Harm.HOLE, Harm.INSERTED, Harm.REORDER]), label="harm")
    if harm is Harm.ALTERED:
        rows[place - 1] = rows[place - 1]._replace(actor=data.draw(st.sampled_from([None, "mallory"])))
    elif harm is Harm.HOLE:
        rows = rows[: place - 1] + rows[place - 1 + data.draw(st.integers(1, 5)) :]
    elif harm is Harm.INSERTED:
        rows.insert(place - 1, intruder(LONG, place, follows=data.draw(st.booleans())))
    else:
        rows[place - 1], rows[other - 1] = rows[other - 1], rows[place - 1]
    (found,) = done(LONG, numbered(rows) if harm is not Harm.ALTERED else rows)
    assert (found.position, found.harm) == (place, harm)


class TestSince:
    """Verification of what is new."""

    def test_what_is_new(self) -> None:
        """From a position on whose hash and pools are known, everything is checked, and nothing before."""
        with Ledger.in_memory(clock=(clock := Clock()), actor="teller") as ledger:
            tell(ledger, clock)
            start = start_of(ledger)
            ledger.allocate({"cpu": 5}, owner="ann")
            ledger.release("a4")
            rows = ledger.log.rows()
            report = verified(ledger.log, rows, start)
            assert (report.findings, report.events, report.since, report.head) == ((), 2, 36, 38)
            rows[5] = rows[5]._replace(actor="mallory")  # not looked at again
            assert verified(ledger.log, rows, start).ok
            rows[37] = rows[37]._replace(data=rows[37].data.replace('"quantity":10', '"quantity":9'))
            found = [(one.position, one.harm) for one in verified(ledger.log, rows, start).findings]
            assert found == [(38, Harm.ALTERED), (38, Harm.CONSERVATION)]

    def test_nothing_new(self) -> None:
        """Where nothing came after, there is nothing to find."""
        report = verified(LOG, LOG.rows(), Start(37, LOG.rows()[36].hash, {}))
        assert (report.ok, report.events) == (True, 0)

    def test_from_the_beginning(self) -> None:
        """From position 0, all of it is new."""
        rows = LOG.rows()
        nothing = verified(LOG, rows, Start(0, genesis(LOG.ledger_id), {}))
        assert (nothing.ok, nothing.events) == (True, len(rows))

    def test_another_hash(self) -> None:
        """Where the log has another hash than is remembered, something before was changed."""
        report = verified(LOG, LOG.rows(), Start(37, GARBAGE, {}))
        assert [(one.position, one.harm) for one in report.findings] == [(37, Harm.ALTERED)]

    def test_shorter(self) -> None:
        """A log that ends before what is remembered has lost its tail."""
        report = verified(LOG, LOG.rows()[:33], Start(37, GARBAGE, {}))
        assert [(one.position, one.harm) for one in report.findings] == [(33, Harm.CUT_TAIL)]

    def test_decided_before(self) -> None:
        """What is new is held against what was before: command ids, grants, versions of every stream."""
        with Ledger.in_memory(clock=(clock := Clock()), actor="teller") as ledger:
            tell(ledger, clock)
            start = start_of(ledger)
            ledger.allocate({"cpu": 5}, owner="ann", allocation_id="new", command_id="x")
            rows = ledger.log.rows()
            again = rows[36]._replace(command_id="c2", allocation_id="a1", version=99)
            text = str(again.command).replace('"command_id":"x",', "").replace('"new"', '"a1"')
            again = again._replace(command=text, data=again.data.replace('"new"', '"a1"'))
            report = verified(ledger.log, [*rows[:36], rehashed(again, rows[35].hash)], start)
        assert sorted(one.message.split(" ")[0] for one in report.findings) == ["allocation", "command", "version"]


def start_of(ledger: Ledger) -> Start:
    """Remember a ledger as it is now."""
    rows = ledger.log.rows()
    with ledger.log.reading() as reader:
        pools = {name: pool_of(ledger.log, name) for name in reader.pool_names()}
    return Start(len(rows), rows[-1].hash, pools)


def pool_of(log: EventLog, name: str) -> Pool:
    """Fold a pool's events."""
    with log.reading() as reader:
        pool = load_pool_at_head(reader, name)
    assert pool is not None
    return pool
