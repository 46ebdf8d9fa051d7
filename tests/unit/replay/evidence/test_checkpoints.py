"""Checkpoints: their text, and how trust goes from one key to the next."""

from __future__ import annotations

import pytest

from holdbook import Malformed
from holdbook.replay.evidence.checkpoints import Checkpoint, Signed, Trust
from holdbook.replay.evidence.notes import Kind, Note, SignerKey

OLD, NEW, OTHER = (SignerKey.generate(name, Kind.NOTE) for name in ("old", "new", "other"))
WITNESS = SignerKey.generate("witness", Kind.WITNESS)

TEXT = """\
holdbook/0199-a
7
AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
number 2
chain Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=
"""


def checkpoint(number: int = 2, key: SignerKey | None = None) -> Checkpoint:
    """Make a checkpoint up."""
    return Checkpoint("0199-a", 7, bytes(range(32)), number, bytes(range(31, -1, -1)), key.verifier if key else None)


def signed(*signers: SignerKey, number: int = 2, key: SignerKey | None = None) -> Signed:
    """Sign one."""
    made = checkpoint(number, key)
    return Signed(made, Note(made.text, tuple(one.sign(made.text) for one in signers)))


def test_the_text() -> None:
    """A checkpoint is written as c2sp.org/tlog-checkpoint says, with lines of our own, and read back."""
    assert checkpoint().text == TEXT
    assert Checkpoint.parse(TEXT) == checkpoint()
    assert checkpoint(key=NEW).text == f"{TEXT}key {NEW.verifier}\n"
    assert Checkpoint.parse(checkpoint(key=NEW).text) == checkpoint(key=NEW)
    assert Signed.parse(str(signed(OLD).note)) == signed(OLD)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        TEXT.removesuffix("\n"),
        f"{TEXT}more\n",
        TEXT.replace("holdbook/", "holdbooky/"),
        TEXT.replace("holdbook/0199-a", "holdbook/"),
        TEXT.replace("\n7\n", "\n07\n"),
        TEXT.replace("\n7\n", "\n0\n"),
        TEXT.replace("\n7\n", "\n-7\n"),
        TEXT.replace("\n7\n", "\n\N{ARABIC-INDIC DIGIT SEVEN}\n"),
        TEXT.replace("number 2", "number 02"),
        TEXT.replace("number 2\n", ""),
        TEXT.replace("AAECAw", "AAECA!"),
        TEXT.replace("Hx4dHB", "Hx4d"),
        TEXT.replace("Hh8=", "Hh9="),
        f"{TEXT}key nonsense\n",
    ],
)
def test_texts_that_are_none(wrong: str) -> None:
    """What is not written as a checkpoint is refused."""
    assert wrong != TEXT
    with pytest.raises(Malformed, match="expected a checkpoint of a ledger"):
        Checkpoint.parse(wrong)


def test_a_witness_is_no_successor() -> None:
    """A line that hands over to a witness's key is refused."""
    with pytest.raises(Malformed, match="not a witness's"):
        Checkpoint.parse(f"{TEXT}key {WITNESS.verifier}\n")


class TestTrust:
    """Who is trusted, from checkpoint to checkpoint."""

    def test_a_trusted_key(self) -> None:
        """What a trusted key has signed is taken; what another or a witness has is not."""
        trust = Trust([OLD.verifier, WITNESS.verifier])
        assert trust.signers(signed(OLD, OTHER)) == [OLD.verifier]
        assert trust.signers(signed(OTHER)) == []
        assert trust.signers(signed(WITNESS)) == []

    def test_handing_over(self) -> None:
        """A checkpoint that names the next key, signed by both, makes that one trusted, and the old one no more."""
        trust = Trust([OLD.verifier])
        assert trust.signers(signed(OLD, NEW, key=NEW)) == [OLD.verifier]
        assert trust.signers(signed(NEW, number=3)) == [NEW.verifier]
        assert trust.signers(signed(OLD, number=3)) == []

    def test_a_second_signature_hands_nothing_over(self) -> None:
        """Somebody who adds a signature to a checkpoint that does not name his key is trusted no more than before."""
        trust = Trust([OLD.verifier])
        trust.signers(signed(OLD, OTHER))
        assert trust.signers(signed(OTHER, number=3)) == []

    def test_a_stranger_hands_nothing_over(self) -> None:
        """A checkpoint that names the next key and is signed by no trusted one changes nothing."""
        trust = Trust([OLD.verifier])
        assert trust.signers(signed(OTHER, NEW, key=NEW)) == []
        assert trust.keys == {OLD.verifier}

    def test_a_successor_that_has_not_signed(self) -> None:
        """A handover that the new key has not signed is refused."""
        trust = Trust([OLD.verifier])
        with pytest.raises(ValueError, match="which has not signed it"):
            trust.signers(signed(OLD, key=NEW))

    def test_a_wrong_signature(self) -> None:
        """A signature by a trusted key that does not verify is an error, not nothing."""
        good = signed(OLD)
        forged = Signed(good.checkpoint, Note(good.note.text, (good.note.signatures[0]._replace(signature=bytes(64)),)))
        with pytest.raises(ValueError, match=r"the signature by old\+\S+ is wrong"):
            Trust([OLD.verifier]).signers(forged)
