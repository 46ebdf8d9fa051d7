"""A ledger without threads: commands are handled in the thread that asks, one transaction each."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from holdbook.domain.handling.commit_attempt import CommitAttempt, answers_of
from holdbook.domain.handling.handler import CommandHandler
from holdbook.domain.handling.interface import LedgerInterface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.ports import Clock, EventLog, NewId


class PlainLedger(LedgerInterface):
    """The domain's command handler, and nothing around it."""

    def __init__(self, log: EventLog, *, clock: Clock, new_id: NewId, actor: str | None = None) -> None:
        self.handler = self._handler = CommandHandler(log, clock=clock, new_id=new_id, actor=actor)

    def execute(self, command: Command, *, timeout: float | None = None) -> Outcome:  # noqa: ARG002 - nothing is waited for
        """Decide a command now."""
        (answer,) = self.together(command)
        if isinstance(answer, BaseException):
            raise answer
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    def submit(self, command: Command) -> Future[Outcome]:
        """Decide a command now, and give a future that is done."""
        future: Future[Outcome] = Future()
        (answer,) = self.together(command)
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    def record(self, commands: Sequence[Command], *, accept: Accept | None = None) -> list[Outcome]:
        """Decide a batch that brings its own times."""
        attempt = self.handler.prepare_batch(commands, accept)
        self.handler.try_commit(attempt)
        return attempt.answers  # type: ignore[return-value]  # all or nothing: an error is raised

    def together(self, *commands: Command) -> Sequence[Outcome | BaseException]:
        """Decide commands in one transaction, as group commit does, and give each its answer."""
        attempt = CommitAttempt([self.handler.settle(command) for command in commands])
        return answers_of(attempt, self.handler.try_commit)
