"""Every published view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.projections.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.metrics import METRICS
from holdbook.projections.pool_usage import POOL_USAGE
from holdbook.projections.validation_failures import VALIDATION_FAILURES

if TYPE_CHECKING:
    from holdbook.projections.view import View

VIEWS: Final[tuple[View, ...]] = (
    CURRENT_ALLOCATIONS,
    ALLOCATION_HISTORY,
    POOL_USAGE,
    METRICS,
    VALIDATION_FAILURES,
)
"""Every published view."""
