"""Leases: allocations that are renewed in the background for as long as their holder is there."""

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

RENEWALS_A_TTL: Final = 3
"""A lease is renewed when this part of its time to live is over: a third."""

GRACES_A_TTL: Final = 6
"""The grace, unless it is given, is this part of the time to live: a sixth."""

PAUSES_A_TTL: Final = 20
"""After a renewal that failed, the next try comes after this part of the time to live, a twentieth, at the latest."""

_PAUSE_SECONDS_MAX: Final = 1.0

logger = get_logger()


class LeaseLost(HoldbookError):
    """The lease is over: somebody else may hold the resource by now."""

    def __init__(self, allocation_id: str, since: datetime, why: str) -> None:
        self.allocation_id = allocation_id
        self.since = since
        """When that was found, by the ledger's clock (UTC)."""
        self.why = why
        super().__init__(
            f"the lease of allocation {allocation_id!r} is lost since {since:%Y-%m-%d %H:%M:%S}Z: {why}; "
            "stop using the resource, as somebody else may hold it, and allocate anew"
        )


class Deciding(Protocol):
    """A ledger that decides commands; see `holdbook.infrastructure.ledger.Ledger`."""

    def execute(self, command: Command) -> Outcome:
        """Decide a command, and wait for its outcome; raises `Refused`, `Overloaded` and `LogUnavailable`."""
        ...

    def submit(self, command: Command) -> Promise:
        """Ask for a command's decision, and go on; raises `Overloaded` and `LogUnavailable`."""
        ...


class Lease:
    """Keeps an allocation from lapsing until it is closed, lost, or nobody has this object any more.

    `Ledger.keep_alive` and `Held.keep_alive` make it; it begins with `start`, or with a ``with`` or ``async with``
    block, whose end closes it. It renews; it does not release. Safe to use from several threads and tasks.
    """

    def __init__(  # noqa: PLR0913 - what it is about, and how it is kept, each by name
        self,
        ledger: Deciding,
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
        self._subject = leases.subject(allocation_id)
        self._on_lost = on_lost
        self._lock = RLock()
        self._begun = False
        self._over = Event()
        self._lost: LeaseLost | None = None
        self._ttl = 0.0
        self._sent = 0.0
        """When the last renewal that succeeded was sent, on the clock of `renewals.elapsed`."""
        self._until = 0.0
        """When the holder takes the lease for lost."""
        self._next = 0.0
        """When to renew next."""
        self._pending: Promise | None = None
        """The renewal under way."""
        self._trouble: BaseException | None = None
        """Why the last try failed."""
        self._deadline: datetime | None = None

    @property
    def allocation_id(self) -> str:
        """The allocation that is kept."""
        return self._command.allocation_id

    @property
    def token(self) -> Token | None:
        """Its fencing token, for the resource; None before the lease has begun, unless it was given."""
        return self._command.token

    @property
    def deadline(self) -> datetime | None:
        """When the allocation lapses unless it is renewed again, by the ledger's time; None before the beginning."""
        return self._deadline

    @property
    def seconds_left(self) -> float:
        """For how long the holder may go on unless a renewal comes: 0 once the lease is over."""
        return 0.0 if self.lost or self._over.is_set() else max(self._until - renewals.elapsed(), 0.0)

    @property
    def lost(self) -> LeaseLost | None:
        """Why the lease is lost; None while it is kept, and after it was closed in time.

        Raises `LogUnavailable` in a process that was forked from the holder: that one holds nothing.
        """
        self._leases.birthplace.check()  # before the lock, which a fork may have left locked
        with self._lock:
            if self._begun and not self._over.is_set() and renewals.elapsed() >= self._until:
                why = f"no renewal was confirmed for {self._until - self._sent:g} s"
                self._lose(f"{why}: {self._trouble}" if self._trouble else why, self._trouble)
            return self._lost

    def check(self) -> None:
        """Raise `LeaseLost` unless the lease is kept at this moment; costs no trip to the ledger."""
        lost = self.lost
        if lost is not None:
            raise lost
        if not self._begun or self._over.is_set():
            raise self._loss("it was closed" if self._begun else "it has not begun")

    def wait_lost(self, timeout: float | None = None) -> LeaseLost | None:
        """Wait until the lease is over, or so many seconds at most; why it is lost, or None if it is not."""
        self._over.wait(timeout)
        return self.lost

    # Beginning and end

    def start(self) -> Self:
        """Renew the allocation now, and keep it from now on.

        Raises `Refused` if it cannot be renewed, having ended say, or having neither a ttl nor a default; `Malformed`
        for a grace that is not less than the time to live; `LogUnavailable`; RuntimeError for one that has begun.
        """
        self._begin_once()
        sent = renewals.elapsed()
        self._begin(sent, self._ledger.execute(self._command))
        return self

    def close(self) -> None:
        """Renew it no more. The allocation stays as it is: it lapses at its deadline unless it is released."""
        with self._lock:
            self._over.set()
            pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()  # if it still waits

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
        with self._lock:
            self._renewed(sent, outcome)
            if self._until <= sent:
                raise Malformed("grace", self._grace, f"expected less than the time to live, {self._ttl:g} s")
            self._begun = True
            self._leases.turn_at(self._next, self)

    # Renewing

    def turn(self) -> None:
        """Do what is due by now: renew, or take it for lost."""
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
            # The promise is the committer's: it must not keep a lease that nobody else has.
            promise.add_done_callback(partial(_answered, weakref.ref(self), sent))

    def answered(self, sent: float, promise: Promise) -> None:
        """Hear what came of a renewal."""
        with self._lock:
            if self._pending is not promise:
                return  # it was closed, or lost, meanwhile
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
        """Count the time to live from before the renewal was sent: the ledger counts it from later."""
        own: Any = outcome.records[-1]
        self._deadline = own.event.deadline
        self._ttl = (own.event.deadline - own.occurred_at).total_seconds()
        grace = self._ttl / GRACES_A_TTL if self._grace is None else self._grace.total_seconds()
        self._sent, self._trouble = sent, None
        self._until = sent + self._ttl - grace
        self._next = sent + min(self._ttl / RENEWALS_A_TTL, (self._ttl - grace) / 2)
        if self._command.token is None and outcome.allocation is not None:
            self._command = self._command.model_copy(update={"token": outcome.allocation.token})

    def _refused(self, refusal: Refused) -> None:
        if refusal.code is RefusalCode.ALLOCATION_ENDED and self._subject.ends_here:
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
        """Hear that nothing renews it any more."""
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


def _answered(kept: weakref.ref[Lease], sent: float, promise: Promise) -> None:
    lease = kept()
    if lease is not None:
        lease.answered(sent, promise)


def _check_grace(grace: Any, ttl: timedelta | None) -> timedelta | None:  # noqa: ANN401 - whatever was given
    with suppress(ValueError, OverflowError):
        found = timedelta(seconds=grace) if type(grace) in {int, float} else grace
        if found is None or (isinstance(found, timedelta) and timedelta() <= found and (ttl is None or found < ttl)):
            return found
    raise Malformed("grace", grace, "expected a duration from 0, less than the time to live")
