"""The shapes of what operators see: the views, and what goes in and out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from holdbook.domain.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdbook.infrastructure.interchange.adoption import Adopted
    from holdbook.infrastructure.interchange.rollback import RolledBack
    from holdbook.infrastructure.interchange.workload import Summary
    from holdbook.infrastructure.views.dry_run import Failure
    from holdbook.projections.generations import Generation
    from holdbook.projections.projector import ViewStatus
    from holdbook.projections.rebuild import Rebuilt


def view_status_shape(status: ViewStatus) -> dict[str, Any]:
    """Shape how far a view has come."""
    return {**asdict(status), "moved_at": status.moved_at and instant_text(status.moved_at)}


def views_shape(statuses: Sequence[ViewStatus]) -> dict[str, Any]:
    """Shape how far views have come."""
    return {"views": [view_status_shape(status) for status in statuses]}


def status_shape(statuses: Sequence[ViewStatus], skipped: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shape how far views have come, and which events they leave out."""
    return {**views_shape(statuses), "skipped": skipped}


def rebuilt_shape(built: Sequence[Rebuilt]) -> dict[str, Any]:
    """Shape what became of rebuilding views."""
    return {"views": [asdict(view) for view in built]}


def dry_run_shape(failures: Sequence[Failure]) -> dict[str, Any]:
    """Shape the events that cannot be read, or on which the handler of a view fails."""
    return {"ok": not failures, "failures": [asdict(failure) for failure in failures]}


def generation_shape(live: Generation) -> dict[str, Any]:
    """Shape the generation of a view that is published again."""
    return {"name": live.view, "generation": live.number, "position": live.position}


def pruned_shape(removed: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Shape the numbers of the generations that were removed, by view."""
    return {"removed": removed}


def imported_shape(summary: Summary) -> dict[str, Any]:
    """Shape what a workload came to."""
    return asdict(summary)


def exported_shape(events: int, file: str) -> dict[str, Any]:
    """Shape how many events were written to which file."""
    return {"events": events, "file": file}


def adopted_shape(adopted: Adopted, *, dry_run: bool) -> dict[str, Any]:
    """Shape what was taken over from an old manager, or would be."""
    return {**asdict(adopted), "dry_run": dry_run}


def rolled_back_shape(done: RolledBack, file: str) -> dict[str, Any]:
    """Shape what was handed back to an old manager, and in which file."""
    return {**asdict(done), "file": file}


def serving_shape(address: str, *, follow: bool) -> dict[str, Any]:
    """Shape where metrics are served, and whether the views are kept up to date as well."""
    return {"serving": address, "follow": follow}


def version_shape(version: str, revision: str) -> dict[str, Any]:
    """Shape the version of Holdbook, and the revision of the schema that it works with."""
    return {"version": version, "schema_revision": revision}
