"""Verification against what an attacker with the database's password does, on both databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger
from holdbook.domain.records import StoredRow
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.replay.verification.findings import Check, Harm
from holdbook.replay.verification.verifier import Start
from support.logs import load_pool_at_head, take_snapshot
from support.story import Clock, tell
from support.tampering import renumbered, tampering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdbook.replay.verification.verifier import Report
    from support.tampering import Tamperer

    Change = Callable[[list[StoredRow]], Sequence[StoredRow]]

ROWS = 36
"""Rows that the story leaves."""


@pytest.fixture
def told_url(database_url: str) -> str:
    """A ledger in which everything has happened, its views up to date, one snapshot a pool."""
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
        ledger.projector().catch_up()
        for pool in ("cpu", "gpu", "seats"):
            take_snapshot(ledger.log, pool)  # type: ignore[arg-type]  # a log in a database
    return database_url


def verified(url: str) -> Report:
    """Verify a ledger."""
    with Ledger.open(url, create=False) as ledger:
        return verify_ledger(ledger)


def found(url: str) -> list[tuple[int | None, str]]:
    """Verify a ledger that was tampered with: positions and checks of the findings."""
    report = verified(url)
    assert not report.ok
    return [(finding.position, finding.check.value) for finding in report.findings]


def messages(url: str) -> str:
    """Verify a ledger that was tampered with: what the report says, in one text."""
    return "\n".join(f"{finding.position}: {finding.message}" for finding in verified(url).findings)


class TestUntouched:
    """What was not touched passes."""

    def test_story(self, told_url: str) -> None:
        """A log in which everything has happened verifies, with its views and its snapshots."""
        told: list[tuple[int, int]] = []
        with Ledger.open(told_url) as ledger:
            report = verify_ledger(ledger, lambda done, total: told.append((done, total)))
        assert report.findings == ()
        assert (report.ok, report.events, report.head, report.snapshots) == (True, ROWS, ROWS, 3)
        assert [(view.name, view.position, view.behind, view.rows) for view in report.views] == [
            ("current_allocations", ROWS, 0, 3),
            ("allocation_history", ROWS, 0, 31),
            ("pool_usage", ROWS, 0, 3),
            ("metrics", ROWS, 0, 27 + 3),
            ("validation_failures", ROWS, 0, 3),
        ]
        assert told == [(ROWS // 2, ROWS), (ROWS, ROWS)]

    def test_memory(self) -> None:
        """A ledger in memory verifies by its log alone."""
        clock = Clock()
        with Ledger.in_memory(clock=clock) as ledger:
            tell(ledger, clock)
            report = verify_ledger(ledger)
        assert report.as_dict() == {
            "ok": True,
            "since": 0,
            "events": ROWS,
            "head": ROWS,
            "findings": [],
            "more": 0,
            "views": [],
            "snapshots": 0,
            "seals": None,
        }

    def test_empty(self, database_url: str) -> None:
        """A ledger without events verifies."""
        report = verified(database_url)
        assert (report.ok, report.events, report.head) == (True, 0, 0)

    def test_views_behind(self, told_url: str) -> None:
        """A view that has not come to the log's end is compared where it is, and that is no fault."""
        with Ledger.open(told_url) as ledger:
            ledger.allocate({"cpu": 5}, owner="zoe")
            report = verify_ledger(ledger)
        assert report.ok
        assert {(view.position, view.behind) for view in report.views} == {(ROWS, report.head - ROWS)}

    def test_tail_cut(self, told_url: str) -> None:
        """A log whose last command was cut off, with all that tells of it, passes: only a checkpoint knows better."""
        with Ledger.open(told_url) as ledger:
            ledger.allocate({"cpu": 5}, owner="zoe")
        with tampering(told_url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position > :last", last=ROWS)
        assert verified(told_url).ok


class TestAlteredRow:
    """One altered row is found at that row."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("stream_id", "pool:gpu "),
            ("version", 77),
            ("type", "Renewed"),
            ("schema_version", 9),
            ("command_id", "another"),
            ("ordinal", 7),
            ("ordinals", 3),
            ("allocation_id", "a1"),
            ("occurred_at", "2026-01-01T00:00:19.000000Z"),
            ("recorded_at", "2026-01-01T00:00:19.000000Z"),
            ("actor", "mallory"),
            ("actor", None),
            ("correlation_id", "another"),
            ("causation_id", "another"),
            ("command", "{}"),
            ("command", "[" * 100_000),
            ("command", '{"allocation_id":"a2","command":"release","reason":"undone"}'),
            ("command", None),
            ("data", "{}"),
            ("data", "nonsense"),
            ("hash", bytes(32)),
        ],
    )
    def test_column(self, told_url: str, column: str, value: object) -> None:
        """Another value in any column breaks the chain at that row and at no other."""
        with tampering(told_url) as tamperer:
            if column == "ordinal":
                tamperer.loosen()
            tamperer.set(23, **{column: value})
        report = verified(told_url)
        assert not report.ok
        assert [finding.position for finding in report.findings if finding.check is Check.CHAIN] == [23]
        assert report.findings[0].position == 23
        assert len([finding for finding in report.findings if finding.check is not Check.VIEWS]) < 8

    def test_quantity(self, told_url: str) -> None:
        """An altered quantity is found at its row: by the chain, by the command, by every limit that it passes."""
        with tampering(told_url) as tamperer:
            tamperer.set_data(6, quantity=7)
        report = verified(told_url)
        assert [(f.position, f.check.value) for f in report.findings] == [
            (6, "chain"),
            (6, "commands"),
            (6, "limits"),
            (6, "limits"),
            (6, "limits"),
            (23, "conservation"),
            *[(None, "views")] * 3,
        ]
        assert "quantity is 7; by its command it is 2" in report.findings[1].message
        assert "7 is above max_size, 4" in report.findings[2].message
        assert "quantity is 2, by the events before it 7" in report.findings[5].message

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("stream_id", None),
            ("version", None),
            ("version", -1),
            ("command_id", None),
            ("ordinal", None),
            ("ordinal", -1),
            ("ordinals", None),
            ("ordinals", 10**9),
            ("ordinals", 0),
            ("schema_version", None),
            ("type", None),
            ("occurred_at", None),
            ("occurred_at", "yesterday"),
            ("occurred_at", "2026-02-31T00:00:00.000000Z"),
            ("recorded_at", "2026-01-01"),
            ("data", None),
            ("hash", None),
            ("hash", b""),
            ("hash", b"short"),
            ("hash", bytes(33)),
        ],
    )
    def test_nonsense(self, told_url: str, column: str, value: object) -> None:
        """What no log ever wrote into a column is a finding at that row, never a crash."""
        with tampering(told_url) as tamperer:
            tamperer.loosen()
            tamperer.set(23, **{column: value})
        assert {(23, "chain"), (23, "columns")} & set(found(told_url))

    @pytest.mark.parametrize("column", [c for c in StoredRow._fields if c != "position"])
    @pytest.mark.parametrize("value", [b"\xff\xfe", 1.5, "text", 7])
    def test_any_type_in_sqlite(self, sqlite_url: str, column: str, value: object) -> None:
        """SQLite keeps a value of any type in any column; the row is named all the same."""
        clock = Clock()
        with Ledger.open(sqlite_url, clock=clock) as ledger:
            tell(ledger, clock)
        with tampering(sqlite_url) as tamperer:
            tamperer.loosen()
            tamperer.set(23, **{column: value})
        assert found(sqlite_url)[0][0] == 23

    def test_position_that_is_no_number_in_sqlite(self, sqlite_url: str) -> None:
        """A row under a position that is no number is told of, though it sorts after every number."""
        clock = Clock()
        with Ledger.open(sqlite_url, clock=clock) as ledger:
            tell(ledger, clock)
        with tampering(sqlite_url) as tamperer:
            tamperer.loosen()
            tamperer.set(36, position="x")
        assert found(sqlite_url) == [(35, "commands"), (None, "positions")]

    def test_text_that_is_none_in_sqlite(self, sqlite_url: str) -> None:
        """Text in SQLite that is not UTF-8 is a finding at its row."""
        clock = Clock()
        with Ledger.open(sqlite_url, clock=clock) as ledger:
            tell(ledger, clock)
        with tampering(sqlite_url) as tamperer:
            tamperer.run("UPDATE events SET actor = CAST(x'ff41' AS TEXT) WHERE position = 23")
        assert found(sqlite_url) == [(23, "chain")]


class TestRowsMoved:
    """Rows removed, exchanged, put in."""

    def test_deleted(self, told_url: str) -> None:
        """A deleted row is named, and what follows from it is told apart from it."""
        with tampering(told_url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position = 23")
        assert found(told_url)[0] == (23, "positions")
        assert "23: position 23 is missing from the log" in messages(told_url)

    def test_deleted_many(self, told_url: str) -> None:
        """Deleted rows are named as a range."""
        with tampering(told_url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position BETWEEN 2 AND 5")
        assert "2: positions 2 to 5 are missing from the log" in messages(told_url)

    def test_swapped(self, told_url: str) -> None:
        """Two exchanged rows are one finding that names both, before all that follows from it."""
        with tampering(told_url) as tamperer:
            tamperer.set(6, position=1006)
            tamperer.set(22, position=6)
            tamperer.set(1006, position=22)
        report = verified(told_url)
        assert [f.harm for f in report.findings if f.check is Check.CHAIN] == [Harm.REORDER]
        assert report.findings[0].message.startswith("the events at positions 6 and 22 stand in each other's places")

    def test_appended(self, told_url: str) -> None:
        """A row appended without the hash that belongs to it is named."""
        with tampering(told_url) as tamperer:
            tamperer.run(
                "INSERT INTO events SELECT 37, stream_id, 13, type, 1, 'x', 0, 1, allocation_id, occurred_at, "
                "recorded_at, actor, correlation_id, causation_id, NULL, data, hash FROM events WHERE position = 36"
            )
        assert (37, "chain") in found(told_url)

    def test_below_the_first(self, told_url: str) -> None:
        """A row before the first position is named."""
        with tampering(told_url) as tamperer:
            tamperer.loosen()
            tamperer.set(1, position=0)
        assert found(told_url)[:2] == [(0, "positions"), (1, "positions")]


class TestNumberedAnew:
    """Rows removed or put in, and the rows after them numbered anew, on databases as they are."""

    def move(self, tamperer: Tamperer, after: int, by: int) -> None:
        """Number the rows after a position anew."""
        far = "UPDATE events SET position = position + 1000000 WHERE position > :after"
        tamperer.run(far, after=after)
        tamperer.run("UPDATE events SET position = position - 1000000 + :by WHERE position > 1000000", by=by)

    def test_hole(self, told_url: str) -> None:
        """A row that was taken out is a hole though positions are dense again."""
        with tampering(told_url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position = 23")
            self.move(tamperer, 23, -1)
        report = verified(told_url)
        first = report.findings[0]
        assert (first.position, first.check, first.harm) == (23, Check.CHAIN, Harm.HOLE)
        assert [one.position for one in report.findings if one.check is Check.CHAIN] == [23]

    def test_inserted(self, told_url: str) -> None:
        """A row that was put in is named, and no row after it."""
        with tampering(told_url) as tamperer:
            self.move(tamperer, 22, 1)
            tamperer.run(
                "INSERT INTO events SELECT 23, stream_id, 99, type, 1, 'x', 0, 1, allocation_id, occurred_at, "
                "recorded_at, actor, correlation_id, causation_id, NULL, data, hash FROM events WHERE position = 22"
            )
        report = verified(told_url)
        first = report.findings[0]
        assert (first.position, first.check, first.harm) == (23, Check.CHAIN, Harm.INSERTED)
        assert [one.position for one in report.findings if one.check is Check.CHAIN] == [23]

    def test_altered(self, told_url: str) -> None:
        """A changed column is an altered event."""
        with tampering(told_url) as tamperer:
            tamperer.set(23, actor="mallory")
        assert [(one.position, one.harm) for one in verified(told_url).findings if one.position] == [(23, Harm.ALTERED)]


def without(*positions: int) -> Change:
    """Leave rows out, and number the rest as if they had never been."""
    return lambda rows: renumbered([row for row in rows if row.position not in positions])


def altered(position: int, *, data: dict[str, Any] | None = None, **columns: Any) -> Change:  # noqa: ANN401 - columns by name
    """Change a row, its event, its columns, and number the rest as if it had always been so."""

    def change(rows: list[StoredRow]) -> Sequence[StoredRow]:
        row = rows[position - 1]
        fields = json.dumps(json.loads(row.data) | (data or {}))
        rows[position - 1] = row._replace(data=fields, **columns)
        return rows

    return change


def twice(position: int, at: int) -> Change:
    """Put a copy of a row in at a position, as a command of its own."""

    def change(rows: list[StoredRow]) -> Sequence[StoredRow]:
        copy = rows[position - 1]._replace(command_id="forged")
        return renumbered([*rows[: at - 1], copy, *rows[at - 1 :]])

    return change


class TestForged:
    """Rows forged with a chain that holds: what they say contradicts the rest of the log."""

    def forged(self, url: str, change: Change) -> list[tuple[int | None, str]]:
        """Forge the log; what is found in it, the chain having nothing to say."""
        with tampering(url) as tamperer:
            tamperer.loosen()
            tamperer.forge(change)
            tamperer.run("DELETE FROM snapshots")
        findings = [one for one in found(url) if one[1] != "views"]  # which are not forged here
        assert "chain" not in {check for _, check in findings}
        return findings

    def test_doubled_grant(self, told_url: str) -> None:
        """A second grant of one allocation is named."""
        findings = self.forged(told_url, twice(6, 7))
        assert findings == [(7, "allocations")]

    def test_above_capacity(self, told_url: str) -> None:
        """A grant above the capacity, command and all, is named."""
        command = json.dumps(json.loads(COMMAND_OF_A4) | {"quantities": {"cpu": 500}})
        findings = self.forged(told_url, altered(34, data={"quantity": 500}, command=command))
        assert findings == [(34, "limits")]
        assert "500 are held then, above the capacity, 100" in messages(told_url)

    def test_release_without_hold(self, told_url: str) -> None:
        """A release of what is not held is named."""
        data = {"allocation_id": "ghost"}
        findings = self.forged(told_url, altered(23, data=data, allocation_id="ghost"))
        assert (23, "conservation") in findings

    def test_second_end(self, told_url: str) -> None:
        """A second end of an allocation is named."""
        assert (24, "allocations") in self.forged(told_url, twice(23, 24))

    def test_ended_in_one_pool(self, told_url: str) -> None:
        """An allocation that ends in one of its pools only is named."""
        assert (25, "allocations") in self.forged(told_url, without(26))

    def test_granted_in_one_pool(self, told_url: str) -> None:
        """An allocation that begins in one of its pools only is named."""
        assert (4, "commands") in self.forged(told_url, without(5))

    def test_expiry_skipped(self, told_url: str) -> None:
        """A hold that was not expired when its pool's time had passed its deadline is named."""
        findings = self.forged(told_url, without(27))
        assert (30, "time") in findings

    def test_time_goes_back(self, told_url: str) -> None:
        """An event that occurred before the one before it in its pool is named."""
        findings = self.forged(told_url, altered(23, occurred_at="2026-01-01T00:00:01.000000Z"))
        assert {(23, "time"), (23, "commands")} <= set(findings)

    def test_expired_at_another_time(self, told_url: str) -> None:
        """An expiry that did not occur at its deadline is named."""
        assert (33, "envelope") in self.forged(told_url, altered(33, occurred_at="2026-01-01T00:05:51.000000Z"))

    def test_unknown_type(self, told_url: str) -> None:
        """An event of a type that nobody knows is named, and the rest is read on."""
        findings = self.forged(told_url, altered(34, type="Conjured"))
        assert findings[0] == (34, "decoding")
        assert "'Conjured' of schema version 1 at position 34" in messages(told_url)

    def test_half_a_command_at_the_end(self, told_url: str) -> None:
        """A log that ends within a command is named by its last row."""
        findings = self.forged(told_url, lambda rows: rows[:-1])
        assert findings == [(35, "commands")]


COMMAND_OF_A4 = '{"allocation_id":"a4","command":"allocate","owner":"gil","quantities":{"cpu":10},"tags":{}}'
"""The command at position 34 of the story."""


class TestIdentity:
    """The ledger's own row."""

    def test_another_id(self, told_url: str) -> None:
        """A log under another ledger's id does not begin with its first row."""
        with tampering(told_url) as tamperer:
            tamperer.run("UPDATE ledger_meta SET ledger_id = 'another'")
        assert found(told_url) == [(1, "chain")]

    def test_missing(self, told_url: str) -> None:
        """A ledger whose own row is gone is told so."""
        with Ledger.open(told_url) as ledger:
            with tampering(told_url) as tamperer:
                tamperer.run("DELETE FROM ledger_meta")
            report = verify_ledger(ledger)
        assert [(f.position, f.check) for f in report.findings] == [(None, Check.LEDGER)]


class TestSince:
    """Verification of what is new."""

    def test_what_is_new(self, told_url: str) -> None:
        """What came after a position is held against what was before, and what was before is not read again."""
        with Ledger.open(told_url, clock=later()) as ledger:
            start = start_of(ledger)
            ledger.allocate({"cpu": 5}, owner="ann", allocation_id="new")
            ledger.release("new")
            report = verify_ledger(ledger, since=start)
        assert (report.findings, report.since, report.events, report.views) == ((), ROWS, 2, ())

    def test_decided_before(self, told_url: str) -> None:
        """Ids that come again, and versions that do not follow, are found by what the database has of before."""
        with Ledger.open(told_url, clock=later()) as ledger:
            start = start_of(ledger)
            ledger.allocate({"cpu": 5}, owner="ann", allocation_id="new")
            with tampering(told_url) as tamperer:
                tamperer.loosen()
                text = str(tamperer.row(37).command).replace('"new"', '"a1"')
                data = tamperer.row(37).data.replace('"new"', '"a1"')
                tamperer.set(37, command_id="c2", allocation_id="a1", version=99, command=text, data=data)
            report = verify_ledger(ledger, since=start)
        assert {finding.message.partition(" follows")[0] for finding in report.findings[1:]} == {
            "allocation 'a1' is granted a second time",
            "command id 'c2' was decided before",
            "version 99 of stream 'pool:cpu'",
        }


def later() -> Clock:
    """Give a clock that goes on where the story ended."""
    clock = Clock()
    clock.set(401)
    return clock


def start_of(ledger: Ledger) -> Start:
    """Remember a ledger as it is now."""
    row = ledger.log.rows(ROWS - 1)[0]
    with ledger.log.reading() as reader:
        pools = {name: pool for name in reader.pool_names() if (pool := load_pool_at_head(reader, name))}
    return Start(row.position, row.hash, pools)
