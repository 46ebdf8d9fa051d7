"""Signed notes, their keys and cosignatures, as C2SP specifies them: c2sp.org/signed-note, c2sp.org/tlog-cosignature.

A note is text, a blank line, and signatures, one a line. A key is written as one word: ``NAME+ID+BASE64``, and one that
signs as ``PRIVATE+KEY+NAME+ID+BASE64``.
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
"""Length of an Ed25519 key, public or private."""

SIGNATURES_MAX: Final = 64
"""The most signatures that a note may have."""

_ID_BYTES: Final = 4
_TIMESTAMP_BYTES: Final = 8
_DASH: Final = "\N{EM DASH} "
_PRIVATE: Final = "PRIVATE+KEY+"
_SPACE: Final = 0x20


class Kind(IntEnum):
    """What a key signs; the byte that the formats have for it."""

    NOTE = 1
    """Ed25519 over the note's text: what a log signs with."""
    WITNESS = 4
    """Ed25519 over the time and the note's text: what a witness signs with."""


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Read base64 that is written in the one way there is; raises ValueError."""
    data = b64decode(text, validate=True)
    if _encode(data) != text:
        raise ValueError("not as it is written")
    return data


def decode_hash(text: str) -> bytes:
    """Read a hash in base64; raises ValueError."""
    data = _decode(text)
    if len(data) != KEY_BYTES:
        raise ValueError(f"expected {KEY_BYTES} bytes, got {len(data)}")
    return data


def encode_hash(data: bytes) -> str:
    """Write a hash in base64."""
    return _encode(data)


def is_key_name(name: str) -> bool:
    """Tell whether a key may have a name: not empty, no blanks, no plus, nothing that does not print."""
    return name.isprintable() and bool(name) and not any(one == "+" or one.isspace() for one in name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key: tells whether a signature is right."""

    name: str
    kind: Kind
    public: bytes

    @property
    def id(self) -> bytes:
        """The first four bytes of a hash over name, kind and key: what names the key in signatures."""
        return hashlib.sha256(self.name.encode() + bytes([0x0A, self.kind]) + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.kind]) + self.public)}"

    @property
    def short(self) -> str:
        """The key without its bytes, for people."""
        return f"{self.name}+{self.id.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key; raises `Malformed`."""
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
        """Tell whether a signature of a note's text, without the key's id, is this key's."""
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
    """Give what a witness signs: a header, the time in seconds since 1970, the note's text."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key."""

    name: str
    kind: Kind
    private: bytes

    @classmethod
    def generate(cls, name: str, kind: Kind) -> Self:
        """Make a key; raises `Malformed` for a name that no key may have."""
        if not is_key_name(name):
            expected = "expected a key's name, which is not empty and has no blanks and no plus"
            raise Malformed("NAME", name, expected)
        return cls(name, kind, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def verifier(self) -> VerifierKey:
        """The public key."""
        public = Ed25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.kind, public)

    @property
    def secret(self) -> str:
        """The key as its file holds it."""
        return f"{_PRIVATE}{self.verifier.short}+{_encode(bytes([self.kind]) + self.private)}"

    def __repr__(self) -> str:
        return f"SignerKey({self.verifier.short})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key; raises ValueError, which does not show what was given."""
        try:
            if not text.startswith(_PRIVATE):
                raise ValueError(text)  # noqa: TRY301 - told as below
            name, _, encoded = text.removeprefix(_PRIVATE).split("+", 2)
            key = cls(_key_name(name), *_kind_and_key(encoded))
        except ValueError:
            raise ValueError("not a private key") from None
        if key.secret != text:
            raise ValueError("not a private key")
        return key

    def sign(self, text: str, timestamp: int = 0) -> NoteSignature:
        """Sign a note's text; a witness's signature holds the time, in seconds since 1970."""
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
    """One line of signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encode(self.key_id + self.signature)}"

    @property
    def timestamp(self) -> int:
        """When a witness signed, in seconds since 1970."""
        return int.from_bytes(self.signature[:_TIMESTAMP_BYTES])

    def is_by(self, key: VerifierKey) -> bool:
        """Tell whether it says that it is a key's."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note; nothing in it is to be believed before a signature by a trusted key is verified."""

    text: str
    """What is signed, its last newline included."""
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
        except (ValueError, TypeError):  # the second for words too many or too few
            raise Malformed("note", note, expected) from None

    def signed_by(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """List the keys that signed it; raises ValueError if one of them should have, and its signature is wrong."""
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
