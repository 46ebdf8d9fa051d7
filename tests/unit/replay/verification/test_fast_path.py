"""The fast path enters plain commands; any other command, right or wrong, is left to the slow path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from holdbook.replay.verification import fast_path as module
from holdbook.replay.verification.fast_path import FastPath
from holdbook.replay.verification.raw_log import RowsInMemory
from holdbook.replay.verification.verifier import verify
from support.hurrying import LOG, ROWS, verified

if TYPE_CHECKING:
    from holdbook.domain.records import StoredRow

STORY = 36
"""How many rows come before the plain commands."""

FIRST = {
    "several": next(row.position for row in ROWS[STORY:] if row.type == "Allocated" and row.ordinals == 2),
    "grant": next(row.position for row in ROWS[STORY:] if row.type == "Allocated"),
    "release": next(row.position for row in ROWS[STORY:] if row.type == "Released"),
    "with a reason": next(row.position for row in ROWS[STORY:] if row.type == "Released" and "done" in row.data),
    "with tags": next(row.position for row in ROWS[STORY:] if row.type == "Allocated" and '"z"' in row.data),
}
"""Positions of plain commands of each kind."""


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Positions of the rows that the fast path enters."""
    found: set[int] = set()
    enter = FastPath.enter

    def note(self: FastPath, page: Any, index: int) -> int:  # noqa: ANN401 - rows
        after = enter(self, page, index)
        found.update(row[0] for row in page[index:after])
        return after

    monkeypatch.setattr(FastPath, "enter", note)
    return found


def changed(kind: str, data: dict[str, Any], command: dict[str, Any], columns: dict[str, Any]) -> list[StoredRow]:
    """Change the row of a plain command: fields of its event, of its command, and columns. ``...`` removes one."""
    rows = list(ROWS)
    row = rows[FIRST[kind] - 1]
    texts = {}
    for name, fields in (("data", data), ("command", command)):
        if fields:
            merged = {**json.loads(getattr(row, name)), **fields}
            kept = {key: value for key, value in merged.items() if value is not ...}
            texts[name] = json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
    rows[row.position - 1] = row._replace(**texts, **columns)  # type: ignore[arg-type]  # columns by name
    return rows


def test_usual(entered: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Allocations and releases are plain over several pools, and with tags, reasons, deadlines and odd names."""
    monkeypatch.setattr(module, "NAMES_MAX", 1)  # names are forgotten all the time
    assert verify(LOG, stored=RowsInMemory(ROWS, LOG.ledger_id)).ok
    assert set(FIRST.values()) <= entered
    assert len([row for row in ROWS[STORY:] if row.type in {"Allocated", "Released"}]) == len(
        [position for position in entered if position > STORY]
    )


@pytest.mark.parametrize(
    ("kind", "data", "command", "columns"),
    [
        ("release", {}, {"reason": "x\x00"}, {}),
        ("release", {"reason": "x"}, {}, {}),
        ("release", {"quantity": 99}, {}, {}),
        ("release", {"quantity": 1.0}, {}, {}),
        ("release", {}, {"allocation_id": "a9"}, {}),
        ("release", {}, {"token": "1:1"}, {}),
        ("release", {}, {"command": "void"}, {}),
        ("release", {}, {}, {"allocation_id": "a9"}),
        ("release", {}, {}, {"occurred_at": "2026-01-01T00:08:20.500000Z"}),
        ("release", {}, {}, {"occurred_at": "2026-02-31T00:00:00.000000Z"}),
        ("release", {}, {}, {"recorded_at": "2026-02-31T00:00:00.000000Z"}),
        ("release", {}, {}, {"stream_id": "pool:cpu"}),
        ("release", {}, {}, {"version": 77}),
        ("release", {}, {}, {"correlation_id": "x"}),
        ("release", {}, {}, {"command": "nonsense"}),
        ("release", {}, {}, {"command": "[]"}),
        ("with a reason", {}, {"reason": ...}, {}),
        ("with a reason", {}, {"command_id": "x "}, {}),
        ("with a reason", {}, {"at": "yesterday"}, {}),
        ("with a reason", {}, {"at": "9999-01-01T00:00:00.000000Z"}, {}),
        ("with a reason", {}, {"at": "2026-02-31T00:00:00.000000Z"}, {}),
        ("with a reason", {}, {"actor": "nobody"}, {}),
        ("grant", {"quantity": 10**30}, {"quantities": {"a b": 10**30}}, {}),
        ("grant", {"quantity": 0}, {"quantities": {"a b": 0}}, {}),
        ("grant", {"quantity": True}, {"quantities": {"a b": True}}, {}),
        ("grant", {"quantity": 51}, {"quantities": {"a b": 51}}, {}),
        ("grant", {"epoch": True}, {}, {}),
        ("grant", {"epoch": 2}, {}, {}),
        ("grant", {"owner": "x "}, {"owner": "x "}, {}),
        ("grant", {"deadline": None}, {}, {}),
        ("grant", {}, {"ttl": "1"}, {}),
        ("grant", {}, {"ttl": 0}, {}),
        ("grant", {}, {"ttl": 10**10}, {}),
        ("grant", {}, {"quantities": {"a b": 1, "none": 1}}, {}),
        ("grant", {}, {"quantities": {"none": 1}}, {}),
        ("grant", {}, {"quantities": []}, {}),
        ("grant", {}, {"quantities": {}}, {}),
        ("grant", {}, {"quantities": {str(number): 1 for number in range(257)}}, {}),
        ("grant", {}, {"tags": {str(number): "1" for number in range(257)}}, {}),
        ("grant", {}, {"tags": {"x": 1}}, {}),
        ("grant", {}, {"allocation_id": "a9"}, {}),
        ("grant", {}, {"token": "1:1"}, {}),
        ("grant", {"allocation_id": "r3"}, {}, {"allocation_id": "r3"}),
        ("grant", {"allocation_id": "x "}, {}, {"allocation_id": "x "}),
        ("grant", {}, {}, {"allocation_id": None}),
        ("grant", {}, {}, {"schema_version": 2}),
        ("several", {}, {}, {"ordinals": 3}),
        ("several", {"pools": ["a b"]}, {}, {}),
        ("several", {"pools": 'q"é'}, {}, {}),
    ],
)
def test_unusual(
    entered: set[int], kind: str, data: dict[str, Any], command: dict[str, Any], columns: dict[str, Any]
) -> None:
    """A command that is not plain is left to the slow path, and both give the same findings."""
    rows = changed(kind, data, command, columns)
    hurried = verified(rows, in_a_hurry=True)
    assert FIRST[kind] not in entered
    assert not hurried.ok
    assert hurried == verified(rows, in_a_hurry=False)


@pytest.mark.parametrize(
    ("kind", "data", "command", "columns"),
    [
        ("release", {"forced": ...}, {}, {"schema_version": 1}),
        ("grant", {}, {"at": "2026-01-01T00:08:21.000000Z"}, {}),
        ("grant", {}, {"command_id": "x"}, {}),
        ("grant", {}, {"actor": "teller"}, {}),
        ("with tags", {"tags": {"z": "1", "a": 'x","quantity":1,"y":"z'}}, {}, {}),
        ("with tags", {"tags": {"a": 'x","quantity":1,"y":"z', "z": "1"}}, {}, {}),
    ],
)
def test_still_usual(
    entered: set[int], kind: str, data: dict[str, Any], command: dict[str, Any], columns: dict[str, Any]
) -> None:
    """A command with a time, id or actor of its own is plain; so are tags in any order, and events of old versions."""
    rows = changed(kind, data, command, columns)
    assert verified(rows, in_a_hurry=True).ok
    assert FIRST[kind] in entered


def test_rows_that_do_not_belong_together() -> None:
    """Rows of one command whose shared columns differ are left to the slow path."""
    rows = list(ROWS)
    second = FIRST["several"]
    rows[second] = rows[second]._replace(actor="mallory")
    hurried = verified(rows, in_a_hurry=True)
    assert [finding.position for finding in hurried.findings] == [second + 1]
    assert hurried == verified(rows, in_a_hurry=False)
