"""The commands `prove` and `verify-bundle`: proofs from the database, and their check without it."""

from typing import Annotated

from typer import Argument, Option, Typer

from holdbook.domain.errors import Malformed
from holdbook.infrastructure.cli.terminal.files import readable
from holdbook.infrastructure.cli.terminal.options import CommonOptions, TrustedKeys
from holdbook.infrastructure.cli.terminal.output import emit, emit_line, progress, say_all
from holdbook.infrastructure.cli.terminal.registration import command
from holdbook.infrastructure.presentation.shapes.integrity import proof_shape, proven_shape
from holdbook.infrastructure.presentation.wording.integrity import proven_lines
from holdbook.infrastructure.seals.key_files import read_verifier
from holdbook.infrastructure.seals.prover import Consistency, Inclusion, Prover
from holdbook.replay.evidence.bundle import verify_bundle

top = Typer()


@command(top, "prove", "holdbook prove 1042", "holdbook prove 1042 --checkpoint 7", "holdbook prove --consistency 3 7")
def prove(
    position: Annotated[
        int | None, Argument(metavar="[POSITION]", min=1, help="Position of an event in the log.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        int | None, Option(metavar="NUMBER", min=1, help="Number of the checkpoint to prove it by. Default: the last.")
    ] = None,
    consistency: Annotated[
        tuple[int, int] | None,
        Option(
            metavar="EARLIER LATER",
            help="Numbers of two checkpoints: prove that the later one continues the earlier one.",
        ),
    ] = None,
    *,
    options: CommonOptions,
) -> None:
    """Prove that a signed checkpoint covers an event, or that one checkpoint continues another.

    The proof is verified before it is printed. For an event it has the form `c2sp.org/tlog-proof`, with the canonical
    bytes of the event as its extra data.
    """
    with options.open() as ledger:
        prover = Prover(ledger)
        if consistency is not None and position is None:
            made: Inclusion | Consistency = prover.consistency(*consistency)
        elif position is not None and consistency is None:
            made = prover.inclusion(position, checkpoint)
        else:
            raise Malformed("POSITION", position, "expected the position of an event, or --consistency")
    if options.json:
        emit(proof_shape(made))
    else:
        emit_line(made.text.removesuffix("\n"))


@command(top, "verify-bundle", "holdbook verify-bundle events.bundle --key log.pub")
def check_bundle(
    file: Annotated[
        str, Argument(metavar="FILE", help="File with the bundle; - for the standard input.", show_default=False)
    ],
    key: TrustedKeys = None,
    *,
    as_json: Annotated[bool, Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Verify a bundle that `holdbook export --proofs` wrote, with public keys that you trust and without a database.

    The exit code is 1 if anything in it differs from what was signed; the line and the position are named. Of the keys
    of the ledger that you give, one must have signed, or have handed over to a key that did. Of the keys of witnesses,
    each must have cosigned.
    """
    trusted = [read_verifier("--key", one) for one in key or ()]
    if not trusted:
        raise Malformed("--key", None, "expected a public key that you trust")
    with readable(file) as (source, _), progress("verifying", silent=as_json, unit="events") as tell:
        proven = verify_bundle(source, trusted, tell)
    if as_json:
        emit(proven_shape(proven))
    else:
        say_all(proven_lines(proven))
