"""The old form: what is read, what is refused and where, and that the same content is the same bytes."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdbook import Limits
from holdbook.infrastructure.interchange.old_form import (
    AdoptionStopped,
    HeldLine,
    LimitsLine,
    OldState,
    old_form,
    read_old_form,
)
from support.cli import jsonl
from support.strategies import instants, limits, names, pool_names, tags

LIMITS: dict[str, Any] = {"limits": {"total": 100, "max_size": 50}, "resource_type": "memory"}
NINE = "2026-01-05T09:00:00Z"


def held(name: str = "a", **fields: object) -> dict[str, Any]:
    """Write a line of an allocation."""
    line = {"id": name, "resource_type": "memory", "size": 5, "allocation_time": NINE, "expiration_time": None}
    return {**line, **fields}


def read(*lines: dict[str, Any]) -> OldState:
    """Read lines as a file."""
    return read_old_form(io.BytesIO(jsonl(lines).encode()), "held.jsonl")


def test_a_file_is_read_as_commands_that_bring_their_own_times() -> None:
    """A pool is opened when the first of it was allocated, or now; each allocation keeps its time, owner and tags."""
    ports = {"limits": {"total": 3}, "resource_type": "port", "unit": "port"}
    late = held("b", owner="ann", expiration_time="2026-01-05T10:30:00+01:00", tags={"k": "v"})
    state = read(LIMITS, ports, held(allocation_time="2026-01-05T08:00:00Z"), late)
    assert [{**one.as_dict(), "id": one.id_from_content()} for one in state.commands()] == [
        {
            "command": "open_pool",
            "pool": "memory",
            "resource_type": "memory",
            "unit": "unit",
            "limits": {"total": 100, "max_size": 50, "reserved": 0, "overcommit": "1"},
            "at": "2026-01-05T08:00:00.000000Z",
            "id": next(state.commands()).id_from_content(),
        },
        {
            "command": "open_pool",
            "pool": "port",
            "resource_type": "port",
            "unit": "port",
            "limits": {"total": 3, "reserved": 0, "overcommit": "1"},
            "id": state.limits["port"].line.opening(None).id_from_content(),
        },
        {
            "command": "allocate",
            "allocation_id": "a",
            "quantities": {"memory": 5},
            "owner": "memory",
            "tags": {},
            "at": "2026-01-05T08:00:00.000000Z",
            "id": state.held["a"].line.opening().id_from_content(),
        },
        {
            "command": "allocate",
            "allocation_id": "b",
            "quantities": {"memory": 5},
            "owner": "ann",
            "ttl": 1800,
            "tags": {"k": "v"},
            "at": "2026-01-05T09:00:00.000000Z",
            "id": state.held["b"].line.opening().id_from_content(),
        },
    ]


WRONG: dict[str, tuple[list[dict[str, Any]], str, object, str]] = {
    "an unknown field": ([held(colour="red")], "colour", "red", "unknown field"),
    "a field by a name of Python's": ([held(self=1)], "self", 1, "unknown field"),
    "a field that is missing": (
        [{name: value for name, value in held().items() if name != "expiration_time"}],
        "expiration_time",
        ...,
        "expected a value",
    ),
    "no size": ([held(size=0)], "size", 0, "expected a whole number from 1"),
    "a size that is none": ([held(size=True)], "size", True, "expected a whole number from 1"),
    "an id that is none": ([held(" a")], "id", " a", "expected 1 to 255 characters"),
    "a type that no pool can have": ([held(resource_type="a=b")], "resource_type", "a=b", "expected a pool's name"),
    "a time without offset": (
        [held(allocation_time="2026-01-05T09:00:00")], "allocation_time", "2026-01-05T09:00:00", "expected a time with",
    ),
    "an end before the beginning": (
        [held(expiration_time=NINE)], "expiration_time", NINE, "expected a time after",
    ),
    "an end beyond all time": (
        [held(expiration_time="2300-01-01T00:00:00Z")], "expiration_time", "2300-01-01T00:00:00Z",
        "expected a time after the allocation_time, by 3162240000 seconds at most",
    ),
    "a bad tag": ([held(tags={"k": 1})], "tags.k", 1, "expected 1 to 255 characters"),
    "an id twice": ([held("b"), held("b", size=6)], "id", "b", "expected each id once; line 2 has it"),
    "times that go back": (
        [held(), held("b", resource_type="port", allocation_time="2026-01-05T07:00:00Z"),
         held("c", allocation_time="2026-01-05T08:59:59Z")],
        "allocation_time", "2026-01-05T08:59:59Z", "expected the order of time; line 2 is later",
    ),
    "limits twice": ([LIMITS], "resource_type", "memory", "expected each resource_type once; line 1 has it"),
    "limits after allocations": (
        [held(), {**LIMITS, "resource_type": "port"}], "limits", LIMITS["limits"],
        "expected lines of limits before the first allocation",
    ),
    "an unknown limit": (
        [{"limits": {"total": 1, "most": 2}, "resource_type": "port"}], "limits.most", 2, "unknown field",
    ),
    "a limit that is none": (
        [{"limits": {"total": "1"}, "resource_type": "port"}], "limits.total", "1", "expected a whole number",
    ),
    "limits that contradict each other": (
        [{"limits": {"total": 1, "min_size": 3, "max_size": 2}, "resource_type": "port"}], "limits", ...,
        "min_size is above",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "field", "value", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_line_that_is_wrong_is_named(lines: list[dict[str, Any]], field: str, value: object, expected: str) -> None:
    """File, line, field and value; the line is the last one, and blank lines count too."""
    file = io.BytesIO((jsonl([LIMITS]) + jsonl(lines[:-1]) + "\n" + jsonl(lines[-1:])).encode())
    with pytest.raises(AdoptionStopped) as info:
        read_old_form(file, "held.jsonl")
    stopped = info.value
    assert (stopped.file, stopped.line, stopped.field) == ("held.jsonl", len(lines) + 2, field)
    assert value is ... or stopped.value == value
    assert str(stopped).startswith(f"held.jsonl, line {len(lines) + 2}: {field}: {expected}")


@pytest.mark.parametrize(
    "raw", [b"nonsense", b"[1]", b'{"id": 1, "id": 2}', b"\xff", b'{"a": "' + b"x" * 2**22 + b'"}']
)
def test_a_line_that_is_no_json_object_is_named(raw: bytes) -> None:
    """As a workload's is."""
    with pytest.raises(AdoptionStopped, match=r"^held, line 2: (line|id): "):
        read_old_form(io.BytesIO(jsonl([LIMITS]).encode() + raw), "held")


def test_what_is_understood_is_not_written() -> None:
    """Limits that are not set, the unit `unit`, and an owner that is the resource type; tags and ends always are."""
    assert LimitsLine(limits=Limits(total=7), resource_type="memory", unit="unit").text() == (
        '{"limits":{"total":7},"resource_type":"memory"}'
    )
    assert LimitsLine(limits=Limits(total=0, overcommit="1.50"), resource_type="é", unit="B").text() == (
        '{"limits":{"overcommit":"1.5","total":0},"resource_type":"é","unit":"B"}'
    )
    own, other = HeldLine(**held(owner="memory")), HeldLine(**held(owner="ann", tags={"b": "2", "a": "1"}))
    assert (
        own.text()
        == HeldLine(**held()).text()
        == (
            '{"allocation_time":"2026-01-05T09:00:00.000000Z","expiration_time":null,"id":"a",'
            '"resource_type":"memory","size":5,"tags":{}}'
        )
    )
    assert '"owner":"ann"' in other.text()
    assert other.text().endswith('"tags":{"a":"1","b":"2"}}')


held_lines = st.builds(
    lambda began, lasts, **fields: HeldLine(allocation_time=began, expiration_time=lasts and began + lasts, **fields),
    began=instants,
    lasts=st.none() | st.integers(1, 10**15).map(lambda micros: timedelta(microseconds=micros)),
    id=names,
    resource_type=pool_names,
    size=st.integers(1, 2**63 - 1),
    owner=st.none() | names,
    tags=tags,
)
limits_lines = st.builds(LimitsLine, limits=limits, resource_type=pool_names, unit=names)


@settings(max_examples=40)
@given(limits_lines, held_lines)
def test_what_was_written_is_read_and_written_as_the_same_bytes(pool: LimitsLine, one: HeldLine) -> None:
    """Whatever names, limits and times there are."""
    text = "".join(f"{line}\n" for line in old_form([pool], [one]))
    state = read_old_form(io.BytesIO(text.encode()), "held")
    again = old_form([e.line for e in state.limits.values()], [e.line for e in state.held.values()])
    assert "".join(f"{line}\n" for line in again) == text
    assert json.loads(text.splitlines()[1])["id"] == one.id
