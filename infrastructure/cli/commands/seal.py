"""Sealing: keys, signed checkpoints, and witnesses that cosign them."""

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
from holdbook.infrastructure.seals.sealer import KeptCheckpoint, Sealer
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.notes import Kind, SignerKey

seal = Typer(help="Sign checkpoints of the log; without a command, sign one now.")

EVERY_SECONDS_MAX = 366 * 86_400
"""The longest that a worker may wait."""

KeyFile = Annotated[Path | None, Option(metavar="FILE", help="File with the private key. Default: HOLDBOOK_SEAL_KEY.")]


@dataclass(frozen=True, kw_only=True)
class SealOptions(CommonOptions):
    """What signing takes."""

    key: KeyFile = None
    old_key: Annotated[
        Path | None, Option(metavar="FILE", help="File with the key that hands over to this one: both sign.")
    ] = None
    watch: Annotated[bool, Option("--watch", help="Go on, signing as the log grows, until interrupted.")] = False
    every: Annotated[str, Option(metavar="TIME", help="How long to wait in between: 90s, 5m.")] = "60s"

    @property
    def seconds(self) -> float:
        """How long to wait in between; raises `Malformed`."""
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
        return private_key("--key", given, Kind.NOTE)


def private_key(parameter: str, path: Path, kind: Kind) -> SignerKey:
    """Read a private key, and warn if others may read it too; raises `Malformed`."""
    key = read_key(parameter, path, kind)
    if others_may_read(path):
        say(Text(f"warning: others may read the private key {path}: chmod 600 {path}", style="yellow"), errors=True)
    return key


@seal.callback(invoke_without_command=True, epilog="Example  holdbook seal --key log.key")
@spread
def seal_group(context: Context, options: SealOptions) -> None:
    """Sign a checkpoint of the log's present end, if there is something new; with --watch, again and again.

    A checkpoint says how many events there are, and the root of a Merkle tree over them. It is signed only if the log
    goes on from the last one. What was signed is printed: keep it, or publish it, where the database's owner cannot
    change it.
    """
    if context.invoked_subcommand is not None:
        return
    signer, seconds = options.signer(), options.seconds
    old = None if options.old_key is None else private_key("--old-key", options.old_key, Kind.NOTE)
    with options.open() as ledger:
        sealer = Sealer(ledger)
        if not options.watch:
            _tell_sealed(_seal(sealer, signer, options, old), options)
            return
        with stopping() as stop:
            watch(sealer, signer, options, stop, seconds)


def _seal(sealer: Sealer, signer: SignerKey, options: CommonOptions, old: SignerKey | None = None) -> Signed | None:
    with progress("sealing", silent=options.json, unit="events") as tell:
        return sealer.seal(signer, system_clock(), old=old, progress=tell)


def _tell_sealed(signed: Signed | None, options: CommonOptions) -> None:
    if options.json:
        emit(sealed_shape(signed))
    elif signed is None:
        say(NOTHING_NEW)
    else:
        say(sealed_text(signed), errors=True)
        emit_line(str(signed.note).removesuffix("\n"))


class _Stopped(Exception):
    """The worker was told to stop."""


def watch(sealer: Sealer, signer: SignerKey, options: CommonOptions, stop: Event, seconds: float) -> None:
    """Sign again and again, until told to stop; a database that is away for a while is waited for."""
    if not options.json:
        say(f"sealing every {seconds:g} s; interrupt to stop", errors=True)

    def heed(_done: int, _total: int) -> None:
        if stop.is_set():
            raise _Stopped

    while not stop.is_set():
        try:
            signed = sealer.seal(signer, system_clock(), progress=heed)
        except _Stopped:  # between two portions: what is hashed is kept, and nothing is signed
            return
        except LogUnavailable as error:
            if not error.transient:
                raise
            tell_failure(error, as_json=options.json)
        else:
            if signed is not None:
                _tell_sealed(signed, options)
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
    name: Annotated[str, Argument(metavar="NAME", help="Name of the key: a host and a path, say.", show_default=False)],
    out: Annotated[Path, Option(metavar="FILE", help="The new file that the private key is written to.")],
    rotate: Annotated[
        Path | None, Option(metavar="OLD", help="File with the present key, which hands over to the new one.")
    ] = None,
    *,
    witness: Annotated[bool, Option("--witness", help="A key to cosign with, not one to sign with.")] = False,
    options: CommonOptions,
) -> None:
    """Make a key, in a file that only you may read, and print its public key.

    With --rotate, a checkpoint is signed at once by both keys, the old one and the new one, which it names: whoever
    trusts the old key can go on to the new one, and from then on only the new one signs.
    """
    kind = Kind.WITNESS if witness else Kind.NOTE
    key = SignerKey.generate(name, kind)
    if rotate is None:
        write_key(out, key)
        _tell_key(key, out, options)
        return
    if witness:
        raise Malformed("--rotate", str(rotate), "expected no --witness with it: a witness's key hands over to nobody")
    old = private_key("--rotate", rotate, Kind.NOTE)
    with options.open() as ledger:
        sealer = Sealer(ledger)
        sealer.check_handover(old)
        write_key(out, key)
        signed = _seal(sealer, key, options, old)
    _tell_key(key, out, options, signed)


def _tell_key(key: SignerKey, out: Path, options: CommonOptions, signed: Signed | None = None) -> None:
    if options.json:
        emit(key_shape(key.verifier, str(out), signed))
        return
    say(f"the private key is in {out}; this is the public key:", errors=True)
    emit_line(str(key.verifier))
    if signed is not None:
        _tell_sealed(signed, options)


@command(seal, "list", "holdbook seal list", "holdbook seal list --json")
def list_checkpoints(options: CommonOptions) -> None:
    """List the checkpoints and who signed them; as JSON Lines, with their notes."""
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
        list[int] | None, Argument(metavar="[CHECKPOINT]...", help="Numbers. Default: the last.", show_default=False)
    ] = None,
    *,
    key: Annotated[Path, Option(metavar="FILE", help="File with the witness's private key.")],
    log_key: Annotated[
        list[str] | None,
        Option(metavar="KEY|FILE", help="The ledger's public key, the first time. Default: the one that signed."),
    ] = None,
    options: CommonOptions,
) -> None:
    """Cosign checkpoints, as a witness: that they are signed, and that the log goes on from the last one cosigned.

    What the witness saw last, and which keys it trusts, is kept in a file beside its key, FILE.seen. A checkpoint that
    does not go on from there is refused, exit code 1.
    """
    with options.open() as ledger:
        prover, sealer = Prover(ledger), Sealer(ledger)
        witness = Witness(key, private_key("--key", key, Kind.WITNESS))
        trusted = [log_verifier("--log-key", one) for one in log_key or ()]
        for number in numbers or [prover.checkpoint().signed.checkpoint.number]:
            signed = prover.checkpoint(number).signed
            handovers = (prover.checkpoint(one).signed for one in prover.handovers())
            now = system_clock()
            signature = witness.cosign(signed, handovers, prover.path, now, trusted or prover.signers(signed))
            sealer.add_cosignature(number, witness.key.verifier, signature, now)
            _tell_cosigned(prover.checkpoint(number).signed, witness, options)


def _tell_cosigned(signed: Signed, witness: Witness, options: CommonOptions) -> None:
    if options.json:
        emit(cosigned_shape(signed, witness.key.verifier))
    else:
        say(cosigned_text(signed), errors=True)
        emit_line(str(signed.note).removesuffix("\n"))
