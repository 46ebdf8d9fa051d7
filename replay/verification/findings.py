"""What a verification found: closed kinds of checks and of harm, findings, and the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

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


class Harm(StrEnum):
    """What must have been done to the ledger, in an auditor's words."""

    ALTERED = "altered event"
    """A row says something else than was written."""
    HOLE = "hole"
    """Rows were taken out, whether or not those after them were numbered anew."""
    INSERTED = "inserted event"
    """A row was put in, or appended, that the ledger did not write."""
    REORDER = "reorder"
    """Rows stand in each other's places."""
    CUT_TAIL = "cut tail"
    """The end of the log is missing."""
    FORGED_CHECKPOINT = "forged checkpoint"
    """A checkpoint is not what its key signed, or signs another log."""
    MISSING_CHECKPOINT = "missing checkpoint"
    """A checkpoint is not there though later ones are."""
    UNREADABLE = "unreadable event"
    """A row that the chain vouches for cannot be read: it is of a later version, or was forged with its hash."""
    CONTRADICTION = "contradiction"
    """What rows say cannot be true together, though the chain may hold: a fault, or a log forged as a whole."""
    CONSERVATION = "breach of conservation"
    """What was taken and what was given back do not add up to what is held."""
    LIMIT = "breach of a limit"
    """More was granted than a limit allows."""
    LEAK = "leak"
    """A hold past its deadline, by its pool's own time, without an end; or a row of a view with none in the log."""
    TREE = "tree that differs"
    """The stored Merkle tree says something else than the log, which is as it was signed."""
    SNAPSHOT = "snapshot that differs"
    """A snapshot says something else than the log."""
    VIEW = "view that differs"
    """A view says something else than the log."""
    LEDGER = "lost identity"
    """The ledger's own row is gone: nothing says whose log this is."""


USUAL_HARM: Final[Mapping[Check, Harm]] = {
    Check.LEDGER: Harm.LEDGER,
    Check.POSITIONS: Harm.HOLE,
    Check.CHAIN: Harm.ALTERED,
    Check.COLUMNS: Harm.ALTERED,
    Check.DECODING: Harm.UNREADABLE,
    Check.ENVELOPE: Harm.CONTRADICTION,
    Check.VERSIONS: Harm.CONTRADICTION,
    Check.COMMANDS: Harm.CONTRADICTION,
    Check.TIME: Harm.CONTRADICTION,
    Check.POOLS: Harm.CONTRADICTION,
    Check.ALLOCATIONS: Harm.CONTRADICTION,
    Check.CONSERVATION: Harm.CONSERVATION,
    Check.LIMITS: Harm.LIMIT,
    Check.SNAPSHOTS: Harm.SNAPSHOT,
    Check.SEALS: Harm.FORGED_CHECKPOINT,
    Check.VIEWS: Harm.VIEW,
}
"""What a failed check means unless more is known."""

DERIVED: Final = frozenset({Check.SNAPSHOTS, Check.VIEWS})
"""What can be made again from the log."""

_CAUSES: Final = (Check.LEDGER, Check.POSITIONS, Check.CHAIN)
"""Checks whose findings are named before others of the same row: they are the cause, what else is wrong follows."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was promised."""

    position: int | None
    """Position of the row at fault; None where no row of the log is."""
    check: Check
    message: str
    harm: Harm
    view: str | None = None
    """The view at fault, if one is."""

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {
            "harm": self.harm.value,
            "position": self.position,
            "check": self.check.value,
            "message": self.message,
        }


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
    since: int = 0
    """Position after which rows were read: what was before had been verified, and views were not compared."""

    @property
    def ok(self) -> bool:
        """Tell whether every check was passed."""
        return not self.findings

    @property
    def log_is_sound(self) -> bool:
        """Tell whether nothing is wrong but with what can be made again from the log."""
        return all(finding.check in DERIVED for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Write the report as JSON values."""
        return {
            "ok": self.ok,
            "since": self.since,
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
        self._checks: dict[int, set[Check]] = {}
        self.more = 0
        """How many were counted but not kept."""

    def add(
        self, position: int | None, check: Check, message: str, harm: Harm | None = None, *, view: str | None = None
    ) -> None:
        """Note a finding; what harm it shows if that is not the usual one."""
        self._counts[check] += 1
        if self._counts[check] > FINDINGS_MAX:
            self.more += 1
            return
        self._found[Finding(position, check, message, harm or USUAL_HARM[check], view)] = None
        if position is not None:
            self._checks.setdefault(position, set()).add(check)

    def take(self, other: Iterable[Finding], more: int) -> None:
        """Note what was found elsewhere."""
        self._found.update(dict.fromkeys(other))
        self.more += more

    def checks_at(self, position: int) -> AbstractSet[Check]:
        """Tell which checks a row has failed so far."""
        return self._checks.get(position, frozenset())

    def in_order(self) -> Sequence[Finding]:
        """List them by position, those without one last; of one row the causes first, else as they were found."""
        return sorted(self._found, key=_order)


def _order(finding: Finding) -> tuple[bool, int, int]:
    rank = _CAUSES.index(finding.check) if finding.check in _CAUSES else len(_CAUSES)
    return finding.position is None, finding.position or 0, rank
