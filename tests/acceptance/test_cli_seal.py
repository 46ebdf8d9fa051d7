"""Sealing on the command line: keys, checkpoints, witnesses, proofs, bundles; and the published vectors."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from base64 import b64decode, b64encode
from io import BytesIO
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from holdbook import Ledger, LogUnavailable
from holdbook.domain.records import StoredRow, canonical_bytes
from holdbook.infrastructure.cli.commands import seal as cli
from holdbook.infrastructure.cli.terminal.options import CommonOptions
from holdbook.infrastructure.seals import sealer as sealing
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.infrastructure.settings import Settings
from holdbook.replay.evidence.bundle import BundleHead, EarlierCheckpoint, Sealed, row_line, verify_bundle
from holdbook.replay.evidence.checkpoints import Signed
from holdbook.replay.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    is_included,
    leaf_hash,
    range_proof,
    root,
)
from holdbook.replay.evidence.notes import Kind, SignerKey, VerifierKey
from support.cli import PROCESS_SECONDS_MAX, Holdbook, call, environment, program
from support.documents import ROOT
from support.logs import execute, query
from support.sealing import OLD
from support.story import Clock, tell
from support.trees import Hashes, mth, path, proof

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = 36
"""Rows that the story leaves."""


@pytest.fixture
def holdbook(sqlite_url: str) -> Holdbook:
    """The command line on a ledger in which everything has happened."""
    clock = Clock()
    with Ledger.open(sqlite_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
    return Holdbook(sqlite_url)


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A file with a log's private key; its public key lies beside it."""
    return make_key(tmp_path, "log")


@pytest.fixture
def witness(tmp_path: Path) -> str:
    """A file with a witness's private key."""
    return make_key(tmp_path, "witness", "--witness")


def make_key(folder: Path, name: str, *options: str) -> str:
    """Make a key."""
    made = call("seal", "key", f"{name}.example", "--out", str(folder / f"{name}.key"), *options).ends(0)
    (folder / f"{name}.pub").write_text(made.out)
    return str(folder / f"{name}.key")


def public(file: str) -> str:
    """Name the file of the public key beside a private one."""
    return file.removesuffix("key") + "pub"


def grow(holdbook: Holdbook, name: str = "new") -> None:
    """Record one more event."""
    holdbook("pool", "open", name, "--type", "new", "--total", "1")


class TestKeys:
    """Making keys, and files that hold none."""

    def test_made(self, tmp_path: Path) -> None:
        """A key's file can be read by its owner only, and what is printed is its public key."""
        file = tmp_path / "a.key"
        made = call("seal", "key", "host/é", "--out", str(file)).ends(0)
        signer = SignerKey.parse(file.read_text().removesuffix("\n"))
        assert VerifierKey.parse(made.out.removesuffix("\n")) == signer.verifier
        assert (signer.name, signer.kind, file.stat().st_mode & 0o777) == ("host/é", Kind.NOTE, 0o600)
        assert made.err == f"the private key is in {file}; this is the public key:\n"
        other = call("seal", "key", "w", "--witness", "--out", str(tmp_path / "w.key"), "--json").ends(0).document
        assert VerifierKey.parse(other["key"]).kind is Kind.WITNESS
        assert other["file"] == str(tmp_path / "w.key")

    def test_never_overwritten(self, key: str, tmp_path: Path) -> None:
        """A file that is there stays as it is; a name that no key has, or a folder that is not there, makes none."""
        before = (tmp_path / "log.key").read_bytes()
        refused = call("seal", "key", "again", "--out", key).ends(2)
        assert "a key is never overwritten" in refused.err
        assert (tmp_path / "log.key").read_bytes() == before
        assert "expected a file that can be written" in call("seal", "key", "a", "--out", f"{key}/x").ends(2).err
        assert "expected a key's name" in call("seal", "key", "a b", "--out", f"{key}2").ends(2).err
        assert sorted(one.name for one in tmp_path.iterdir()) == ["log.key", "log.pub"]

    def test_files_that_are_none(self, holdbook: Holdbook, tmp_path: Path, key: str, witness: str) -> None:
        """A file that is not there, or holds no private key of a log, is named; what it holds is not shown."""
        others = [(tmp_path / name).read_bytes() for name in ("log.pub", "witness.key")]
        for content in (None, b"", b"nonsense\n", b"\xff\n", b"x" * 10_000, *others):
            file = tmp_path / "some.key"
            if content is not None:
                file.write_bytes(content)
            error = holdbook.error("seal", "--key", str(file))["message"]
            assert error.startswith("--key: expected a file with a log's private key, as `holdbook seal key` makes one")
            assert str(file) in error
            assert not any(word in error for word in ("nonsense", "PRIVATE", "xxx"))
        cosigning = holdbook.error("seal", "cosign", "--key", key)["message"]
        assert cosigning.startswith("--key: expected a file with a witness's private key")
        assert holdbook.error("seal", "--key", witness)["type"] == "Malformed"

    def test_others_may_read(self, holdbook: Holdbook, key: str, tmp_path: Path) -> None:
        """A private key that others may read is used, with a warning that says what to do."""
        (tmp_path / "log.key").chmod(0o644)
        warned = holdbook("seal", "--key", key)
        assert warned.err.startswith(f"warning: others may read the private key {key}: chmod 600 {key}\n")

    def test_from_the_environment(self, holdbook: Holdbook, key: str) -> None:
        """Without --key, HOLDBOOK_SEAL_KEY names the file; without either, the way out is named."""
        call("seal", "--database", holdbook.url, env={"HOLDBOOK_SEAL_KEY": key}).ends(0)
        assert "here or in HOLDBOOK_SEAL_KEY; `holdbook seal key` makes one" in holdbook.error("seal")["message"]


class TestSealing:
    """Signing checkpoints."""

    def test_signed(self, holdbook: Holdbook, key: str) -> None:
        """What is signed is printed, for people and for programs; the standard output is the note alone."""
        assert holdbook("seal", "list").out.strip() == ""
        first = holdbook("seal", "--key", key)
        assert Signed.parse(first.out).checkpoint.size == ROWS
        assert first.err == f"sealed: checkpoint 1 over {ROWS} events\n"
        assert holdbook("seal", "--key", key).out == "nothing new to seal\n"
        assert holdbook.json("seal", "--key", key) == {"sealed": False}
        grow(holdbook)
        second = holdbook.json("seal", "--key", key)
        assert (second["sealed"], second["checkpoint"], second["size"]) == (True, 2, ROWS + 1)
        one, other = holdbook.lines("seal", "list")
        assert (one["note"], other["note"]) == (first.out, second["note"])
        assert list(one) == ["checkpoint", "size", "root", "note", "sealed_at"]

    @pytest.mark.parametrize("words", [("--every", "0s"), ("--every", "soon"), ("--every", "9999d")])
    def test_times_that_are_none(self, holdbook: Holdbook, key: str, words: tuple[str, ...]) -> None:
        """A time to wait that is none is refused before anything is signed."""
        assert holdbook.error("seal", "--key", key, "--watch", *words)["message"].startswith("--every: expected a")

    def test_rotation(self, holdbook: Holdbook, key: str, tmp_path: Path) -> None:
        """A rotation makes a key and signs with both; the list says so, and the old key signs no more."""
        new = str(tmp_path / "new.key")
        nothing = holdbook("seal", "key", "log.example", "--out", new, "--rotate", key, code=1)
        assert "nothing is sealed yet, so there is no key to hand over from" in nothing.err
        holdbook("seal", "--key", key)
        rotated = holdbook("seal", "key", "log.example", "--out", new, "--rotate", key)
        vkey, _, note = rotated.out.partition("\n")
        signed = Signed.parse(note)
        assert (str(signed.checkpoint.key), signed.checkpoint.number, len(signed.note.signatures)) == (vkey, 2, 2)
        assert f"hands over to {signed.checkpoint.key.short}" in holdbook("seal", "list").out  # type: ignore[union-attr]  # it has one
        grow(holdbook)
        assert "this ledger is sealed with the key" in holdbook("seal", "--key", key, code=1).err
        holdbook("seal", "--key", new)
        third = str(tmp_path / "third.key")
        assert "this ledger is sealed with" in holdbook("seal", "key", "x", "--out", third, "--rotate", key, code=1).err
        assert not (tmp_path / "third.key").exists()
        wrong = holdbook.error("seal", "key", "x", "--out", third, "--rotate", new, "--witness")
        assert wrong["message"].startswith("--rotate: expected no --witness with it")
        third = make_key(tmp_path, "third")
        document = holdbook.json("seal", "--key", third, "--old-key", new)
        assert document["checkpoint"] == 4
        fourth = holdbook.json("seal", "key", "log.example", "--out", str(tmp_path / "fourth.key"), "--rotate", third)
        assert list(fourth) == ["key", "file", "checkpoint", "size", "root", "note"]
        assert holdbook("verify", "--key", public(key)).out.startswith(
            "5 checkpoints, the last over 37 events, signed by "
        )

    def test_worker(self, holdbook: Holdbook, key: str) -> None:
        """A worker signs as the log grows, and ends well when it is told to."""
        words = program("seal", "--watch", "--every", "0.05s", "--key", key, "--database", holdbook.url, "--json")
        pipe = subprocess.PIPE
        with subprocess.Popen(words, env=environment(), stdout=pipe, stderr=pipe, text=True) as worker:
            assert worker.stdout is not None
            assert json.loads(worker.stdout.readline())["size"] == ROWS
            grow(holdbook)
            assert json.loads(worker.stdout.readline())["checkpoint"] == 2
            worker.send_signal(signal.SIGTERM)
            out, err = worker.communicate(timeout=PROCESS_SECONDS_MAX)
            assert (out, err, worker.returncode) == ("", "", 0)

    def test_worker_with_nothing_new(self, holdbook: Holdbook, capsys: pytest.CaptureFixture[str]) -> None:
        """A worker says what it signed, and nothing as long as there is nothing new."""
        stop = Event()

        class Twice(Sealer):
            turns = 0

            def seal(self, *arguments: Any, **options: Any) -> Signed | None:  # noqa: ANN401 - as they are given
                """Sign, and stop at the second turn."""
                self.turns += 1
                if self.turns == 2:
                    stop.set()
                return super().seal(*arguments, **options)

        with Ledger.open(holdbook.url, create=False) as ledger:
            cli.watch(Twice(ledger), OLD, CommonOptions(settings=Settings()), stop, 0.001)
        out, err = capsys.readouterr()
        assert Signed.parse(out).checkpoint.size == ROWS
        assert err == "sealing every 0.001 s; interrupt to stop\nsealed: checkpoint 1 over 36 events\n"

    def test_worker_that_is_stopped_while_it_hashes(self, holdbook: Holdbook, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that is told to stop while it hashes a long log does so, and the next goes on from there."""
        monkeypatch.setattr(sealing, "BATCH_ROWS", 10)
        stop = Event()

        class Interrupted(Sealer):
            def build(self, progress: Any = None) -> int:  # noqa: ANN401 - a function
                """Be told to stop after the first portion."""

                def tell(done: int, total: int) -> None:
                    stop.set()
                    progress(done, total)

                return super().build(tell)

        with Ledger.open(holdbook.url, create=False) as ledger:
            cli.watch(Interrupted(ledger), OLD, CommonOptions(settings=Settings(), json=True), stop, 0.001)
            assert query(holdbook.url, "SELECT length(hashes) / 32 FROM seal_tiles") == [(10,)]
            assert Sealer(ledger).last_number() == 0

    @pytest.mark.parametrize("lasting", ["for a while", "for good"])
    def test_worker_without_a_database(
        self, holdbook: Holdbook, lasting: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A worker waits for a database that comes back, and ends with one that does not."""
        stop, transient = Event(), lasting == "for a while"

        class Away(Sealer):
            def build(self, *_: object) -> int:
                """Find the database away, the second time for good."""
                if self.asked:
                    stop.set()
                self.asked = True
                raise LogUnavailable("away", transient=transient)

            asked = False

        with Ledger.open(holdbook.url, create=False) as ledger:
            arguments = Away(ledger), OLD, CommonOptions(settings=Settings()), stop, 0.001
            if transient:
                cli.watch(*arguments)
            else:
                with pytest.raises(LogUnavailable, match="away"):
                    cli.watch(*arguments)
        said = "sealing every 0.001 s; interrupt to stop\n"
        assert capsys.readouterr().err == said + "away\naway\n" * transient


class TestWitness:
    """Cosigning."""

    def test_cosigned(self, holdbook: Holdbook, key: str, witness: str) -> None:
        """A witness cosigns the last checkpoint, or those that are named; a bundle carries it, and asks for it."""
        assert "nothing is sealed yet" in holdbook("seal", "cosign", "--key", witness, code=1).err
        holdbook("seal", "--key", key)
        cosigned = holdbook("seal", "cosign", "--key", witness, "--log-key", public(key))
        assert len(Signed.parse(cosigned.out).note.signatures) == 2
        assert cosigned.err == "cosigned: checkpoint 1\n"
        for name in ("one", "two"):
            grow(holdbook, name)
            holdbook("seal", "--key", key)
        lines = [
            json.loads(line)
            for line in holdbook("seal", "cosign", "--key", witness, "2", "3", "--json").out.splitlines()
        ]
        assert [line["checkpoint"] for line in lines] == [2, 3]
        assert list(lines[0]) == ["checkpoint", "size", "root", "note", "key"]
        assert "is older than checkpoint 3" in holdbook("seal", "cosign", "--key", witness, "1", code=1).err
        file = public(key) + ".bundle"
        holdbook("export", "--proofs", "--output", file)
        assert "witness.example" in call("verify-bundle", file, "--key", public(witness)).ends(0).out
        assert "also signed by witness.example" in call("verify-bundle", file, "--key", public(key)).ends(0).out

    def test_keys_that_are_not_the_ledger_s(self, holdbook: Holdbook, key: str, witness: str, tmp_path: Path) -> None:
        """A witness that trusts another key signs nothing; a witness's key is no ledger's."""
        holdbook("seal", "--key", key)
        make_key(tmp_path, "other")
        refused = holdbook("seal", "cosign", "--key", witness, "--log-key", str(tmp_path / "other.pub"), code=1)
        assert "is not signed by a key that the witness trusts" in refused.err
        error = holdbook.error("seal", "cosign", "--key", witness, "--log-key", public(witness))
        assert "expected a log's public key, not a witness's" in error["message"]


class TestProofs:
    """Proofs, as they are printed."""

    def test_inclusion(self, holdbook: Holdbook, key: str) -> None:
        """What is printed is enough to prove the event: its bytes, its index, the path, the checkpoint."""
        holdbook("seal", "--key", key)
        lines, _, note = holdbook("prove", "7").out.partition("\n\n")
        version, extra, index, *hashes = lines.splitlines()
        checkpoint = Signed.parse(note).checkpoint
        canonical = b64decode(extra.removeprefix("extra "))
        assert (version, index) == ("c2sp.org/tlog-proof@v1", "index 6")
        assert json.loads(canonical)[0] == 7
        found = [b64decode(one) for one in hashes]
        assert is_included(leaf_hash(canonical), 6, ROWS, found, checkpoint.root)
        document = holdbook.json("prove", "7", "--checkpoint", "1")
        assert (document["position"], document["index"], document["event"]) == (7, 6, canonical.decode())
        assert (document["proof"], document["note"]) == (hashes, note)
        assert document["keys"] == [(ROOT / public(key)).read_text().strip()]
        assert document["leaf"] == b64encode(leaf_hash(canonical)).decode()

    def test_consistency(self, holdbook: Holdbook, key: str) -> None:
        """A proof of consistency is printed with both checkpoints."""
        holdbook("seal", "--key", key)
        grow(holdbook)
        holdbook("seal", "--key", key)
        printed = holdbook("prove", "--consistency", "1", "2").out
        document = holdbook.json("prove", "--consistency", "1", "2")
        head, *_ = printed.partition("\n\n")
        assert head.splitlines() == ["consistency", f"from {ROWS}", f"to {ROWS + 1}", *document["proof"]]
        assert document["first"]["note"] in printed
        assert printed.endswith(document["second"]["note"])

    def test_what_cannot_be_proven(self, holdbook: Holdbook, key: str) -> None:
        """Without a checkpoint, past the last one, or by one that is not there, the way out is named; exit code 1."""
        assert holdbook.error("prove", "1", code=1)["message"] == "nothing is sealed yet: run `holdbook seal`"
        holdbook("seal", "--key", key)
        beyond = holdbook.error("prove", "37", code=1)
        assert beyond["type"] == "NotSealed"
        assert beyond["message"].endswith("`holdbook seal` signs one of the log's present end")
        for number in ("9", str(10**20)):
            assert holdbook.error("prove", "1", "--checkpoint", number, code=1)["type"] == "NotFound"
        assert holdbook.error("prove", "--consistency", "-1", "1", code=1)["type"] == "NotFound"
        for words in ((), ("3", "--consistency", "1", "1")):
            assert "expected the position of an event, or --consistency" in holdbook.error("prove", *words)["message"]


class TestBundles:
    """Bundles that are written and verified."""

    @pytest.fixture
    def bundle(self, holdbook: Holdbook, key: str, tmp_path: Path) -> str:
        """A bundle of the positions 3 to 5."""
        holdbook("seal", "--key", key)
        file = str(tmp_path / "some.bundle")
        written = holdbook("export", "--proofs", "--from", "3", "--to", "5", "--output", file)
        assert written.out == f"3 events with their proof written to {file}\n"
        return file

    def test_verified(self, holdbook: Holdbook, bundle: str, key: str) -> None:
        """A bundle is verified from a file or the standard input, by a public key or a file with it."""
        proven = call("verify-bundle", bundle, "--key", public(key)).ends(0)
        assert proven.out.startswith("proven: 3 events, positions 3 to 5, are in ledger ")
        assert f"by checkpoint 1 over {ROWS} events, signed by log.example+" in proven.out
        with open(bundle, "rb") as file:  # noqa: PTH123 - a path as it is given
            vkey = (ROOT / public(key)).read_text().strip()
            document = call("verify-bundle", "-", "--key", vkey, "--json", stdin=file.read()).ends(0).document
        assert (document["ok"], document["first"], document["last"], document["events"]) == (True, 3, 5, 3)
        assert (document["checkpoint"], document["others"], document["earlier"]) == (1, [], [])
        assert holdbook.json("export", "--proofs", "--output", bundle) == {"events": ROWS, "file": bundle}

    def test_refused(self, bundle: str, key: str, tmp_path: Path) -> None:
        """What is wrong in a bundle is named, exit code 1; a file that is none, or no key, is exit code 2."""
        data = (tmp_path / "some.bundle").read_bytes()
        (tmp_path / "some.bundle").write_bytes(data.replace(b"teller", b"forger", 2))
        assert call("verify-bundle", bundle, "--key", public(key)).ends(1).err.startswith("error: line ")
        error = call("verify-bundle", bundle, "--key", public(key), "--json").ends(1).error
        assert (error["type"], error["exit_code"]) == ("BundleRefused", 1)
        assert "expected a public key that you trust" in call("verify-bundle", bundle).ends(2).err
        assert (
            "expected a public key, written NAME+ID+BASE64, or a file"
            in call("verify-bundle", bundle, "--key", "nobody").ends(2).err
        )
        for file in (key, str(tmp_path / "nowhere"), str(tmp_path), "\0"):
            assert "FILE: expected a" in call("verify-bundle", file, "--key", public(key)).ends(2).err

    @pytest.mark.usefixtures("bundle")
    def test_not_written(self, holdbook: Holdbook, tmp_path: Path) -> None:
        """A bundle that would be wrong is not written, and nothing of it is left; options must fit."""
        execute(holdbook.url, "UPDATE seal_tiles SET hashes = zeroblob(36 * 32)")
        before = sorted(one.name for one in tmp_path.iterdir())
        holdbook("export", "--proofs", "--from", "3", "--output", str(tmp_path / "other.bundle"), code=1)
        assert sorted(one.name for one in tmp_path.iterdir()) == before
        assert holdbook.error("export", "--proofs")["message"].startswith(
            "--output: expected a file to write the bundle to"
        )
        assert holdbook.error("export", "--checkpoint", "1")["message"].startswith(
            "--checkpoint: expected --proofs with it"
        )


class TestVerify:
    """What verify says of seals."""

    def test_trusted_or_not(self, holdbook: Holdbook, key: str, tmp_path: Path) -> None:
        """With public keys that are given it says who signed; without, that nothing outside vouches for the keys."""
        assert "checkpoint" not in holdbook("verify").out
        kept = tmp_path / "kept.txt"
        kept.write_text(holdbook("seal", "--key", key).out)
        vkey = VerifierKey.parse((tmp_path / "log.pub").read_text().strip())
        head = f"1 checkpoint, the last over {ROWS} events, signed by {vkey.short}"
        doubt = ": keys that the database names itself; give those that you trust with --key"
        assert holdbook("verify").out.splitlines()[0] == head + doubt
        assert holdbook("verify", "--key", str(vkey), "--checkpoint", str(kept)).out.splitlines()[0] == head
        document = holdbook.json("verify", "--key", public(key))
        assert document["seals"] == {"checkpoints": 1, "size": ROWS, "keys": [vkey.short], "trusted": True}
        execute(holdbook.url, "DELETE FROM checkpoints")
        lost = holdbook("verify", "--key", public(key), "--checkpoint", str(kept), code=1).out
        assert "checkpoint 1 is missing, and was kept outside\n" in lost
        other = make_key(tmp_path, "other")
        missed = holdbook("verify", "--key", public(other), code=1).out
        assert "no checkpoint is signed by a key that you trust\n" in missed
        assert "0 checkpoints, the last over 0 events, signed by nobody that is known\n" in missed

    def test_what_cannot_be_read(self, holdbook: Holdbook, key: str, witness: str, tmp_path: Path) -> None:
        """A witness's key, or a file that holds no checkpoint, is refused before anything is verified."""
        assert "not a witness's" in holdbook.error("verify", "--key", public(witness))["message"]
        for file in (key, str(tmp_path / "nowhere")):
            error = holdbook.error("verify", "--checkpoint", file)
            assert error["message"].startswith("--checkpoint: expected a file with a signed checkpoint")
            assert "PRIVATE" not in error["message"]


class TestVectors:
    """The vectors that are published, for ever."""

    @pytest.fixture
    def vectors(self) -> dict[str, Any]:
        """The vectors."""
        found: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "checkpoint-vectors.json").read_text())
        return found

    @pytest.fixture
    def rows(self) -> list[StoredRow]:
        """The log that they seal."""
        found = json.loads((ROOT / "docs" / "reference" / "log-format-vectors.json").read_text())["rows"]
        return [StoredRow(**one["columns"], hash=bytes.fromhex(one["hash"])) for one in found]

    def test_they_are_what_holdbook_writes(self, vectors: dict[str, Any], rows: Sequence[StoredRow]) -> None:
        """Leaves, roots, proofs, checkpoints and the bundle are written as they were when they were published."""
        leaves = [leaf_hash(canonical_bytes(row)) for row in rows]
        at = Hashes(leaves)
        assert [one.hex() for one in leaves] == vectors["leaves"]
        assert [root(size, at).hex() for size in range(5)] == vectors["roots"]
        assert [one.hex() for one in inclusion_proof(2, 4, at)] == vectors["inclusion"]["proof"]
        assert [one.hex() for one in consistency_proof(3, 4, at)] == vectors["consistency"]["proof"]
        keys = {name: SignerKey.parse(one["private"]) for name, one in vectors["keys"].items()}
        assert {name: str(one.verifier) for name, one in keys.items()} == {
            name: one["public"] for name, one in vectors["keys"].items()
        }
        checkpoints = [Signed.parse(note) for note in vectors["checkpoints"]]
        for checkpoint in checkpoints:
            for signature in checkpoint.note.signatures:
                (signer,) = (one for one in keys.values() if signature.is_by(one.verifier))
                assert signer.sign(checkpoint.checkpoint.text, signature.timestamp) == signature
        verifiers = [one.verifier for one in keys.values()]
        _, second, third = (Sealed.of(one, verifiers) for one in checkpoints)
        left, right = range_proof(1, 3, 4, at)
        before = EarlierCheckpoint(second, tuple(consistency_proof(3, 4, at)))
        head = BundleHead(third, 2, 3, tuple(left), tuple(right), (before,))
        assert [head.line.decode(), *(row_line(row).decode() for row in rows[1:3])] == vectors["bundle"]

    def test_they_verify(self, vectors: dict[str, Any]) -> None:
        """The bundle is proven by the first key, which has handed over, and by the witness."""
        trusted = [VerifierKey.parse(vectors["keys"][name]["public"]) for name in ("log", "witness")]
        proven = verify_bundle(BytesIO("".join(vectors["bundle"]).encode()), trusted)
        assert (proven.first, proven.last, proven.checkpoint.number, proven.earlier) == (2, 3, 3, (2,))

    def test_they_are_right(self, vectors: dict[str, Any]) -> None:
        """A computation that follows the page, and shares no code with Holdbook, comes to the same tree."""
        log = json.loads((ROOT / "docs" / "reference" / "log-format-vectors.json").read_text())
        leaves = [hashlib.sha256(b"\0" + one["canonical"].encode()).digest() for one in log["rows"]]
        assert [one.hex() for one in leaves] == vectors["leaves"]
        assert [mth(leaves[:size]).hex() for size in range(5)] == vectors["roots"]
        assert [one.hex() for one in path(2, leaves)] == vectors["inclusion"]["proof"]
        assert [one.hex() for one in proof(3, leaves)] == vectors["consistency"]["proof"]
        for number, (note, size) in enumerate(zip(vectors["checkpoints"], (3, 3, 4), strict=True), start=1):
            lines = note.splitlines()
            assert lines[:5] == [
                f"holdbook/{log['ledger_id']}",
                str(size),
                b64encode(mth(leaves[:size])).decode(),
                f"number {number}",
                f"chain {b64encode(bytes.fromhex(log['rows'][size - 1]['hash'])).decode()}",
            ]
