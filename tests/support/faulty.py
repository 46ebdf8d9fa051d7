"""A provider between a manager and a real one, that fails, hangs and lies when it is told to, and takes note of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from holdbook import Resource, ResourceMetadata, ResourceProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from holdbook import Limits
    from holdbook.domain.handling.interface import LedgerInterface

FAULTS = {
    "allocate": (
        "raise",
        "raise_after",
        "hang",
        "hang_after",
        "deaf",
        "none",
        "empty_id",
        "taken_id",
        "other_id",
        "unmade",
        "crash",
        "crash_after",
    ),
    "release": ("raise", "raise_after", "hang", "deaf", "lie", "crash", "crash_after"),
    "reclaim": ("raise", "raise_after", "hang", "deaf", "lie", "crash", "crash_after"),
    "inventory": ("raise", "hang", "none", "garbage", "hide", "invent"),
    "validate": ("raise", "garbage"),
    "cleanup": ("raise", "half", "hang", "lie"),
}
"""What can go wrong, by method. ``_after``: the work is done. ``deaf``: hangs, and does not hear the first cancel."""


class Broken(Exception):
    """The provider says that it failed."""


@dataclass
class Odd:
    """Rights that a provider's faults concern, by what may follow from them until it is put right."""

    loose: set[str] = field(default_factory=set)
    """Their things may be there without them."""
    bare: set[str] = field(default_factory=set)
    """They may be open without a thing."""
    stuck: set[str] = field(default_factory=set)
    """They may be open, with their things, though nobody has the resource: taking it back failed."""

    def all(self) -> set[str]:
        """List all of them."""
        return self.loose | self.bare | self.stuck


@dataclass
class Call:
    """What a manager was asked for, for the provider to tell which right was made for it."""

    right: str | None = None


CALL: ContextVar[Call] = ContextVar("CALL")
"""What is being done, in whatever task."""


class Faulty(ResourceProvider[Any]):
    """Does what the real provider does, but for the faults that stand in `plans`, first those that came first."""

    def __init__(self, inner: ResourceProvider[Any], odd: Odd) -> None:
        self.inner = inner
        self.odd = odd
        self.plans: dict[str, list[str]] = {method: [] for method in FAULTS}
        self.rights: dict[str, None] = {}
        """Those that something was made for, or was to be."""
        self.given: dict[str, Resource[Any]] = {}
        """What it made, by right."""
        self.making: Counter[str] = Counter()
        """Rights for which something is being made just now."""
        self.busy: Counter[str] = Counter()
        """Rights whose things are being worked on just now."""
        self.gates: list[asyncio.Future[None]] = []
        """Where it hangs; set the result of one, and it goes on."""
        self.has_crashed = False
        """True when its process is to die, just here."""
        self.is_dead = False
        self._ids: dict[str, str] = {}
        self._lost: set[str] = set()
        """Rights of things that the manager cannot release: by the inventory alone does it know of them."""

    # What it is asked

    def pool_limits(self) -> Limits | None:
        """Tell the real one's limits."""
        return self.inner.pool_limits()

    def quantity(self, options: Mapping[str, Any]) -> int:
        """Tell the real one's answer."""
        return self.inner.quantity(options)

    def registered(self, ledger: LedgerInterface, resource_type: str) -> None:
        """Tell the real one."""
        self.inner.registered(ledger, resource_type)

    async def allocate(self, resource_type: str, metadata: ResourceMetadata, **options: Any) -> Any:  # noqa: ANN401 - the port's; a lie may be anything
        """Make a thing."""
        right = options["allocation_id"]
        if (call := CALL.get(None)) is not None:
            call.right = right
        fault = self._next("allocate")
        self.rights[right] = None
        with _counted(right, self.making, self.busy):
            await self._before(fault)
            if fault == "unmade":
                self.odd.bare.add(right)
                return Resource(id=right, data=options.get("size"), metadata=metadata, state="allocated", error=None)
            resource = await self.inner.allocate(resource_type, metadata, **options)
            self.given[right] = replace(resource)
            return await self._made(fault, right, resource)

    async def _made(self, fault: str | None, right: str, resource: Resource[Any]) -> Any:  # noqa: ANN401 - a lie may be anything
        if fault == "crash_after":
            await self._crash()
        if fault == "raise_after":
            self.odd.loose.add(right)
            self._fail(fault)
        if fault == "hang_after":
            try:
                await self._wait()
            except asyncio.CancelledError:
                await self.inner.release(resource)
                raise
        if fault == "none":
            self._lost.add(right)
            return None
        if fault == "empty_id":
            self._lost.add(right)
            resource.id = ""
        if fault == "taken_id" and (taken := self._taken(right)) is not None:
            self._lost.add(right)
            resource.id = taken
        if fault == "other_id":
            resource.id = f"my {right}"
            self._ids[resource.id] = right
        return resource

    def _taken(self, right: str) -> str | None:
        """Find the id of a resource that the manager holds, for sure."""
        doubtful = {right, *self._lost, *self.busy, *self._ids.values()}
        return next((one for one in self.held if one in self.given and one not in doubtful | self.odd.all()), None)

    held: Collection[str] = ()
    """The rights that callers hold, and that have not lapsed."""

    async def release(self, resource: Resource[Any]) -> None:
        """Take a thing back."""
        real = self.real(resource)
        await self._end("release", real.id, lambda: self.inner.release(real))

    async def reclaim(self, right: str) -> None:
        """Take the thing of a right back."""
        await self._end("reclaim", right, lambda: self.inner.reclaim(right))

    async def _end(self, method: str, right: str, end: Callable[[], Awaitable[None]]) -> None:
        fault = self._next(method)
        if fault is not None and (right in self._lost or not right):
            self.odd.loose |= self._lost
            self.odd.stuck |= self._lost
        with _counted(right, self.busy):
            try:
                await self._before(fault)
                if fault == "lie":
                    self.odd.loose.add(right)
                    return
                await end()
                if fault == "crash_after":
                    await self._crash()
                if fault == "raise_after":
                    self.odd.bare.add(right)
                    self._fail(fault)
            except BaseException:
                self.odd.stuck.add(right)
                raise

    async def inventory(self) -> Any:  # noqa: ANN401 - a lie may be anything
        """Tell what is there."""
        fault = self._next("inventory")
        if fault is not None:
            self.odd.loose |= self._lost
            self.odd.stuck |= self._lost
        await self._before(fault)
        there = await self.inner.inventory()
        if fault == "none" or there is None:
            return None
        if fault == "garbage":
            return 5
        hidden = self._first(there)
        if fault == "hide" and hidden is not None:
            self.odd.loose.add(hidden)
            return set(there) - {hidden}
        if fault == "invent":
            return {*there, *list(self.rights)[:2], "nobody's"}
        return there

    async def validate(self, resource: Resource[Any]) -> Any:  # noqa: ANN401 - a lie may be anything
        """Look at a thing."""
        fault = self._next("validate")
        await self._before(fault)
        if fault == "garbage":
            return "fine"
        return await self.inner.validate(self.real(resource))

    async def cleanup(self) -> None:
        """Take everything back."""
        fault = self._next("cleanup")
        there = set(await self.inner.inventory() or ()) & self.rights.keys()
        with _counted(there, self.busy):
            try:
                await self._before(fault)
                if fault == "lie":
                    self.odd.loose |= there
                    return
                if fault == "half" and (first := self._first(there)) is not None:
                    self.odd.bare.add(first)
                    await self.inner.reclaim(first)
                    self._fail(fault)
                others = set(await self.inner.inventory() or ()) - there  # nobody is to allocate meanwhile
                self.odd.bare |= others | {right for right in there if self.busy[right] > 1}  # nor to end anything
                await self.inner.cleanup()
            except BaseException:
                self.odd.stuck |= there
                raise

    def real(self, resource: Resource[Any]) -> Resource[Any]:
        """Give a resource as the real provider knows it."""
        return replace(resource, id=self._ids.get(resource.id, resource.id))

    # What goes wrong

    def _first(self, there: Collection[str]) -> str | None:
        """Choose of what is there the one for which it was asked first."""
        return next((right for right in self.rights if right in there), None)

    def _next(self, method: str) -> str | None:
        if self.is_dead:
            raise Broken("this process has died")
        return self.plans[method].pop(0) if self.plans[method] else None

    def _fail(self, fault: str) -> NoReturn:
        raise Broken(fault)

    async def _before(self, fault: str | None) -> None:
        if fault == "raise":
            self._fail(fault)
        if fault == "crash":
            await self._crash()
        if fault in {"hang", "deaf"}:
            await self._wait(deaf=fault == "deaf")

    async def _wait(self, *, deaf: bool = False) -> None:
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        try:
            await gate
        except asyncio.CancelledError:
            if not deaf or self.is_dead:
                raise
            await self._wait()

    async def _crash(self) -> NoReturn:
        """Let the process die here: its loop is never run again, but to bury it."""
        self.has_crashed = True
        asyncio.get_running_loop().stop()
        while True:
            await self._wait()

    def heal(self) -> None:
        """Have no more faults."""
        for plans in self.plans.values():
            plans.clear()

    def hanging(self) -> list[asyncio.Future[None]]:
        """List where it hangs."""
        self.gates = [gate for gate in self.gates if not gate.done()]
        return self.gates


@contextmanager
def _counted(rights: str | Collection[str], *counters: Counter[str]) -> Iterator[None]:
    some = [rights] if isinstance(rights, str) else list(rights)
    for counter in counters:
        counter.update(some)
    try:
        yield
    finally:
        for counter in counters:
            counter.subtract(some)
            for right in some:
                if not counter[right]:
                    del counter[right]
