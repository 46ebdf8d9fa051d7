"""The sweeper: it records expiries soon after they are due, some at a time."""

from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self, Unpack

from holdbook.domain.checks import given_seconds
from holdbook.domain.commands import Expire
from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, Overloaded
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from holdbook.domain.handling.interface import LedgerInterface
    from holdbook.domain.handling.named_commands import Envelope
    from holdbook.domain.handling.outcome import Outcome

SWEEP_SECONDS: Final = 1.0
"""How long a sweeper sleeps at most, unless another interval is given."""

SWEEP_ALLOCATIONS: Final = 500
"""About how many allocations one command expires, unless another number is given."""

_PAUSE_SECONDS_MAX: Final = 30.0
"""The longest pause after a failure, unless the interval is longer."""

logger = get_logger()


class Sweeper:
    """Records expiries soon after they are due.

    The ledger's limits hold without a sweeper: it serves the views, and whoever watches the log. It sleeps until the
    next deadline, but at most ``interval`` seconds, because other processes write too and clocks are set. Then it
    expires what is due, about ``batch`` allocations a command. Any number of sweepers may run at the same time. In a
    service, ``with Sweeper(ledger):`` runs one in a thread until the block ends. ``tell`` is called with the outcome of
    each command that expired something; an error that it raises ends the sweeper. Raises `Malformed` for an interval
    that is not above 0, for a batch that is not a whole number from 1, and for a ``command_id``.
    """

    def __init__(
        self,
        ledger: LedgerInterface,
        *,
        interval: float = SWEEP_SECONDS,
        batch: int = SWEEP_ALLOCATIONS,
        tell: Callable[[Outcome], object] = id,
        **envelope: Unpack[Envelope],
    ) -> None:
        self._interval = given_seconds("interval", interval)
        self._ledger = ledger
        if type(batch) is not int or batch < 1:
            raise Malformed("batch", batch, "expected a whole number from 1")
        if envelope.get("command_id") is not None:
            raise Malformed("command_id", envelope["command_id"], "expected none: a sweeper sends many commands")
        self.command = Expire(limit=batch, **envelope)
        """The command that it sends, again and again."""
        self._tell = tell
        self._stop = Event()
        self._threads: list[Thread] = []

    def sweep(self, stop: Event | None = None) -> int:
        """Expire all that is due now, about a batch at a time, and give the number of allocations that expired.

        When ``stop`` is set, it returns after the present batch. Raises `Overloaded` and `LogUnavailable`.
        """
        found = 0
        while stop is None or not stop.is_set():
            outcome = self._ledger.execute(self.command)
            if not outcome.expired:
                break
            found += len(outcome.expired)
            self._tell(outcome)
        return found

    def run(self, stop: Event, heed: Callable[[HoldbookError], object] = id) -> None:
        """Sweep whenever something is due, until ``stop`` is set.

        ``heed`` is called with each failure that may pass, such as a database that cannot be reached. It is then tried
        again, after pauses that grow to half a minute. Raises a `LogUnavailable` that does not pass by itself.
        """
        failures = 0
        while not stop.is_set():
            try:
                pause = self._turn(stop)
                failures = 0
            except (LogUnavailable, Overloaded) as error:
                if isinstance(error, LogUnavailable) and not error.transient:
                    raise
                heed(error)
                failures += 1
                pause = self._pause(failures)
            stop.wait(pause)

    def _turn(self, stop: Event) -> float:
        """Sweep if something is due, and give how long to sleep afterwards, in seconds."""
        left = self._ledger.time_to_deadline()
        if left is None:
            return self._interval
        if left > timedelta():
            return min(left.total_seconds(), self._interval)
        return 0.0 if self.sweep(stop) else self._interval

    def _pause(self, failures: int) -> float:
        """Give how long to wait after so many failures in a row, in seconds: twice as long each time."""
        return min(self._interval * 2.0 ** min(failures, 20), max(_PAUSE_SECONDS_MAX, self._interval))

    def __enter__(self) -> Self:
        self._stop.clear()
        thread = Thread(target=self._serve, name="holdbook-sweeper", daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while self._threads:
            self._threads.pop().join()

    def _serve(self) -> None:
        """Run until the block ends, whatever the ledger raises: even a clock that is wrong may be set right one day."""
        failures = 0
        while not self._stop.is_set():
            try:
                self.run(self._stop, self._heed)
            except HoldbookError as error:
                failures += 1
                self._heed(error)
                self._stop.wait(self._pause(failures))

    def _heed(self, error: HoldbookError) -> None:
        logger.warning("sweeper_waits", error=str(error))
