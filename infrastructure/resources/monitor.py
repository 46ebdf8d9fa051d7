"""The monitor: count what a program does with resources, and read every counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdbook.infrastructure.telemetry.counters import COUNTERS

if TYPE_CHECKING:
    from holdbook.infrastructure.telemetry.counters import Count, Counters


class ResourceMonitor:
    """Counts the operations that a program reports, under the name ``resource_operations``, and reads all counters."""

    def __init__(self, *, counters: Counters = COUNTERS) -> None:
        self._counters = counters

    async def record_allocation(self, resource_type: str, success: bool = True, **labels: str) -> None:  # noqa: FBT001, FBT002 - the seed's signature
        """Count an allocation of a resource type, whether it succeeded, and any labels."""
        self._record("allocate", resource_type, labels, success=success)

    async def record_release(self, resource_type: str, success: bool = True, **labels: str) -> None:  # noqa: FBT001, FBT002 - the seed's signature
        """Count a release of a resource type, whether it succeeded, and any labels."""
        self._record("release", resource_type, labels, success=success)

    def counts(self) -> list[Count]:
        """List every counter of the process, those of its managers included, each with name, labels and value."""
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
