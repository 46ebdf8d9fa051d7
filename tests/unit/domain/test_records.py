"""The bytes that are hashed, and the chain: test vectors that can never change."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from holdbook.domain.records import StoredRow, canonical_bytes, chain_hash, genesis

FIRST = StoredRow(
    position=1,
    stream_id="pool:gpu",
    version=1,
    type="PoolClosed",
    schema_version=1,
    command_id="c-1",
    ordinal=0,
    ordinals=2,
    allocation_id=None,
    occurred_at="2026-01-31T12:00:00.000000Z",
    recorded_at="2026-01-31T12:00:00.000001Z",
    actor="ann",
    correlation_id=None,
    causation_id=None,
    command='{"command":"close_pool","pool":"gpu"}',
    data='{"pool":"gpu","reason":"é\\n\\"\u2028\\u001f\U0001f600\x7f/"}',
    hash=b"",
)
SECOND = FIRST._replace(position=2, version=2, ordinal=1, command=None, correlation_id="r\u0000\b\f\r\t\x1f\\")

FIRST_BYTES = (
    b'[1,"pool:gpu",1,"PoolClosed",1,"c-1",0,2,null,"2026-01-31T12:00:00.000000Z","2026-01-31T12:00:00.000001Z",'
    b'"ann",null,null,"{\\"command\\":\\"close_pool\\",\\"pool\\":\\"gpu\\"}",'
    b'"{\\"pool\\":\\"gpu\\",\\"reason\\":\\"\xc3\xa9\\\\n\\\\\\"\xe2\x80\xa8\\\\u001f\xf0\x9f\x98\x80\x7f/\\"}"]'
)
SECOND_BYTES = (
    b'[2,"pool:gpu",2,"PoolClosed",1,"c-1",1,2,null,"2026-01-31T12:00:00.000000Z","2026-01-31T12:00:00.000001Z",'
    b'"ann","r\\u0000\\b\\f\\r\\t\\u001f\\\\",null,null,'
    b'"{\\"pool\\":\\"gpu\\",\\"reason\\":\\"\xc3\xa9\\\\n\\\\\\"\xe2\x80\xa8\\\\u001f\xf0\x9f\x98\x80\x7f/\\"}"]'
)


def test_the_canonical_bytes_are_the_array_of_the_columns() -> None:
    """RFC 8785: no blanks, what must be escaped in its shortest form, the rest as UTF-8; the hash is left out."""
    assert canonical_bytes(FIRST) == FIRST_BYTES
    assert canonical_bytes(SECOND) == SECOND_BYTES
    assert canonical_bytes(FIRST._replace(hash=bytes(32))) == FIRST_BYTES


def test_the_chain_begins_with_the_ledger_s_id() -> None:
    """Two ledgers with the same events have different chains."""
    assert genesis("L") == hashlib.sha256(b"holdbook-log-1\x00L").digest()
    assert genesis("ü") == hashlib.sha256(b"holdbook-log-1\x00\xc3\xbc").digest()


def test_a_row_s_hash_covers_the_one_before_it() -> None:
    """SHA-256 over 32 bytes and the row's bytes, row by row."""
    begin = hashlib.sha256(b"holdbook-log-1\x00L").digest()
    one = hashlib.sha256(begin + FIRST_BYTES).digest()
    two = hashlib.sha256(one + SECOND_BYTES).digest()
    assert chain_hash(genesis("L"), FIRST) == one
    assert chain_hash(one, SECOND) == two


def test_the_chain_s_test_vector() -> None:
    """A change of these digits is another format."""
    one = chain_hash(genesis("00000000-0000-7000-8000-000000000000"), FIRST)
    assert one.hex() == "0a9510081bfa5c50e10e50e35ff647c21872f6d1f3e3646c772ffd59fb2fce83"
    assert chain_hash(one, SECOND).hex() == "0a68a7945b1064bb2416fde87ceee22b76e469775426c2a66c25d50063f00c7d"


def changed_field(name: str) -> dict[str, Any]:
    """Give the row with another value in one column."""
    return {name: "x"}


def test_every_column_is_covered() -> None:
    """A change of any field but the hash changes the bytes."""
    changed = [FIRST._replace(**changed_field(name)) for name in StoredRow._fields if name != "hash"]
    assert len({canonical_bytes(row) for row in [FIRST, *changed]}) == 17


def test_no_text_can_pass_for_another_column() -> None:
    """Moving text from the end of one column to the beginning of the next changes the bytes."""
    left = FIRST._replace(actor='a","b', correlation_id=None)
    right = FIRST._replace(actor="a", correlation_id="b")
    assert canonical_bytes(left) != canonical_bytes(right)
    assert canonical_bytes(FIRST._replace(actor=None)) != canonical_bytes(FIRST._replace(actor="null"))


def test_the_last_row_of_a_command_is_known() -> None:
    """Readers stop where a command ends."""
    assert [row.ends_command for row in (FIRST, SECOND)] == [False, True]


@pytest.mark.parametrize("value", [b"gpu", 1.0, True, ["gpu"], Decimal(1), "\ud800"])
def test_only_what_a_log_holds_has_canonical_bytes(value: object) -> None:
    """Values of other types than a log's are errors, even if they would be written as the same bytes."""
    with pytest.raises((TypeError, ValueError)):
        canonical_bytes(FIRST._replace(actor=value))  # type: ignore[arg-type]  # the point
