"""Workers on views killed with kill -9, at each moment that matters: every event is in the views once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger
from support.cli import Holdbook
from support.processes import running
from support.projecting import NAMES, check_right, contents, head_of, run_made_up, store_of
from support.workers import Halt, Moment, keep_views, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = 600
BATCH_EVENTS = 60
"""Many batches, so that there is a middle."""

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.untraced]


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with a log of some length, nobody having looked after its views."""
    with Ledger.open(database_url) as ledger:
        run_made_up(ledger, COMMANDS)
        yield ledger


def kill(url: str, names: Sequence[str] | None, halt: Halt) -> list[str]:
    """Have a worker begin, and kill it at a moment; give what it had said."""
    with running(keep_views, [(url, names, BATCH_EVENTS, halt)]) as [peer]:
        said, moment = until(peer, "halted")
        assert moment is halt.moment
        peer.kill()
    return said


def positions(ledger: Ledger) -> dict[str, int]:
    """Tell where each live generation is."""
    return {status.name: status.position for status in ledger.projector().status()}


def test_catching_up(ledger: Ledger, database_url: str) -> None:
    """Killed in the middle of a transaction or between two, whoever catches up next goes on from what is committed.

    Of a transaction that was killed neither the position nor a row is left; nothing is lost or counted twice.
    """
    kill(database_url, None, Halt(Moment.ROWS_WRITTEN))
    assert set(positions(ledger).values()) == {0}
    assert not any(contents(database_url).values())
    kill(database_url, None, Halt(Moment.BATCH_DONE, 0.3))
    first = positions(ledger)
    kill(database_url, None, Halt(Moment.POSITION_SET, 0.7))
    second = positions(ledger)
    for name in NAMES:
        assert 0 < first[name] < second[name] < head_of(ledger)
    ledger.projector().catch_up()
    check_right(ledger, database_url)


def test_rebuilding(ledger: Ledger, database_url: str) -> None:
    """A rebuild that is killed leaves what readers see as it was, and the next one goes on, saying from where.

    It is killed in the middle of a transaction, between two, before the comparison and in the middle of the switch.
    """
    ledger.projector().catch_up()
    before, head = contents(database_url), head_of(ledger)
    said = kill(database_url, (), Halt(Moment.ROWS_WRITTEN, 0.2))
    assert said == [f"{name}: beginning with generation 2" for name in NAMES]
    reached = 0
    for halt in (Halt(Moment.BATCH_DONE, 0.8), Halt(Moment.COMPARING), Halt(Moment.SWITCHING)):
        stands = {one.view: one for one in store_of(ledger).generations() if one.number == 2}
        assert reached < min(one.position for one in stands.values()) <= head
        reached = min(one.position for one in stands.values()) - 1
        assert contents(database_url) == before
        said = kill(database_url, (), halt)
        going_on = [f"{name}: going on from position {stands[name].position:,} with generation 2" for name in NAMES]
        assert said[: len(NAMES)] == going_on
    assert contents(database_url) == before
    assert {status.generation for status in ledger.projector().status()} == {1}
    done = Holdbook(database_url)("projections", "rebuild", "--all")
    for name in NAMES:
        assert f"{name}: going on from position {head:,} with generation 2" in done.err.splitlines()
        assert f"{name}: generation 2 is published, true up to position {head:,}" in done.out.splitlines()
    assert {(one.generation, one.kept) for one in ledger.projector().status()} == {(2, (1,))}
    check_right(ledger, database_url)
    assert contents(database_url) == before
