"""Starting up: what a program imports is what it uses."""

import json
import subprocess
import sys

import pytest

DEAR = (
    "alembic",
    "asyncio",
    "cryptography",
    "jinja2",
    "psycopg",
    "pydantic",
    "rich",
    "sqlalchemy",
    "structlog",
    "typer",
)
"""Packages that take long to import."""


def imported_by(program: str) -> set[str]:
    """Run a program in a process of its own, and tell which of the dear packages it imported."""
    ask = f"{program}\nimport json, sys\nprint(json.dumps([name for name in {DEAR!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-P", "-c", ask], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("program", "dear"),
    [
        ("import holdbook", set()),
        ("from holdbook import Allocate, Limits", {"pydantic"}),
        ("from holdbook import Ledger, Limits", {"asyncio", "pydantic", "rich", "structlog"}),  # rich by structlog
    ],
)
def test_a_program_pays_for_what_it_uses(program: str, dear: set[str]) -> None:
    """The package itself imports nothing dear; a name brings what its module needs."""
    assert imported_by(program) == dear
