"""Leak freedom with real things: whatever providers, processes and clocks do, in the end nothing is held anywhere."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from holdbook import Ledger, MemoryEventLog, Resource, UnifiedResourceManager, UnitResourceProvider
from holdbook.domain.commands import Command, Confirm
from holdbook.infrastructure.commit.promise import Promise, granted
from holdbook.infrastructure.resources.acquisition import Acquirer
from holdbook.infrastructure.resources.holdings import HeldResource, Holdings
from holdbook.infrastructure.resources.reconciliation import Reconciler
from holdbook.infrastructure.resources.release import Releases
from holdbook.infrastructure.resources.rights import Rights
from support.manager_machine import ManagerMachine
from support.manager_world import ManagerWorld
from support.postgres import Databases
from support.profiles import PROFILE, run

pytestmark = pytest.mark.untraced

FEWER = settings(PROFILE, max_examples=max(PROFILE.max_examples // 5, 4))
"""For databases: what they add to it are their threads, and that a process reads what another wrote."""


def hunt(machine: type[ManagerMachine], profile: settings) -> None:
    """Run a machine in a profile, and say how much it did."""
    ManagerWorld.examples = ManagerWorld.steps = 0
    run(machine, profile)
    print(f"{machine.__name__}: {ManagerWorld.examples} runs, {ManagerWorld.steps} steps")  # noqa: T201 - the report of a soak


class OnMemory(ManagerMachine):
    """The machine on a log in memory."""

    def open(self, kind: type[Ledger]) -> Any:  # noqa: ANN401 - a ledger of that kind
        """Open another ledger on the same log."""
        if not hasattr(self, "shared"):
            self.shared = MemoryEventLog()
        return kind(self.shared, clock=self.clock)


def test_memory() -> None:
    """With the ledger in memory nothing leaks, whatever happens."""
    hunt(OnMemory, PROFILE)


def test_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    """With the ledger in SQLite nothing leaks, whatever happens."""

    class ManagersOnSQLite(ManagerMachine):
        def open(self, kind: type[Ledger]) -> Any:  # noqa: ANN401 - a ledger of that kind
            if not hasattr(self, "file"):
                self.file = Path(mkdtemp(dir=tmp_path)) / "holdbook.db"
                shutil.copy(sqlite_template, self.file)
            return kind.open(f"sqlite:///{self.file}", clock=self.clock)

        def shut(self) -> None:
            super().shut()
            shutil.rmtree(self.file.parent)

    hunt(ManagersOnSQLite, FEWER)


def test_postgresql(postgres_server: Databases, postgres_template: str) -> None:
    """With the ledger in PostgreSQL nothing leaks, whatever happens."""

    class ManagersOnPostgreSQL(ManagerMachine):
        def open(self, kind: type[Ledger]) -> Any:  # noqa: ANN401 - a ledger of that kind
            if not hasattr(self, "database"):
                self.database = postgres_server.create(postgres_template)
            return kind.open(postgres_server.url(self.database), clock=self.clock)

        def shut(self) -> None:
            super().shut()
            postgres_server.drop(self.database)

    hunt(ManagersOnPostgreSQL, FEWER)


# What the machine has to find


async def nothing(*_arguments: object) -> None:
    """Do nothing."""


def keep_the_right(patch: pytest.MonkeyPatch) -> None:
    """When an allocation fails, its right is not given up."""
    end = Rights.end

    async def only_confirmed(self: Rights, right: str, *, confirmed: bool, reason: str | None = None) -> bool:
        return confirmed and await end(self, right, confirmed=confirmed, reason=reason)

    patch.setattr(Rights, "end", only_confirmed)


def keep_the_thing(patch: pytest.MonkeyPatch) -> None:
    """When an allocation fails, what was made is not taken back."""
    patch.setattr(Acquirer, "_take_back", nothing)


def confirm_too_early(patch: pytest.MonkeyPatch) -> None:
    """A right is confirmed before the thing is made."""
    early: dict[str | None, Promise] = {}
    ask, made = Rights.ask, Acquirer._make_resource  # noqa: SLF001 - what is to be broken

    async def confirmed(self: Acquirer, attempt: Any, *rest: Any) -> Resource[Any]:  # noqa: ANN401 - handed on
        early[attempt.right] = ask(self._rights, Confirm(allocation_id=attempt.right))
        await granted(early[attempt.right])
        return await made(self, attempt, *rest)

    def once(self: Rights, command: Command) -> Promise:
        known = early.get(command.allocation_id) if isinstance(command, Confirm) else None
        return known or ask(self, command)

    patch.setattr(Acquirer, "_make_resource", confirmed)
    patch.setattr(Rights, "ask", once)


def leave_when_cancelled(patch: pytest.MonkeyPatch) -> None:
    """A block that is cancelled does not release what it has."""
    leave = UnifiedResourceManager._release_at_exit  # noqa: SLF001 - what is to be broken

    async def unless_cancelled(self: UnifiedResourceManager, held: HeldResource) -> None:
        if not isinstance(sys.exc_info()[1], asyncio.CancelledError):
            await leave(self, held)

    patch.setattr(UnifiedResourceManager, "_release_at_exit", unless_cancelled)


def end_the_right_first(patch: pytest.MonkeyPatch) -> None:
    """A release ends the right before the thing is taken back."""
    release = Releases.release

    async def too_late(self: Releases, held: HeldResource) -> None:
        await self._rights.end(held.right, confirmed=True)
        await release(self, held)

    patch.setattr(Releases, "release", too_late)


def keep_what_has_lapsed(patch: pytest.MonkeyPatch) -> None:
    """What has lapsed is not taken back by the next allocation."""
    patch.setattr(Releases, "take_back_expired", nothing)


def leave_things(patch: pytest.MonkeyPatch) -> None:
    """Reconciling leaves things without rights where they are."""
    patch.setattr(Reconciler, "_take_back_without_right", nothing)


def leave_rights(patch: pytest.MonkeyPatch) -> None:
    """Reconciling leaves rights without things as they are."""
    patch.setattr(Reconciler, "_end_without_thing", nothing)


def reconcile_what_is_being_made(patch: pytest.MonkeyPatch) -> None:
    """Reconciling does not know what is being made just then."""

    class Forgetful(set[str]):
        def add(self, _right: str) -> None:
            """Forget."""

    patch.setattr(Holdings, "in_hand", property(lambda _: Forgetful(), lambda *_: None), raising=False)


def give_units_twice(patch: pytest.MonkeyPatch) -> None:
    """Everybody is given the first units."""
    patch.setattr(UnitResourceProvider, "_check_assigned", lambda self, _, units: self._assignment.units[: len(units)])


@pytest.mark.parametrize(
    "fault",
    [
        keep_the_right,
        keep_the_thing,
        confirm_too_early,
        leave_when_cancelled,
        end_the_right_first,
        keep_what_has_lapsed,
        leave_things,
        leave_rights,
        reconcile_what_is_being_made,
        give_units_twice,
    ],
)
def test_canary(fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine finds a planted fault."""
    fault(monkeypatch)
    search = settings(PROFILE, max_examples=500, phases=[Phase.generate], database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(OnMemory, settings=search)
