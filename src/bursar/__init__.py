"""Bursar: an event-sourced ledger of finite resources."""

from bursar.domain import events
from bursar.domain.allocation import Allocation, AllocationState
from bursar.domain.batch import Outcome, PoolStatus
from bursar.domain.commands import (
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
from bursar.domain.errors import (
    BursarError,
    CommandIdReused,
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
from bursar.domain.fencing import Fence, StaleToken
from bursar.domain.limits import Limits
from bursar.domain.queueing import Waiting
from bursar.domain.records import Recorded
from bursar.domain.refusals import RefusalCode
from bursar.domain.resources import Resource, ResourceMetadata, ResourceProvider
from bursar.domain.values import Token
from bursar.domain.wanted import Wanted
from bursar.infrastructure.held import Held
from bursar.infrastructure.leases import Lease, LeaseLost
from bursar.infrastructure.ledger import Ledger
from bursar.infrastructure.manager import UnifiedResourceManager
from bursar.infrastructure.memory import MemoryEventLog
from bursar.infrastructure.monitor import ResourceMonitor
from bursar.infrastructure.old_managers import MemoryResource, MemoryResourceManager, ResourceManager
from bursar.infrastructure.providers import (
    ConnectionResourceProvider,
    DirectoryResourceProvider,
    MemoryResourceProvider,
    PortResourceProvider,
    UnitResourceProvider,
    make_or_undo,
)
from bursar.infrastructure.reconciling import NotReconciled, Reconciliation
from bursar.infrastructure.schema import SchemaMismatch
from bursar.infrastructure.sweeper import Sweeper
from bursar.projections.generations import Generation
from bursar.projections.projector import Projector, ViewBehind, ViewStatus, ViewStopped
from bursar.projections.rebuild import Rebuilt
from bursar.replay.obstacles import Explanation, Holder, Obstacle
from bursar.replay.stories import Change, Page, Step
from bursar.replay.what_if import WhatIf

__all__ = [
    "Allocate",
    "Allocation",
    "AllocationState",
    "BursarError",
    "Change",
    "ChangeLimits",
    "CloseLedger",
    "ClosePool",
    "Command",
    "CommandIdReused",
    "Confirm",
    "ConnectionResourceProvider",
    "DirectoryResourceProvider",
    "Expire",
    "Explanation",
    "Fence",
    "Generation",
    "Held",
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
    "Step",
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
    "Wanted",
    "WhatIf",
    "events",
    "make_or_undo",
]
