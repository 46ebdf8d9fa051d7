"""Databases as earlier versions left them, from their samples."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support.logs import query

SAMPLES = Path(__file__).parents[1] / "samples"


def restored(folder: Path, revision: str) -> str:
    """Make the database that a version of that revision left; gives its address."""
    with closing(sqlite3.connect(folder / "holdbook.db")) as connection:
        connection.executescript((SAMPLES / f"ledger_{revision}.sql").read_text())
    return f"sqlite:///{folder / 'holdbook.db'}"


def tables_in(url: str, tables: set[str]) -> set[str]:
    """List those of some tables that there are."""
    found = {name for (name,) in query(url, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return found & tables
