"""The reasons for which a well-formed command is refused: a closed list of codes, in order of precedence.

A code is permanent or transient, and has a message made from the refusal's data: the log holds no free text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping


class RefusalCode(StrEnum):
    """The codes, in order of precedence.

    Of several codes that apply, the refusal has the first; where it applies in several pools, the first pool by name.
    """

    POOL_NOT_FOUND = "pool_not_found"
    ALLOCATION_NOT_FOUND = "allocation_not_found"
    ALLOCATION_ID_TAKEN = "allocation_id_taken"
    ALLOCATION_ENDED = "allocation_ended"
    TOKEN_MISMATCH = "token_mismatch"  # noqa: S105 - a refusal's name, not a secret
    NOT_RESERVED = "not_reserved"
    NOT_CONFIRMED = "not_confirmed"
    NOT_ENDED = "not_ended"
    LEDGER_CLOSED = "ledger_closed"
    POOL_CLOSED = "pool_closed"
    POOL_NOT_IN_ALLOCATION = "pool_not_in_allocation"
    LIMITS_MOVED = "limits_moved"
    TTL_REQUIRED = "ttl_required"
    TTL_TOO_LONG = "ttl_too_long"
    BELOW_MIN_SIZE = "below_min_size"
    ABOVE_MAX_SIZE = "above_max_size"
    NOT_A_STEP = "not_a_step"
    ABOVE_CAPACITY = "above_capacity"
    ABOVE_PER_OWNER = "above_per_owner"
    TOO_MANY_ALLOCATIONS = "too_many_allocations"
    OWNER_EXHAUSTED = "owner_exhausted"
    POOL_EXHAUSTED = "pool_exhausted"
    QUEUED_BEHIND = "queued_behind"


PRECEDENCE = {code: rank for rank, code in enumerate(RefusalCode)}
"""Rank of each code in the order of precedence, from 0; of several that apply, the lowest is recorded."""


def is_transient(code: RefusalCode) -> bool:
    """Tell whether the reason may go by itself when other holds end (True), or somebody has to change something."""
    match code:
        case (
            RefusalCode.TOO_MANY_ALLOCATIONS
            | RefusalCode.OWNER_EXHAUSTED
            | RefusalCode.POOL_EXHAUSTED
            | RefusalCode.QUEUED_BEHIND
        ):
            return True
        case (
            RefusalCode.POOL_NOT_FOUND
            | RefusalCode.ALLOCATION_NOT_FOUND
            | RefusalCode.ALLOCATION_ID_TAKEN
            | RefusalCode.ALLOCATION_ENDED
            | RefusalCode.TOKEN_MISMATCH
            | RefusalCode.NOT_RESERVED
            | RefusalCode.NOT_CONFIRMED
            | RefusalCode.NOT_ENDED
            | RefusalCode.LEDGER_CLOSED
            | RefusalCode.POOL_CLOSED
            | RefusalCode.POOL_NOT_IN_ALLOCATION
            | RefusalCode.LIMITS_MOVED
            | RefusalCode.TTL_REQUIRED
            | RefusalCode.TTL_TOO_LONG
            | RefusalCode.BELOW_MIN_SIZE
            | RefusalCode.ABOVE_MAX_SIZE
            | RefusalCode.NOT_A_STEP
            | RefusalCode.ABOVE_CAPACITY
            | RefusalCode.ABOVE_PER_OWNER
        ):
            return False
        case _:  # pragma: no cover - mypy proves that no member is left
            assert_never(code)


_MESSAGES = {
    RefusalCode.POOL_NOT_FOUND: "there is no pool {pool!r}",
    RefusalCode.ALLOCATION_NOT_FOUND: "there is no allocation {allocation_id!r}",
    RefusalCode.ALLOCATION_ID_TAKEN: "allocation id {allocation_id!r} was used before; an id names one allocation",
    RefusalCode.ALLOCATION_ENDED: "allocation {allocation_id!r} has ended: {state}",
    RefusalCode.TOKEN_MISMATCH: "allocation {allocation_id!r} has token {token}, not {given}",
    RefusalCode.NOT_RESERVED: "allocation {allocation_id!r} is {state}, not reserved",
    RefusalCode.NOT_CONFIRMED: "allocation {allocation_id!r} is reserved: confirm it first, or void it",
    RefusalCode.NOT_ENDED: "allocation {allocation_id!r} is open: what it holds is not to be reclaimed",
    RefusalCode.LEDGER_CLOSED: "the ledger is closed: no pool is opened in it any more",
    RefusalCode.POOL_CLOSED: "pool {pool!r} is closed",
    RefusalCode.POOL_NOT_IN_ALLOCATION: "allocation {allocation_id!r} has nothing of pool {pool!r}",
    RefusalCode.LIMITS_MOVED: "the limits of pool {pool!r} are no longer those expected: {field} is {present}",
    RefusalCode.TTL_REQUIRED: "pool {pool!r} wants a ttl and has no default",
    RefusalCode.TTL_TOO_LONG: "pool {pool!r} allows a ttl of {limit} s at most, not {asked} s",
    RefusalCode.BELOW_MIN_SIZE: "pool {pool!r} grants {limit} {unit} at least, not {asked}",
    RefusalCode.ABOVE_MAX_SIZE: "pool {pool!r} grants {limit} {unit} at most, not {asked}",
    RefusalCode.NOT_A_STEP: "pool {pool!r} grants multiples of {limit} {unit}, not {asked}",
    RefusalCode.ABOVE_CAPACITY: "pool {pool!r} has a capacity of {limit} {unit} in all, not {asked}",
    RefusalCode.ABOVE_PER_OWNER: "pool {pool!r} lets one owner hold {limit} {unit}, not {asked}",
    RefusalCode.TOO_MANY_ALLOCATIONS: "pool {pool!r} holds {allocations} allocations, its limit is {limit}",
    RefusalCode.OWNER_EXHAUSTED: "owner {owner!r} holds {owned} of {limit} {unit} in pool {pool!r}, {asked} asked",
    RefusalCode.POOL_EXHAUSTED: "pool {pool!r} has {free} of {limit} {unit} free, {asked} asked",
    RefusalCode.QUEUED_BEHIND: "others wait for pool {pool!r}, {free} of {capacity} {unit} free, {asked} asked",
}
"""The message of each code, with the names of the refusal's data in braces."""


def explain(code: RefusalCode, data: Mapping[str, Any]) -> str:
    """Write a refusal as one sentence, without a full stop, from its code and its recorded data."""
    sentence = _MESSAGES[code].format_map(data)
    return f"{sentence} in place of {data['held']}" if "held" in data else sentence
