"""The list of every published view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdbook.projections.views.allocation_history import ALLOCATION_HISTORY
from holdbook.projections.views.current_allocations import CURRENT_ALLOCATIONS
from holdbook.projections.views.metrics import METRICS
from holdbook.projections.views.pool_usage import POOL_USAGE
from holdbook.projections.views.validation_failures import VALIDATION_FAILURES

if TYPE_CHECKING:
    from holdbook.projections.definition import View

VIEWS: Final[tuple[View, ...]] = (
    CURRENT_ALLOCATIONS,
    ALLOCATION_HISTORY,
    POOL_USAGE,
    METRICS,
    VALIDATION_FAILURES,
)
"""Every published view, in the order in which they are listed to people."""
