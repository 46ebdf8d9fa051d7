"""The documentation as data: pages, their headings, links, tables and code blocks; and how the blocks are run.

Blocks, by the word after the fence:

- ``python`` runs in the tests' process. All of a page share one namespace. A ``text`` block that follows at once, with
  nothing but blank lines between, is what it prints.
- ``sh`` runs in a shell of its own and must succeed.
- ``console`` is a session: lines after ``$ `` run in one shell, the lines below each are what it prints. A command
  that fails is followed by ``$ echo $?``.
- ``sql`` runs against the page's database and must find rows, or change some. A page without a ledger is given a small
  one. ``sql postgresql`` and ``sql sqlite`` run on that database only.
- ``json`` and ``jsonl`` are read; a JSON Line with a ``command`` must be a command. A second word names the file to
  write the block to: ``jsonl day.jsonl``.
- ``diff`` is a change of Holdbook's own source, as a maintainer makes it: it is made in a copy of the checkout, in the
  page's folder, and the page's commands run that copy from then on. What a hunk takes away must be there, once.
- ``text`` is for readers, and so is ``mermaid``, a picture.

``…`` in expected output stands for anything within a line; on a line of its own, for any lines. A page runs on SQLite
unless a comment such as ``<!-- runs on: sqlite, postgresql -->`` says otherwise. For PostgreSQL, HOLDBOOK_DATABASE_URL
is set; for SQLite it is not, and the page uses the default, ``sqlite:///holdbook.db``. With a comment such as
``<!-- begins with: tests/samples/ledger_0001.sql -->``, that file is there from the beginning, as the script makes it.
No ledger is open when a page begins, as in the process of a reader.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import chdir, closing, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from holdbook import Ledger, Limits
from holdbook.domain.commands import command_from
from holdbook.infrastructure.telemetry.counters import LEDGERS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]

CHECKOUT: Final = ROOT
"""Where the source is copied from for pages that change it."""

SECONDS_MAX: Final = 120
"""How long one block may take."""

_FENCE = re.compile(r"```(.*)")
_HEADING = re.compile(r"(#{1,6}) (.+)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`[^`]*`")
_RUNS_ON = re.compile(r"<!-- runs on: ([a-z, ]+) -->")
_BEGINS_WITH = re.compile(r"<!-- begins with: (\S+) -->")
_MARK: Final = "=== status "


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    words: tuple[str, ...]
    """What stands after the fence."""
    text: str
    line: int
    """Number of its first line in the page, from 1."""
    adjoins: bool
    """True if only blank lines are between it and the block before."""

    @property
    def language(self) -> str:
        """The first word after the fence."""
        return self.words[0] if self.words else ""


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def source(self) -> str:
        """Its text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def _parts(self) -> tuple[list[tuple[int, str]], list[Block]]:
        prose: list[tuple[int, str]] = []
        blocks: list[Block] = []
        words: tuple[str, ...] | None = None
        inside: list[str] = []
        adjoins = False
        for number, line in enumerate(self.source.splitlines(), start=1):
            fence = _FENCE.fullmatch(line)
            if words is None and fence:
                words, inside = tuple(fence[1].split()), []
            elif words is not None and fence:
                blocks.append(Block(words, "\n".join(inside), number - len(inside), adjoins))
                words, adjoins = None, True
            elif words is not None:
                inside.append(line)
            else:
                prose.append((number, line))
                adjoins = adjoins and not line.strip()
        assert words is None, f"{self.name}: a block is not closed"
        return prose, blocks

    @property
    def prose(self) -> list[tuple[int, str]]:
        """The lines that are in no block, with their numbers."""
        return self._parts[0]

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return self._parts[1]

    @property
    def headings(self) -> list[str]:
        """The headings, without their marks."""
        return [found[2] for _, line in self.prose if (found := _HEADING.fullmatch(line))]

    @property
    def anchors(self) -> set[str]:
        """What a link may have after its number sign."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings}

    @property
    def links(self) -> list[str]:
        """The targets of the links."""
        return [target for _, line in self.prose for target in _LINK.findall(_CODE_SPAN.sub("", line))]

    @property
    def named(self) -> set[str]:
        """What stands between backticks, in prose."""
        return {span.strip("`") for _, line in self.prose for span in _CODE_SPAN.findall(line)}

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        """The rows of the tables below each heading, cell by cell, without their head rows."""
        found: dict[str, list[list[str]]] = {}
        heading, in_body = "", False
        for _, line in self.prose:
            if title := _HEADING.fullmatch(line):
                heading = title[2].strip("`")
                found[heading] = []
            in_body = line.startswith("|") and (in_body or line.startswith("|--"))
            if in_body and not line.startswith("|--"):
                cells = line.strip("|").replace(r"\|", "\0").split("|")
                found[heading].append([cell.replace("\0", "|").strip() for cell in cells])
        return found

    @property
    def runs_on(self) -> tuple[str, ...]:
        """The databases that the page's blocks run on."""
        said = _RUNS_ON.search(self.source)
        return tuple(said[1].split(", ")) if said else ("sqlite",)


def pages() -> list[Page]:
    """List every page that readers are led to."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "tests" / "README.md"]
    return [Page(path) for path in (*files, *sorted((ROOT / "docs").rglob("*.md")))]


def first_cells(rows: list[list[str]]) -> list[str]:
    """List the first cell of each row, without backticks."""
    return [row[0].strip("`") for row in rows]


@dataclass
class Session:
    """Runs the blocks of one page, in order, in a folder of their own."""

    page: Page
    folder: Path
    url: str | None = None
    """The database to use; None for the default, a SQLite file in the folder."""
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""
    """What the last Python block printed."""

    def __post_init__(self) -> None:
        """Forget the ledgers that tests left open, and make the database that the page begins with, if it says so."""
        for left in LEDGERS.read():
            LEDGERS.remove(left.ledger)  # a page that prints the metrics of its process would print theirs too
        if said := _BEGINS_WITH.search(self.page.source):
            with closing(sqlite3.connect(self.folder / "holdbook.db")) as database:
                database.executescript((CHECKOUT / said[1]).read_text(encoding="utf-8"))

    @property
    def address(self) -> str:
        """The address of the page's database."""
        return self.url or f"sqlite:///{self.folder / 'holdbook.db'}"

    def run(self, block: Block) -> None:
        """Run a block; raises AssertionError, naming its place, if it does not do what it shows."""
        place = f"{self.page.name}, line {block.line}"
        runner = {
            "python": self._python,
            "sh": self._sh,
            "console": self._console,
            "sql": self._sql,
            "diff": self._diff,
            "json": self._json,
            "jsonl": self._json,
            "text": self._text,
            "mermaid": self._text,
        }.get(block.language)
        assert runner, f"{place}: a block of an unknown kind, {block.language!r}"
        shown = block.language == "text" and block.adjoins
        assert shown or not self.printed, f"{place}: the block before prints what is not shown: {self.printed!r}"
        runner(block, place)

    def end(self) -> None:
        """Check what can only be checked after the last block."""
        assert not self.printed, f"{self.page.name}: the last Python block prints what is not shown: {self.printed!r}"

    def _python(self, block: Block, _place: str) -> None:
        code = compile("\n" * (block.line - 1) + block.text, str(self.page.path), "exec", dont_inherit=True)
        printed = io.StringIO()
        with chdir(self.folder), redirect_stdout(printed):
            exec(code, self.namespace)  # noqa: S102 - that is what this is for
        self.printed = printed.getvalue()

    def _text(self, block: Block, place: str) -> None:
        if self.printed:
            check_output(self.printed, block.text, place)
            self.printed = ""

    def _sh(self, block: Block, place: str) -> None:
        done = self._bash(f"set -eu -o pipefail\n{block.text}\n")
        assert done.returncode == 0, f"{place}: exit code {done.returncode}\n{done.stdout}"

    def _console(self, block: Block, place: str) -> None:
        steps = list(_steps(block.text))
        script = "".join(f"{command}\ns=$?; printf '\\n{_MARK}%d\\n' $s; (exit $s)\n" for command, _ in steps)
        printed = re.split(rf"\n{_MARK}(\d+)\n", self._bash(script).stdout)
        assert len(printed) == 2 * len(steps) + 1, f"{place}: the session ended early\n{printed}"
        for number, (command, expected) in enumerate(steps):
            output, status = printed[2 * number], printed[2 * number + 1]
            fails = number + 1 < len(steps) and steps[number + 1][0] == "echo $?"
            check_output(output, expected, f"{place}: $ {command}")
            assert fails or status == "0", f"{place}: $ {command}\nexit code {status}\n{output}"

    def _bash(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        if self._source.exists():
            environment["PYTHONPATH"] = f"{self._source}{os.pathsep}{environment.get('PYTHONPATH', '')}"
        return subprocess.run(
            ["bash", "-c", f"exec 2>&1\n{script}"],  # noqa: S607 - bash is where the user's PATH has it
            cwd=self.folder,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=SECONDS_MAX,
        )

    def _sql(self, block: Block, place: str) -> None:
        url = make_url(self.address)
        if len(block.words) > 1 and block.words[1] != url.get_backend_name():
            return
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            self._make_ledger()
        engine = create_engine(url)
        try:
            with engine.begin() as connection:
                for statement in filter(str.strip, block.text.split(";")):
                    done = connection.execute(text(statement.replace(":", r"\:")))
                    count = len(done.all()) if done.returns_rows else done.rowcount
                    assert count, f"{place}: finds no rows: {statement}"
        finally:
            engine.dispose()

    @property
    def _source(self) -> Path:
        """Where the page's own copy of the source is, if it has one."""
        return self.folder / "src"

    def _diff(self, block: Block, place: str) -> None:
        if not self._source.exists():
            copy_checkout(self.folder)
        changes = list(_changes(block.text))
        assert changes, f"{place}: a diff that changes nothing"
        for name, old, new in changes:
            path = self.folder / name
            source = path.read_text(encoding="utf-8")
            assert source.count(old) == 1, f"{place}: {name} has {source.count(old)} places such as\n{old}"
            path.write_text(source.replace(old, new), encoding="utf-8")
            shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)  # Python knows a change by size and second

    def _make_ledger(self) -> None:
        with Ledger.open(self.address) as ledger:
            ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=8))
            ledger.allocate({"gpu": 2}, owner="ana")
            ledger.projector().catch_up()

    def _json(self, block: Block, place: str) -> None:
        for line in block.text.splitlines() if block.language == "jsonl" else [block.text]:
            value = json.loads(line)
            assert isinstance(value, dict), f"{place}: {line}"
            if block.language == "jsonl" and "command" in value:
                command_from(value)
        if len(block.words) > 1:
            (self.folder / block.words[1]).write_text(f"{block.text}\n", encoding="utf-8")


def copy_checkout(folder: Path) -> None:
    """Copy the package's source and its documentation, laid out as in a checkout."""
    links = [link for link in (CHECKOUT / "src" / "holdbook").iterdir() if link.is_symlink()]
    for part in (CHECKOUT / "src", CHECKOUT / "docs", *(link.resolve() for link in links)):
        shutil.copytree(part, folder / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))


def _changes(diff: str) -> Iterator[tuple[str, str, str]]:
    """Split a diff into its hunks: the file, the lines that it has, and those that it is to have instead."""
    name, old, new = "", "", ""
    for line in [*diff.splitlines(), "@@"]:
        if line.startswith(("--- ", "+++ ", "@@")):
            if old or new:
                yield name, old, new
            name, old, new = line.removeprefix("+++ b/") if line.startswith("+++ ") else name, "", ""
        if line[:1] in {" ", "-", ""} and not line.startswith("--- "):
            old += f"{line[1:]}\n"
        if line[:1] in {" ", "+", ""} and not line.startswith("+++ "):
            new += f"{line[1:]}\n"


def _steps(session: str) -> Iterator[tuple[str, str]]:
    """Split a console session into commands and what each prints."""
    command = ""
    expected: list[str] = []
    for line in session.splitlines():
        if command.endswith("\\"):
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command:
                yield command, "\n".join(expected)
            command, expected = line[2:], []
        else:
            expected.append(line)
    yield command, "\n".join(expected)


def check_output(printed: str, expected: str, place: str) -> None:
    """Compare output with what a page shows; blanks at the ends of lines do not count."""
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    wanted = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "".join("(.*\n)*" if line == "…" else f"{_pattern(line)}\n" for line in wanted)
    shown = "".join(f"{line}\n" for line in lines)
    assert re.fullmatch(pattern, shown), f"{place}\nshown:\n{expected}\nprinted:\n{printed}"


def _pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("…"))
