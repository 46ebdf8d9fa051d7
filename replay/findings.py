"""What a verification found: closed kinds of checks, findings, and the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FINDINGS_MAX: Final = 100
"""The most findings of one kind of check that a report lists; the rest are counted."""


class Check(StrEnum):
    """What is checked."""

    LEDGER = "ledger"
    """The ledger's own row is there."""
    COLUMNS = "columns"
    """Every column holds a value of its kind."""
    POSITIONS = "positions"
    """Positions are dense from 1."""
    CHAIN = "chain"
    """Every hash follows from the hash before it and the row."""
    DECODING = "decoding"
    """Every event is of a known type and can be read."""
    ENVELOPE = "envelope"
    """The columns agree with the event."""
    VERSIONS = "versions"
    """Versions are dense within each stream."""
    COMMANDS = "commands"
    """Commands are whole, are recorded once, and agree with their events."""
    TIME = "time"
    """No pool's time goes back, and no hold outlives its deadline by its pool's time."""
    POOLS = "pools"
    """A pool is opened once, before anything happens in it, and nothing is granted after it was closed."""
    ALLOCATIONS = "allocations"
    """An allocation begins once and ends once, in all its pools."""
    CONSERVATION = "conservation"
    """Granted + enlarged - reduced - released - voided - expired = held."""
    LIMITS = "limits"
    """Nothing was granted beyond a limit."""
    SNAPSHOTS = "snapshots"
    """Every snapshot equals the fold of its pool's events."""
    SEALS = "seals"
    """Every checkpoint is signed, none is missing, and the log is what they were signed over."""
    VIEWS = "views"
    """Every view equals the fold of the log at its position."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was promised."""

    position: int | None
    """Position of the row at fault; None where no row of the log is."""
    check: Check
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {"position": self.position, "check": self.check.value, "message": self.message}


@dataclass(frozen=True, slots=True)
class ViewChecked:
    """How far a view was compared."""

    name: str
    position: int
    """The view's position, at which it was compared."""
    behind: int
    """Events read that it had not seen; being behind is no fault."""
    rows: int
    """Rows compared."""


@dataclass(frozen=True, slots=True)
class SealsChecked:
    """Which checkpoints were compared."""

    checkpoints: int
    """How many."""
    size: int
    """Size that the last of them was signed at."""
    keys: tuple[str, ...]
    """Who signed, as far as that was checked."""
    trusted: bool
    """False if the public keys are only those that the database names itself."""

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {
            "checkpoints": self.checkpoints,
            "size": self.size,
            "keys": list(self.keys),
            "trusted": self.trusted,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification read and found."""

    events: int
    """Rows read."""
    head: int
    """Position of the last row read; 0 in an empty log."""
    findings: tuple[Finding, ...] = ()
    """In order of position; what concerns no row of the log comes last."""
    more: int = 0
    """How many findings there are beyond those listed."""
    views: tuple[ViewChecked, ...] = ()
    snapshots: int = 0
    """Snapshots compared."""
    seals: SealsChecked | None = None
    """Checkpoints compared; None if there are none."""

    @property
    def ok(self) -> bool:
        """Tell whether every check was passed."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Write the report as JSON values."""
        return {
            "ok": self.ok,
            "events": self.events,
            "head": self.head,
            "findings": [finding.as_dict() for finding in self.findings],
            "more": self.more,
            "views": [
                {"name": view.name, "position": view.position, "behind": view.behind, "rows": view.rows}
                for view in self.views
            ],
            "snapshots": self.snapshots,
            "seals": self.seals and self.seals.as_dict(),
        }


class Findings:
    """Collects findings, so many of each kind, and counts the rest."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._counts: Counter[Check] = Counter()
        self.more = 0
        """How many were counted but not kept."""

    def add(self, position: int | None, check: Check, message: str) -> None:
        """Note a finding."""
        self._counts[check] += 1
        if self._counts[check] <= FINDINGS_MAX:
            self._found[Finding(position, check, message)] = None
        else:
            self.more += 1

    def in_order(self) -> Sequence[Finding]:
        """List them by position, those without one last, else as they were found."""
        return sorted(self._found, key=lambda one: (one.position is None, one.position or 0))
