"""Two processes on one ledger and one machine, and what has to hold of them at any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch

from hypothesis.stateful import RuleBasedStateMachine

from holdbook import HoldbookError, Ledger, NotFound, Refused
from holdbook.domain.allocation import AllocationState
from holdbook.domain.errors import ProviderFault, ProviderHung
from holdbook.domain.refusals import RefusalCode
from holdbook.infrastructure.resources import manager
from support.faulty import Broken, Odd
from support.machine import descriptors, free_ports, mappings
from support.manager_process import Job, Process, Wanted
from support.stepped_loop import SteppedLedger, Time

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("ann", "bob")
CROWDED = {RefusalCode.POOL_EXHAUSTED, RefusalCode.ABOVE_CAPACITY, RefusalCode.QUEUED_BEHIND}
"""Why a request may be refused."""
ROUNDS_MAX = 3000
"""How often everybody may go on within one step; more, and they do so for ever."""


@cache
def ports() -> tuple[int, ...]:
    """Ports for this process's machines."""
    return tuple(free_ports(3))


class ManagerWorld(RuleBasedStateMachine):
    """Two processes on one ledger and one machine, without the steps."""

    process_class = Process
    examples = 0
    """How many runs there were."""
    steps = 0
    """How many steps in all of them."""

    def __init__(self) -> None:
        super().__init__()
        ManagerWorld.examples += 1
        self.before = descriptors(), mappings()
        self.ids = patch.object(manager, "new_id", map("r{:03}".format, count(1)).__next__)
        self.ids.start()  # the same in every run, in the order in which they are asked for
        self.time = Time()
        self.offset = 0
        """How many seconds the ledgers' clock is ahead of the time that has passed."""
        self.odd = Odd()
        self.forced: set[str] = set()
        """Rights that were ended behind the managers' backs."""
        self.renewed: set[str] = set()
        """Rights whose managers may not know their deadlines."""
        self.lapsed: set[str] = set()
        """Rights that were seen at or after their deadlines, though a clock may have stepped back since."""
        self.root = Path(mkdtemp(dir=self.place()))
        self.observer = self.open(Ledger)
        self.open_before: set[str] = set()
        """The rights that were open at the last look."""
        self.processes = [self.born(name) for name in NAMES]

    # What a backend gives

    def place(self) -> Path | None:
        """Tell where files are made."""
        return None

    def open(self, kind: type[Ledger]) -> Any:  # noqa: ANN401 - a ledger of that kind
        """Open another ledger on the same log."""
        raise NotImplementedError  # every backend does

    def clock(self) -> datetime:
        """The ledgers' clock."""
        return START + timedelta(seconds=self.time.now + self.offset)

    def born(self, name: str) -> Process:
        """Start a process."""
        return self.process_class(name, self.open(SteppedLedger), self.time, self.root, ports(), self.odd)

    # How they are done

    def plan(self, process: Process, kind: str, method: str, fault: str | None) -> None:
        """Have a method of a provider go wrong, when it is called next."""
        if fault is not None:
            process.providers[kind].plans[method].append(fault)

    def some(self, process: Process, one: int) -> tuple[str, Any]:
        """Choose something that was given, what was given last more often."""
        latest = process.given[-4:]
        return (latest * 3 + process.given)[one % (len(latest) * 3 + len(process.given))]

    def cancel_job(self, job: Job) -> None:
        """Cancel; what was being released then may stay held, or be bare."""
        job.task.cancel()
        job.cancelled = True
        if job.call.right is not None and not job.inside:
            self.odd.stuck.add(job.call.right)
            self.odd.bare.add(job.call.right)

    def settle(self) -> None:
        """Let everybody go on until nothing happens any more; whoever crashes there is started again."""
        moving, rounds = True, 0
        while moving:
            moving, rounds = False, rounds + 1
            assert rounds < ROUNDS_MAX, "it goes on for ever"
            for number, process in enumerate(self.processes):
                now = self.lapse()
                for provider in process.providers.values():
                    provider.held = [right for right in provider.rights if right in process.owned & now]
                process.loop.run()
                if process.has_crashed():
                    self.killed(number)
                    moving = True
                elif not process.ledger.is_settled(self.observer):
                    moving = True
            moving = moving or not all(process.ledger.is_settled(self.observer) for process in self.processes)
        for process in self.processes:
            self.collect(process)

    def passed(self, seconds: float) -> None:
        """Let time pass, from one thing that happens to the next."""
        until = self.time.now + seconds
        self.settle()
        while (step := min((one.loop.pause or seconds for one in self.processes), default=seconds)) > 0:
            if self.time.now + step > until:
                break
            self.time.now += step
            self.settle()
        self.time.now = until
        self.settle()

    def killed(self, which: int) -> None:
        """Kill a process, and start it again. What it was just making was only reserved: it lapses by itself."""
        process = self.processes[which]
        for provider in process.providers.values():
            for right in provider.making:
                assert self.state_of(right) is not AllocationState.ACTIVE
        process.die()
        self.processes[which] = self.born(process.name)

    def lapse(self) -> set[str]:
        """Take note of what is open now, and of what has lapsed since the last look."""
        open_now = {one.id for one in self.observer.allocations()}
        for right in self.open_before - open_now:
            if self.state_of(right) is AllocationState.EXPIRED:
                self.lapsed.add(right)
        self.open_before = open_now
        return open_now

    def overdue(self, process: Process) -> set[str]:
        """List what a process has, and knows to have lapsed by now, unless it could not be taken back."""
        found = set()
        for kind, there in process.things().items():
            provider = process.providers[kind]
            for right in there & provider.rights.keys() - provider.busy.keys() - self.odd.all() - self.renewed:
                one = self.observer.allocation(right)
                if not one.state.is_open and one.deadline is not None and one.deadline <= self.clock():
                    found.add(right)
        return found

    def state_of(self, right: str) -> AllocationState | None:
        """Tell how a right stands; None if it was never granted."""
        try:
            state: AllocationState = self.observer.allocation(right).state
        except NotFound:
            return None
        return state

    # What became of what was asked for

    def collect(self, process: Process) -> None:
        """Look at what has ended."""
        self.lapse()
        for job in [one for one in process.jobs if one.task.done()]:
            process.jobs.remove(job)
            if job.task.cancelled():
                assert job.cancelled, f"{job.what} was cancelled, and nobody did that"
                if job.what in {"cleanup", "reconcile"}:  # it has done a part
                    process.owned -= {one for one in process.owned if not self.is_open(one)}
                continue
            error = job.task.exception()
            if error is not None:
                self.check_error(process, job, error)
            else:
                self.check_result(process, job, job.task.result())

    def check_error(self, process: Process, job: Job, error: BaseException) -> None:
        """What was raised is what it may be."""
        if isinstance(error, AssertionError):
            raise error
        assert job.what not in {"cleanup", "reconcile"}, f"{job.what} raised {error!r}"
        if isinstance(error, Refused):
            right = job.call.right
            if error.code is RefusalCode.ALLOCATION_ENDED:
                gone = self.lapsed | self.forced | self.odd.all()
                assert right in gone, f"{right} had ended, and nobody did that"
            else:
                assert error.code in CROWDED, error
            assert job.what in {"allocate", "block"}
        elif type(error) is ValueError and "Resource not found" in str(error):
            assert job.what in {"release", "validate"}
            is_explained = self.is_excused(job.call.right) or self.is_ending(process, job)
            assert is_explained or job.call.right not in process.owned
        elif isinstance(error, Wanted):
            assert job.what == "block"
        else:
            assert isinstance(error, Broken | ProviderHung | ProviderFault | OSError | ValueError), repr(error)
            assert not isinstance(error, HoldbookError) or isinstance(error, ProviderHung | ProviderFault), repr(error)

    def check_result(self, process: Process, job: Job, result: Any) -> None:  # noqa: ANN401 - of whatever was asked for
        """What is said to be done is done."""
        right = job.call.right
        if job.what == "allocate":
            assert right is not None
            process.given.append((right, result))
            process.owned.add(right)
        elif job.what == "release":
            assert right is not None
            process.owned.discard(right)
            state = self.state_of(right)
            assert state is None or not state.is_open
        elif job.what == "validate":
            assert right is not None
            state = self.state_of(right)
            if not result:
                assert state is not None
                assert state.is_open
            elif state is not None and state.is_open:
                assert right in self.odd.all() | self.lapsed, result
        elif job.what == "cleanup":
            process.owned -= {one for one in process.owned if not self.is_open(one)}
        elif job.what == "reconcile":
            ended = {*result.ended, *result.reclaimed}
            assert all(self.is_excused(one) for one in ended & process.owned)
            process.owned -= ended

    def is_open(self, right: str) -> bool:
        """Tell whether a right is open."""
        state = self.state_of(right)
        return state is not None and state.is_open

    def is_excused(self, right: str | None) -> bool:
        """Tell whether a right may have ended without its holder."""
        return right in self.lapsed or right in self.forced or right in self.odd.all()

    def is_ending(self, process: Process, job: Job) -> bool:
        """Tell whether somebody else is ending what a job is about, or everything."""
        right = job.call.right
        others = [one for one in process.jobs if one is not job]
        return any(one.what in {"cleanup", "reconcile"} or one.call.right == right for one in others)

    # What always holds

    def things_and_rights_go_together(self) -> None:
        """No thing without a right, no right without a thing, and none that nobody has; but for what was done to it."""
        ManagerWorld.steps += 1
        self.lapse()
        rights = {one.id: one for one in self.observer.allocations()}
        for process in self.processes:
            things = process.things()
            for kind, there in things.items():
                for right in there - rights.keys():
                    assert right in self.lapsed | self.forced | self.odd.loose, f"{kind} {right} without a right"
            self.check_rights(process, rights, things)
        self.check_units(rights)

    def check_rights(self, process: Process, rights: dict[str, Any], things: dict[str, set[str]]) -> None:
        """A right that is open has its thing, and an owner, unless it is being worked on."""
        is_cleaning = any(job.what in {"cleanup", "reconcile"} for job in process.jobs)
        for kind, provider in process.providers.items():
            for right in provider.making:
                state = self.state_of(right)
                assert state is not AllocationState.ACTIVE, f"{right} was confirmed before it was made"
                assert state is AllocationState.RESERVED or self.is_excused(right), f"{right} was not left alone"
            for right in provider.rights.keys() & rights.keys():
                if provider.busy[right] or right in self.lapsed:
                    continue
                assert right in things[kind] | self.odd.bare, f"{right} without {kind}"
                held = process.owned | self.odd.stuck | self.odd.bare
                assert right in held or is_cleaning, f"{right} is held by nobody"
        for right in process.owned - rights.keys():
            assert self.is_excused(right) or is_cleaning, f"{right} was taken from its holder"

    def check_units(self, rights: dict[str, Any]) -> None:
        """No two holders have the same unit."""
        taken: list[str] = []
        for process in self.processes:
            given = process.providers["unit"].given
            for right in given.keys() & rights.keys() - self.lapsed:
                taken += given[right].data
        assert len(taken) == len(set(taken)), f"{taken}: a unit has two holders"

    # At peace

    def reconcile_at_peace(self, which: int) -> None:
        """With providers that do as they should, reconciling leaves things and rights one to one, and nothing to do."""
        process = self.processes[which]
        for provider in process.providers.values():
            provider.heal()
        found = [process.start("reconcile", "", process.manager.reconcile()) for _ in range(2)]
        self.settle()
        first, second = (job.task.result() for job in found)
        assert (first.failed, second.failed) == ((), ())
        assert (second.reclaimed, second.ended) == ((), ())
        self.check_one_to_one(process)

    def check_one_to_one(self, process: Process) -> None:
        """What a process has and what the ledger says that it has are the same, but for what is under way."""
        open_now = {one.id: one for one in self.observer.allocations()}
        for kind, there in process.things().items():
            busy = process.providers[kind].busy
            assert not [right for right in there - open_now.keys() if not busy[right]]
            own = {one.id for one in self.observer.allocations(pool=kind, tags={"manager": process.name})}
            assert not [right for right in own - there if not busy[right]]
