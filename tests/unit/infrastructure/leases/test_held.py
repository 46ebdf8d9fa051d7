"""What a ledger grants, as its holder has it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, replace
from typing import Any

import pytest

from holdbook import Allocation, Held, Ledger, LogUnavailable
from support.leasing import MINUTE, clock, held, ledger, watch

__all__ = ["clock", "held", "ledger", "watch"]
"""Fixtures."""


def test_what_is_held_equals_an_allocation(ledger: Ledger, held: Held) -> None:
    """Both ways round, and whatever grants it; another content is another allocation."""
    read = ledger.allocation("a")
    assert type(read) is Allocation
    assert held == read
    assert read == held
    assert held != ledger.allocate({"gpu": 1}, owner="ann", ttl=MINUTE)
    assert held != "a"
    renewed = ledger.renew("a", ttl=2 * MINUTE)
    reserved = ledger.reserve({"gpu": 1}, owner="ann", ttl=MINUTE, allocation_id="b")
    assert [type(one) for one in (renewed, reserved, ledger.confirm("b", ttl=MINUTE))] == [Held] * 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(held)


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        replace,
        lambda one: pickle.loads(pickle.dumps(one)),  # noqa: S301 - its own
    ],
)
def test_a_copy_is_a_description(held: Held, copied: Any) -> None:  # noqa: ANN401 - one of several functions
    """It equals what it is a copy of, holds no ledger, and says so when it is to be kept alive."""
    twin = copied(held)
    assert twin == held
    assert asdict(twin) == asdict(held)
    with pytest.raises(LogUnavailable, match="this is a copy of allocation 'a', which knows no ledger"):
        twin.keep_alive()
