"""An attempt to record commands in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from holdbook.domain.commands import Command
    from holdbook.domain.handling.batch import Batch, Outcome, PendingCommand
    from holdbook.domain.records import LogPosition

    Accept = Callable[[Command, Outcome], object]


@dataclass(slots=True)
class CommitAttempt:
    """Commands to be recorded in one transaction, and what came of it."""

    asked: list[PendingCommand]
    more: Callable[[], Iterable[PendingCommand]] | None = None
    """Gives the commands that came while the log's lock was waited for."""
    atomic: bool = False
    """Whether an error in one of the commands is one of all: then nothing is recorded."""
    accept: Accept | None = None
    """Told each command and its outcome before anything is recorded; what it raises is an error in that command."""
    answers: Sequence[Outcome | Exception] = ()
    """What the commands' callers are told, once it is sure that the transaction was committed."""
    end: LogPosition | None = None
    """Its last row, if it has any: if the log holds that, it was committed, whatever was heard of it."""
    events: int = 0
    """How many events it has."""

    def answer(self, one: PendingCommand, batch: Batch) -> Outcome | Exception:
        """Have a command decided; raises what is an error of all."""
        answer = batch.answer(one, atomic=self.atomic)
        if self.accept is not None and not isinstance(answer, Exception):
            self.accept(one.command, answer)
        return answer
