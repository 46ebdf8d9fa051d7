"""The command `seal` and its subcommands: signed checkpoints, keys, and witnesses that cosign."""

import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

from rich.text import Text
from typer import Argument, Context, Option, Typer

from holdbook.domain.errors import LogUnavailable, Malformed
from holdbook.domain.values import instant
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.cli.terminal.output import emit, emit_line, progress, say, show, tell_failure
from holdbook.infrastructure.cli.terminal.parsing import duration
from holdbook.infrastructure.cli.terminal.registration import command, spread
from holdbook.infrastructure.cli.terminal.signals import stopping
from holdbook.infrastructure.cli.terminal.tables import table
from holdbook.infrastructure.clock import system_clock
from holdbook.infrastructure.presentation.shapes.integrity import (
    cosigned_shape,
    kept_checkpoint_shape,
    key_shape,
    sealed_shape,
)
from holdbook.infrastructure.presentation.wording.integrity import (
    NOTHING_NEW,
    cosigned_text,
    handover_text,
    sealed_text,
    signers_text,
)
from holdbook.infrastructure.presentation.wording.values import time_to_second
from holdbook.infrastructure.seals.key_files import (
    log_verifier,
    others_may_read,
    read_key,
    write_key,
)
from holdbook.infrastructure.seals.prover import Prover
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.infrastructure.seals.store import KeptCheckpoint
from holdbook.infrastructure.seals.witness import Witness
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import Kind, SignerKey

seal = Typer()

EVERY_SECONDS_MAX = 366 * 86_400
"""The most seconds between two looks of a worker: a year."""

KeyFile = Annotated[Path | None, Option(metavar="FILE", help="File with the private key. Default: HOLDBOOK_SEAL_KEY.")]


@dataclass(frozen=True, kw_only=True)
class SealOptions(CommonOptions):
    """The options of `seal`."""

    key: KeyFile = None
    old_key: Annotated[
        Path | None, Option(metavar="FILE", help="File with the key that hands over to this one. Both sign.")
    ] = None
    watch: Annotated[bool, Option("--watch", help="Go on until interrupted, and sign as the log grows.")] = False
    every: Annotated[
        str, Option(metavar="TIME", help="With --watch: how long to wait between two looks, such as 90s or 5m.")
    ] = "60s"

    @property
    def seconds(self) -> float:
        """Seconds to wait between two looks; raises `Malformed`."""
        found = duration("--every", self.every)
        if not found or found > EVERY_SECONDS_MAX:
            raise Malformed("--every", self.every, "expected a time above 0, and a year at most")
        return found

    def signer(self) -> SignerKey:
        """Read the private key; raises `Malformed`."""
        given = self.key or (Path(self.settings.seal_key) if self.settings.seal_key else None)
        if given is None:
            expected = "expected a file with a private key, here or in HOLDBOOK_SEAL_KEY; `holdbook seal key` makes one"
            raise Malformed("--key", None, expected)
        return _private_key("--key", given, Kind.NOTE)


def _private_key(parameter: str, path: Path, kind: Kind) -> SignerKey:
    """Read a private key, and warn if others may read it too; raises `Malformed`."""
    key = read_key(parameter, path, kind)
    if others_may_read(path):
        say(Text(f"warning: others may read the private key {path}: chmod 600 {path}", style="yellow"), errors=True)
    return key


@seal.callback(invoke_without_command=True, epilog="Example  holdbook seal --key log.key")
@spread
def seal_group(context: Context, options: SealOptions) -> None:
    """Sign a checkpoint of the log as it is now, if it has grown since the last one; with --watch, again and again.

    A checkpoint states how many events there are, and the root of a Merkle tree over them. It is signed only if the log
    continues the last checkpoint. The signed text is printed: keep it or publish it where the owner of the database
    cannot change it.
    """
    if context.invoked_subcommand is not None:
        return
    signer, seconds = options.signer(), options.seconds
    old = None if options.old_key is None else _private_key("--old-key", options.old_key, Kind.NOTE)
    with options.open() as ledger:
        sealer = Sealer(ledger)
        if not options.watch:
            _print_sealed(_seal(sealer, signer, options, old), options)
            return
        with stopping() as stop:
            watch(sealer, signer, options, stop, seconds)


def _seal(sealer: Sealer, signer: SignerKey, options: CommonOptions, old: SignerKey | None = None) -> Signed | None:
    with progress("sealing", silent=options.json, unit="events") as tell:
        return sealer.seal(signer, system_clock(), old=old, progress=tell)


def _print_sealed(signed: Signed | None, options: CommonOptions) -> None:
    if options.json:
        emit(sealed_shape(signed))
    elif signed is None:
        say(NOTHING_NEW)
    else:
        say(sealed_text(signed), errors=True)
        emit_line(str(signed.note).removesuffix("\n"))


class _Stopped(Exception):
    """The worker was asked to stop."""


def watch(sealer: Sealer, signer: SignerKey, options: CommonOptions, stop: Event, seconds: float) -> None:
    """Sign again and again until asked to stop; while the database is away, wait and try again."""
    if not options.json:
        say(f"sealing every {seconds:g} s; interrupt to stop", errors=True)

    def check_stop(_done: int, _total: int) -> None:
        if stop.is_set():
            raise _Stopped

    while not stop.is_set():
        try:
            signed = sealer.seal(signer, system_clock(), progress=check_stop)
        except _Stopped:  # between two batches: the hashes made so far are kept, and nothing is signed
            return
        except LogUnavailable as error:
            if not error.transient:
                raise
            tell_failure(error, as_json=options.json)
        else:
            if signed is not None:
                _print_sealed(signed, options)
                sys.stdout.flush()
        stop.wait(seconds)


# Keys


@command(
    seal,
    "key",
    "holdbook seal key ledger.example/shop --out log.key",
    "holdbook seal key ledger.example/shop --out new.key --rotate log.key",
    "holdbook seal key witness.example/w1 --out witness.key --witness",
)
def make_key(
    name: Annotated[
        str, Argument(metavar="NAME", help="Name of the key, such as a host and a path.", show_default=False)
    ],
    out: Annotated[Path, Option(metavar="FILE", help="New file to write the private key to.")],
    rotate: Annotated[
        Path | None, Option(metavar="OLD", help="File with the present key, which hands over to the new one.")
    ] = None,
    *,
    witness: Annotated[bool, Option("--witness", help="Make a key for a witness, who cosigns.")] = False,
    options: CommonOptions,
) -> None:
    """Make a private key in a file that only you may read, and print its public key.

    With --rotate, a checkpoint that names the new key is signed at once by both keys, the old one and the new one: who
    trusts the old key can then trust the new one. From then on, only the new key signs.
    """
    kind = Kind.WITNESS if witness else Kind.NOTE
    key = SignerKey.generate(name, kind)
    if rotate is None:
        write_key(out, key)
        _print_key(key, out, options)
        return
    if witness:
        raise Malformed("--rotate", str(rotate), "expected no --witness with it: a witness's key hands over to nobody")
    old = _private_key("--rotate", rotate, Kind.NOTE)
    with options.open() as ledger:
        sealer = Sealer(ledger)
        sealer.check_handover(old)
        write_key(out, key)
        signed = _seal(sealer, key, options, old)
    _print_key(key, out, options, signed)


def _print_key(key: SignerKey, out: Path, options: CommonOptions, signed: Signed | None = None) -> None:
    if options.json:
        emit(key_shape(key.verifier, str(out), signed))
        return
    say(f"the private key is in {out}; this is the public key:", errors=True)
    emit_line(str(key.verifier))
    if signed is not None:
        _print_sealed(signed, options)


@command(seal, "list", "holdbook seal list", "holdbook seal list --json")
def list_checkpoints(options: CommonOptions) -> None:
    """List the checkpoints and who signed them; as JSON, one line each, with the signed text."""
    with options.open() as ledger:
        found = Sealer(ledger).checkpoints()
        if options.json:
            for kept in found:
                emit(kept_checkpoint_shape(kept))
            return
        columns = ("checkpoint", "events", "sealed", "signed by", "")
        show(table(columns, list(map(_row, found)), right=columns[:2]))


def _row(kept: KeptCheckpoint) -> tuple[str, ...]:
    one = kept.signed.checkpoint
    sealed_at = time_to_second(instant(kept.sealed_at))
    return f"{one.number:,}", f"{one.size:,}", sealed_at, signers_text(kept.signed), handover_text(kept.signed)


@command(seal, "cosign", "holdbook seal cosign --key witness.key", "holdbook seal cosign --key witness.key 7 8")
def cosign(
    numbers: Annotated[
        list[int] | None,
        Argument(metavar="[CHECKPOINT]...", help="Numbers of checkpoints. Default: the last.", show_default=False),
    ] = None,
    *,
    key: Annotated[Path, Option(metavar="FILE", help="File with the witness's private key.")],
    log_key: Annotated[
        list[str] | None,
        Option(
            metavar="KEY|FILE",
            help="Public key of the ledger, used the first time. Default: the key that signed. May be repeated.",
        ),
    ] = None,
    options: CommonOptions,
) -> None:
    """Cosign checkpoints as a witness: each must be signed, and continue the last one that was cosigned.

    What the witness saw last, and which keys it trusts, is kept in a file beside its key, FILE.seen. A checkpoint that
    does not continue from there is refused with exit code 1.
    """
    with options.open() as ledger:
        prover, sealer = Prover(ledger), Sealer(ledger)
        witness = Witness(key, _private_key("--key", key, Kind.WITNESS))
        trusted = [log_verifier("--log-key", one) for one in log_key or ()]
        for number in numbers or [prover.checkpoint().signed.checkpoint.number]:
            signed = prover.checkpoint(number).signed
            handovers = (prover.checkpoint(one).signed for one in prover.handovers())
            now = system_clock()
            signature = witness.cosign(signed, handovers, prover.path, now, trusted or prover.signers(signed))
            sealer.add_cosignature(number, witness.key.verifier, signature, now)
            _print_cosigned(prover.checkpoint(number).signed, witness, options)


def _print_cosigned(signed: Signed, witness: Witness, options: CommonOptions) -> None:
    if options.json:
        emit(cosigned_shape(signed, witness.key.verifier))
    else:
        say(cosigned_text(signed), errors=True)
        emit_line(str(signed.note).removesuffix("\n"))
