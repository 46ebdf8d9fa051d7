"""Verification in a hurry, beside verification row by row: on logs in which anything was changed, both say the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.hurrying import LAST, ROWS, verified

pytestmark = pytest.mark.untraced

VALUES = st.sampled_from(
    [None, 0, 1, 2, 3, 4, -1, 2**63, 1.0, 1.5, True, False, "", "ann", "a b", "x ", [], {}, ["a b"], {"z": 1}]
)
"""What fields are changed to."""


@given(st.data())
def test_both_say_the_same(data: st.DataObject) -> None:
    """Whatever is changed in rows whose hashes are forged with them, both ways find the same, word for word."""
    rows = list(ROWS)
    for _ in range(data.draw(st.integers(1, 2))):
        index = data.draw(st.integers(36, LAST - 1) | st.integers(0, LAST - 1))
        row = rows[index]
        what = data.draw(st.sampled_from(["data", "command", "column", "order", "spelling"]))
        if what in {"data", "command"} and (text := getattr(row, what)):
            fields = json.loads(text)
            name = data.draw(st.sampled_from([*fields, "reason", "at", "actor", "ttl", "token", "command_id"]))
            fields[name] = data.draw(VALUES)
            if data.draw(st.booleans()):
                del fields[name]
            rows[index] = row._replace(**{what: json.dumps(fields, separators=(",", ":"), ensure_ascii=False)})  # type: ignore[arg-type]  # both are text
        elif what == "order":
            fields = json.loads(row.data)
            rows[index] = row._replace(data=json.dumps(dict(reversed(fields.items()))))
        elif what == "spelling":
            rows[index] = row._replace(data=json.dumps(json.loads(row.data)))
        else:
            other = data.draw(st.sampled_from(ROWS))
            column = data.draw(st.sampled_from([c for c in row._fields if c not in {"position", "hash"}]))
            rows[index] = row._replace(**{column: getattr(other, column)})
    hurried, careful = verified(rows, in_a_hurry=True), verified(rows, in_a_hurry=False)
    assert hurried.as_dict() == careful.as_dict()
