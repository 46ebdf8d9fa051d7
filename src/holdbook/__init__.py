"""Holdbook: an event-sourced ledger of finite resources."""

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
