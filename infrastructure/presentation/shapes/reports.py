"""The shapes of reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from holdbook.domain.refusals import RefusalCode, explain, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping


def failure_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row of ``validation_failures``, with the refusal in words."""
    code, data = RefusalCode(row["code"]), json.loads(row["data"])
    said = {"transient": is_transient(code), "message": explain(code, data)}
    return {**row, "asked": json.loads(row["asked"]), "data": data, **said}
