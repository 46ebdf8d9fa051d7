"""The command line for the tests: as a process of its own, or inside this one where a hundred calls are wanted."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from holdbook.infrastructure.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROCESS_SECONDS_MAX = 120.0
"""How long a test waits for a process before it fails."""


@dataclass(frozen=True)
class Done:
    """What a call of the command line left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The one JSON document on the standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        """The JSON Lines on the standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The one JSON error on the standard error, nothing being on the standard output."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        return json.loads(line)["error"]

    def ends(self, code: int) -> Done:
        """Check the exit code, and that no traceback was shown."""
        assert "Traceback" not in self.err, self.err
        assert self.code == code, (self.code, self.out, self.err)
        return self


def environment(**more: str) -> dict[str, str]:
    """Give this process's environment without settings of Holdbook's, and with some."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOLDBOOK_")} | more


def program(*words: str) -> list[str]:
    """Name the command line as a process."""
    return [sys.executable, "-P", "-m", "holdbook", *words]


def run(*words: str, env: Mapping[str, str] | None = None, **options: Any) -> Done:  # noqa: ANN401 - as subprocess takes them
    """Run the command line as a process."""
    done = subprocess.run(
        program(*words),
        env=environment(**(env or {})),
        check=False,
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS_MAX,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def call(*words: str, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run the command line inside this process; an error that it does not handle is raised."""
    own = {name: None for name in os.environ if name.startswith("HOLDBOOK_")}
    logger = logging.getLogger("holdbook")
    before = logger.handlers[:], logger.level, logger.propagate, logger.filters[:]
    try:
        result = CliRunner().invoke(app, list(words), input=stdin, env={**own, **(env or {})})
    finally:
        logger.handlers[:], level, logger.propagate, logger.filters[:] = before
        logger.setLevel(level)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


class Holdbook:
    """The command line on one database, inside this process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, code: int = 0, stdin: str | bytes | None = None) -> Done:
        """Call a command and check its exit code."""
        return call(*words, "--database", self.url, stdin=stdin).ends(code)

    def json(self, *words: str, code: int = 0, stdin: str | bytes | None = None) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Call a command and read the one document that it prints."""
        return self(*words, "--json", code=code, stdin=stdin).document

    def lines(self, *words: str) -> list[Any]:
        """Call a command and read the lines that it prints."""
        return self(*words, "--json").lines

    def error(self, *words: str, code: int = 2, stdin: str | bytes | None = None) -> Any:  # noqa: ANN401 - as above
        """Call a command and read its error."""
        return self(*words, "--json", code=code, stdin=stdin).error


def jsonl(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write JSON Lines."""
    return "".join(f"{json.dumps(line)}\n" for line in lines)
