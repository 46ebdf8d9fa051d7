"""The domain API: every way in builds the same commands and meets the same decisions."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from holdbook.domain.allocation import Allocation, AllocationState, fold
from holdbook.domain.answers import Answer
from holdbook.domain.checks import given_name
from holdbook.domain.commands import (
    Allocate,
    ChangeLimits,
    CloseLedger,
    ClosePool,
    Command,
    Confirm,
    Expire,
    OpenPool,
    Reclaim,
    Release,
    Renew,
    Reserve,
    Resize,
    Transfer,
    Void,
)
from holdbook.domain.errors import LogCorrupt, LogUnavailable, Malformed, NotFound
from holdbook.domain.handling.batch import Batch, Outcome, PendingCommand, PoolStatus, describe
from holdbook.domain.handling.commit_attempt import CommitAttempt
from holdbook.domain.handling.known_end import KnownEnd, NotKnown
from holdbook.domain.handling.pool_cache import PoolCache
from holdbook.domain.handling.queue import Undecided
from holdbook.domain.records import LogPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from holdbook.domain.handling.commit_attempt import Accept
    from holdbook.domain.limits import Limits
    from holdbook.domain.ports import Clock, EventLog, LogReader, NewId
    from holdbook.domain.records import Recorded
    from holdbook.domain.values import Token


class Envelope(TypedDict, total=False):
    """What every command may carry besides its own fields; see `Command`."""

    command_id: str | None
    actor: str | None
    correlation_id: str | None
    causation_id: str | None


class Ledger:
    """A ledger of finite resources over a log. Safe to use from several threads."""

    def __init__(self, log: EventLog, *, clock: Clock, new_id: NewId, actor: str | None = None) -> None:
        self.log = log
        """The log, for those who read it: projections, replay, auditors."""
        self._clock = clock
        self._new_id = new_id
        self._actor = None if actor is None else given_name("actor", actor)
        self._cache = PoolCache()
        self._lock = RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the log's connections back; the ledger is of no use afterwards."""
        self.log.close()

    # Deciding

    def execute(self, command: Command, *, timeout: float | None = None) -> Outcome:
        """Decide a command and record what was decided; durable when this returns.

        Raises `Refused` (recorded), `CommandIdReused`, `PoolAlreadyOpen`, `Malformed` (not recorded), or
        `LogUnavailable`, whose command id tells what became of the command: also if there is no answer within the
        timeout (seconds). The command may still be decided then.
        """
        outcome = self._answer(self._settle(command), timeout)
        if outcome.refusal is not None:
            raise outcome.refusal
        return outcome

    def submit(self, command: Command) -> Future[Outcome]:
        """Ask for a decision; the future holds the outcome, refusals included, or raises as `execute` does."""
        future: Future[Outcome] = Future()
        (answer,) = self._answers([self._settle(command)])
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    def _settle(self, command: Command) -> PendingCommand:
        check_live(command)
        return PendingCommand.settle(command, self._new_id)

    def _answer(self, asked: PendingCommand, timeout: float | None) -> Outcome:  # noqa: ARG002 - here nothing is waited for
        """Have a command decided, and wait for the answer."""
        (answer,) = self._answers([asked])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _answers(
        self, asked: list[PendingCommand], more: Callable[[], Iterable[PendingCommand]] | None = None
    ) -> Sequence[Outcome | BaseException]:
        """Decide commands in one transaction; give each its answer, whatever happens.

        ``more``, called once the log's lock is had, gives those that came meanwhile; they are added to ``asked``.
        """
        try:
            return self._commit(CommitAttempt(asked, more=more))
        except LogUnavailable as error:
            return [error.about(one.command_id) for one in asked]
        except BaseException as error:  # noqa: BLE001 - every caller that waits is told, whatever it was
            return [error] * len(asked)

    def check(self, command: Command) -> Outcome:
        """Say what would happen to a command now, refusals included, and record nothing.

        Raises `CommandIdReused` and `PoolAlreadyOpen` as `execute` would.
        """
        check_command(command)
        with self._look() as reader:
            asked = [PendingCommand.settle(command, self._new_id)]
            return self._batch(asked, reader).run(asked[0], dry=True)

    def record(self, commands: Sequence[Command], *, accept: Accept | None = None) -> list[Outcome]:
        """Decide a batch that brings its own times (an import), all in one transaction or not at all.

        Outcomes are in the commands' order, refusals included. ``accept`` is told each command and its
        outcome before anything is recorded, and may raise what is not acceptable, such as its refusal; if the commit
        has to be tried again, it is told them again. Raises that, and what `execute` raises but `Refused`; then
        nothing of the batch is recorded.
        """
        for command in commands:
            check_command(command)
            if vars(command).get("wait") is not None:
                raise Malformed("wait", vars(command)["wait"], "expected none: a batch is decided at once")
        asked = [PendingCommand.settle(command, self._new_id) for command in commands]
        attempt = CommitAttempt(asked, atomic=True, accept=accept)
        return self._commit(attempt)  # type: ignore[return-value]  # atomic: an error is raised

    def _commit(self, attempt: CommitAttempt) -> Sequence[Outcome | Exception]:
        """Decide commands and record what was decided."""
        self._try(attempt)
        return attempt.answers

    def _try(self, attempt: CommitAttempt, timeout: float | None = None) -> None:
        """Decide commands in one transaction, unless an earlier try did and was only not told so."""
        with self._own_cache() as cache:
            if self._try_alone(attempt, cache, timeout):
                return
            with self.log.writing(timeout, cache.behind) as writer:
                if attempt.end is not None:
                    if writer.holds(attempt.end):
                        return
                    # What was sent may still be on its way, and land after this: ids that were fresh no longer are.
                    attempt.asked[:] = [one._replace(fresh=False) for one in attempt.asked]
                if attempt.more is not None:
                    attempt.asked.extend(attempt.more())
                batch = self._batch(attempt.asked, writer)
                answers = [attempt.answer(one, batch) for one in attempt.asked]
                end = writer.append(batch.records)
                if batch.queue.entered or batch.queue.left:
                    writer.move_queue(list(batch.queue.entered.values()), batch.queue.left)
                attempt.answers, attempt.end = answers, end if batch.records else None
                attempt.events = len(batch.records)
                cache.appended(end)

    def _try_alone(self, attempt: CommitAttempt, cache: PoolCache, timeout: float | None) -> bool:
        """Record one command, if all that it takes to decide it is known, in one trip to the log.

        It is decided before the lock is taken, on the log's end as we left it, and recorded if that is the end still.
        """
        if cache.end is None or attempt.end is not None or len(attempt.asked) > 1 or attempt.atomic:
            return False
        (one,) = attempt.asked
        if "pool" in vars(one.command):  # its outcome tells how the pool stands then
            return False
        try:
            batch = self._batch(attempt.asked, KnownEnd(cache.end))
            answer = batch.run(one, dry=True)
        except (NotKnown, Undecided):
            return False
        rows = self.log.chain(answer.records, cache.end)
        attempt.answers, attempt.end, attempt.events = [answer], LogPosition.of(rows[-1]), len(rows)
        if not self.log.append_if(cache.end, rows, timeout):
            attempt.end = None
            return False
        batch.take(one, answer.records)
        cache.appended(attempt.end)
        return True

    def _batch(self, asked: Sequence[PendingCommand], reader: LogReader) -> Batch:
        return Batch(
            asked,
            reader=reader,
            cache=self._cache,
            epoch=self.log.epoch,
            now=self._clock(),
            actor=self._actor,
            new_id=self._new_id,
        )

    @contextmanager
    def _own_cache(self) -> Iterator[PoolCache]:
        """Hold the cache; if what is done with it fails, forget it, as it may be ahead of the log."""
        with self._lock:
            try:
                yield self._cache
            except BaseException:
                self._cache = self._cache.renewed()
                raise

    @contextmanager
    def _look(self) -> Iterator[LogReader]:
        with self._own_cache() as cache, self.log.reading() as reader:
            cache.look(reader)
            yield reader

    # Commands by name

    def open_pool(
        self, pool: str, *, resource_type: str, limits: Limits, unit: str = "unit", **envelope: Unpack[Envelope]
    ) -> PoolStatus:
        """Open a pool, or find it open with the same content. Raises as `execute`, `PoolAlreadyOpen` included."""
        command = OpenPool(pool=pool, resource_type=resource_type, unit=unit, limits=limits, **envelope)
        return _pool(self.execute(command))

    def change_limits(
        self, pool: str, limits: Limits, *, expected: Limits | None = None, **envelope: Unpack[Envelope]
    ) -> PoolStatus:
        """Put other limits in the place of the pool's; refused if ``expected`` is given and no longer true."""
        return _pool(self.execute(ChangeLimits(pool=pool, limits=limits, expected=expected, **envelope)))

    def close_pool(self, pool: str, *, reason: str | None = None, **envelope: Unpack[Envelope]) -> PoolStatus:
        """Close a pool for ever."""
        return _pool(self.execute(ClosePool(pool=pool, reason=reason, **envelope)))

    def close_ledger(self, *, reason: str | None = None, **envelope: Unpack[Envelope]) -> Outcome:
        """Close the ledger for ever, and every pool that is open: nothing more is granted, what is held may end.

        Closing what is closed is a repeat, whatever the reason. The outcome has the events, one for each pool.
        """
        return self.execute(CloseLedger(reason=reason, **envelope))

    def allocate(  # noqa: PLR0913 - the command's fields, each by name
        self,
        quantities: Mapping[str, int],
        *,
        owner: str,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        allocation_id: str | None = None,
        wait: timedelta | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Hold quantities of one or more pools, all or nothing. Raises `Refused` if any pool refuses.

        With ``wait``, what is not free now is waited for, so long at most, first come, first served.
        """
        fields = {"quantities": quantities, "owner": owner, "ttl": ttl, "tags": tags or {}, "wait": wait}
        return _allocation(self.execute(Allocate(allocation_id=allocation_id, **fields, **envelope)))

    def reserve(  # noqa: PLR0913 - as above
        self,
        quantities: Mapping[str, int],
        *,
        owner: str,
        ttl: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        allocation_id: str | None = None,
        wait: timedelta | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Hold quantities until a deadline, to be confirmed or voided."""
        fields = {"quantities": quantities, "owner": owner, "ttl": ttl, "tags": tags or {}, "wait": wait}
        return _allocation(self.execute(Reserve(allocation_id=allocation_id, **fields, **envelope)))

    def confirm(
        self,
        allocation_id: str,
        *,
        ttl: timedelta | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Make a reservation an allocation; its time to live starts anew."""
        return _allocation(self.execute(Confirm(allocation_id=allocation_id, ttl=ttl, token=token, **envelope)))

    def void(
        self,
        allocation_id: str,
        *,
        reason: str | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Give a reservation up."""
        return _allocation(self.execute(Void(allocation_id=allocation_id, reason=reason, token=token, **envelope)))

    def renew(
        self,
        allocation_id: str,
        *,
        ttl: timedelta | None = None,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Move the deadline to now plus ``ttl``, or the shortest default of the allocation's pools."""
        return _allocation(self.execute(Renew(allocation_id=allocation_id, ttl=ttl, token=token, **envelope)))

    def resize(
        self,
        allocation_id: str,
        quantities: Mapping[str, int],
        *,
        token: Token | None = None,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """Give the allocation other quantities of pools that it has."""
        fields: dict[str, Any] = {"allocation_id": allocation_id, "quantities": quantities}
        return _allocation(self.execute(Resize(**fields, token=token, **envelope)))

    def transfer(
        self, allocation_id: str, *, to: str, token: Token | None = None, **envelope: Unpack[Envelope]
    ) -> Allocation:
        """Make ``to`` the allocation's owner."""
        return _allocation(self.execute(Transfer(allocation_id=allocation_id, to=to, token=token, **envelope)))

    def release(
        self,
        allocation_id: str,
        *,
        reason: str | None = None,
        token: Token | None = None,
        force: bool = False,
        **envelope: Unpack[Envelope],
    ) -> Allocation:
        """End an allocation. With ``force``, a reservation too, for a reason that has to be given, without a token."""
        forced = {} if force is False else {"force": force}
        command = Release(allocation_id=allocation_id, reason=reason, token=token, **forced, **envelope)
        return _allocation(self.execute(command))

    def expire(
        self, pool: str | None = None, *, limit: int | None = None, **envelope: Unpack[Envelope]
    ) -> tuple[str, ...]:
        """Record what is due, in one pool or in all, or about so many, the earliest first; the ids of what expired."""
        return self.execute(Expire(pool=pool, limit=limit, **envelope)).expired

    def reclaim(
        self, pool: str, allocation_id: str, *, reason: str | None = None, **envelope: Unpack[Envelope]
    ) -> None:
        """Record that a thing was taken back whose right is not open; raises `Refused` if the right is."""
        self.execute(Reclaim(pool=pool, allocation_id=allocation_id, reason=reason, **envelope))

    # Reading

    def pools(self) -> Answer[PoolStatus]:
        """Describe every pool, closed ones too, by name, as of now."""
        with self._look() as reader:
            now = self._clock()
            found = (self._cache.pool(name, reader) for name in reader.pool_names())
            return Answer([PoolStatus.of(pool, now, reader.head) for pool in found if pool], reader.head)

    def pool(self, name: str) -> PoolStatus:
        """Describe one pool as of now; raises `NotFound`."""
        given_name("pool", name)
        with self._look() as reader:
            pool = self._cache.pool(name, reader)
            if pool is None:
                raise NotFound("pool", name)
            return PoolStatus.of(pool, self._clock(), reader.head)

    def allocations(
        self,
        *,
        owner: str | None = None,
        pool: str | None = None,
        tags: Mapping[str, str] | None = None,
        state: AllocationState | None = None,
    ) -> Answer[Allocation]:
        """List the allocations open now, oldest grant first; what has lapsed is left out, noticed or not."""
        with self._look() as reader:
            now = self._clock()
            found = (one for one in self._open(reader, pool) if one.is_open_at(now))
            chosen = select(found, owner=owner, pool=pool, tags=tags, state=state)
            return Answer(sorted(chosen, key=lambda one: one.token), reader.head)

    def _open(self, reader: LogReader, name: str | None) -> Iterator[Allocation]:
        seen = set()
        for first in [name] if name else reader.pool_names():
            pool = self._cache.pool(first, reader)
            for allocation_id, hold in list(pool.holds.items()) if pool else ():
                if allocation_id not in seen:
                    seen.add(allocation_id)
                    pools = (self._cache.pool(other, reader) for other in hold.pools)
                    yield describe(allocation_id, {one.name: one.holds[allocation_id] for one in pools if one})

    def allocation(self, allocation_id: str) -> Allocation:
        """Describe one allocation, open or ended; raises `NotFound` if it was never granted."""
        records = self._history(allocation_id)
        allocation = fold(records)
        if allocation is None:
            raise NotFound("allocation", allocation_id)
        return replace(allocation.lapsed_at(self._clock()), as_of_position=records.position)

    def history(self, allocation_id: str) -> Answer[Recorded]:
        """List every event about an allocation, refusals too, in order; raises `NotFound` if there is none."""
        records = self._history(allocation_id)
        if not records:
            raise NotFound("allocation", allocation_id)
        return records

    def _history(self, allocation_id: str) -> Answer[Recorded]:
        given_name("allocation_id", allocation_id)
        with self.log.reading() as reader:
            return Answer(reader.histories({allocation_id}).get(allocation_id, []), reader.head)


def select(
    allocations: Iterable[Allocation],
    *,
    owner: str | None = None,
    pool: str | None = None,
    tags: Mapping[str, str] | None = None,
    state: AllocationState | None = None,
) -> Iterator[Allocation]:
    """Choose allocations by owner, pool, tags (all of them) and state."""
    for one in allocations:
        if (
            (owner is None or one.owner == owner)
            and (pool is None or pool in one.quantities)
            and (state is None or one.state == state)
            and all(one.tags.get(key) == value for key, value in (tags or {}).items())
        ):
            yield one


def check_command(command: Command) -> None:
    """Raise `Malformed` unless this is a command."""
    if not isinstance(command, Command):
        raise Malformed("command", command, "expected one of Holdbook's command objects")


def check_live(command: Command) -> None:
    """Raise `Malformed` unless this is a command that brings no time of its own."""
    check_command(command)
    if command.at is not None:
        raise Malformed("at", command.at, "expected no time: a live command takes the ledger's clock")


def _allocation(outcome: Outcome) -> Allocation:
    if outcome.allocation is None:
        message = f"command {outcome.command_id!r} was granted, and no allocation was"
        raise LogCorrupt(message)
    return outcome.allocation


def _pool(outcome: Outcome) -> PoolStatus:
    if outcome.pool is None:
        message = f"command {outcome.command_id!r} was granted, and its pool is not there"
        raise LogCorrupt(message)
    return outcome.pool
