"""Rights whose end, or whose grant, is not the usual one."""

from datetime import timedelta

import pytest

from holdbook import Ledger, Limits, LogCorrupt, OpenPool, RefusalCode, Refused
from holdbook.infrastructure.commit.promise import granted
from holdbook.infrastructure.resources.rights import Rights


async def test_a_grant_without_an_allocation() -> None:
    """A grant without an allocation is an error."""
    with Ledger.in_memory() as ledger:
        opening = OpenPool(pool="gpu", resource_type="gpu", limits=Limits(total=1))
        with pytest.raises(LogCorrupt, match="was granted, and no allocation was"):
            await granted(Rights(ledger).ask(opening))


async def test_an_end_that_is_refused() -> None:
    """A right that was never granted, or has ended, has nothing to end; any other refusal is raised."""
    with Ledger.in_memory() as ledger:
        rights = Rights(ledger)
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        ledger.reserve({"gpu": 1}, owner="ann", ttl=timedelta(minutes=1), allocation_id="a")
        with pytest.raises(Refused) as refused:
            await rights.end("a", confirmed=True)
        assert refused.value.code is RefusalCode.NOT_CONFIRMED
        assert await rights.end("a", confirmed=False)
        assert not await rights.end("a", confirmed=False)
        assert not await rights.end("a", reason="again", confirmed=True)
        assert not await rights.end("b", confirmed=False)
        assert not await rights.end("b", confirmed=True)
