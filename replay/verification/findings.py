"""What a verification found: the kinds of checks and of harm, the findings, and the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

FINDINGS_MAX: Final = 100
"""How many findings of one check a report lists; further ones are only counted."""


class Check(StrEnum):
    """What is checked."""

    LEDGER = "ledger"
    """The ledger's own row exists."""
    COLUMNS = "columns"
    """Every column holds a value of its type and range."""
    POSITIONS = "positions"
    """Positions are dense from 1."""
    CHAIN = "chain"
    """Every hash follows from the hash before it and from the row."""
    DECODING = "decoding"
    """Every event has a known type and can be read."""
    ENVELOPE = "envelope"
    """The columns of a row agree with its event."""
    VERSIONS = "versions"
    """Versions are dense within each stream."""
    COMMANDS = "commands"
    """Commands are whole, are recorded once, and agree with their events."""
    TIME = "time"
    """The time of a pool never goes back, and no hold is open past its deadline by the time of its pool."""
    POOLS = "pools"
    """A pool is opened once, before anything happens in it, and nothing is granted after it was closed."""
    ALLOCATIONS = "allocations"
    """An allocation begins once and ends once, in all its pools."""
    CONSERVATION = "conservation"
    """For every pool, granted + enlarged - reduced - released - voided - expired = held."""
    LIMITS = "limits"
    """Nothing was granted beyond a limit."""
    SNAPSHOTS = "snapshots"
    """Every snapshot equals the fold of its pool's events."""
    SEALS = "seals"
    """Every checkpoint is signed, none is missing, and each was signed over the events that the log has."""
    VIEWS = "views"
    """Every view equals the fold of the log at its position."""


class Harm(StrEnum):
    """What must have happened to the ledger, in an auditor's words."""

    ALTERED = "altered event"
    """A row does not say what was written."""
    HOLE = "hole"
    """Rows were removed, whether or not the later ones were renumbered."""
    INSERTED = "inserted event"
    """A row was inserted or appended that the ledger did not write."""
    REORDER = "reorder"
    """Rows are in each other's places."""
    CUT_TAIL = "cut tail"
    """The end of the log is missing."""
    FORGED_CHECKPOINT = "forged checkpoint"
    """A checkpoint is not what its key signed, or was signed over another log."""
    MISSING_CHECKPOINT = "missing checkpoint"
    """A checkpoint is missing although later ones exist."""
    UNREADABLE = "unreadable event"
    """A row with a right hash cannot be read: a later version wrote it, or it was forged together with its hash."""
    CONTRADICTION = "contradiction"
    """Rows cannot all be true although the hash chain may hold: there was a fault, or the log was forged as a whole."""
    CONSERVATION = "breach of conservation"
    """What was taken and what was given back do not add up to what is held."""
    LIMIT = "breach of a limit"
    """More was granted than a limit allows."""
    LEAK = "leak"
    """A hold is open past its deadline by the time of its pool; or a view has a row that the log does not give."""
    TREE = "tree that differs"
    """The stored Merkle tree differs from the log, and the log is as it was signed."""
    SNAPSHOT = "snapshot that differs"
    """A snapshot differs from the log."""
    VIEW = "view that differs"
    """A view differs from the log."""
    LEDGER = "lost identity"
    """The ledger's own row is missing, so nothing says whose log this is."""


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
"""The harm that a failed check stands for unless more is known."""

DERIVED: Final = frozenset({Check.SNAPSHOTS, Check.VIEWS})
"""Checks of what can be computed again from the log."""

_CAUSES: Final = (Check.LEDGER, Check.POSITIONS, Check.CHAIN)
"""Checks whose findings come before others of the same row, because they are the cause of those."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    position: int | None
    """The position of the row at fault; None if it is not a row of the log."""
    check: Check
    message: str
    harm: Harm
    view: str | None = None
    """The name of the view at fault; None if it is not a view."""

    def as_dict(self) -> dict[str, Any]:
        """Give the finding as JSON values."""
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
    """How many of the events read the view had not seen, which is no fault."""
    rows: int
    """How many rows were compared."""


@dataclass(frozen=True, slots=True)
class SealsChecked:
    """Which checkpoints were compared with the log."""

    checkpoints: int
    """How many checkpoints were compared."""
    size: int
    """How many events the last of them was signed over."""
    keys: tuple[str, ...]
    """The keys whose signatures were verified."""
    trusted: bool
    """Whether public keys from outside the database were given; else only the keys stored in it were used."""

    def as_dict(self) -> dict[str, Any]:
        """Give the result as JSON values."""
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
    """How many rows were read."""
    head: int
    """The position of the last row read; 0 in an empty log."""
    findings: tuple[Finding, ...] = ()
    """Ordered by position; those without a position come last."""
    more: int = 0
    """How many findings there are beyond those listed."""
    views: tuple[ViewChecked, ...] = ()
    snapshots: int = 0
    """How many snapshots were compared."""
    seals: SealsChecked | None = None
    """Which checkpoints were compared; None if there are none."""
    since: int = 0
    """The position after which rows were read; what comes before was verified earlier, and then no view is compared."""

    @property
    def ok(self) -> bool:
        """Tell whether every check passed."""
        return not self.findings

    @property
    def log_is_sound(self) -> bool:
        """Tell whether only things failed that can be computed again from the log."""
        return all(finding.check in DERIVED for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
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
    """Collects findings, at most `FINDINGS_MAX` of each check, and counts the rest."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._counts: Counter[Check] = Counter()
        self._checks: dict[int, set[Check]] = {}
        self.more = 0
        """How many findings were counted but not kept."""

    def add(
        self, position: int | None, check: Check, message: str, harm: Harm | None = None, *, view: str | None = None
    ) -> None:
        """Add a finding; ``harm`` is given if it is not the usual harm of the check."""
        self._counts[check] += 1
        if self._counts[check] > FINDINGS_MAX:
            self.more += 1
            return
        self._found[Finding(position, check, message, harm or USUAL_HARM[check], view)] = None
        if position is not None:
            self._checks.setdefault(position, set()).add(check)

    def take(self, other: Iterable[Finding], more: int) -> None:
        """Add findings that were collected elsewhere, and how many more there were."""
        self._found.update(dict.fromkeys(other))
        self.more += more

    def checks_at(self, position: int) -> AbstractSet[Check]:
        """Give the checks that the row at a position has failed so far."""
        return self._checks.get(position, frozenset())

    def in_order(self) -> Sequence[Finding]:
        """Give the findings ordered by position, those without one last; those of one row with the causes first."""
        return sorted(self._found, key=_order)


def _order(finding: Finding) -> tuple[bool, int, int]:
    rank = _CAUSES.index(finding.check) if finding.check in _CAUSES else len(_CAUSES)
    return finding.position is None, finding.position or 0, rank
