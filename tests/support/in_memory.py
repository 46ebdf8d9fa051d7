"""A ledger in memory, in the place of one in each store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.deciding import Clock


@pytest.fixture
def stored_ledger(fixed_clock: Clock) -> Iterator[Ledger]:
    """A ledger in memory: what is claimed here does not depend on the store."""
    with Ledger.in_memory(clock=fixed_clock) as ledger:
        yield ledger
