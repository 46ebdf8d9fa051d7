"""Sentences whose parts have a tone, which each face shows in its own way: a terminal by a colour, say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tone(Enum):
    """How a part of a sentence is meant."""

    PLAIN = auto()
    """Neither good nor bad."""
    GOOD = auto()
    """As it should be."""
    CAUTION = auto()
    """Worth a second look."""
    BAD = auto()
    """Refused, failed, or not as it should be."""
    ALARM = auto()
    """The ledger itself is harmed."""
    NEW = auto()
    """What a value has become, after what it was."""


class Phrase(NamedTuple):
    """A stretch of a sentence that has one tone."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence in parts; `str` gives its words alone."""

    parts: tuple[Phrase, ...]

    @classmethod
    def of(cls, *pieces: str | tuple[str, Tone] | Sentence) -> Sentence:
        """Put a sentence together from plain text, text with a tone, and other sentences."""
        parts: list[Phrase] = []
        for piece in pieces:
            if isinstance(piece, Sentence):
                parts += piece.parts
            else:
                parts.append(Phrase(piece) if isinstance(piece, str) else Phrase(*piece))
        return cls(tuple(parts))

    @classmethod
    def joined(cls, between: str, sentences: Iterable[Sentence]) -> Sentence:
        """Put sentences one after the other, with a text between each two of them."""
        found: list[str | Sentence] = []
        for one in sentences:
            found += [between, one] if found else [one]
        return cls.of(*found)

    def __str__(self) -> str:
        """Give the words."""
        return "".join(part.text for part in self.parts)
