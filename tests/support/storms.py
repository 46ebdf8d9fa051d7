"""Orders for processes that storm one log together: races, retries, refusals; see `support.processes.obey`."""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from holdbook import Allocate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from holdbook import Ledger, Outcome


class Answer(NamedTuple):
    """What a caller was told."""

    command_id: str
    position: int | None
    code: str | None
    """Of a refusal."""
    repeated: bool

    @classmethod
    def of(cls, outcome: Outcome) -> Answer:
        """Take from an outcome what is compared."""
        return cls(outcome.command_id, outcome.position, _code(outcome), outcome.repeated)


def _code(outcome: Outcome) -> str | None:
    return outcome.refusal.code.value if outcome.refusal else None


@dataclass(frozen=True)
class Nothing:
    """Stand by."""

    def __call__(self, _ledger: Ledger) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Race:
    """Take single units of every pool, from several threads, until there is none; answers how many of each."""

    pools: Sequence[str]
    threads: int

    def __call__(self, ledger: Ledger) -> dict[str, int]:
        """Begin with another pool in each thread."""
        with ThreadPoolExecutor(self.threads) as threads:
            of_thread = [(*self.pools[n:], *self.pools[:n]) for n in range(self.threads)]
            taken = list(threads.map(lambda pools: {pool: self._take_all(ledger, pool) for pool in pools}, of_thread))
        return {pool: sum(one[pool] for one in taken) for pool in self.pools}

    def _take_all(self, ledger: Ledger, pool: str) -> int:
        command = Allocate(quantities={pool: 1}, owner="racer")
        taken = 0
        while ledger.submit(command).result().refusal is None:
            taken += 1
        return taken


@dataclass(frozen=True)
class Storm:
    """Send commands with ids, half of them repeats of any process's ids, from threads; answers every answer."""

    pool: str
    me: int
    processes: int
    commands: int
    threads: int

    def __call__(self, ledger: Ledger) -> list[Answer]:
        """Send fresh commands and repeats in turn; who comes first with an id is not known."""
        with ThreadPoolExecutor(self.threads) as threads:
            return [
                answer for some in threads.map(lambda n: self._send(ledger, n), range(self.threads)) for answer in some
            ]

    def _send(self, ledger: Ledger, thread: int) -> list[Answer]:
        chance = random.Random(f"{self.me}-{thread}")  # noqa: S311 - which ids come again, not a secret
        answers = []
        for number in range(self.commands):
            answers.append(Answer.of(ledger.submit(self.command(self.me, thread, number)).result()))
            again = self.command(
                chance.randrange(self.processes), chance.randrange(self.threads), chance.randint(0, number)
            )
            answers.append(Answer.of(ledger.submit(again).result()))
        return answers

    def command(self, process: int, thread: int, number: int) -> Allocate:
        """Make the n-th command of a thread up; the same one whoever sends it."""
        command_id = f"{self.pool}-{process}-{thread}-{number}"
        return Allocate(quantities={self.pool: 1}, owner=f"p{process}", command_id=command_id)


@dataclass(frozen=True)
class Busy:
    """Keep commands in flight, for so long or so many; answers how many were answered, and in how many seconds."""

    pool: str
    name: str
    kind: Literal["fresh", "half repeats"] = "fresh"
    seconds: float = 3600.0
    commands: int = 10**9
    in_flight: int = 32
    per_second_max: float = float("inf")

    def __call__(self, ledger: Ledger) -> tuple[dict[str | None, int], float]:
        """Count the answers by refusal code; None counts the grants."""
        flight: deque[Future[Outcome]] = deque()
        told: dict[str | None, int] = {}

        def land() -> None:
            code = _code(flight.popleft().result())
            told[code] = told.get(code, 0) + 1

        begun = time.monotonic()
        for sent, command in enumerate(itertools.islice(self._made_up(), self.commands)):
            elapsed = time.monotonic() - begun
            if elapsed >= self.seconds:
                break
            if sent > self.per_second_max * elapsed:
                time.sleep(sent / self.per_second_max - elapsed)
            flight.append(ledger.submit(command))
            if len(flight) >= self.in_flight:
                land()
        while flight:
            land()
        return told, time.monotonic() - begun

    def _made_up(self) -> Iterator[Allocate]:
        chance = random.Random(self.name)  # noqa: S311 - which ids come again, not a secret
        for number in itertools.count():
            fresh = number // 2 if self.kind == "half repeats" else number
            chosen = chance.randint(0, fresh) if self.kind == "half repeats" and number % 2 else fresh
            yield Allocate(quantities={self.pool: 1}, owner=self.name, command_id=f"{self.name}-{chosen}")
