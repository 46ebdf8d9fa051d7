"""Between events and rows: names, versions, upcasters, and what a process does with what it does not know."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from holdbook import LogCorrupt, UnknownEvent
from holdbook.domain.events import EVENTS, Event, PoolClosed, Released
from holdbook.infrastructure.log.mapper import NO_HASH, EventMapper, StreamEvent, topic_of
from holdbook.infrastructure.log.upcasters import UPCASTERS
from support.deciding import after, allocated, envelope, opened

MAPPER = EventMapper()


class Lent(Event):
    """A made-up event, at its third version."""

    schema_version: ClassVar[int] = 3
    pool: str
    borrower: str
    due: datetime

    @property
    def stream_id(self) -> str:
        """The stream that the event belongs to."""
        return f"pool:{self.pool}"


def to_second(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the borrower `to`."""
    return {"pool": fields["pool"], "borrower": fields["to"]}


def to_third(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had no date: everything was due with the year."""
    return {**fields, "due": "2026-12-31T00:00:00Z"}


LENDING = EventMapper({**EVENTS, "Lent": Lent}, {("Lent", 1): to_second, ("Lent", 2): to_third})
LENT = Lent(pool="gpu", borrower="bob", due=datetime(2026, 12, 31, tzinfo=UTC))


def test_an_event_is_read_as_it_was_written() -> None:
    """Row and record are two forms of one thing, envelope included."""
    [event] = allocated("a", until=9, gpu=2)
    recorded = envelope(event, position=7, version=3, ordinal=1, ordinals=2, occurred_at=after(1.5), causation_id="x")
    row = MAPPER.to_row(recorded)
    assert (row.stream_id, row.type, row.schema_version, row.allocation_id) == ("pool:gpu", "Allocated", 1, "a")
    assert (row.occurred_at, row.hash) == ("2026-01-01T00:00:01.500000Z", NO_HASH)
    assert MAPPER.from_row(row) == recorded


def test_old_versions_are_read_step_by_step() -> None:
    """Each upcaster leads to the next version; what is stored stays as it is."""
    row = LENDING.to_row(envelope(LENT))
    assert (row.type, row.schema_version) == ("Lent", 3)
    first = row._replace(schema_version=1, data='{"pool":"gpu","to":"bob"}')
    second = row._replace(schema_version=2, data='{"pool":"gpu","borrower":"bob"}')
    assert [LENDING.from_row(one).event for one in (first, second, row)] == [LENT] * 3


@pytest.mark.parametrize(
    ("name", "version"), [("Borrowed", 1), ("PoolClosed", 2), ("PoolClosed", 0), ("poolclosed", 1)]
)
def test_what_is_not_known_is_named(name: str, version: int) -> None:
    """A process that meets a type or version it does not know stops and names it, with its position."""
    row = MAPPER.to_row(envelope(opened(), position=17))._replace(type=name, schema_version=version)
    with pytest.raises(UnknownEvent) as info:
        MAPPER.from_row(row)
    assert (info.value.event_type, info.value.schema_version, info.value.position) == (name, version, 17)


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "{}", '{"pool":"gpu"}', '{"pool":"gpu","reason":1}', '{"pool":"gpu","reason":null,"more":1}'],
)
def test_data_that_cannot_be_read_is_corruption_with_its_position(data: str) -> None:
    """No field is guessed, none is ignored."""
    row = MAPPER.to_row(envelope(PoolClosed(pool="gpu", reason=None), position=5))._replace(data=data)
    with pytest.raises(LogCorrupt, match=r"^position 5: the data of PoolClosed cannot be read: "):
        MAPPER.from_row(row)


@pytest.mark.parametrize("data", ["{", "[]", "{}", '{"pool":"gpu","borrower":1}'])
def test_old_data_that_cannot_be_read_is_corruption_too(data: str) -> None:
    """An upcaster's result is checked as any data is."""
    row = LENDING.to_row(envelope(LENT, position=5))
    for version in (1, 2):
        with pytest.raises(LogCorrupt, match=r"^position 5: the data of Lent cannot be read: "):
            LENDING.from_row(row._replace(schema_version=version, data=data))


def test_fields_are_those_of_the_present_version() -> None:
    """What views read are an event's fields as JSON has them, upcast step by step, and no event is made of them."""
    present = {"pool": "gpu", "borrower": "bob", "due": "2026-12-31T00:00:00Z"}
    assert LENDING.fields("Lent", 1, '{"pool":"gpu","to":"bob"}', 1) == present
    assert LENDING.fields("Lent", 2, '{"pool":"gpu","borrower":"bob"}', 1) == present
    assert LENDING.fields("Lent", 3, json.dumps(present), 1) == present
    for event in (*allocated("a", until=9, gpu=2), opened(overcommit="1.5"), PoolClosed(pool="gpu", reason=None)):
        row = MAPPER.to_row(envelope(event))
        assert MAPPER.fields(row.type, row.schema_version, row.data, 1) == event.model_dump(mode="json")


@pytest.mark.parametrize(
    ("name", "version"), [("Borrowed", 1), ("Lent", 4), ("Lent", 0), ("PoolClosed", 2), ("poolclosed", 1)]
)
def test_fields_of_what_is_not_known(name: str, version: int) -> None:
    """A type or a version that is not known is named with its position, by whoever reads fields too."""
    with pytest.raises(UnknownEvent) as info:
        LENDING.fields(name, version, "{}", 17)
    assert (info.value.event_type, info.value.schema_version, info.value.position) == (name, version, 17)


@pytest.mark.parametrize(
    ("version", "data"),
    [(3, ""), (3, "{"), (3, "[]"), (3, "7"), (3, "null"), (2, "{"), (2, "[]"), (1, "{}"), (1, "[]"), (1, "null")],
)
def test_fields_that_cannot_be_read(version: int, data: str) -> None:
    """Data that are no fields, or that an upcaster cannot take, are corruption with its position."""
    with pytest.raises(LogCorrupt, match=r"^position 5: the data of Lent cannot be read: "):
        LENDING.fields("Lent", version, data, 5)


def test_limits_out_of_range_in_the_log_are_corruption() -> None:
    """An error at the door for a caller, here it is the log's."""
    row = MAPPER.to_row(envelope(opened()))
    with pytest.raises(LogCorrupt, match="the data of PoolOpened cannot be read"):
        MAPPER.from_row(row._replace(data=row.data.replace('"total":8', '"total":-8')))


def test_a_time_that_is_none_is_corruption() -> None:
    """The envelope is read as strictly as the data."""
    row = MAPPER.to_row(envelope(opened(), position=3))
    with pytest.raises(LogCorrupt, match=r"^position 3: Invalid isoformat string: 'noon'"):
        MAPPER.from_row(row._replace(occurred_at="noon"))


def test_an_event_that_nobody_registered_is_not_written() -> None:
    """A type has a stored name, or there is no row."""
    with pytest.raises(KeyError):
        MAPPER.to_row(envelope(LENT))


def test_every_upcaster_released_leads_from_an_old_version() -> None:
    """A step belongs to a known type and stops short of its present version; no version is left out."""
    steps = {(name, version) for name, kind in EVENTS.items() for version in range(1, kind.schema_version)}
    assert set(UPCASTERS) == steps


def test_the_library_s_tools_see_the_same_events() -> None:
    """A stored event of the library's carries type and data, and is read back as an event in its stream."""
    seen = StreamEvent("pool:gpu", 4, opened())
    stored = MAPPER.to_stored_event(seen)
    assert (stored.originator_id, stored.originator_version, stored.topic) == ("pool:gpu", 4, "PoolOpened")
    assert json.loads(stored.state)["pool"] == "gpu"
    assert MAPPER.to_domain_event(stored) == seen


def test_the_library_s_topic_names_later_versions() -> None:
    """`Allocated`, later `Allocated@2`."""
    assert (topic_of("Lent", 1), topic_of("Lent", 3)) == ("Lent", "Lent@3")
    stored = LENDING.to_stored_event(StreamEvent("pool:gpu", 1, LENT))
    assert stored.topic == "Lent@3"
    assert LENDING.to_domain_event(stored) == StreamEvent("pool:gpu", 1, LENT)
    assert LENDING.to_domain_event(replace(stored, topic="Lent@2")) == StreamEvent("pool:gpu", 1, LENT)


def test_events_are_written_by_pydantic_as_they_are() -> None:
    """An event is a model, and its stored text is the model's."""
    assert isinstance(LENT, BaseModel)
    assert LENDING.to_row(envelope(LENT)).data == LENT.model_dump_json()


def test_fields_that_were_read_already() -> None:
    """Fields of an old version are brought to the present one; what is not known, or does not fit, is named."""
    assert LENDING.upcast("Lent", 2, {"pool": "gpu", "borrower": "bob"}, 5)["due"] == "2026-12-31T00:00:00Z"
    with pytest.raises(UnknownEvent, match="at position 5 is not known"):
        LENDING.upcast("Lent", 4, {}, 5)
    with pytest.raises(LogCorrupt, match=r"^position 5: the data of Lent cannot be read: "):
        LENDING.upcast("Lent", 1, {}, 5)


def test_a_release_before_there_was_force() -> None:
    """Version 1 did not say whether a release was forced: none was."""
    released = Released(
        pool="gpu", allocation_id="a", owner="ann", quantity=1, reserved=False, reason=None, forced=False
    )
    row = MAPPER.to_row(envelope(released))
    fields = {name: value for name, value in json.loads(row.data).items() if name != "forced"}
    assert row.schema_version == 2
    assert MAPPER.from_row(row._replace(schema_version=1, data=json.dumps(fields))).event == released
