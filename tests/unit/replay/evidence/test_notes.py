"""Signed notes: vectors that others published, and whatever is not written as it should be."""

from __future__ import annotations

import pytest

from holdbook import Malformed
from holdbook.replay.evidence.notes import Kind, Note, NoteSignature, SignerKey, VerifierKey, decode_hash, encode_hash

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # noqa: S105 - published
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_NOTE = (
    f"{PETER_TEXT}\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""The key and the note of the tests of Go's golang.org/x/mod/sumdb/note."""

ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"

EXAMPLE = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
"""The test vector of c2sp.org/signed-note."""

CHECKPOINT = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
"""  # noqa: E501 - as it was published
CHECKPOINT_KEYS = (
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
)
"""A checkpoint of a log of Certificate Transparency, of 2026, with two of its witnesses."""


def test_the_note_of_go() -> None:
    """The key of Go's tests signs their text to the byte as Go does, and their public key verifies it."""
    signer = SignerKey.parse(PETER_SECRET)
    assert (signer.secret, str(signer.verifier)) == (PETER_SECRET, PETER)
    assert str(Note(PETER_TEXT, (signer.sign(PETER_TEXT),))) == PETER_NOTE
    key = VerifierKey.parse(PETER)
    assert Note.parse(PETER_NOTE).signed_by([key, VerifierKey.parse(ENOCH)]) == [key]


def test_the_note_of_the_specification() -> None:
    """The vector of c2sp.org/signed-note verifies."""
    key = VerifierKey.parse(EXAMPLE)
    assert (str(key), key.name, key.kind, key.id.hex()) == (EXAMPLE, "example.com/foo", Kind.NOTE, "530d903a")
    assert Note.parse(EXAMPLE_NOTE).signed_by([key]) == [key]


@pytest.mark.parametrize("key", [VerifierKey.parse(key) for key in CHECKPOINT_KEYS], ids=str)
def test_a_checkpoint_of_others_with_witnesses(key: VerifierKey) -> None:
    """A checkpoint of a log that is in use verifies, its log's signature and witnesses' with their times."""
    note = Note.parse(CHECKPOINT)
    assert note.signed_by([key]) == [key]
    assert str(note) == CHECKPOINT
    if key.kind is Kind.WITNESS:
        (signature,) = (one for one in note.signatures if one.is_by(key))
        assert signature.timestamp == 0x6A122120
    altered = Note(note.text.replace("1432088532", "1432088533"), note.signatures)
    with pytest.raises(ValueError, match=r"the signature by \S+ is wrong"):
        altered.signed_by([key])


def test_a_witness_signs_the_time() -> None:
    """A witness's signature holds its time, and verifies with no other."""
    signer = SignerKey.generate("w", Kind.WITNESS)
    signature = signer.sign("text\n", 1_700_000_000)
    assert signature.timestamp == 1_700_000_000
    assert signer.verifier.verify("text\n", signature.signature)
    assert not signer.verifier.verify("text\n", (5).to_bytes(8) + signature.signature[8:])
    assert not signer.verifier.verify("text\n", b"")


def test_a_key_is_for_one_thing() -> None:
    """The same bytes as a log's key and as a witness's are two keys, with ids and signatures of their own."""
    log = SignerKey.generate("same", Kind.NOTE)
    witness = SignerKey("same", Kind.WITNESS, log.private)
    assert log.verifier.id != witness.verifier.id
    assert not witness.verifier.verify("text\n", log.sign("text\n").signature)


def test_a_private_key_does_not_show() -> None:
    """What represents a private key in a message holds nothing of it."""
    key = SignerKey.parse(PETER_SECRET)
    assert repr(key) == "SignerKey(PeterNeumann+c74f20a3)"


def cut_and_altered(text: str) -> list[str]:
    """Give every piece of a text but the whole, and the text with each character altered."""
    pieces = [text[begin:end] for begin in range(len(text)) for end in range(begin, len(text) + 1)]
    altered = [text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :] for at in range(len(text))]
    return [piece for piece in pieces if piece != text] + altered


def test_public_keys_that_are_none() -> None:
    """Nothing but the whole key is taken: no piece of it, none with one character altered, no other kind or length."""
    for wrong in cut_and_altered(PETER):
        with pytest.raises(Malformed, match=r"expected a public key, written NAME\+ID\+BASE64"):
            VerifierKey.parse(wrong)
    for wrong in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # too long, with its id
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # of a kind that is not, with its id
        f"{PETER}\n",
        PETER.replace("c74f20a3", "C74F20A3"),
        f"\udcff{PETER}",
    ):
        with pytest.raises(Malformed):
            VerifierKey.parse(wrong)


def test_private_keys_that_are_none() -> None:
    """Nothing but the whole key is taken, and the error shows nothing of what was given."""
    for wrong in [*cut_and_altered(PETER_SECRET)[::7], PETER, "", "PRIVATE+KEY+a b+00000000+AAAA"]:
        with pytest.raises(ValueError, match=r"\Anot a private key\Z"):
            SignerKey.parse(wrong)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\N{NO-BREAK SPACE}b", "a\nb", "\x7f"])
def test_names_that_no_key_has(name: str) -> None:
    """A key's name is not empty, and has no blank, no plus and nothing that does not print."""
    with pytest.raises(Malformed, match="expected a key's name"):
        SignerKey.generate(name, Kind.NOTE)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        PETER_TEXT,
        PETER_NOTE.removesuffix("\n"),
        PETER_NOTE + "\n",
        PETER_NOTE + "more\n",
        PETER_NOTE.replace("\n\n", "\n"),
        PETER_NOTE.replace("—", "-"),
        PETER_NOTE.replace("— P", "—  P"),
        PETER_NOTE.replace("PeterNeumann ", "Peter Neumann "),
        PETER_NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        PETER_NOTE.replace("JnAM=", "JnAN="),  # the same bytes, not as base64 writes them
        PETER_NOTE.replace("x08go/ZJ", "x08go/Z!"),
        PETER_NOTE.replace("If", "I\tf"),
        f"{PETER_TEXT}\n— PeterNeumann x08gow==\n",
        "\n\n— PeterNeumann x08go/ZJ\n",
    ],
)
def test_notes_that_are_none(wrong: str) -> None:
    """A note that is not written as notes are is refused, whatever its signatures say."""
    with pytest.raises(Malformed, match="expected a signed note"):
        Note.parse(wrong)


def test_too_many_signatures() -> None:
    """A note of a hundred signatures is refused, one of 16 is not."""
    line = PETER_NOTE.splitlines()[-1]
    begin = f"{PETER_TEXT}\n"
    assert len(Note.parse(begin + f"{line}\n" * 16).signatures) == 16
    with pytest.raises(Malformed, match="at most 64"):
        Note.parse(begin + f"{line}\n" * 100)


def test_only_known_keys_count() -> None:
    """A signature that shares only the name, or only the id, with a known key is somebody else's."""
    peter = VerifierKey.parse(PETER)
    signature = Note.parse(PETER_NOTE).signatures[0]
    for other in (signature._replace(name="Somebody"), signature._replace(key_id=b"abcd")):
        assert Note(PETER_TEXT, (other,)).signed_by([peter]) == []
    wrong = NoteSignature(signature.name, signature.key_id, bytes(64))
    with pytest.raises(ValueError, match=r"PeterNeumann\+c74f20a3 is wrong"):
        Note(PETER_TEXT, (signature, wrong)).signed_by([peter])


def test_hashes_in_base64() -> None:
    """A hash is read back as it was written; one of another length is none."""
    assert decode_hash(encode_hash(bytes(32))) == bytes(32)
    for wrong in (encode_hash(bytes(31)), "A" * 44, encode_hash(bytes(32))[:-1] + "\n"):
        with pytest.raises(ValueError, match=r"bytes|not as|padding|base64"):
            decode_hash(wrong)
