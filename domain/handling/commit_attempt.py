"""An attempt to record commands in one transaction, and the answers that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdbook.domain.errors import LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.batch import Batch
    from holdbook.domain.handling.outcome import Outcome, PendingCommand
    from holdbook.domain.records import LogPosition

    Accept = Callable[[Command, Outcome], object]
    """Is told each command and its outcome before anything is recorded; it may raise what is not acceptable."""


@dataclass(slots=True)
class CommitAttempt:
    """Commands to be recorded in one transaction. It is tried until it is known what became of it."""

    asked: list[PendingCommand]
    more: Callable[[], Iterable[PendingCommand]] | None = None
    """Called once the log's lock is held; gives the commands that came while it was waited for."""
    atomic: bool = False
    """Whether an error in one command is an error of all, so that nothing is recorded."""
    accept: Accept | None = None
    """Is told each command and its outcome; what it raises is an error in that command."""
    answers: Sequence[Outcome | Exception] = ()
    """What the callers are told, command by command, once the transaction is known to be committed."""
    end: LogPosition | None = None
    """The last row that the last try sent, if it sent any. If the log holds it, that try was committed, whatever its
    connection reported."""
    events: int = 0
    """How many events were sent."""

    def answer(self, one: PendingCommand, batch: Batch) -> Outcome | Exception:
        """Have one command decided in a batch; raises what is an error of all."""
        answer = batch.answer(one, atomic=self.atomic)
        if self.accept is not None and not isinstance(answer, Exception):
            self.accept(one.command, answer)
        return answer


def answers_of(attempt: CommitAttempt, commit: Callable[[CommitAttempt], object]) -> Sequence[Outcome | BaseException]:
    """Commit an attempt, and give every command its answer, whatever happens; never raises."""
    try:
        commit(attempt)
    except LogUnavailable as error:
        return [error.about(one.command_id) for one in attempt.asked]
    except BaseException as error:  # noqa: BLE001 - every caller that waits is told, whatever it was
        return [error] * len(attempt.asked)
    return attempt.answers
