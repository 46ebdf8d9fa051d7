"""Signed notes, their keys and cosignatures, as c2sp.org/signed-note and c2sp.org/tlog-cosignature define them.

A note is a text, a blank line, and one line for each signature. A public key is written ``NAME+ID+BASE64``, and a
private key ``PRIVATE+KEY+NAME+ID+BASE64``.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdbook.domain.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES: Final = 32
"""The length of an Ed25519 key, public or private."""

SIGNATURES_MAX: Final = 64
"""The most signatures that a note may have."""

_ID_BYTES: Final = 4
_TIMESTAMP_BYTES: Final = 8
_DASH: Final = "\N{EM DASH} "
_PRIVATE: Final = "PRIVATE+KEY+"
_SPACE: Final = 0x20


class Kind(IntEnum):
    """The kind of signatures that a key makes, as the byte that the formats give it."""

    NOTE = 1
    """Ed25519 over the text of a note: the signature of a log."""
    WITNESS = 4
    """Ed25519 over a time and the text of a note: the cosignature of a witness."""


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Decode base64; raises ValueError for text that `_encode` would not write."""
    data = b64decode(text, validate=True)
    if _encode(data) != text:
        raise ValueError("not as it is written")
    return data


def decode_hash(text: str) -> bytes:
    """Decode a hash from base64; raises ValueError."""
    data = _decode(text)
    if len(data) != KEY_BYTES:
        raise ValueError(f"expected {KEY_BYTES} bytes, got {len(data)}")
    return data


def encode_hash(data: bytes) -> str:
    """Encode a hash as base64."""
    return _encode(data)


def is_key_name(name: str) -> bool:
    """Tell whether a text may name a key: it is printable, not empty, and has neither blanks nor a plus."""
    return name.isprintable() and bool(name) and not any(one == "+" or one.isspace() for one in name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key, which verifies signatures."""

    name: str
    kind: Kind
    public: bytes

    @property
    def id(self) -> bytes:
        """The first four bytes of SHA-256 over name, kind and key; signatures name their key by it."""
        return hashlib.sha256(self.name.encode() + bytes([0x0A, self.kind]) + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.kind]) + self.public)}"

    @property
    def short(self) -> str:
        """The key's name and id, for people to read."""
        return f"{self.name}+{self.id.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key from its text form; raises `Malformed`."""
        expected = "expected a public key, written NAME+ID+BASE64"
        try:
            name, _, encoded = text.split("+", 2)
            key = cls(_key_name(name), *_kind_and_key(encoded))
        except ValueError:
            raise Malformed("key", text, expected) from None
        if str(key) != text:
            raise Malformed("key", text, expected)
        return key

    def verify(self, text: str, signature: bytes) -> bool:
        """Tell whether a signature, without the key's id before it, was made by this key over a note's text."""
        message = text.encode()
        if self.kind is Kind.WITNESS:
            timestamp, signature = int.from_bytes(signature[:_TIMESTAMP_BYTES]), signature[_TIMESTAMP_BYTES:]
            message = cosigned(text, timestamp)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def cosigned(text: str, timestamp: int) -> bytes:
    """Give the message that a witness signs: a header, the time in seconds since 1970, and the note's text."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key, which signs notes."""

    name: str
    kind: Kind
    private: bytes

    @classmethod
    def generate(cls, name: str, kind: Kind) -> Self:
        """Make a new key; raises `Malformed` for a text that may not name a key."""
        if not is_key_name(name):
            expected = "expected a key's name, which is not empty and has no blanks and no plus"
            raise Malformed("NAME", name, expected)
        return cls(name, kind, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def verifier(self) -> VerifierKey:
        """The public key that belongs to this key."""
        public = Ed25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.kind, public)

    @property
    def secret(self) -> str:
        """The key's text form, as it is stored in a file."""
        return f"{_PRIVATE}{self.verifier.short}+{_encode(bytes([self.kind]) + self.private)}"

    def __repr__(self) -> str:
        return f"SignerKey({self.verifier.short})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key from its text form; raises ValueError, whose message does not show the text."""
        try:
            if not text.startswith(_PRIVATE):
                raise ValueError(text)  # noqa: TRY301 - caught below, to raise an error that does not show the text
            name, _, encoded = text.removeprefix(_PRIVATE).split("+", 2)
            key = cls(_key_name(name), *_kind_and_key(encoded))
        except ValueError:
            raise ValueError("not a private key") from None
        if key.secret != text:
            raise ValueError("not a private key")
        return key

    def sign(self, text: str, timestamp: int = 0) -> NoteSignature:
        """Sign a note's text. A witness's signature includes the time, in seconds since 1970."""
        private = Ed25519PrivateKey.from_private_bytes(self.private)
        if self.kind is Kind.WITNESS:
            signed = timestamp.to_bytes(_TIMESTAMP_BYTES) + private.sign(cosigned(text, timestamp))
        else:
            signed = private.sign(text.encode())
        return NoteSignature(self.name, self.verifier.id, signed)


def _key_name(name: str) -> str:
    if not is_key_name(name):
        raise ValueError(name)
    return name


def _kind_and_key(encoded: str) -> tuple[Kind, bytes]:
    data = _decode(encoded)
    if len(data) != 1 + KEY_BYTES:
        raise ValueError(encoded)
    return Kind(data[0]), data[1:]


class NoteSignature(NamedTuple):
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encode(self.key_id + self.signature)}"

    @property
    def timestamp(self) -> int:
        """The time of a witness's signature, in seconds since 1970."""
        return int.from_bytes(self.signature[:_TIMESTAMP_BYTES])

    def is_by(self, key: VerifierKey) -> bool:
        """Tell whether the line names this key as its signer; the signature may still be wrong."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note. Its text must not be believed before the signature of a trusted key has been verified."""

    text: str
    """The text that is signed, including its last newline."""
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        return "\n".join([self.text, *map(str, self.signatures), ""])

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a note; raises `Malformed`."""
        expected = "expected a signed note: text, a blank line, and lines of signature"
        text, blank, lines = note.rpartition("\n\n")
        if any(ord(one) < _SPACE and one != "\n" for one in note) or not blank or not text or not lines.endswith("\n"):
            raise Malformed("note", note, expected)
        words = [line.split(" ") for line in lines[:-1].split("\n")]
        if len(words) > SIGNATURES_MAX:
            raise Malformed("note", note, f"{expected}, at most {SIGNATURES_MAX}")
        try:
            return cls(f"{text}\n", tuple(_signature(*line) for line in words))
        except (ValueError, TypeError):  # TypeError for a line of too many or too few words
            raise Malformed("note", note, expected) from None

    def signed_by(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """List which of the given keys signed; raises ValueError if a signature that names one of them is wrong."""
        found = []
        for key in keys:
            signatures = [one for one in self.signatures if one.is_by(key)]
            if not all(key.verify(self.text, one.signature) for one in signatures):
                raise ValueError(f"the signature by {key.short} is wrong")
            if signatures:
                found.append(key)
        return found


def _signature(dash: str, name: str, encoded: str) -> NoteSignature:
    data = _decode(encoded)
    if dash != _DASH.strip() or len(data) <= _ID_BYTES:
        raise ValueError(name)
    return NoteSignature(_key_name(name), data[:_ID_BYTES], data[_ID_BYTES:])
