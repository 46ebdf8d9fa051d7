"""What an attacker with the database's password can do: change what is stored, behind the triggers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text

from holdbook.domain.records import StoredRow, chain_hash, genesis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

COLUMNS = ", ".join(StoredRow._fields)
VALUES = ", ".join(f":{name}" for name in StoredRow._fields)


class Tamperer:
    """Changes a ledger's tables in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"

    def unlock(self) -> None:
        """Put the triggers out of the way."""
        if not self.is_sqlite:
            self.run("ALTER TABLE events DISABLE TRIGGER USER")
            return
        triggers = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for name in self._connection.execute(triggers).scalars().all():
            self.run(f"DROP TRIGGER {name}")

    def run(self, statement: str, **values: object) -> None:
        """Run a statement."""
        self._connection.execute(text(statement), values)

    def ask(self, statement: str, **values: object) -> Any:  # noqa: ANN401 - whatever the database holds
        """Read one value."""
        return self._connection.execute(text(statement), values).scalar_one()

    def rows(self) -> list[StoredRow]:
        """Read the log."""
        found = self._connection.execute(text(f"SELECT {COLUMNS} FROM events ORDER BY position"))  # noqa: S608 - own names
        return [StoredRow(*row) for row in found]

    def row(self, position: int) -> StoredRow:
        """Read one row of the log."""
        return next(row for row in self.rows() if row.position == position)

    def set(self, position: int, /, **columns: object) -> None:
        """Change columns of a row."""
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self.run(f"UPDATE events SET {changes} WHERE position = :at", at=position, **columns)  # noqa: S608 - own names

    def set_data(self, position: int, /, **fields: object) -> None:
        """Change fields of a row's event."""
        data = json.dumps(json.loads(self.row(position).data) | fields)
        self.set(position, data=data)

    def forge(self, change: Callable[[list[StoredRow]], Sequence[StoredRow]]) -> None:
        """Write the log anew: positions, versions and ordinals as given, hashes as if nothing had happened."""
        forged = rechained(change(self.rows()), self.ask("SELECT ledger_id FROM ledger_meta"))
        self.run("DELETE FROM events")
        for row in forged:
            self.run(f"INSERT INTO events ({COLUMNS}) VALUES ({VALUES})", **row._asdict())  # noqa: S608 - own names

    def loosen(self) -> None:
        """Drop whatever keeps nonsense out of the table: its constraints and its keys."""
        if self.is_sqlite:
            self.run("CREATE TABLE loose AS SELECT * FROM events")
            self.run("DROP TABLE events")
            self.run("ALTER TABLE loose RENAME TO events")
            return
        self.run("CREATE TABLE loose (LIKE events)")
        for column in StoredRow._fields:
            self.run(f"ALTER TABLE loose ALTER COLUMN {column} DROP NOT NULL")
        self.run("INSERT INTO loose SELECT * FROM events")
        self.run("DROP TABLE events")
        self.run("ALTER TABLE loose RENAME TO events")


@contextmanager
def tampering(url: str) -> Iterator[Tamperer]:
    """Open a database to change it, its triggers out of the way."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            tamperer = Tamperer(connection)
            tamperer.unlock()
            yield tamperer
    finally:
        engine.dispose()


def rechained(rows: Sequence[StoredRow], ledger_id: str) -> list[StoredRow]:
    """Give rows the hashes that they would have if they had always been so."""
    previous, done = genesis(ledger_id), []
    for row in rows:
        previous = chain_hash(previous, row)
        done.append(row._replace(hash=previous))
    return done


def rewritten(row: StoredRow, data: dict[str, Any] | None = None, command: dict[str, Any] | None = None) -> StoredRow:
    """Change fields of a row's event and of its command; a field that becomes None is left out of the command."""
    changed = row._replace(data=json.dumps(json.loads(row.data) | (data or {})))
    if command is None or row.command is None:
        return changed
    fields = json.loads(row.command) | command
    return changed._replace(command=json.dumps({name: value for name, value in fields.items() if value is not None}))


def renumbered(rows: Sequence[StoredRow]) -> list[StoredRow]:
    """Number rows anew: positions, versions in their streams, ordinals in their commands."""
    versions: dict[str, int] = {}
    sizes: dict[str, int] = {}
    done = []
    for position, row in enumerate(rows, start=1):
        versions[row.stream_id] = versions.get(row.stream_id, 0) + 1
        ordinal = sizes.get(row.command_id, 0)
        sizes[row.command_id] = ordinal + 1
        done.append(row._replace(position=position, version=versions[row.stream_id], ordinal=ordinal))
    return [row._replace(ordinals=sizes[row.command_id]) for row in done]
