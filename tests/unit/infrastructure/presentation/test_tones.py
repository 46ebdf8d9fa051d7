"""Sentences and the tones of their parts."""

from holdbook.infrastructure.presentation.wording.tones import Phrase, Sentence, Tone


def test_a_sentence_is_put_together_from_pieces() -> None:
    """Plain text, text with a tone, and other sentences become parts in their order; `str` gives the words."""
    arrow = Sentence.of("1 ", ("→ 2", Tone.NEW))
    one = Sentence.of(("done", Tone.GOOD), ": total ", arrow)
    assert one.parts == (Phrase("done", Tone.GOOD), Phrase(": total "), Phrase("1 "), Phrase("→ 2", Tone.NEW))
    assert str(one) == "done: total 1 → 2"


def test_sentences_are_joined() -> None:
    """What stands between sentences stands between each two of them only, and has no tone."""
    assert Sentence.joined(", ", []).parts == ()
    bad = Sentence.of(("a", Tone.BAD))
    assert Sentence.joined(", ", [bad]) == bad
    assert Sentence.joined(", ", [bad, bad]).parts == (Phrase("a", Tone.BAD), Phrase(", "), Phrase("a", Tone.BAD))
