"""The events: their stored names, their streams, and samples of every version ever released."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from holdbook import Limits, RefusalCode
from holdbook.domain import events
from holdbook.domain.events import (
    EVENTS,
    Allocated,
    AllocationEvent,
    Confirmed,
    Event,
    Expired,
    LedgerClosed,
    LimitsChanged,
    PoolClosed,
    PoolOpened,
    Reclaimed,
    Released,
    Renewed,
    Reserved,
    Resized,
    Transferred,
    ValidationFailed,
    Voided,
)
from holdbook.infrastructure.log.mapper import EventMapper
from support.deciding import envelope

SAMPLES = Path(__file__).parents[2] / "samples" / "events.jsonl"
"""One line an event: its stored type, its schema version, and the very text that was stored. Lines are only added."""

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 31, 12, 30, 0, 250_000, tzinfo=UTC)
EVERY_LIMIT = Limits(
    total=9_223_372_036_854_775_807,
    reserved=7,
    overcommit=Decimal("0.5"),
    min_size=2,
    max_size=64,
    step=2,
    max_allocations=1000,
    per_owner=128,
    default_ttl=1.5,
    max_ttl=86400,
)
HOLD = {"pool": "gpu", "allocation_id": "job/42", "owner": "équipe β", "quantity": 2}
ASKED = {"command": "allocate", "owner": "ann", "quantities": {"gpu": 9}, "tags": {}, "ttl": 0.5}

SAMPLED: tuple[Event, ...] = (
    PoolOpened(pool="gpu", resource_type="accelerator", unit="device", limits=Limits(total=8)),
    PoolOpened(pool="a pool/with: ünïcode", resource_type="r", unit="milli-GPUs", limits=EVERY_LIMIT),
    LimitsChanged(pool="gpu", limits=EVERY_LIMIT, previous=Limits(total=8)),
    PoolClosed(pool="gpu", reason=None),
    PoolClosed(pool="gpu", reason='sold,\n"as is"'),
    Allocated(**HOLD, pools=("gpu",), epoch=1, tags={}, deadline=None),
    Allocated(**HOLD, pools=("cpu", "gpu"), epoch=3, tags={"z": "1", "a": "ß"}, deadline=LATER),
    Reserved(**HOLD, pools=("gpu",), epoch=1, tags={"job": "42"}, deadline=NOON),
    Confirmed(**HOLD, deadline=None),
    Confirmed(**HOLD, deadline=LATER),
    Voided(**HOLD, reserved=True, reason="the provider failed"),
    Renewed(**HOLD, deadline=LATER, previous_deadline=None),
    Renewed(**HOLD, deadline=LATER, previous_deadline=NOON),
    Resized(**HOLD, previous_quantity=9_223_372_036_854_775_807),
    Transferred(**HOLD, previous_owner="ann"),
    Released(**HOLD, reserved=False, reason=None, forced=False),  # as version 1 wrote it
    Expired(**HOLD, reserved=True, deadline=NOON),
    ValidationFailed(
        code=RefusalCode.ABOVE_CAPACITY,
        pool="gpu",
        known=True,
        allocation_id=None,
        asked=ASKED,
        data={"pool": "gpu", "unit": "device", "capacity": 8, "used": 0, "free": 8, "limit": 8, "asked": 9},
    ),
    ValidationFailed(
        code=RefusalCode.ALLOCATION_NOT_FOUND,
        pool=None,
        known=False,
        allocation_id="job/42",
        asked={"allocation_id": "job/42", "command": "release"},
        data={"allocation_id": "job/42"},
    ),
    Released(**HOLD, reserved=False, reason=None, forced=False),
    Released(**HOLD, reserved=True, reason="its service is gone,\nticket 311", forced=True),
    Reclaimed(pool="gpu", allocation_id="job/42", state=None, reason=None),
    Reclaimed(pool="gpu", allocation_id="job/42", state="expired", reason="reconciled: it was still there"),
    LedgerClosed(reason=None),
    LedgerClosed(reason="back to the old managers,\nticket 312"),
)
"""What the lines of the samples say, in their order."""


REFUSALS = tuple(event for event in SAMPLED if isinstance(event, ValidationFailed))
HAPPENED = tuple(event for event in SAMPLED if not isinstance(event, ValidationFailed | LedgerClosed))


def sample_lines() -> list[dict[str, Any]]:
    """Read the samples."""
    return [json.loads(line) for line in SAMPLES.read_text().splitlines()]


def test_the_stored_names_are_an_explicit_closed_set() -> None:
    """A name once stored can never change: this list only grows."""
    assert {name: kind.schema_version for name, kind in EVENTS.items()} == {
        "PoolOpened": 1,
        "LimitsChanged": 1,
        "PoolClosed": 1,
        "LedgerClosed": 1,
        "Allocated": 1,
        "Reserved": 1,
        "Confirmed": 1,
        "Voided": 1,
        "Renewed": 1,
        "Resized": 1,
        "Transferred": 1,
        "Released": 2,
        "Expired": 1,
        "ValidationFailed": 1,
        "Reclaimed": 1,
    }


def test_every_event_that_there_is_has_a_stored_name() -> None:
    """An event class that nobody registered could be neither written nor read."""
    public = {getattr(events, name) for name in events.__all__ if name != "EVENTS"}
    assert public - {Event, AllocationEvent} == set(EVENTS.values())


def test_every_version_of_every_event_has_a_sample() -> None:
    """Whatever was ever released is read for ever."""
    sampled = {(line["type"], line["schema_version"]) for line in sample_lines()}
    assert sampled >= {
        (name, version) for name, kind in EVENTS.items() for version in range(1, kind.schema_version + 1)
    }
    assert len(sample_lines()) == len(SAMPLED)


@pytest.mark.parametrize(
    ("line", "expected"), list(zip(sample_lines(), SAMPLED, strict=True)), ids=lambda one: str(one)[:24]
)
def test_a_sample_is_read_as_the_event_it_was_written_from(line: dict[str, Any], expected: Event) -> None:
    """The stored text means the same event; of the present version, the event is written as the same bytes."""
    mapper = EventMapper()
    written = mapper.to_row(envelope(expected))
    event = mapper.from_row(written._replace(**line)).event
    assert event == expected
    assert type(event) is type(expected)
    assert mapper.fields(written.type, line["schema_version"], line["data"], 1) == event.model_dump(mode="json")
    if line["schema_version"] == event.schema_version:
        assert event.model_dump_json() == written.data == line["data"]


def test_an_event_belongs_to_the_stream_of_its_pool() -> None:
    """Refusals and reclaims have streams of their own, so that a storm of them does not lengthen a pool's history."""
    assert [event.stream_id for event in REFUSALS] == ["refusals:gpu", "refusals:"]
    assert {event.stream_id for event in HAPPENED[2:-2]} == {"pool:gpu"}
    assert {event.stream_id for event in HAPPENED[-2:]} == {"reclaims:gpu"}
    assert SAMPLED[1].stream_id == "pool:a pool/with: ünïcode"


def test_the_ledger_has_a_stream_of_its_own() -> None:
    """`LedgerClosed` is in the stream `ledger`, and is about no allocation."""
    closings = [event for event in SAMPLED if isinstance(event, LedgerClosed)]
    assert {(event.stream_id, event.subject) for event in closings} == {("ledger", None)}


def test_an_event_says_which_allocation_it_is_about() -> None:
    """Events about a pool have no subject; a refusal has the allocation that its command named, if it named one."""
    assert {event.subject for event in SAMPLED[:5]} == {None}
    assert {event.subject for event in HAPPENED[5:]} == {"job/42"}
    assert [event.subject for event in REFUSALS] == [None, "job/42"]


def test_an_event_of_no_kind_has_no_stream() -> None:
    """An event of the base class itself has no stream, so that it cannot be stored."""
    with pytest.raises(NotImplementedError):
        _ = Event().stream_id
    assert Event().subject is None


def test_an_event_does_not_change() -> None:
    """A fact is frozen, and holds no field that its version does not have."""
    with pytest.raises(ValidationError, match="frozen"):
        SAMPLED[0].pool = "cpu"  # type: ignore[attr-defined]  # the point
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        PoolClosed.model_validate({"pool": "gpu", "reason": None, "colour": "red"})
