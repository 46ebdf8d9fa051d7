"""The command `verify`, which checks the log and what is computed from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Exit, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TrustedKeys
from holdbook.infrastructure.cli.terminal.output import emit, progress, say, say_all
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.ledger import Ledger
from holdbook.infrastructure.presentation.shapes.integrity import repaired_shape, verified_shape
from holdbook.infrastructure.presentation.wording.integrity import repair_text, report_lines
from holdbook.infrastructure.seals.key_files import log_verifier, read_checkpoint
from holdbook.infrastructure.seals.prover import sealing_of
from holdbook.infrastructure.verification.start import start_at
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.projections.rebuild import Rebuilt
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import VerifierKey
from holdbook.replay.verification.findings import Report

top = Typer()


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(CommonOptions):
    """The options of `verify`."""

    key: TrustedKeys = None
    checkpoint: Annotated[
        list[Path] | None,
        Option(
            metavar="FILE", help="File with a signed checkpoint that was kept outside the database. May be repeated."
        ),
    ] = None
    since: Annotated[
        str | None,
        Option(
            metavar="CHECKPOINT",
            help="Check only what came after a checkpoint: its number, or a file with it. Views are not compared.",
        ),
    ] = None
    repair_view: Annotated[
        str | None,
        Option(metavar="VIEW", help="Rebuild this view if it differs from the log and nothing is wrong with the log."),
    ] = None

    @property
    def trusted(self) -> list[VerifierKey]:
        """The public keys that are trusted; raises `Malformed`."""
        return [log_verifier("--key", one) for one in self.key or ()]

    @property
    def kept_checkpoints(self) -> list[Signed]:
        """The signed checkpoints that were kept outside the database; raises `Malformed`."""
        return [read_checkpoint("--checkpoint", one) for one in self.checkpoint or ()]


@command(
    top,
    "verify",
    "holdbook verify",
    "holdbook verify --json",
    "holdbook verify --key log.pub --checkpoint kept.txt",
    "holdbook verify --since 12",
    "holdbook verify --repair-view metrics",
)
def verify(options: VerifyOptions) -> None:
    """Check that the whole log keeps every promise of the ledger; the exit code is 1 if one is broken.

    Each broken promise is shown with the kind of harm that was done. Checkpoints are checked with the public keys that
    you give. Without any, they are checked with the keys that the database names, which somebody who forged the whole
    database would have forged too.
    """
    trusted, kept, repair_view = options.trusted, options.kept_checkpoints, options.repair_view
    if repair_view is not None and options.since is not None:
        raise Malformed("repair_view", repair_view, "expected no --since beside it: that compares no view")
    with options.open() as ledger:
        if repair_view is not None:
            ledger.projector().view(repair_view)
        with progress("verifying", silent=options.json, unit="events") as tell:
            sealing = sealing_of(ledger, trusted, kept)
            start = None if options.since is None else start_at(ledger, sealing, options.since)
            report = verify_ledger(ledger, tell, sealing, since=start)
        built = None if repair_view is None else _repair(ledger, repair_view, report, silent=options.json)
    if options.json:
        emit(verified_shape(report) if repair_view is None else repaired_shape(report, repair_view, built))
    else:
        say_all(report_lines(report))
        if repair_view is not None:
            say(repair_text(repair_view, report, built))
    if not (report.ok or _is_repaired(report, built)):
        raise Exit(1)


def _repair(ledger: Ledger, view: str, report: Report, *, silent: bool) -> Rebuilt | None:
    """Rebuild a view and publish it, if it differs from the log and the log is sound; change nothing else.

    Gives None if the view is left as it is.
    """
    compared = view in {one.name for one in report.views}
    differs = report.more or any(finding.view == view for finding in report.findings)
    if not (report.log_is_sound and compared and differs):
        return None
    with progress(f"rebuilding {view}", silent=silent, unit="events") as tell:
        (built,) = ledger.projector().rebuild(view, accept_differences=True, progress=tell)
    return built


def _is_repaired(report: Report, built: Rebuilt | None) -> bool:
    """Tell whether a rebuild set right all that was found. It publishes a view only if it equals the log."""
    return built is not None and built.published and all(finding.view == built.name for finding in report.findings)
