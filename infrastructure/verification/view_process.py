"""Compare views in a process of their own, while this one checks the log: each reads the log on a core of its own."""

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
"""The least number of events for which another process is worth the time to start it."""

_LOOK_SECONDS: Final = 0.1
"""How often progress is reported while nothing is left to do but wait for the views."""

_CODE: Final = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from holdbook.infrastructure.verification.view_process import work; work(sys.stdin.buffer, sys.stdout.buffer)"
)


def pays(events: int) -> bool:
    """Tell whether two processes are faster than one: there are enough events, and more than one core.

    ``events`` may be no number at all if the log was tampered with: then the answer is no.
    """
    return type(events) is int and events >= EVENTS_MIN and (os.cpu_count() or 1) > 1


class ViewProcess:
    """Compares a ledger's views in another process, which is ended at the block's end."""

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
            self._reader.join()  # before the pipe is closed, which it must not be while it is read
            self._process.communicate()

    def begin(self, head: int) -> None:
        """Start the process, for the log up to position ``head``. Ctrl-C in the terminal does not reach it."""
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        answers = cast("IO[bytes]", self._process.stdout)
        self._reader = Thread(target=self._read, args=(answers,), name="holdbook-views-apart", daemon=True)
        self._reader.start()
        pipe = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError):  # the process has ended: `result` raises that
            for request in (sys.path, (self._url, head)):
                pickle.dump(request, pipe)
            pipe.flush()

    def done(self) -> int:
        """Tell how many events have been folded so far."""
        return self._done

    def result(self, tell: Callable[[int], None]) -> ViewComparison:
        """Wait for the comparison; raises `LogUnavailable` if the process fails, or ends without one.

        ``tell`` is called now and then with the number of events folded.
        """
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
            while not isinstance(message := pickle.load(pipe), ViewComparison | str):  # noqa: S301 - from a process that this one started
                self._done = message
            self._answer = message
        except (EOFError, pickle.UnpicklingError):  # the process was ended
            pass


def work(request: IO[bytes], answer: IO[bytes]) -> None:
    """Compare views in this process: read the request, write progress, then the comparison or an error's message."""

    def send(message: int | str | ViewComparison) -> None:
        pickle.dump(message, answer)
        answer.flush()

    url, head = pickle.load(request)  # noqa: S301 - from the process that started this one
    database = Database(url)
    try:
        views = views_of(SQLEventLog(database, EventMapper()))
        views.begin(head)
        with no_collections():
            send(views.result(send))
    except HoldbookError as error:
        send(str(error))
    except BrokenPipeError:  # the process that asked has ended
        pass
    finally:
        database.close()
