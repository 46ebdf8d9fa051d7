"""Holdbook: an event-sourced ledger of finite resources.

A name is imported from its module when it is first used (PEP 562), so that `import holdbook` costs next to nothing and
a program pays for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from holdbook.domain import events
    from holdbook.domain.allocation import Allocation, AllocationState
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
    from holdbook.domain.errors import (
        CommandIdReused,
        HoldbookError,
        LogCorrupt,
        LogUnavailable,
        Malformed,
        NotFound,
        Overloaded,
        PoolAlreadyOpen,
        ProviderFault,
        ProviderHung,
        Refused,
        UnknownEvent,
    )
    from holdbook.domain.event_filter import EventFilter
    from holdbook.domain.fencing import Fence, StaleToken
    from holdbook.domain.handling.outcome import Outcome, PoolStatus
    from holdbook.domain.limits import Limits
    from holdbook.domain.records import Recorded
    from holdbook.domain.refusals import RefusalCode
    from holdbook.domain.resources import Resource, ResourceMetadata, ResourceProvider
    from holdbook.domain.values import Token
    from holdbook.domain.waiting import Waiting
    from holdbook.infrastructure.leases.held import Held
    from holdbook.infrastructure.leases.lease import Lease, LeaseLost
    from holdbook.infrastructure.leases.sweeper import Sweeper
    from holdbook.infrastructure.ledger import Ledger
    from holdbook.infrastructure.log.memory_log import MemoryEventLog
    from holdbook.infrastructure.resources.manager import UnifiedResourceManager
    from holdbook.infrastructure.resources.monitor import ResourceMonitor
    from holdbook.infrastructure.resources.old_managers import MemoryResource, MemoryResourceManager, ResourceManager
    from holdbook.infrastructure.resources.providers import (
        ConnectionResourceProvider,
        DirectoryResourceProvider,
        MemoryResourceProvider,
        PortResourceProvider,
        UnitResourceProvider,
        make_or_undo,
    )
    from holdbook.infrastructure.resources.reconciliation import NotReconciled, Reconciliation
    from holdbook.infrastructure.schema.revision import SchemaMismatch
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import Projector, ViewBehind, ViewStatus, ViewStopped
    from holdbook.projections.rebuild import Rebuilt
    from holdbook.replay.history.stories import Change, Page, StoryStep
    from holdbook.replay.simulation.explanation import Explanation, Holder, Obstacle
    from holdbook.replay.simulation.what_if import WhatIf
else:  # a type checker that saw this would take any name for one of the package's

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
        """Import a public name from its module, and keep it."""
        module = _MODULES.get(name)
        if module is None:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        if name == "events":  # a module itself
            found: Any = import_module(f"{module}.{name}")
        else:
            found = getattr(import_module(module), name)
        globals()[name] = found
        return found


_HOMES: Final = {
    "holdbook.domain": ("events",),
    "holdbook.domain.allocation": ("Allocation", "AllocationState"),
    "holdbook.domain.commands": (
        "Allocate",
        "ChangeLimits",
        "CloseLedger",
        "ClosePool",
        "Command",
        "Confirm",
        "Expire",
        "OpenPool",
        "Reclaim",
        "Release",
        "Renew",
        "Reserve",
        "Resize",
        "Transfer",
        "Void",
    ),
    "holdbook.domain.errors": (
        "CommandIdReused",
        "HoldbookError",
        "LogCorrupt",
        "LogUnavailable",
        "Malformed",
        "NotFound",
        "Overloaded",
        "PoolAlreadyOpen",
        "ProviderFault",
        "ProviderHung",
        "Refused",
        "UnknownEvent",
    ),
    "holdbook.domain.event_filter": ("EventFilter",),
    "holdbook.domain.fencing": ("Fence", "StaleToken"),
    "holdbook.domain.handling.outcome": ("Outcome", "PoolStatus"),
    "holdbook.domain.limits": ("Limits",),
    "holdbook.domain.records": ("Recorded",),
    "holdbook.domain.refusals": ("RefusalCode",),
    "holdbook.domain.resources": ("Resource", "ResourceMetadata", "ResourceProvider"),
    "holdbook.domain.values": ("Token",),
    "holdbook.domain.waiting": ("Waiting",),
    "holdbook.infrastructure.leases.held": ("Held",),
    "holdbook.infrastructure.leases.lease": ("Lease", "LeaseLost"),
    "holdbook.infrastructure.leases.sweeper": ("Sweeper",),
    "holdbook.infrastructure.ledger": ("Ledger",),
    "holdbook.infrastructure.log.memory_log": ("MemoryEventLog",),
    "holdbook.infrastructure.resources.manager": ("UnifiedResourceManager",),
    "holdbook.infrastructure.resources.monitor": ("ResourceMonitor",),
    "holdbook.infrastructure.resources.old_managers": ("MemoryResource", "MemoryResourceManager", "ResourceManager"),
    "holdbook.infrastructure.resources.providers": (
        "ConnectionResourceProvider",
        "DirectoryResourceProvider",
        "MemoryResourceProvider",
        "PortResourceProvider",
        "UnitResourceProvider",
        "make_or_undo",
    ),
    "holdbook.infrastructure.resources.reconciliation": ("NotReconciled", "Reconciliation"),
    "holdbook.infrastructure.schema.revision": ("SchemaMismatch",),
    "holdbook.projections.generations": ("Generation",),
    "holdbook.projections.projector": ("Projector", "ViewBehind", "ViewStatus", "ViewStopped"),
    "holdbook.projections.rebuild": ("Rebuilt",),
    "holdbook.replay.history.stories": ("Change", "Page", "StoryStep"),
    "holdbook.replay.simulation.explanation": ("Explanation", "Holder", "Obstacle"),
    "holdbook.replay.simulation.what_if": ("WhatIf",),
}
"""The public names by the module that each is imported from, as above."""

_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Allocate",
    "Allocation",
    "AllocationState",
    "Change",
    "ChangeLimits",
    "CloseLedger",
    "ClosePool",
    "Command",
    "CommandIdReused",
    "Confirm",
    "ConnectionResourceProvider",
    "DirectoryResourceProvider",
    "EventFilter",
    "Expire",
    "Explanation",
    "Fence",
    "Generation",
    "Held",
    "HoldbookError",
    "Holder",
    "Lease",
    "LeaseLost",
    "Ledger",
    "Limits",
    "LogCorrupt",
    "LogUnavailable",
    "Malformed",
    "MemoryEventLog",
    "MemoryResource",
    "MemoryResourceManager",
    "MemoryResourceProvider",
    "NotFound",
    "NotReconciled",
    "Obstacle",
    "OpenPool",
    "Outcome",
    "Overloaded",
    "Page",
    "PoolAlreadyOpen",
    "PoolStatus",
    "PortResourceProvider",
    "Projector",
    "ProviderFault",
    "ProviderHung",
    "Rebuilt",
    "Reclaim",
    "Reconciliation",
    "Recorded",
    "RefusalCode",
    "Refused",
    "Release",
    "Renew",
    "Reserve",
    "Resize",
    "Resource",
    "ResourceManager",
    "ResourceMetadata",
    "ResourceMonitor",
    "ResourceProvider",
    "SchemaMismatch",
    "StaleToken",
    "StoryStep",
    "Sweeper",
    "Token",
    "Transfer",
    "UnifiedResourceManager",
    "UnitResourceProvider",
    "UnknownEvent",
    "ViewBehind",
    "ViewStatus",
    "ViewStopped",
    "Void",
    "Waiting",
    "WhatIf",
    "events",
    "make_or_undo",
]
