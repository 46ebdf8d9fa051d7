"""What a ledger is to those who use one: every command and every question by name, and the log beneath."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from holdbook.domain.handling.named_commands import NamedCommands
from holdbook.domain.handling.named_queries import NamedQueries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.ports import EventLog


class LedgerInterface(NamedCommands, NamedQueries):
    """A ledger of finite resources over a log. Safe to use from several threads.

    `holdbook.Ledger` is the one that programs open. Modules that may not import it use this type.
    """

    @property
    def log(self) -> EventLog:
        """The log, for those who read it: projections, replay, auditors."""
        return self._handler.log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the log's connections back; the ledger is of no use afterwards."""
        self.log.close()

    @abstractmethod
    def submit(self, command: Command) -> Future[Outcome]:
        """Ask for a decision; the future holds the outcome, refusals included, or raises as `execute` does."""

    def check(self, command: Command) -> Outcome:
        """Say what would become of a command now, refusals included, and record nothing.

        Raises `CommandIdReused` and `PoolAlreadyOpen` as `execute` would.
        """
        return self._handler.check(command)

    @abstractmethod
    def record(self, commands: Sequence[Command], *, accept: Accept | None = None) -> list[Outcome]:
        """Decide a batch that brings its own times (an import), all in one transaction or not at all.

        Outcomes are in the commands' order, refusals included. ``accept`` is told each command and its outcome before
        anything is recorded, and may raise what is not acceptable, such as its refusal; if the commit has to be tried
        again, it is told them again. Raises that, and what `execute` raises but `Refused`; then nothing of the batch is
        recorded.
        """
