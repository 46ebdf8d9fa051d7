"""What a case is: something to measure, told by system, database, work, kind of callers and number of clients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.measure import Sample, Span


class NotAvailable(RuntimeError):
    """What a case needs cannot be had on this machine; that is no failure."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure, in rounds."""

    system: str
    database: str
    work: str
    callers: str
    clients: int
    run: Callable[[Span], Sample]
    """Measure one round, in a fresh database."""

    @property
    def key(self) -> str:
        """Name the case; what --only looks through."""
        return key(self.system, self.database, self.work, self.callers, self.clients)


def for_clients(
    *, system: str, database: str, work: str, clients: Iterable[int], run: Callable[[int, Span], Sample]
) -> Iterator[Case]:
    """List the cases of one work at several numbers of clients, each client in a thread of its own."""
    for number in clients:
        yield Case(
            system=system,
            database=database,
            work=work,
            callers="threads",
            clients=number,
            run=partial(run, number),
        )


def key(system: str, database: str, work: str, callers: str, clients: int) -> str:  # the order of the columns
    """Name a case by what it is."""
    return f"{system}, {database}, {work}, {clients} {callers}"
