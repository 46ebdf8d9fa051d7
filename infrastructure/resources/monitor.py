"""The monitor: counts operations on resources, and reads every counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.infrastructure.telemetry.counters import COUNTERS

if TYPE_CHECKING:
    from holdbook.infrastructure.telemetry.counters import Count, Counters


class ResourceMonitor:
    """Counts operations that a program reports, as ``resource_operations``; reads what was counted."""

    def __init__(self, *, counters: Counters = COUNTERS) -> None:
        self._counters = counters

    async def record_allocation(self, resource_type: str, success: bool = True, **labels: str) -> None:  # noqa: FBT001, FBT002 - the seed's signature
        """Count an allocation."""
        self._record("allocate", resource_type, labels, success=success)

    async def record_release(self, resource_type: str, success: bool = True, **labels: str) -> None:  # noqa: FBT001, FBT002 - the seed's signature
        """Count a release."""
        self._record("release", resource_type, labels, success=success)

    def counts(self) -> list[Count]:
        """Read every counter of the process, the managers' too: name, labels, value."""
        return self._counters.read()

    def _record(self, operation: str, resource_type: str, labels: dict[str, str], *, success: bool) -> None:
        self._counters.counter(
            "resource_operations",
            1,
            operation=operation,
            resource_type=resource_type,
            success=str(success).lower(),
            **labels,
        )
