"""Every published view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bursar.projections.allocation_history import ALLOCATION_HISTORY
from bursar.projections.current_allocations import CURRENT_ALLOCATIONS
from bursar.projections.metrics import METRICS
from bursar.projections.pool_usage import POOL_USAGE
from bursar.projections.validation_failures import VALIDATION_FAILURES

if TYPE_CHECKING:
    from bursar.projections.view import View

VIEWS: Final[tuple[View, ...]] = (
    CURRENT_ALLOCATIONS,
    ALLOCATION_HISTORY,
    POOL_USAGE,
    METRICS,
    VALIDATION_FAILURES,
)
"""Every published view."""
