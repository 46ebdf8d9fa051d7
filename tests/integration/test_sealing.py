"""Sealing on both databases: the tree beside the log, checkpoints, proofs, and those who interfere."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from holdbook import Ledger, Limits, LogUnavailable, Malformed, NotFound
from holdbook.domain.records import canonical_bytes
from holdbook.infrastructure.seals import sealer as sealing
from holdbook.infrastructure.seals.prover import Prover, SQLSeals, sealing_of
from holdbook.infrastructure.seals.sealer import Sealer
from holdbook.infrastructure.seals.store import NotSealed
from holdbook.infrastructure.seals.tiles import TreeDamaged
from holdbook.infrastructure.seals.witness import NotCosigned, Witness
from holdbook.infrastructure.verification.verify_ledger import verify_ledger
from holdbook.replay.evidence.bundle import verify_bundle
from holdbook.replay.evidence.merkle import is_consistent, is_included, leaf_hash
from support.logs import MOMENT, execute, query, raw_rows
from support.processes import build_tree, running
from support.sealing import NEW, OLD, OTHER, WITNESS
from support.story import Clock, tell
from support.tampering import rewritten, tampering
from support.trees import mth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from holdbook.replay.evidence.checkpoints import Signed
    from holdbook.replay.evidence.notes import SignerKey, VerifierKey
    from support.tampering import Tamperer

ROWS = 36
"""Rows that the story leaves."""


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger in which everything has happened, hashed in portions of ten rows."""
    monkeypatch.setattr(sealing, "BATCH_ROWS", 10)
    clock = Clock()
    with Ledger.open(database_url, clock=clock, actor="teller") as ledger:
        tell(ledger, clock)
    return database_url


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """The same, open."""
    with Ledger.open(url, create=False) as ledger:
        yield ledger


def leaves(ledger: Ledger) -> list[bytes]:
    """Hash the log's rows."""
    return [leaf_hash(canonical_bytes(row)) for row in ledger.log.rows(limit=10_000)]


def seal(ledger: Ledger, key: SignerKey = OLD, *, old: SignerKey | None = None) -> Signed:
    """Sign a checkpoint, which must be new."""
    signed = Sealer(ledger).seal(key, MOMENT, old=old)
    assert signed is not None
    return signed


def grow(ledger: Ledger) -> None:
    """Record one more event."""
    ledger.open_pool(f"new-{len(ledger.pools())}", resource_type="new", limits=Limits(total=1))


def said(url: str, *trusted: SignerKey, kept: Sequence[Signed] = ()) -> list[tuple[int | None, str]]:
    """Verify a ledger: what is found of its seals."""
    with Ledger.open(url, create=False) as ledger:
        report = verify_ledger(ledger, None, sealing_of(ledger, [key.verifier for key in trusted], kept))
    return [(one.position, one.message) for one in report.findings if one.check == "seals"]


class TestSealing:
    """The tree and the checkpoints over it."""

    def test_a_log_and_what_is_added(self, ledger: Ledger, url: str) -> None:
        """A checkpoint has the root over all rows and the last row's hash; the next one when there is news."""
        log, told = raw_rows(url), []
        first = Sealer(ledger).seal(OLD, MOMENT, progress=lambda *counts: told.append(counts))
        assert first is not None
        one = first.checkpoint
        assert (one.ledger_id, one.size, one.number, one.key) == (ledger.log.ledger_id, ROWS, 1, None)
        assert (one.root, one.chain) == (mth(leaves(ledger)), ledger.log.rows(limit=100)[-1].hash)
        assert told == [(10, ROWS), (20, ROWS), (30, ROWS), (ROWS, ROWS)]
        assert Sealer(ledger).seal(OLD, MOMENT) is None
        assert raw_rows(url) == log
        grow(ledger)
        second = seal(ledger).checkpoint
        assert (second.size, second.number, second.root) == (ROWS + 1, 2, mth(leaves(ledger)))
        kept = [kept.signed for kept in Sealer(ledger).checkpoints()]
        assert [found.checkpoint.number for found in kept] == [1, 2]
        assert kept[0] == first
        assert said(url, OLD) == []

    def test_an_empty_log(self, database_url: str) -> None:
        """Of a log without events there is nothing to sign, to prove or to hand over."""
        with Ledger.open(database_url) as ledger:
            assert Sealer(ledger).seal(OLD, MOMENT) is None
            with pytest.raises(NotSealed, match="nothing is sealed yet: run `holdbook seal`"):
                Prover(ledger).inclusion(1)
            with pytest.raises(NotSealed, match="there is no key to hand over from"):
                Sealer(ledger).seal(NEW, MOMENT, old=OLD)
            assert verify_ledger(ledger, None, sealing_of(ledger)).seals is None

    def test_one_event(self, database_url: str) -> None:
        """A log of one event is sealed: its root is the event's hash, and the proof is empty."""
        with Ledger.open(database_url) as ledger:
            grow(ledger)
            one = seal(ledger).checkpoint
            proof = Prover(ledger).inclusion(1)
            assert (one.size, [one.root], proof.path) == (1, leaves(ledger), ())
            assert "\nindex 0\n\nholdbook/" in proof.text
            assert verify_bundle(BytesIO(b"".join(Prover(ledger).bundle(1))), [OLD.verifier]).events == 1
            assert verify_ledger(ledger, None, sealing_of(ledger, [OLD.verifier])).ok

    def test_in_memory(self) -> None:
        """A ledger in memory has nowhere to keep seals, and verifies without them."""
        with Ledger.in_memory() as ledger:
            with pytest.raises(LogUnavailable, match="a ledger in memory cannot be sealed"):
                Sealer(ledger)
            assert verify_ledger(ledger, None, sealing_of(ledger)).ok

    def test_only_the_present_key_signs(self, ledger: Ledger) -> None:
        """A key that is not the ledger's own is refused, with the way to hand over to it."""
        seal(ledger)
        grow(ledger)
        with pytest.raises(
            NotSealed, match=r"sealed with the key o\+\w+, not a\+\w+: to go on with another key, `holdbook"
        ):
            Sealer(ledger).seal(OTHER, MOMENT)
        with pytest.raises(NotSealed, match=r"sealed with the key o\+\w+, not a\+\w+"):
            Sealer(ledger).check_handover(OTHER)
        Sealer(ledger).check_handover(OLD)

    def test_handing_over(self, ledger: Ledger, url: str) -> None:
        """Both keys sign the checkpoint at which one hands over, though nothing is new; then only the new one does."""
        seal(ledger)
        handover = seal(ledger, NEW, old=OLD)
        assert (handover.checkpoint.number, handover.checkpoint.key) == (2, NEW.verifier)
        assert handover.note.signed_by([OLD.verifier, NEW.verifier]) == [OLD.verifier, NEW.verifier]
        grow(ledger)
        with pytest.raises(NotSealed, match=r"sealed with the key n\+"):
            Sealer(ledger).seal(OLD, MOMENT)
        assert seal(ledger, NEW).checkpoint.number == 3
        assert Sealer(ledger).handovers() == [2]
        assert (said(url, OLD), said(url, NEW), said(url)) == ([], [], [])
        assert said(url, OTHER) == [(None, "no checkpoint is signed by a key that you trust")]


class TestInterrupted:
    """Sealers that are killed, and several at once."""

    @pytest.mark.crash
    def test_killed_while_it_builds(self, ledger: Ledger, url: str) -> None:
        """After kill -9 in the middle the next sealer goes on where the tree ends, and signs the same root."""
        with running(build_tree, [(url, 10)]) as (builder,):
            assert builder.receive() == (10, ROWS)
            assert builder.ask("go on") == (20, ROWS)
            builder.kill()
        assert query(url, "SELECT length(hashes) / 32 FROM seal_tiles") == [(20,)]
        assert seal(ledger).checkpoint.root == mth(leaves(ledger))

    def test_another_builds_meanwhile(self, ledger: Ledger, url: str) -> None:
        """Two that build at once build the same tree, also if one is ahead of the other."""
        with Ledger.open(url, create=False) as another:
            size = Sealer(ledger).build(lambda *_: Sealer(another).build())
        assert size == ROWS
        assert seal(ledger).checkpoint.root == mth(leaves(ledger))
        assert said(url) == []

    def test_another_signs_meanwhile(self, ledger: Ledger, url: str) -> None:
        """Of two that sign one number, the first is kept; the other finds that nothing is left, or signs next."""

        class Slow(Sealer):
            def keep(self, signed: Signed, by: Sequence[VerifierKey], at: object) -> bool:
                """Be slower than another, once."""
                with Ledger.open(url, create=False) as another:
                    Sealer(another).seal(OLD, MOMENT)
                return super().keep(signed, by, at)  # type: ignore[arg-type]  # as it was given

        assert Slow(ledger).seal(OLD, MOMENT) is None
        grow(ledger)
        handover = Slow(ledger).seal(NEW, MOMENT, old=OLD)
        assert handover is not None
        assert handover.checkpoint.number == 3
        assert [kept.signed.checkpoint.number for kept in Sealer(ledger).checkpoints()] == [1, 2, 3]
        assert said(url, OLD) == []


class TestNothingIsSigned:
    """A log that is not what was signed, or not whole, is not signed again."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda one: one.set(5, actor="nobody"), "the hash of position 5 does not follow from the one before"),
            (lambda one: one.run("DELETE FROM events WHERE position = 5"), "the event at position 5 is missing"),
            (lambda one: one.run("DELETE FROM events WHERE position = 36"), "the log ends within a command, at"),
        ],
    )
    def test_not_whole(self, url: str, change: Callable[[Tamperer], None], message: str) -> None:
        """A log with a row altered, missing or cut from its command is not sealed; the row is named."""
        with tampering(url) as tamperer:
            change(tamperer)
        with Ledger.open(url, create=False) as ledger, pytest.raises(NotSealed, match=message):
            Sealer(ledger).seal(OLD, MOMENT)

    def test_what_no_log_has_written(self, empty_sqlite_url: str) -> None:
        """A row with a value that no log has written is named."""
        clock = Clock()
        with Ledger.open(empty_sqlite_url, clock=clock) as ledger:
            tell(ledger, clock)
        with tampering(empty_sqlite_url) as tamperer:
            tamperer.loosen()
            tamperer.set(5, actor=b"bytes")
        expected = pytest.raises(NotSealed, match="position 5 holds what no log has written")
        with Ledger.open(empty_sqlite_url, create=False) as ledger, expected:
            Sealer(ledger).seal(OLD, MOMENT)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda rows: [rewritten(rows[0], {"unit": "other"}), *rows[1:]],
                "the event at position 36 is not the one",
            ),
            (lambda rows: rows[:-3], "there is no event at position 36, and there was one"),
        ],
    )
    def test_rewritten(self, url: str, change: Callable[[list[object]], Sequence[object]], message: str) -> None:
        """A log that was written anew, every hash right, or cut, does not go on from what was signed."""
        with Ledger.open(url, create=False) as ledger:
            seal(ledger)
        with tampering(url) as tamperer:
            tamperer.forge(change)  # type: ignore[arg-type]  # rows
        with Ledger.open(url, create=False) as ledger, pytest.raises(NotSealed, match=message):
            Sealer(ledger).seal(OLD, MOMENT)

    def test_altered_tree(self, ledger: Ledger, url: str) -> None:
        """If the stored tree has another root than was signed, or lacks a part, nothing is signed; nor proven."""
        seal(ledger)
        grow(ledger)
        assert len(list(SQLSeals(Sealer(ledger)).leaves(30))) == ROWS - 30
        execute(url, f"UPDATE seal_tiles SET hashes = {_bytes(url, bytes(32 * ROWS))}")  # noqa: S608 - own words
        with pytest.raises(
            NotSealed, match="the log does not go on from what checkpoint 1 was signed over; nothing is"
        ):
            Sealer(ledger).seal(OLD, MOMENT)
        with pytest.raises(NotSealed, match="the event at position 7 is not the one that checkpoint 1 was signed over"):
            Prover(ledger).inclusion(7)
        assert [position for position, _ in said(url)] == [1]
        execute(url, "DELETE FROM seal_tiles")
        with pytest.raises(TreeDamaged):
            Prover(ledger).inclusion(7)
        assert (SQLSeals(Sealer(ledger)).tree(ROWS), said(url)) == (None, [])
        assert seal(ledger).checkpoint.number == 2  # the tree was made again

    def test_a_hole_in_the_tree(self, ledger: Ledger, url: str) -> None:
        """A tree without what the last checkpoint was signed over is not signed over."""
        seal(ledger)
        execute(url, "UPDATE checkpoints SET size = size")  # no trigger is in the way of whoever may write there
        with tampering(url) as tamperer:
            tamperer.run("UPDATE seal_tiles SET number = 7")
        with pytest.raises(NotSealed, match="there is no event at position 1828"):
            Sealer(ledger).seal(OLD, MOMENT)

    def test_forged_checkpoint(self, ledger: Ledger, url: str) -> None:
        """After a checkpoint that is forged nothing is signed, and nothing is proven by it."""
        signed = seal(ledger)
        grow(ledger)
        for change, message in (
            ("note = replace(note, 'number 1', 'number 2')", "the checkpoint kept as number 1 is another"),
            (f"note = replace(note, '\n{ROWS}\n', '\n{ROWS - 1}\n')", "checkpoint 1 is forged: the signature by o"),
        ):
            execute(url, f"UPDATE checkpoints SET {change}")  # noqa: S608 - own words
            with pytest.raises(NotSealed, match=message):
                Sealer(ledger).seal(OLD, MOMENT)
            with pytest.raises(NotSealed, match=message):
                Prover(ledger).inclusion(7)
            with tampering(url) as tamperer:
                tamperer.run("UPDATE checkpoints SET note = :note", note=str(signed.note))
        execute(url, "UPDATE seal_keys SET key = 'nonsense'")
        with pytest.raises(NotSealed, match="checkpoint 1 is not signed by a key that is known"):
            Sealer(ledger).seal(OLD, MOMENT)


def _bytes(url: str, data: bytes) -> str:
    """Write bytes as the database's SQL does."""
    return f"x'{data.hex()}'" if url.startswith("sqlite") else f"'\\x{data.hex()}'"


class TestVerify:
    """What `holdbook verify` finds."""

    def test_rewritten(self, ledger: Ledger, url: str) -> None:
        """A log that was written anew with every hash right is found at its first event that differs."""
        seal(ledger)

        def change(rows: list[object]) -> Sequence[object]:
            return [*rows[:9], rewritten(rows[9], {"owner": "eve"}), *rows[10:]]  # type: ignore[arg-type]  # a row

        with tampering(url) as tamperer:
            tamperer.forge(change)  # type: ignore[arg-type]  # rows
        assert said(url, OLD) == [(10, "this is not the event that checkpoint 1 was signed over")]

    def test_cut_tail(self, ledger: Ledger, url: str) -> None:
        """A log whose last command was cut off, which is all right in itself, is found by a checkpoint over it."""
        grow(ledger)
        seal(ledger)
        with tampering(url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position > :last", last=ROWS)
        cut = f"the log's end was cut off: it has {ROWS} events, and checkpoint 1 was signed over {ROWS + 1} events"
        assert said(url) == [(None, cut)]

    def test_missing_checkpoint(self, ledger: Ledger, url: str) -> None:
        """A checkpoint that was removed is missed by its number, or by whoever kept it."""
        for _ in range(3):
            grow(ledger)
            last = seal(ledger)
        tile = query(url, "SELECT hashes FROM seal_tiles")[0][0]
        execute(url, f"UPDATE seal_tiles SET hashes = {_bytes(url, bytes(32) + bytes(tile)[32:])}")  # noqa: S608 - own words
        with pytest.raises(NotSealed, match="checkpoint 3 does not go on from checkpoint 1, or the stored tree was"):
            Prover(ledger).consistency(1, 3)
        execute(url, "DELETE FROM seal_tiles", "DELETE FROM checkpoints WHERE number = 2")
        assert said(url, OLD) == [(None, "checkpoint 2 is missing")]
        execute(url, "DELETE FROM checkpoints WHERE number = 3")
        assert said(url, OLD) == []
        assert said(url, OLD, kept=[last]) == [
            (None, "checkpoint 2 is missing"),
            (None, "checkpoint 3 is missing, and was kept outside"),
        ]

    def test_sealed_meanwhile(self, ledger: Ledger) -> None:
        """What is recorded and sealed after a verification began is not missed."""
        seal(ledger)
        before = sealing_of(ledger, [OLD.verifier])
        grow(ledger)
        seal(ledger)
        report = verify_ledger(ledger, None, before)
        assert report.ok
        assert report.seals is not None
        assert (report.seals.checkpoints, report.as_dict()["seals"]["size"]) == (1, ROWS)


class TestProofs:
    """Proofs from the stored tree."""

    def test_every_event(self, ledger: Ledger) -> None:
        """Every event of the log is proven, by any checkpoint that covers it; none that it does not cover."""
        first = seal(ledger).checkpoint
        grow(ledger)
        second = seal(ledger).checkpoint
        hashed = leaves(ledger)
        prover = Prover(ledger)
        for position in (1, 17, ROWS):
            for one in (first, second):
                proof = prover.inclusion(position, one.number)
                assert is_included(hashed[position - 1], position - 1, one.size, proof.path, one.root)
        with pytest.raises(
            NotSealed, match=f"position {ROWS + 1} is not sealed: checkpoint 1 covers the positions up to"
        ):
            prover.inclusion(ROWS + 1, 1)
        with pytest.raises(NotFound, match="checkpoint '3'"):
            prover.inclusion(1, 3)
        between = prover.consistency(1, 2)
        assert is_consistent(first.size, second.size, first.root, second.root, between.path)
        assert prover.consistency(2, 2).path == ()
        with pytest.raises(Malformed, match="expected the earlier checkpoint first"):
            prover.consistency(2, 1)

    def test_an_event_that_is_gone(self, ledger: Ledger, url: str) -> None:
        """An event that was removed from the log cannot be proven any more, and is not found."""
        seal(ledger)
        with tampering(url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position = 5")
        with pytest.raises(NotFound, match="event at position '5'"):
            Prover(ledger).inclusion(5)
        with pytest.raises(
            NotSealed, match="the events from position 4 to 6 are not those that checkpoint 1 was signed"
        ):
            b"".join(Prover(ledger).bundle(4, 6))

    def test_bundles(self, ledger: Ledger, url: str) -> None:
        """A bundle of any events verifies without the database, against the key of any time; a cosignature is in it."""
        seal(ledger)
        seal(ledger, NEW, old=OLD)
        grow(ledger)
        last = seal(ledger, NEW)
        Sealer(ledger).add_cosignature(3, WITNESS.verifier, WITNESS.sign(last.note.text, 1), MOMENT)
        prover = Prover(ledger)
        for which in ((1, None, None), (5, 9, None), (ROWS, ROWS, 1)):
            lines = list(prover.bundle(*which))
            proven = verify_bundle(BytesIO(b"".join(lines)), [OLD.verifier])
            assert (proven.first, proven.events) == (which[0], len(lines) - 1)
        assert verify_bundle(BytesIO(b"".join(prover.bundle(5, 9))), [OLD.verifier, WITNESS.verifier]).earlier == (2,)
        with pytest.raises(NotSealed, match=f"position {ROWS + 2} is not sealed"):
            list(prover.bundle(5, ROWS + 2))
        with pytest.raises(Malformed, match="--from: expected a position up to 9"):
            list(prover.bundle(10, 9))
        with tampering(url) as tamperer:
            tamperer.set(7, actor="nobody")
        with pytest.raises(
            NotSealed, match="the events from position 5 to 9 are not those that checkpoint 3 was signed"
        ):
            list(prover.bundle(5, 9))
        execute(url, f"DELETE FROM seal_keys WHERE key LIKE '{WITNESS.name}+%'")  # noqa: S608 - own words
        with pytest.raises(NotSealed, match="the key of the signature by w is not known"):
            list(prover.bundle(5, 6))


class TestWitness:
    """Somebody who signs what goes on from what was signed before."""

    @pytest.fixture
    def witness(self, tmp_path: Path) -> Witness:
        """A witness that has seen nothing yet."""
        return Witness(tmp_path / "w.key", WITNESS)

    def cosign(self, witness: Witness, ledger: Ledger, number: int, *log_keys: SignerKey) -> Signed:
        """Have a checkpoint cosigned."""
        prover = Prover(ledger)
        signed = prover.checkpoint(number).signed
        handovers = [prover.checkpoint(one).signed for one in prover.handovers()]
        keys = [key.verifier for key in log_keys or (OLD,)]
        signature = witness.cosign(signed, handovers, prover.path, MOMENT, keys)
        Sealer(ledger).add_cosignature(number, WITNESS.verifier, signature, MOMENT)
        return prover.checkpoint(number).signed

    def test_goes_on(self, witness: Witness, ledger: Ledger, url: str) -> None:
        """Checkpoints are cosigned one after the other, past a handover too; the first signature of each is kept."""
        seal(ledger)
        one = self.cosign(witness, ledger, 1)
        assert one.note.signed_by([OLD.verifier, WITNESS.verifier]) == [OLD.verifier, WITNESS.verifier]
        assert one.note.signatures[-1].timestamp == int(MOMENT.timestamp())
        seal(ledger, NEW, old=OLD)
        for _ in range(2):
            grow(ledger)
            seal(ledger, NEW)
        assert len(self.cosign(witness, ledger, 4).note.signatures) == 2
        assert len(self.cosign(witness, ledger, 4).note.signatures) == 2
        assert [len(kept.signed.note.signatures) for kept in Sealer(ledger).checkpoints()] == [2, 2, 1, 2]
        assert said(url, OLD) == []
        with pytest.raises(NotCosigned, match="checkpoint 3 is older than checkpoint 4, which was cosigned last"):
            self.cosign(witness, ledger, 3)

    def test_a_key_that_it_does_not_trust(self, witness: Witness, ledger: Ledger) -> None:
        """A checkpoint that no trusted key has signed is not cosigned, nor one whose signature is wrong."""
        seal(ledger)
        with pytest.raises(NotCosigned, match="checkpoint 1 is not signed by a key that the witness trusts"):
            self.cosign(witness, ledger, 1, OTHER)
        prover = Prover(ledger)
        good = prover.checkpoint(1).signed
        bad = type(good)(good.checkpoint, type(good.note)(good.note.text + "x\n", good.note.signatures))
        with pytest.raises(NotCosigned, match="checkpoint 1: the signature by o"):
            witness.cosign(bad, [], prover.path, MOMENT, [OLD.verifier])

    def test_a_log_that_was_rewritten(self, witness: Witness, ledger: Ledger, url: str) -> None:
        """A checkpoint over another history than the one cosigned last is refused, however well it is signed."""
        seal(ledger)
        grow(ledger)
        seal(ledger)
        self.cosign(witness, ledger, 2)
        with tampering(url) as tamperer:
            tamperer.run("DELETE FROM events WHERE position > 30")
            tamperer.run("UPDATE events SET ordinals = ordinal + 1 WHERE position = 30")
            tamperer.forge(list)
            for table in ("seal_tiles", "checkpoints", "cosignatures"):
                tamperer.run(f"DELETE FROM {table}")  # noqa: S608 - own words
        with Ledger.open(url, create=False) as another:
            seal(another)
            with pytest.raises(NotCosigned, match="checkpoint 1 is older"):
                self.cosign(witness, another, 1)
            for number in (2, 3):
                with tampering(url) as tamperer:
                    tamperer.run("DELETE FROM seal_tiles")
                for _ in range(1 if number == 2 else 9):
                    grow(another)
                seal(another)
            with pytest.raises(NotCosigned, match="another checkpoint 2 was cosigned: the log was rewritten"):
                self.cosign(witness, another, 2)
            with pytest.raises(
                NotCosigned, match="checkpoint 3 does not go on from checkpoint 2, which was cosigned last"
            ):
                self.cosign(witness, another, 3)

    def test_a_memory_that_is_none(self, witness: Witness, ledger: Ledger, tmp_path: Path) -> None:
        """A witness whose file was damaged signs nothing, and names the file."""
        seal(ledger)
        for nonsense in ("{", "[]", json.dumps({f"holdbook/{ledger.log.ledger_id}": {"number": 1}})):
            (tmp_path / "w.key.seen").write_text(nonsense)
            with pytest.raises(Malformed, match=r"w\.key\.seen"):
                self.cosign(witness, ledger, 1)
