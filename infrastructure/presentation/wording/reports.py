"""Reports in words: incidents, usage, metrics, refusals."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.values import instant
from holdbook.infrastructure.presentation.wording.values import codes_text, time_to_second
from holdbook.projections.views.metrics import LASTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdbook.replay.reports.incident import Incident, Timeline
    from holdbook.replay.reports.usage import UsageReport

SHARES: Final = {"half": 0.5, "90 %": 0.9, "99 %": 0.99}
"""The shares of what a histogram counts for which `lasted_text` gives a bound, by their names."""

NO_METRICS: Final = "nothing has happened yet"
"""Said of a log in which nothing has been counted."""


def incident_lines(incident: Incident) -> Iterator[str]:
    """Say what a window of time came to: a line for each pool in which something happened, and one for the rest."""
    for pool in incident.pools.values():
        if pool.is_eventful:
            yield (
                f"{pool.name}: {pool.before.used:,} used at first, at most {pool.used.most.value:,}, "
                f"{pool.after.used:,} of {pool.after.capacity:,} {pool.unit} in the end; {_event_counts(pool)}"
            )
    if incident.unknown:
        yield f"refused, of no pool that there is: {codes_text(incident.unknown)}"
    if not incident.count:
        yield "nothing happened in that time"


def _event_counts(pool: Timeline) -> str:
    """Say how many events of each type there were, then how many refusals with each code."""
    counted = [f"{count:,} {kind}" for kind, count in pool.events.items()]
    refused = [f"refused: {codes_text(pool.refusals.codes)}"] if pool.refusals.codes else []
    return ", ".join([*counted, *refused])


def page_written_text(incident: Incident, file: str) -> str:
    """Say how many steps of an incident were written to which file as a page."""
    return f"{incident.count:,} step{'s' * (incident.count != 1)} written to {file}"


def usage_text(report: UsageReport) -> str:
    """Say which window of time a report of usage is about, and up to which position of the log it was read."""
    if not report.rows:
        return "nothing was held or refused in that time"
    window = f"from {time_to_second(report.begin)} until {time_to_second(report.end)}"
    return f"{window}, as the log tells up to position {report.position:,}"


def usage_over_time_text(pool: str, unit: str, buckets: Sequence[Mapping[str, Any]]) -> str:
    """Say what was used of a pool in the end and at most, and what happened, from its hours in order."""
    if not buckets:
        return f"nothing happened in pool {pool} in that time"
    peak, last = max(buckets, key=lambda hour: hour["peak"]), buckets[-1]
    grants, endings, refusals = (sum(hour[field] for hour in buckets) for field in ("grants", "endings", "refusals"))
    return (
        f"{pool}: {last['used']:,} of {last['capacity']:,} {unit} used in the end, "
        f"at most {peak['peak']:,} in the hour from {time_to_second(instant(peak['bucket']))}; "
        f"{grants:,} granted, {endings:,} ended, {refusals:,} refused"
    )


def refusals_text(count: int) -> str:
    """Say how many refusals there are."""
    return f"{count:,} refusal{'s' * (count != 1)}" if count else "no such refusals"


def lasted_text(row: Mapping[str, Any]) -> list[str]:
    """Say how long an operation took: on average, and for each of `SHARES` the least bound within which so many are.

    The row is one of the view ``metrics`` that has times; the bounds are those of its histogram.
    """
    mean = timedelta(milliseconds=row["milliseconds"] // row["count"])
    found = [str(timedelta(seconds=int(mean.total_seconds())))]
    for share in SHARES.values():
        bounds = (column.removeprefix("le_") for column in LASTED if row[column] >= share * row["count"])
        found.append(next(bounds, "longer"))
    return found
