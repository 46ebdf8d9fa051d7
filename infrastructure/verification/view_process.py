"""Views compared in a process of their own, while another one checks the log: both read it, each with a core."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from threading import Thread
from typing import IO, TYPE_CHECKING, Final, Self, cast

from holdbook.domain.errors import HoldbookError, LogUnavailable
from holdbook.infrastructure.database.database import Database
from holdbook.infrastructure.log.mapper import EventMapper
from holdbook.infrastructure.log.sql_log import SQLEventLog
from holdbook.infrastructure.verification.view_checks import views_of
from holdbook.projections.fold import no_collections
from holdbook.replay.verification.view_check import ViewComparison

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS_MIN: Final = 50_000
"""Below this many events a process is not worth its start."""

_LOOK_SECONDS: Final = 0.1
"""How often it is told how far the views have come, once that is all that is waited for."""

_CODE: Final = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from holdbook.infrastructure.verification.view_process import work; work(sys.stdin.buffer, sys.stdout.buffer)"
)


def pays(events: int) -> bool:
    """Tell whether there are so many events, and so many cores, that two processes are faster than one.

    A log that was tampered with may end at a position that is no number: then it is not told.
    """
    return type(events) is int and events >= EVENTS_MIN and (os.cpu_count() or 1) > 1


class ViewsApart:
    """Compares a ledger's views in another process, which ends with the block."""

    def __init__(self, database: Database) -> None:
        self._url = database.url.render_as_string(hide_password=False)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: Thread | None = None
        self._done = 0
        self._answer: ViewComparison | str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._reader is not None:
            self._process.kill()
            self._reader.join()  # it comes to the end, and nobody closes the pipe while it reads
            self._process.communicate()

    def begin(self, head: int) -> None:
        """Start the process. What interrupts this one does not reach it: it is ended with the block."""
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        answers = cast("IO[bytes]", self._process.stdout)
        self._reader = Thread(target=self._read, args=(answers,), name="holdbook-views-apart", daemon=True)
        self._reader.start()
        pipe = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError):  # it ended, which the result tells
            for told in (sys.path, (self._url, head)):
                pickle.dump(told, pipe)
            pipe.flush()

    def done(self) -> int:
        """Tell how many events have been folded so far."""
        return self._done

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Wait for what was found; raises `LogUnavailable` if the process cannot tell."""
        while self._reader is not None and self._reader.is_alive():
            self._reader.join(_LOOK_SECONDS)
            tell(self._done)
        if self._process is not None:
            self._process.wait()
        if isinstance(self._answer, ViewComparison):
            return self._answer
        message = self._answer or "the process that compares the views was ended"
        raise LogUnavailable(message)

    def _read(self, pipe: IO[bytes]) -> None:
        try:
            while not isinstance(told := pickle.load(pipe), ViewComparison | str):  # noqa: S301 - from a process of our own
                self._done = told
            self._answer = told
        except (EOFError, pickle.UnpicklingError):  # it was ended
            pass


def work(asked: IO[bytes], answer: IO[bytes]) -> None:
    """Compare views in this process: reads what is asked, and writes how far it has come, then what was found."""

    def say(told: int | str | ViewComparison) -> None:
        pickle.dump(told, answer)
        answer.flush()

    url, head = pickle.load(asked)  # noqa: S301 - from the process that started this one
    database = Database(url)
    try:
        views = views_of(SQLEventLog(database, EventMapper()))
        views.begin(head)
        with no_collections():
            say(views.result(say))
    except HoldbookError as error:
        say(str(error))
    except BrokenPipeError:  # whoever asked is gone
        pass
    finally:
        database.close()
