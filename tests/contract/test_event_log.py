"""The port `EventLog`: one suite that the log passes in every store."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import groupby, pairwise
from threading import Event
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits, LogCorrupt, MemoryEventLog, Refused, UnknownEvent
from support.logs import append, granted, opened, raw_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdbook.domain.records import Recorded, StoredRow
    from support.logs import Clock, Log, Row

    RawRows = Callable[[], list[Row]]

TTL = timedelta(minutes=10)


@pytest.fixture
def story(ledger: Ledger, clock: Clock) -> Ledger:
    """A ledger with commands of one, two and four events, refusals with and without a pool, and an expiry noticed."""
    for pool in ("gpu", "cpu", "été 1/2:b"):
        ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10), actor="ops")
    ledger.allocate({"gpu": 2, "cpu": 3}, owner="a", allocation_id="first", ttl=TTL, command_id="c-first")
    with suppress(Refused):
        ledger.allocate({"gpu": 99}, owner="b", allocation_id="second", correlation_id="r-1", causation_id="c-first")
    with suppress(Refused):
        ledger.allocate({"no such pool": 1}, owner="b")
    ledger.reserve({"été 1/2:b": 1}, owner="c", allocation_id="third", ttl=TTL, tags={"job": "42"})
    clock.advance(hours=1)
    ledger.allocate({"gpu": 10, "cpu": 10}, owner="d", allocation_id="fourth")  # notices that the first has lapsed
    ledger.release("fourth", reason="über\nLinien \U0001f600")
    return ledger


@pytest.fixture
def raw(log: Log, log_url: str | None) -> RawRows:
    """Read the rows as they are stored, past all of our code where there is a database."""
    return lambda: raw_rows(log_url) if log_url else [tuple(row) for row in log.rows(0, 1_000_000)]


def ends_of_commands(rows: Iterable[StoredRow]) -> set[int]:
    """Find the positions at which commands end, by the change of the command id."""
    ids = [(row.position, row.command_id) for row in rows]
    return {one[0] for one, following in pairwise([*ids, (0, "")]) if one[1] != following[1]}


class TestNumbers:
    """Positions, versions and ordinals."""

    def test_positions_are_dense(self, story: Ledger, raw: RawRows) -> None:
        """Positions in the log are 1, 2, 3 and so on, and the head is the last."""
        positions = [row[0] for row in raw()]
        assert positions == list(range(1, len(positions) + 1))
        with story.log.reading() as reader:
            assert reader.head == len(positions)

    @pytest.mark.usefixtures("story")
    def test_versions_are_dense(self, raw: RawRows) -> None:
        """Versions in every stream are 1, 2, 3 and so on."""
        by_stream = groupby(sorted((str(row[1]), row[2]) for row in raw()), key=lambda pair: pair[0])
        streams = {stream: [version for _, version in pairs] for stream, pairs in by_stream}
        assert set(streams) == {"pool:gpu", "pool:cpu", "pool:été 1/2:b", "refusals:gpu", "refusals:"}
        for versions in streams.values():
            assert versions == list(range(1, len(versions) + 1))

    @pytest.mark.usefixtures("story")
    def test_a_command_stands_together(self, raw: RawRows) -> None:
        """The events of a command follow one another, numbered from 0, each knowing how many there are."""
        by_command = [list(rows) for _, rows in groupby(raw(), key=lambda row: row[5])]
        assert len({rows[0][5] for rows in by_command}) == len(by_command)
        for rows in by_command:
            assert [(row[6], row[7]) for row in rows] == [(n, len(rows)) for n in range(len(rows))]
        assert sorted(len(rows) for rows in by_command) == [1, 1, 1, 1, 1, 1, 2, 2, 4]

    def test_an_empty_log_has_head_0(self, log: Log) -> None:
        """An empty log ends at 0, has no rows, and knows no stream, command or allocation."""
        with log.reading() as reader:
            assert reader.head == 0
            assert reader.version("pool:gpu") == 0
            assert list(reader.stream("pool:gpu")) == []
            assert not reader.commands({"c"})
            assert not reader.granted({"a"})
            assert not reader.histories({"a"})
            assert reader.pool_names() == []
            assert reader.snapshot("gpu") is None
        assert log.rows() == []
        assert log.max_notification_id() is None


class TestChain:
    """The chain of hashes, computed here with nothing but hashlib and json."""

    @pytest.mark.usefixtures("story")
    def test_every_hash_covers_its_row_and_the_hash_before(self, log: Log, raw: RawRows) -> None:
        """A row's hash is SHA-256 over the hash before it and the row's other columns as canonical JSON."""
        before = hashlib.sha256(b"holdbook-log-1\0" + log.ledger_id.encode()).digest()
        for row in raw():
            columns = json.dumps(row[:-1], ensure_ascii=False, separators=(",", ":"))
            before = hashlib.sha256(before + columns.encode("utf-8")).digest()
            assert row[-1] == before

    @pytest.mark.usefixtures("story")
    def test_what_is_stored_is_what_was_hashed(self, log: Log, raw: RawRows) -> None:
        """The rows that the port gives are the stored ones, column by column."""
        assert [tuple(row) for row in log.rows()] == raw()

    def test_each_ledger_has_a_chain_of_its_own(self, log: Log) -> None:
        """Equal events in two ledgers have other hashes, as the chain begins with the ledger's id."""
        other = MemoryEventLog()
        for one in (log, other):
            append(one, [opened(1)])
        assert log.rows()[0][:-1] == other.rows()[0][:-1]
        assert log.rows()[0].hash != other.rows()[0].hash


class TestReading:
    """What a reader finds."""

    @pytest.mark.usefixtures("story")
    def test_commands(self, log: Log) -> None:
        """Commands decided before are found by id, each with all its events in order; others are not."""
        with log.reading() as reader:
            found = reader.commands({"c-first", "c-none"})
        assert {key: [r.position for r in records] for key, records in found.items()} == {"c-first": [4, 5]}
        assert json.loads(found["c-first"][0].command or "")["owner"] == "a"

    @pytest.mark.usefixtures("story")
    def test_granted(self, log: Log) -> None:
        """Granted allocations are found with their pools, open or ended; refused ones are not."""
        with log.reading() as reader:
            found = reader.granted({"first", "second", "third", "fourth", "never"})
        assert found == {"first": ("cpu", "gpu"), "third": ("été 1/2:b",), "fourth": ("cpu", "gpu")}

    @pytest.mark.usefixtures("story")
    def test_histories(self, log: Log) -> None:
        """Every event about an allocation is found in order, refusals too."""
        with log.reading() as reader:
            found = reader.histories({"first", "second", "never"})
        names = {key: [type(r.event).__name__ for r in records] for key, records in found.items()}
        assert names == {
            "first": ["Allocated", "Allocated", "Expired", "Expired"],
            "second": ["ValidationFailed"],
        }
        assert found["second"][0].correlation_id == "r-1"
        assert found["second"][0].causation_id == "c-first"

    def test_thousands_of_ids_at_once(self, ledger: Ledger, log: Log) -> None:
        """More ids than one statement takes are looked up all the same."""
        ledger.open_pool("gpu", resource_type="thing", limits=Limits(total=10))
        ledger.allocate({"gpu": 1}, owner="a", allocation_id="zz", command_id="zz")
        ids = {f"id-{n}" for n in range(2500)} | {"zz"}
        with log.reading() as reader:
            assert set(reader.commands(ids)) == set(reader.granted(ids)) == set(reader.histories(ids)) == {"zz"}

    def test_pool_names(self, story: Ledger, log: Log) -> None:
        """Pools are listed by code point, whatever the database's own collation."""
        story.open_pool("Zebra", resource_type="thing", limits=Limits(total=1))
        with log.reading() as reader:
            assert reader.pool_names() == ["Zebra", "cpu", "gpu", "été 1/2:b"]

    @pytest.mark.usefixtures("story")
    def test_one_event(self, log: Log) -> None:
        """One event of a stream is found by its version; one that is not there is named."""
        with log.reading() as reader:
            assert reader.event("pool:gpu", 2) == list(reader.stream("pool:gpu"))[1]
            with pytest.raises(LogCorrupt, match="stream 'pool:gpu' has no event of version 99"):
                reader.event("pool:gpu", 99)

    @pytest.mark.usefixtures("story")
    def test_stream_and_version(self, log: Log) -> None:
        """A stream is read from any version on, in order; its version is that of its last event."""
        with log.reading() as reader:
            whole = list(reader.stream("pool:gpu"))
            assert [r.version for r in whole] == [1, 2, 3, 4, 5]
            assert [r.version for r in reader.stream("pool:gpu", 3)] == [4, 5]
            assert list(reader.stream("pool:gpu", 5)) == []
            assert reader.version("pool:gpu") == 5
            assert reader.version("refusals:") == 1
        assert [r.position for r in whole] == sorted(r.position for r in whole)

    def test_a_stream_of_more_than_one_page(self, log: Log) -> None:
        """A stream longer than what is read at a time is read whole, and once."""
        records = [opened(1)]
        records += [granted(n, n, allocation_id=f"a{n}", command_id=f"c{n}") for n in range(2, 5003)]
        append(log, records)
        with log.reading() as reader:
            assert [r.version for r in reader.stream("pool:gpu")] == list(range(1, 5003))
            assert [r.version for r in reader.stream("pool:gpu", 2)] == list(range(3, 5003))

    def test_an_event_comes_back_as_it_went_in(self, log: Log) -> None:
        """What is appended is what is read: the event and all of its envelope."""
        written = opened(1)._replace(actor="é", correlation_id="r", causation_id="c")
        append(log, [written])
        assert log.decode(log.rows()[0]) == written
        with log.reading() as reader:
            assert list(reader.stream("pool:gpu")) == [written]


class TestRows:
    """The log by pages."""

    @pytest.mark.usefixtures("story")
    def test_pages_end_where_commands_end(self, log: Log) -> None:
        """Pages of any size give every row once, in order, and none of them ends within a command."""
        whole = log.rows()
        ends = ends_of_commands(whole)
        for limit in range(1, len(whole) + 2):
            read: list[StoredRow] = []
            while page := log.rows(read[-1].position if read else 0, limit):
                assert page[-1].position in ends
                read += page
            assert read == whole

    @pytest.mark.usefixtures("story")
    def test_upto(self, log: Log) -> None:
        """Nothing after ``upto`` is given, whatever the limit."""
        whole = log.rows()
        for end in ends_of_commands(whole):
            assert log.rows(0, 3, upto=end)[-1].position <= end
            assert log.rows(0, 1000, upto=end) == whole[:end]
            assert log.rows(end, 1000, upto=end) == []

    @pytest.mark.usefixtures("story")
    def test_no_rows(self, log: Log) -> None:
        """Nothing is given after the end, and nothing for a limit of 0."""
        with log.reading() as reader:
            head = reader.head
        assert log.rows(head) == log.rows(head + 5) == log.rows(0, 0) == []

    @pytest.mark.usefixtures("story")
    def test_each_row_says_whether_it_ends_its_command(self, log: Log) -> None:
        """A row tells by itself whether its command ends with it."""
        whole = log.rows()
        assert {row.position for row in whole if row.ends_command} == ends_of_commands(whole)


class TestWriting:
    """Transactions, and the last line of defence."""

    def test_a_failed_block_leaves_nothing(self, log: Log, raw: RawRows) -> None:
        """If the block that writes raises, nothing of it is in the log, and the next writer goes on."""

        def fail() -> None:
            with log.writing() as writer:
                writer.append([opened(1)])
                message = "on purpose"
                raise RuntimeError(message)

        with pytest.raises(RuntimeError, match="on purpose"):
            fail()
        assert raw() == []
        append(log, [opened(1)])
        assert len(raw()) == 1

    def test_appending_nothing(self, log: Log, raw: RawRows) -> None:
        """Nothing appended is nothing written."""
        append(log, [])
        assert log.insert_events([]) == []
        assert raw() == []

    def test_a_second_writer_waits(self, log: Log) -> None:
        """Who wants to write while another writes waits for its end, and then sees what it wrote."""
        begun = Event()

        def second() -> int:
            begun.set()
            with log.writing() as writer:
                return writer.head

        with ThreadPoolExecutor(1) as threads:
            with log.writing() as writer:
                later = threads.submit(second)
                assert begun.wait(10)
                writer.append([opened(1)])
                assert not later.done()
            assert later.result(10) == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param([granted(4, 3, allocation_id="c", command_id="c")], id="a gap in the positions"),
            pytest.param([granted(2, 3, allocation_id="c", command_id="c")], id="a position that is taken"),
            pytest.param([granted(3, 2, allocation_id="c", command_id="c")], id="a version that is taken"),
            pytest.param([granted(3, 3, allocation_id="c", command_id="b")], id="a command id that is taken"),
            pytest.param([granted(3, 3, allocation_id="b", command_id="c")], id="an allocation opened before"),
            pytest.param(
                [
                    granted(3, 3, allocation_id="c", command_id="c"),
                    granted(4, 3, allocation_id="d", command_id="d"),
                ],
                id="one version twice",
            ),
            pytest.param(
                [
                    granted(3, 3, allocation_id="c", command_id="c"),
                    granted(4, 4, allocation_id="d", command_id="c"),
                ],
                id="one ordinal of a command twice",
            ),
            pytest.param(
                [
                    granted(3, 3, allocation_id="c", command_id="c"),
                    granted(4, 4, allocation_id="c", command_id="d"),
                ],
                id="one allocation opened twice",
            ),
            pytest.param(
                [
                    granted(3, 3, allocation_id="c", command_id="c"),
                    granted(5, 4, allocation_id="d", command_id="d"),
                ],
                id="a gap among the positions",
            ),
        ],
    )
    def test_the_last_line_of_defence(self, log: Log, raw: RawRows, wrong: list[Recorded]) -> None:
        """What cannot follow is refused with an error, and nothing of it is written."""
        append(log, [opened(1), granted(2, 2, allocation_id="b", command_id="b")])
        before = raw()
        with pytest.raises(LogCorrupt):
            append(log, wrong)
        assert raw() == before

    def test_a_writer_appends_once(self, log: Log, raw: RawRows) -> None:
        """A writer that appends a second time at the same place is refused, and all it did is undone."""

        def twice() -> None:
            with log.writing() as writer:
                writer.append([opened(1)])
                writer.append([opened(1, pool="cpu")])

        with pytest.raises(LogCorrupt):
            twice()
        assert raw() == []


class TestAppendIf:
    """Rows appended on the condition that the log still ends where it did."""

    def test_where_the_log_ends(self, log: Log, raw: RawRows) -> None:
        """Rows that follow the end are appended, as a writer appends them."""
        end = append(log, [opened(1)])
        assert log.append_if(end, log.chain([granted(2, 2, allocation_id="a", command_id="a")], end))
        assert [row[0] for row in raw()] == [1, 2]

    def test_where_it_no_longer_ends(self, log: Log, raw: RawRows) -> None:
        """If somebody else has appended, nothing is; the log is as it was."""
        end = append(log, [opened(1)])
        append(log, [opened(2, pool="cpu")])
        before = raw()
        assert not log.append_if(end, log.chain([granted(2, 2, allocation_id="a", command_id="a")], end))
        assert raw() == before

    def test_what_is_there_is_found_again(self, log: Log) -> None:
        """A writer finds the row that an earlier one appended, and no other in its place."""
        end = append(log, [opened(1)])
        with log.writing() as writer:
            assert writer.holds(end)
            assert not writer.holds(end._replace(hash=bytes(32)))
            assert not writer.holds(end._replace(position=2))


class TestDecoding:
    """From rows to events."""

    @pytest.mark.usefixtures("story")
    def test_an_unknown_type(self, log: Log) -> None:
        """A type that is not known stops the reader with its name, its version and its position."""
        row = log.rows()[3]._replace(type="Teleported")
        with pytest.raises(UnknownEvent, match="'Teleported' of schema version 1 at position 4 ") as caught:
            log.decode(row)
        assert (caught.value.event_type, caught.value.schema_version, caught.value.position) == ("Teleported", 1, 4)

    @pytest.mark.usefixtures("story")
    @pytest.mark.parametrize("version", [0, 2, 99])
    def test_an_unknown_version(self, log: Log, version: int) -> None:
        """A schema version that is not known stops the reader with its name, its version and its position."""
        row = log.rows()[3]._replace(schema_version=version)
        with pytest.raises(UnknownEvent, match=f"'Allocated' of schema version {version} at position 4"):
            log.decode(row)

    @pytest.mark.usefixtures("story")
    @pytest.mark.parametrize(
        "changes",
        [
            {"data": "{"},
            {"data": "[]"},
            {"data": '{"pool":"gpu"}'},
            {"occurred_at": "yesterday"},
            {"recorded_at": ""},
        ],
        ids=str,
    )
    def test_what_cannot_be_read(self, log: Log, changes: dict[str, str]) -> None:
        """A row whose data or times cannot be read stops the reader, naming its position."""
        row = log.rows()[3]._replace(**changes)  # type: ignore[arg-type]  # the columns are all text
        with pytest.raises(LogCorrupt, match="position 4"):
            log.decode(row)
