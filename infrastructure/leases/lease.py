"""A lease: an allocation that is renewed in the background for as long as its holder lives."""

from __future__ import annotations

import weakref
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from holdbook.domain.commands import Renew
from holdbook.domain.errors import HoldbookError, LogUnavailable, Malformed, Overloaded
from holdbook.domain.refusals import RefusalCode, explain
from holdbook.infrastructure.commit.promise import decided
from holdbook.infrastructure.leases import renewals
from holdbook.infrastructure.telemetry.context import about_error
from holdbook.infrastructure.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from types import TracebackType

    from holdbook.domain.commands import Command
    from holdbook.domain.errors import Refused
    from holdbook.domain.handling.outcome import Outcome
    from holdbook.domain.values import Token
    from holdbook.infrastructure.commit.promise import Promise
    from holdbook.infrastructure.leases.renewals import Leases

    OnLost = Callable[["LeaseLost"], object]
    """Is called when a lease is lost; what it returns is ignored."""

RENEWALS_A_TTL: Final = 3
"""A lease is renewed after its time to live divided by this: a third of it."""

GRACES_A_TTL: Final = 6
"""Unless it is given, the grace is the time to live divided by this: a sixth of it."""

PAUSES_A_TTL: Final = 20
"""A renewal that failed is tried again after the time to live divided by this, a twentieth of it, at the latest."""

_PAUSE_SECONDS_MAX: Final = 1.0
"""The longest pause before a renewal that failed is tried again."""

logger = get_logger()


class LeaseLost(HoldbookError):
    """The lease is lost: somebody else may hold the resource by now."""

    def __init__(self, allocation_id: str, since: datetime, why: str) -> None:
        self.allocation_id = allocation_id
        self.since = since
        """When that was noticed, by the ledger's clock (UTC)."""
        self.why = why
        super().__init__(
            f"the lease of allocation {allocation_id!r} is lost since {since:%Y-%m-%d %H:%M:%S}Z: {why}; "
            "stop using the resource, as somebody else may hold it, and allocate anew"
        )


class RenewalLedger(Protocol):
    """A ledger that decides commands; see `holdbook.infrastructure.ledger.Ledger`."""

    def execute(self, command: Command) -> Outcome:
        """Decide a command and wait for its outcome; raises `Refused`, `Overloaded` and `LogUnavailable`."""
        ...

    def submit(self, command: Command) -> Promise:
        """Ask for a command to be decided, without waiting; raises `Overloaded` and `LogUnavailable`."""
        ...


class Lease:
    """Keeps an allocation from lapsing until the lease is closed or lost, or nobody refers to this object any more.

    `Ledger.keep_alive` and `Held.keep_alive` make one. It begins with `start`, or with a ``with`` or ``async with``
    block, which closes it at its end. It only renews the allocation; releasing it is up to the holder. Safe to use from
    several threads and tasks.
    """

    def __init__(  # noqa: PLR0913 - all but three by name, each with a default
        self,
        ledger: RenewalLedger,
        leases: Leases,
        allocation_id: str,
        *,
        token: Token | None = None,
        ttl: timedelta | None = None,
        grace: timedelta | None = None,
        on_lost: OnLost | None = None,
    ) -> None:
        self._command = Renew(allocation_id=allocation_id, token=token, ttl=ttl)
        self._grace = _check_grace(grace, self._command.ttl)
        self._ledger = ledger
        self._leases = leases
        self._shared = leases.shared_state(allocation_id)
        self._on_lost = on_lost
        self._lock = RLock()
        self._begun = False
        self._over = Event()
        self._lost: LeaseLost | None = None
        self._ttl = 0.0
        """The time to live that the last renewal gave, in seconds."""
        self._sent = 0.0
        """When the last renewal that succeeded was sent, on the clock of `renewals.elapsed`."""
        self._until = 0.0
        """When the lease is lost unless it is renewed before, on the same clock."""
        self._next = 0.0
        """When to renew next, on the same clock."""
        self._pending: Promise | None = None
        """The renewal that was sent and is not answered yet."""
        self._trouble: BaseException | None = None
        """Why the last renewal failed; None if it succeeded."""
        self._deadline: datetime | None = None

    @property
    def allocation_id(self) -> str:
        """The id of the allocation that is kept."""
        return self._command.allocation_id

    @property
    def token(self) -> Token | None:
        """The allocation's fencing token, for the resource to check; None, unless given, until the lease begins."""
        return self._command.token

    @property
    def deadline(self) -> datetime | None:
        """When the allocation lapses unless it is renewed again, by the ledger's clock; None until the lease begins."""
        return self._deadline

    @property
    def seconds_left(self) -> float:
        """How many seconds the holder may still go on if no renewal succeeds; 0 once the lease is over."""
        return 0.0 if self.lost or self._over.is_set() else max(self._until - renewals.elapsed(), 0.0)

    @property
    def lost(self) -> LeaseLost | None:
        """Why the lease is lost; None while it is kept, and after it was closed in time.

        Raises `LogUnavailable` in a process that was forked from the holder's: such a process holds nothing.
        """
        self._leases.fork_guard.check()  # before the lock, which a fork may have left locked
        with self._lock:
            if self._begun and not self._over.is_set() and renewals.elapsed() >= self._until:
                why = f"no renewal was confirmed for {self._until - self._sent:g} s"
                self._lose(f"{why}: {self._trouble}" if self._trouble else why, self._trouble)
            return self._lost

    def check(self) -> None:
        """Raise `LeaseLost` unless the lease is kept at this moment. This asks only the clock, not the ledger."""
        lost = self.lost
        if lost is not None:
            raise lost
        if not self._begun or self._over.is_set():
            raise self._loss("it was closed" if self._begun else "it has not begun")

    def wait_lost(self, timeout: float | None = None) -> LeaseLost | None:
        """Wait until the lease is over, at most ``timeout`` seconds, and give what `lost` then says."""
        self._over.wait(timeout)
        return self.lost

    # Beginning and end

    def start(self) -> Self:
        """Renew the allocation now, and keep it from now on.

        Raises `Refused` if it cannot be renewed, for example because it has ended, or because there is no time to live,
        neither given nor as a default of its pools; `Malformed` if the grace is not less than the time to live;
        `LogUnavailable`; and RuntimeError if the lease has begun before.
        """
        self._begin_once()
        sent = renewals.elapsed()
        self._begin(sent, self._ledger.execute(self._command))
        return self

    def close(self) -> None:
        """Stop renewing. The allocation stays as it is: it lapses at its deadline unless it is released."""
        with self._lock:
            self._over.set()
            pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()  # has no effect if it is being decided already

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost = self.lost
        self.close()
        if lost is not None and error is None:
            raise lost
        if lost is not None and error is not None and error is not lost:
            error.add_note(str(lost))

    async def __aenter__(self) -> Self:
        self._begin_once()
        sent = renewals.elapsed()
        self._begin(sent, await decided(self._ledger.submit(self._command)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _begin_once(self) -> None:
        with self._lock:
            if self._begun or self._over.is_set():
                message = "a lease begins once: ask for another with keep_alive"
                raise RuntimeError(message)

    def _begin(self, sent: float, outcome: Outcome) -> None:
        """Begin with the outcome of the first renewal, and when that was sent; raises `Malformed` for the grace."""
        with self._lock:
            self._renewed(sent, outcome)
            if self._until <= sent:
                raise Malformed("grace", self._grace, f"expected less than the time to live, {self._ttl:g} s")
            self._begun = True
            self._leases.turn_at(self._next, self)

    # Renewing

    def turn(self) -> None:
        """Do what is due by now: send a renewal, or notice that the lease is lost."""
        with self._lock:
            if self._over.is_set() or self.lost is not None:
                return
            now = renewals.elapsed()
            if self._pending is None and now >= self._next:
                self._send(now)
            if not self._over.is_set():
                self._leases.turn_at(self._until if self._pending else min(self._next, self._until), self)

    def _send(self, sent: float) -> None:
        try:
            self._pending = promise = self._ledger.submit(self._command)
        except HoldbookError as error:
            self._failed(error)
        else:
            # The committer keeps the promise, which must not keep alive a lease that nobody else refers to.
            promise.add_done_callback(partial(_answered, weakref.ref(self), sent))

    def answered(self, sent: float, promise: Promise) -> None:
        """Take the answer to a renewal that was sent at a moment on the clock of `renewals.elapsed`."""
        with self._lock:
            if self._pending is not promise:
                return  # the lease was closed or lost meanwhile
            self._pending = None
            error = promise.exception()
            if error is not None:
                self._failed(error)
            elif (refusal := promise.result().refusal) is not None:
                self._refused(refusal)
            else:
                self._renewed(sent, promise.result())
            if not self._over.is_set():
                self._leases.turn_at(min(self._next, self._until), self)

    def _renewed(self, sent: float, outcome: Outcome) -> None:
        """Note the new deadline; time counts from when the renewal was sent, and the ledger counts from later."""
        renewed: Any = outcome.records[-1]
        self._deadline = renewed.event.deadline
        self._ttl = (renewed.event.deadline - renewed.occurred_at).total_seconds()
        grace = self._ttl / GRACES_A_TTL if self._grace is None else self._grace.total_seconds()
        self._sent, self._trouble = sent, None
        self._until = sent + self._ttl - grace
        self._next = sent + min(self._ttl / RENEWALS_A_TTL, (self._ttl - grace) / 2)
        if self._command.token is None and outcome.allocation is not None:
            self._command = self._command.model_copy(update={"token": outcome.allocation.token})

    def _refused(self, refusal: Refused) -> None:
        if refusal.code is RefusalCode.ALLOCATION_ENDED and self._shared.ends_here:
            self.close()
        else:
            self._lose(f"its renewal was refused ({refusal.code}), as {explain(refusal.code, refusal.data)}", refusal)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Overloaded) or (isinstance(error, LogUnavailable) and error.transient):
            self._warn("lease_not_renewed", error, error)
            self._trouble = error
            self._next = renewals.elapsed() + min(self._ttl / PAUSES_A_TTL, _PAUSE_SECONDS_MAX)
        else:
            self._lose(f"it cannot be renewed: {error}", error)

    # Losing

    def closed_with_ledger(self) -> None:
        """Note that the ledger was closed, so that nothing renews the lease any more: it is lost."""
        with self._lock:
            if not self._over.is_set():
                self._lose("its ledger was closed")

    def _loss(self, why: str) -> LeaseLost:
        return LeaseLost(self.allocation_id, self._leases.clock(), why)

    def _lose(self, why: str, cause: BaseException | None = None) -> None:
        self._lost = self._loss(why)
        self._lost.__cause__ = cause
        self.close()
        self._warn("lease_lost", self._lost, cause)
        if self._on_lost is not None:
            Thread(target=self._on_lost, args=(self._lost,), name="holdbook-lease-lost", daemon=True).start()

    def _warn(self, event: str, error: BaseException, cause: BaseException | None) -> None:
        about = {"allocation_id": self.allocation_id, **(about_error(cause) if cause else {})}
        logger.warning(event, **about, error=str(error))


def _answered(reference: weakref.ref[Lease], sent: float, promise: Promise) -> None:
    lease = reference()
    if lease is not None:
        lease.answered(sent, promise)


def _check_grace(grace: Any, ttl: timedelta | None) -> timedelta | None:  # noqa: ANN401 - anything may be given
    """Read a grace, a duration or a number of seconds; raises `Malformed`."""
    with suppress(ValueError, OverflowError):
        found = timedelta(seconds=grace) if type(grace) in {int, float} else grace
        if found is None or (isinstance(found, timedelta) and timedelta() <= found and (ttl is None or found < ttl)):
            return found
    raise Malformed("grace", grace, "expected a duration from 0, less than the time to live")
