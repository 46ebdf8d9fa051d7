"""Managers under providers that fail, hang and lie, processes that die, lost leases: nothing is left, of anything."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from holdbook import Limits
from holdbook.domain.allocation import AllocationState
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from support.faulty import FAULTS
from support.machine import descriptors, is_free, mappings
from support.manager_process import KINDS, MEASURED, Wanted
from support.manager_world import ManagerWorld, ports

FOR_EVER = timedelta(days=1)
"""How long whoever waits does: until it is granted, or cancelled."""
WHICH = st.integers(0, 1)
CHOICE = st.integers(0, 30)
"""Chooses among what is there at the time."""
KIND = st.sampled_from(KINDS)
SIZES = st.sampled_from([1, 1, 2, 2, 3, 5])
TTLS = st.sampled_from([None, None, 5, 20, 100])


def fault_of(method: str) -> st.SearchStrategy[str | None]:
    """Choose a fault of a provider's method, or none."""
    return st.sampled_from([None, None, None, None, "hang", *FAULTS[method]])


class ManagerMachine(ManagerWorld):
    """Any requests, faults and deaths, at any time."""

    # Steps

    @initialize(wanted=st.lists(st.tuples(WHICH, KIND, SIZES, TTLS, st.booleans()), min_size=2, max_size=5))
    def begin(self, wanted: list[tuple[int, str, int, int | None, bool]]) -> None:
        """Begin with something held, so that there is something to do."""
        for which, kind, size, ttl, in_block in wanted:
            if in_block:
                self.enter(which=which, kind=kind, size=size, ttl=ttl, fault=None)
            else:
                self.allocate(which=which, kind=kind, size=size, ttl=ttl, wait=1, fault=None)

    @rule(which=WHICH, kind=KIND, size=SIZES, ttl=TTLS, wait=st.integers(0, 5), fault=fault_of("allocate"))
    def allocate(  # noqa: PLR0913 - a request, and what becomes of it
        self, *, which: int, kind: str, size: int, ttl: int | None, wait: int, fault: str | None
    ) -> None:
        """Ask for something."""
        process = self.processes[which]
        self.plan(process, kind, "allocate", fault)
        options = request(kind, size, ttl) | ({"wait": FOR_EVER} if wait == 0 else {})
        overdue = self.overdue(process)
        job = process.start("allocate", kind, process.manager.allocate(kind, **options))
        self.settle()
        if job.task.done() and not job.task.cancelled() and job.task.exception() is None:
            left = overdue & self.overdue(process)
            assert not left, f"{left} had lapsed, and were not taken back"

    @rule(which=WHICH, kind=KIND, size=SIZES, ttl=TTLS, fault=fault_of("allocate"))
    def enter(self, *, which: int, kind: str, size: int, ttl: int | None, fault: str | None) -> None:
        """Enter a block that has something."""
        process = self.processes[which]
        self.plan(process, kind, "allocate", fault)
        process.start_block(kind, request(kind, size, ttl))
        self.settle()

    @rule(which=WHICH, one=CHOICE, how=st.sampled_from(["return", "raise", "cancel"]), fault=fault_of("release"))
    def leave(self, which: int, one: int, how: str, fault: str | None) -> None:
        """Leave a block."""
        process = self.processes[which]
        inside = [job for job in process.jobs if job.inside]
        if not inside:
            return
        job = inside[one % len(inside)]
        assert job.leave is not None
        self.plan(process, job.kind, "release", fault)
        if how == "return":
            job.leave.set_result(None)
        elif how == "raise":
            job.leave.set_exception(Wanted())
        else:
            self.cancel_job(job)
        self.settle()

    @rule(which=WHICH, one=CHOICE, fault=fault_of("release"))
    def release(self, which: int, one: int, fault: str | None) -> None:
        """Release something that was given once, and may have been released before, or is being."""
        process = self.processes[which]
        if not process.given:
            return
        right, resource = self.some(process, one)
        self.plan(process, resource.metadata.resource_type, "release", fault)
        kind = resource.metadata.resource_type
        process.start("release", kind, process.manager.release(resource.id), right)
        self.settle()

    @rule(which=WHICH, one=CHOICE, fault=st.sampled_from([None, None, *FAULTS["validate"]]))
    def validate(self, which: int, one: int, fault: str | None) -> None:
        """Look at something: it is well if its right is open and nothing odd was done to it."""
        process = self.processes[which]
        if not process.given:
            return
        right, resource = self.some(process, one)
        self.plan(process, resource.metadata.resource_type, "validate", fault)
        kind = resource.metadata.resource_type
        process.start("validate", kind, process.manager.validate(resource.id), right)
        self.settle()

    @rule(which=WHICH, one=CHOICE)
    def cancel(self, which: int, one: int) -> None:
        """Cancel whoever waits for something."""
        jobs = self.processes[which].jobs
        if jobs:
            self.cancel_job(jobs[one % len(jobs)])
            self.settle()

    @rule(which=WHICH, one=CHOICE)
    def wake(self, which: int, one: int) -> None:
        """A provider that hangs goes on."""
        gates = self.processes[which].gates()
        if gates:
            gates[one % len(gates)].set_result(None)
            self.settle()

    @rule(which=WHICH, kind=KIND, data=st.data())
    def arm(self, which: int, kind: str, data: st.DataObject) -> None:
        """Something will go wrong when its turn comes."""
        method = data.draw(st.sampled_from(["release", "reclaim", "inventory", "cleanup"]))
        self.plan(self.processes[which], kind, method, data.draw(st.sampled_from(FAULTS[method])))

    @rule(which=WHICH, fault=fault_of("cleanup"), kind=KIND)
    def cleanup(self, which: int, fault: str | None, kind: str) -> None:
        """Clean everything up."""
        process = self.processes[which]
        self.plan(process, kind, "cleanup", fault)
        process.start("cleanup", "", process.manager.cleanup())
        self.settle()

    @rule(which=WHICH, fault=fault_of("inventory"), kind=KIND)
    def reconcile(self, which: int, fault: str | None, kind: str) -> None:
        """Reconcile; if nothing goes wrong, things and rights are one to one then."""
        process = self.processes[which]
        self.plan(process, kind, "inventory", fault)
        process.start("reconcile", "", process.manager.reconcile())
        self.settle()

    @rule(which=WHICH, kind=KIND, size=SIZES)
    def reconcile_meanwhile(self, which: int, kind: str, size: int) -> None:
        """Reconcile while something is being made: that is left alone."""
        self.allocate(which=which, kind=kind, size=size, ttl=None, wait=1, fault="hang")
        self.reconcile(which=which, fault=None, kind=kind)

    @rule(which=WHICH, reconciles=st.booleans())
    def kill(self, which: int, *, reconciles: bool) -> None:
        """A process is killed, and started again."""
        self.killed(which)
        if reconciles:
            self.reconcile_at_peace(which)

    @rule(seconds=st.sampled_from([1, 4, 30, 60, 200]))
    def pass_time(self, seconds: int) -> None:
        """Time passes."""
        self.passed(seconds)

    @rule(which=WHICH, kind=KIND, seconds=st.sampled_from([30, 200]))
    def come_back(self, which: int, kind: str, seconds: int) -> None:
        """A process that did nothing for long asks for more; leases that it had are lost."""
        self.passed(seconds)
        self.allocate(which=which, kind=kind, size=1, ttl=None, wait=1, fault=None)

    @rule(seconds=st.integers(-60, 60))
    def step_clock(self, seconds: int) -> None:
        """The ledgers' clock steps, back as well."""
        self.offset += seconds
        self.settle()

    @rule(pool=st.none() | KIND)
    def expire(self, pool: str | None) -> None:
        """Somebody records what is due."""
        self.observer.expire(pool)
        self.settle()

    @rule(one=CHOICE)
    def force(self, one: int) -> None:
        """Somebody ends a right behind its manager's back."""
        rights = self.observer.allocations()
        if rights:
            right = rights[one % len(rights)].id
            self.forced.add(right)
            self.observer.release(right, force=True, reason="gone")
            self.settle()

    @rule(one=CHOICE, ttl=st.sampled_from([5, 50]))
    def renew(self, one: int, ttl: int) -> None:
        """Somebody renews a right behind its manager's back."""
        rights = self.observer.allocations(state=AllocationState.ACTIVE)
        if rights:
            right = rights[one % len(rights)].id
            self.renewed.add(right)
            self.observer.renew(right, ttl=timedelta(seconds=ttl))

    @rule(kind=KIND, total=st.integers(1, 12))
    def change_limits(self, kind: str, total: int) -> None:
        """Somebody changes a pool's limits."""
        self.observer.change_limits(kind, Limits(total=total))
        self.settle()

    # What always holds

    @invariant()
    def things_and_rights(self) -> None:
        """What is there and what is granted are the same, but for what was done to it."""
        self.things_and_rights_go_together()

    def end(self) -> None:
        """Everything ends, and nothing is left: in the ledger, with the providers, on the machine."""
        for process in self.processes:
            for provider in process.providers.values():
                provider.heal()
            for gate in process.gates()[::2]:
                gate.set_result(None)  # the others hang until they are told to stop
        self.passed(1000)
        self.leave_all()
        self.passed(1000)
        while gates := [gate for process in self.processes for gate in process.gates()]:
            for gate in gates:  # those that had not heard that they were to stop
                gate.set_result(None)
            self.passed(1000)
        held = set().union(*(process.owned for process in self.processes))
        for one in self.observer.allocations():
            if one.id not in held and one.deadline is None:  # of a process that died: nobody can give it back
                self.observer.release(one.id, force=True, reason="its process died")
                self.forced.add(one.id)
        for number, process in enumerate(self.processes):
            self.reconcile_at_peace(number)
            process.start("cleanup", "", process.manager.cleanup())
            self.settle()
            assert not process.jobs, process.jobs
        for process in self.processes:
            assert process.things() == {kind: set() for kind in KINDS}
        self.observer.expire()
        assert self.observer.allocations() == []
        assert [one.used for one in self.observer.pools()] == [0] * len(KINDS)
        assert self.observer.queue() == []
        report = verify_ledger(self.observer)
        assert report.ok, report.findings
        assert mappings() == self.before[1]
        assert all(map(is_free, ports()))

    def leave_all(self) -> None:
        """Cancel whoever still waits, and leave every block."""
        for process in self.processes:
            for job in list(process.jobs):
                if job.inside and job.leave is not None:
                    job.leave.set_result(None)
                else:
                    self.cancel_job(job)

    def teardown(self) -> None:
        """At the end nothing is held, and nothing is open."""
        try:
            self.end()
        finally:
            self.shut()
        assert not {leads for _, leads in descriptors() - self.before[0]}

    def shut(self) -> None:
        """End every process and close every file."""
        for process in self.processes:
            process.die()
        self.observer.close()
        shutil.rmtree(self.root)
        self.ids.stop()


def request(kind: str, size: int, ttl: int | None) -> dict[str, Any]:
    """The options of a request."""
    options: dict[str, Any] = {"size": size} if kind in MEASURED else {"size": min(size, 2)} if kind == "unit" else {}
    return options if ttl is None else options | {"ttl": timedelta(seconds=ttl)}
