"""A pool's usage over time without gaps: rows of ``pool_usage``, carried forward, with the number of refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdbook.domain.errors import Malformed
from holdbook.domain.values import instant, instant_text
from holdbook.projections.views.pool_usage import BUCKET, bucket_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    Row = Mapping[str, Any]

BUCKETS_MAX: Final = 100_000
"""The most buckets in one answer: eleven years of hours."""

COLUMNS: Final = ("bucket", "used", "peak", "capacity", "allocations", "grants", "endings", "refusals")
"""The fields of each bucket in an answer."""


def usage_over_time(
    rows: Sequence[Row], refusals: Mapping[str, int], *, since: datetime | None = None, until: datetime | None = None
) -> list[dict[str, Any]]:
    """List a pool's buckets, those without a row of their own included.

    ``rows`` are those of the pool in ``pool_usage``, in order; ``refusals`` are its refusals by bucket. The list begins
    with the bucket of ``since``, or of the pool's opening if that is later. It ends before ``until``, or with the last
    bucket in which something happened. Raises `Malformed` if there are more than `BUCKETS_MAX`.
    """
    if not rows:
        return []
    opened = rows[0]["bucket"]
    begin = instant(opened if since is None else max(opened, bucket_of(since)))
    end = instant(max(rows[-1]["bucket"], *refusals, "")) + BUCKET if until is None else until
    count = max(0, -((begin - end) // BUCKET))
    if count > BUCKETS_MAX:
        expected = f"expected at most {BUCKETS_MAX:,} hours, not {count:,}; choose with --from and --to"
        raise Malformed("from", instant_text(begin), expected)
    present = {row["bucket"]: row for row in rows}
    carried = next((row for row in reversed(rows) if row["bucket"] < instant_text(begin)), rows[0])
    found = []
    for number in range(count):
        bucket = instant_text(begin + number * BUCKET)
        carried = present.get(bucket) or {**carried, "peak": carried["used"], "grants": 0, "endings": 0}
        known = {**carried, "bucket": bucket, "refusals": refusals.get(bucket, 0)}
        found.append({column: known[column] for column in COLUMNS})
    return found
