"""Check the message of a commit before it is made: the hook `commit-msg`, which `make` installs with pre-commit.

Run as a program, with the file that holds the message. Needs Python 3.8 or later, and nothing beside it.

The subject, which is the first line, has at most 72 characters, begins with a capital letter, has no full stop at its
end, and is an imperative: "Name the pools", neither "Named the pools" nor "Pool names". Whether something is an
imperative is guessed from its first word, which must not be an article, a pronoun or a number, and must not end in
-ing, -ed, or an -s that follows another letter than s; some verbs that end so are on a list. Nor may the subject be one
that Git writes by itself (``Merge branch``), or one that is not meant to stay (``WIP``, ``fixup!``). A blank line comes
before the body.

Lines that begin with ``#`` are comments, and what comes after Git's scissors is not part of the message.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

SUBJECT_MAX = 72
"""How many characters a subject may have."""

VERBS_IN_ING = {"bring", "cling", "fling", "ping", "ring", "sling", "spring", "sting", "string", "swing", "wring"}
VERBS_IN_ED = {"embed", "exceed", "feed", "heed", "need", "proceed", "seed", "shed", "shred", "speed", "succeed"}
VERBS_IN_S = {"alias", "bias", "canvas", "focus"}
VERBS = VERBS_IN_ING | VERBS_IN_ED | VERBS_IN_S
"""Verbs whose imperative ends as those of others do not."""

ARTICLES = {"a", "an", "the"}
PRONOUNS = {"i", "we", "you", "he", "she", "it", "they", "my", "our", "your", "his", "her", "its", "their"}
MORE_PRONOUNS = {"this", "that", "these", "those", "who", "what", "which", "all", "each", "some", "nobody", "nothing"}
NUMBERS = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
NO_VERBS = ARTICLES | PRONOUNS | MORE_PRONOUNS | NUMBERS
"""Words that no imperative begins with; figures are none either."""

_SCISSORS = re.compile(r"# -+ >8 -+")
_MERGE = re.compile(r"Merge (branch|branches|commit|commits|pull request|remote-tracking|tag|tags)\b")
_NOT_TO_STAY = re.compile(r"\W*(wip\b|(amend|fixup|squash)!)", re.IGNORECASE)


def message_lines(text: str) -> list[str]:
    """List the lines of the message without its comments, from the subject on; none if there is no message."""
    lines: list[str] = []
    for line in text.splitlines():
        if _SCISSORS.fullmatch(line):
            break
        if not line.startswith("#") and (lines or line.strip()):
            lines.append(line.rstrip())
    return lines


def faults(text: str) -> list[str]:
    """Say what is wrong with a message, and how to put each of it right; nothing if nothing is."""
    lines = message_lines(text)
    if not lines:
        return ["there is no message: say in one line what the commit does"]
    subject = lines[0]
    if _MERGE.match(subject):
        return [f"{subject!r} is a merge: undo it (git merge --abort), and rebase your branch instead"]
    if _NOT_TO_STAY.match(subject):
        return [f"{subject!r} is not meant to stay: say what the commit does, or amend the commit that it belongs to"]
    found = _faults_of_subject(subject)
    if len(lines) > 1 and lines[1]:
        found.append(f"the second line is {lines[1]!r}: leave it blank, and begin the body below it")
    return found


def _faults_of_subject(subject: str) -> list[str]:
    found = []
    if len(subject) > SUBJECT_MAX:
        found.append(f"the subject has {len(subject)} characters: say it in {SUBJECT_MAX}, and the rest in the body")
    if not subject[0].isupper():
        found.append(f"the subject begins with {subject[0]!r}: begin it with a capital letter")
    if subject.endswith("."):
        found.append("the subject ends with a full stop: leave that out")
    word = re.split(r"[^\w-]", subject.lstrip("\"'`([{"), maxsplit=1)[0]
    if not _may_be_imperative(word.lower()):
        found.append(f"the subject begins with {word!r}: begin it with what the commit does, such as 'Add' or 'Name'")
    return found


def _may_be_imperative(word: str) -> bool:
    if word in VERBS:
        return True
    has_ending = word.endswith(("ing", "ed")) or (word.endswith("s") and not word.endswith("ss"))
    return not has_ending and word not in NO_VERBS and not word[:1].isdigit()


def main(path: Path) -> str | None:
    """Check the message in a file; return what to tell the committer, or None if there is nothing to tell."""
    found = faults(path.read_text(encoding="utf-8", errors="replace"))
    if not found:
        return None
    said = "".join(f"- {fault}\n" for fault in found)
    return (
        f"{said}Your message is kept. To put it right, repeat your command with: --edit --file={shlex.quote(str(path))}"
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
