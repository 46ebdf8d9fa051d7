"""Clients that send one command after another, each until it has its answer, and what the log must hold of them."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from holdbook import Ledger, Limits, LogUnavailable
from support.outcomes import DEADLINE_SECONDS
from support.processes import CLIENT_POOLS, client_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.outcomes import Row

Told = dict[str, tuple[int | None, bool]]
"""What callers were told, by command id: the position of the last event, and whether it was granted."""


def open_pools(url: str) -> None:
    """Open pools with room for every command that is to be granted."""
    with Ledger.open(url) as ledger:
        for pool in CLIENT_POOLS:
            ledger.open_pool(pool, resource_type="thing", limits=Limits(total=10**9))


def check_acknowledged(told: Told, log: dict[str, list[Row]]) -> None:
    """Check that the log holds each acknowledged command as its caller was told."""
    for command_id, (position, granted) in told.items():
        rows = log.get(command_id)
        assert rows is not None, f"command {command_id} was acknowledged and is not in the log"
        assert rows[-1][0] == position
        assert (rows[-1][3] != "ValidationFailed") is granted


def check_clients(clients: Iterable[str], log: dict[str, list[Row]]) -> dict[str, int]:
    """Check that each client's commands are in the log without a gap; give the number of the first that is not."""
    ends = {}
    for client in clients:
        numbers = [int(one.removeprefix(f"{client}-")) for one in log if one.startswith(f"{client}-")]
        ends[client] = len(numbers)
        assert sorted(numbers) == list(range(len(numbers)))
        for number in numbers:
            expected = [len(CLIENT_POOLS), 1, 1, 1][number % 4]
            assert len(log[f"{client}-{number}"]) == expected, "half of a command is in the log"
    return ends


def retry(ledger: Ledger, ends: dict[str, int], log: dict[str, list[Row]], told: Told) -> None:
    """Send each client's last command and its next one again, twice; each has one outcome."""
    for client, end in ends.items():
        for number in range(max(end - 1, 0), end + 1):
            command = client_command(client, number)
            first, second = (ledger.submit(command).result(DEADLINE_SECONDS) for _ in range(2))
            assert first.repeated is (first.command_id in log)
            assert second.repeated
            assert first.records == second.records
            assert (first.refusal is not None) is (number % 4 == 1)
            told[first.command_id] = (first.position, first.refusal is None)


class Load:
    """Clients in threads of this process, each of which sends a command until it gets its answer, then the next."""

    def __init__(self, ledger: Ledger, clients: int, name: str = "client") -> None:
        self._ledger = ledger
        self._ended = Event()
        self.told: Told = {}
        self.transient: list[LogUnavailable] = []
        """What callers were told that may send their commands again."""
        self.failures: list[BaseException] = []
        """What no caller may be told."""
        self.clients = [f"{name}-{number:02}" for number in range(clients)]
        self.threads = [Thread(target=self._run, args=(client,)) for client in self.clients]

    def _run(self, client: str) -> None:
        try:
            number = 0
            while not self._ended.is_set():
                number += self._send(client, number)
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            self.failures.append(error)

    def _send(self, client: str, number: int) -> bool:
        command = client_command(client, number)
        try:
            outcome = self._ledger.submit(command).result(DEADLINE_SECONDS)
        except LogUnavailable as error:
            self.transient.append(error)
            return False
        self.told[outcome.command_id] = (outcome.position, outcome.refusal is None)
        return True

    def wait_for(self, answers: int) -> None:
        """Wait until so many more commands were answered."""
        enough = len(self.told) + answers
        self.wait_until(lambda: len(self.told) >= enough)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, as long as there are clients."""
        while not is_so():
            assert not self.failures, self.failures
            assert any(thread.is_alive() for thread in self.threads)
            self._ended.wait(0.01)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self.threads:
            thread.join(2 * DEADLINE_SECONDS)
