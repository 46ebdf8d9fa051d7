"""Many commands of several processes that wait for one pool: served in order, none lost, none twice."""

from __future__ import annotations

import pytest

from holdbook import Ledger
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.logs import execute
from support.outcomes import by_command
from support.processes import running, wait_in_line
from support.queueing import granted_in_order, open_pools, until_queued, waiting_in

EACH = 500
"""How many commands wait in each of two processes."""


def test_a_thousand_in_two_processes(database_url: str) -> None:
    """Whoever came first is served first, each of a thousand once; then nothing is held, and the log is sound."""
    with Ledger.open(database_url) as ledger:
        open_pools(ledger, gpu=10)
        ledger.allocate({"gpu": 10}, owner="bob", allocation_id="held", command_id="held")
        names = [[f"{process}{number}" for number in range(EACH)] for process in "ab"]
        with running(wait_in_line, [(database_url, some) for some in names]) as peers:
            assert [peer.receive() for peer in peers] == ["all wait"] * 2
            order = waiting_in(ledger)
            assert sorted(order) == sorted(names[0] + names[1])
            ledger.release("held")
            told = [one for peer in peers for one in peer.receive()]
        assert all(granted for _, granted, _ in told)
        assert [name for name, _, position in sorted(told, key=lambda one: one[2])] == order
        assert granted_in_order(ledger) == ["held", *order]
        assert all(len(rows) == 1 for rows in by_command(database_url).values())
        assert (ledger.pool("gpu").used, waiting_in(ledger)) == (0, [])
        assert verify_ledger(ledger).ok


@pytest.mark.crash
def test_a_process_that_is_killed(database_url: str) -> None:
    """Its commands are in the way of others only until it is taken for gone; they are never decided."""
    with Ledger.open(database_url) as ledger:
        open_pools(ledger, gpu=1)
        ledger.allocate({"gpu": 1}, owner="bob", allocation_id="held", command_id="held")
        with running(wait_in_line, [(database_url, ["dead 1", "dead 2"])]) as [dead]:
            assert dead.receive() == "all wait"
            with running(wait_in_line, [(database_url, ["alive"])]) as [alive]:
                assert alive.receive() == "all wait"
                assert dead.kill() == []
                assert waiting_in(ledger) == ["dead 1", "dead 2", "alive"]
                ledger.release("held")
                whose = "(SELECT waiter FROM queue WHERE command_id = 'dead 1')"
                execute(database_url, f"UPDATE waiters SET alive_until = 0 WHERE waiter = {whose}")  # noqa: S608 - a test's
                [(name, granted, _)] = alive.receive()
        assert (name, granted) == ("alive", True)
        until_queued(ledger, 0)
        assert granted_in_order(ledger) == ["held", "alive"]
