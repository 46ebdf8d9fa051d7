"""Servers not to be believed: a primary cut off from its standby, one that was replaced, one with a wrong clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from holdbook import Allocate, Ledger, Limits, LogUnavailable
from support.faults import FaultProxy
from support.logs import execute, query, raw_rows
from support.outcomes import (
    DEADLINE_SECONDS,
    answers,
    by_command,
    check_promises,
    check_told,
    count,
    send_until_known,
    submit_all,
    told_unknown,
)
from support.standby import StandbyPair, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 2.0
FAKE_CLOCK = (
    "CREATE SCHEMA fake",
    """CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds' $$""",
    'ALTER DATABASE "{name}" SET search_path = fake, pg_catalog, public',
)
"""Puts a database's clock wrong, for the connections to come."""


@pytest.fixture
def pair() -> Iterator[StandbyPair]:
    """A primary and its synchronous standby, with a pool of a hundred in them."""
    with StandbyPair() as pair:
        with Ledger.open(pair.primary.url()) as ledger:
            ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
        yield pair


def allocate(number: int) -> Allocate:
    """Ask for one unit."""
    return Allocate(quantities={"gpu": 1}, owner=f"a{number}")


def cancel_a_commit(pair: StandbyPair) -> None:
    """Cancel, as an administrator may, a commit that waits for the standby: the server then says that it is done."""
    wait_until(lambda: bool(pair.waiting()))
    first = pair.waiting()[0]
    assert query(pair.primary.url(), f"SELECT pg_cancel_backend({first[0]})") == [(True,)]
    wait_until(lambda: first not in pair.waiting())


@pytest.mark.slow
@pytest.mark.crash
def test_a_cancelled_wait_for_the_standby(pair: StandbyPair) -> None:
    """A commit that the standby did not confirm is not acknowledged, though the server calls it done, until it did."""
    with Ledger.open(pair.primary.url(), patience=DEADLINE_SECONDS) as ledger:
        before = answers([ledger.submit(allocate(0))])
        with pair.paused():
            futures = submit_all(ledger, [allocate(number) for number in range(1, 5)])
            cancel_a_commit(pair)
            wait_until(lambda: bool(pair.waiting()) or any(future.done() for future in futures))
            assert not any(future.done() for future in futures), "acknowledged, and the standby knows nothing of it"
        outcomes = before + answers(futures)
    pair.primary.crash()
    pair.promote()
    check_told(pair.standby.url(), outcomes)
    assert len(by_command(pair.standby.url())) == 1 + len(outcomes)


@pytest.mark.slow
@pytest.mark.crash
def test_a_standby_that_stays_away(pair: StandbyPair) -> None:
    """What the standby did not confirm is never acknowledged: promoted, it lacks nothing that a caller was told."""
    commands = [allocate(number) for number in range(1, 5)]
    with Ledger.open(pair.primary.url(), patience=PATIENCE) as ledger:
        told = answers([ledger.submit(allocate(0))])
        with pair.paused():
            futures = submit_all(ledger, commands)
            cancel_a_commit(pair)
            ids = told_unknown(futures)
            pair.primary.crash()
    pair.promote()
    check_told(pair.standby.url(), told)
    with Ledger.open(pair.standby.url()) as ledger:
        send_until_known(ledger, pair.standby.url(), zip(ids, commands, strict=True))
        assert ledger.pool("gpu").used == 1 + len(commands)
        check_promises(ledger)


@pytest.mark.slow
def test_a_standby_that_comes_back(pair: StandbyPair) -> None:
    """When the standby is back, the same ledger goes on, and each command that was unknown is in the log once."""
    commands = [allocate(number) for number in range(1, 5)]
    with Ledger.open(pair.primary.url(), patience=PATIENCE) as ledger:
        told = answers([ledger.submit(allocate(0))])
        with pair.paused():
            ids = told_unknown(submit_all(ledger, commands))
        send_until_known(ledger, pair.primary.url(), zip(ids, commands, strict=True))
        check_told(pair.primary.url(), told)
        assert ledger.pool("gpu").used == 1 + len(commands)
        check_promises(ledger)


def test_a_standby_takes_no_commands(pair: StandbyPair) -> None:
    """A server that is a standby is refused, saying that it is one; nothing is recorded."""
    before = raw_rows(pair.primary.url())
    with pytest.raises(LogUnavailable, match=r"(?i)standby|recovery"):
        use(pair.standby.url())
    assert raw_rows(pair.primary.url()) == before


def use(url: str, *, patience: float = PATIENCE) -> None:
    """Open a ledger and have a command decided."""
    with Ledger.open(url, patience=patience) as ledger:
        ledger.allocate({"gpu": 1}, owner="a")


@pytest.mark.slow
def test_a_promoted_standby_and_the_old_primary(pair: StandbyPair) -> None:
    """A ledger follows its address to the promoted standby, and never goes back to the primary that was replaced."""
    with FaultProxy(pair.primary.url()) as proxy, Ledger.open(proxy.url, patience=PATIENCE) as ledger:
        told = answers([ledger.submit(allocate(0))])
        proxy.redirect(pair.standby.url())
        with pytest.raises(LogUnavailable, match=r"(?i)standby|recovery"):
            ledger.execute(allocate(1))
        pair.be_alone()
        pair.promote()
        told += answers([ledger.submit(allocate(2))])  # seen: the new timeline
        before = raw_rows(pair.primary.url())
        proxy.redirect(pair.primary.url())
        with pytest.raises(LogUnavailable, match=r"(?i)timeline") as raised:
            ledger.execute(allocate(3))
        assert raised.value.command_id is not None
        assert raw_rows(pair.primary.url()) == before
        proxy.redirect(pair.standby.url())
        told += answers([ledger.submit(allocate(4))])
        check_told(pair.standby.url(), told)
        assert count(pair.standby.url(), raised.value.command_id) == 0
        assert ledger.pool("gpu").used == 3
        check_promises(ledger)


@pytest.mark.parametrize("seconds", [300, -300, 61.5, -61.5])
def test_a_wrong_clock(postgres_url: str, seconds: float) -> None:
    """A database whose clock is more than a minute off is refused, saying by how much; nothing is recorded."""
    with Ledger.open(postgres_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=100))
    put_clock_wrong(postgres_url, seconds)
    before = raw_rows(postgres_url)
    with pytest.raises(LogUnavailable, match="clock") as raised:
        use(postgres_url)
    numbers = [abs(float(number)) for number in re.findall(r"-?\d+(?:\.\d+)?", str(raised.value))]
    assert any(abs(number - abs(seconds)) < 5 for number in numbers), "by how many seconds it is off"
    assert raw_rows(postgres_url) == before


@pytest.mark.parametrize("seconds", [30, -30])
def test_a_clock_that_is_a_little_off(postgres_url: str, seconds: float) -> None:
    """A database whose clock is less than a minute off is taken."""
    put_clock_wrong(postgres_url, seconds)
    with Ledger.open(postgres_url) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        assert ledger.allocate({"gpu": 1}, owner="a").quantities == {"gpu": 1}


def test_a_clock_that_is_put_wrong(postgres_url: str) -> None:
    """A clock that goes wrong while a ledger is open is noticed at the next connection."""
    with FaultProxy(postgres_url) as proxy, Ledger.open(proxy.url, patience=PATIENCE) as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        put_clock_wrong(postgres_url, 3600)
        proxy.redirect(postgres_url)  # breaks the connections
        with pytest.raises(LogUnavailable, match="clock"):
            ledger.execute(allocate(1))
    assert len(raw_rows(postgres_url)) == 1


def put_clock_wrong(url: str, seconds: float) -> None:
    """Let a database's clock be wrong by so many seconds, for the connections to come."""
    [(name,)] = query(url, "SELECT current_database()")
    execute(url, *(statement.format(seconds=seconds, name=name) for statement in FAKE_CLOCK))
