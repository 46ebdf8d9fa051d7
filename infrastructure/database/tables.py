"""The tables, described for SQLAlchemy. The migrations lead to the same schema, which a test compares with this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    and_,
    column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

PlainText = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that both databases sort by code point, as Python does."""

Position = BigInteger().with_variant(Integer, "sqlite")
"""Integer of 64 bits. SQLite makes a primary key the row's own number only if its type is called INTEGER."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

events = Table(
    "events",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("stream_id", PlainText, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("type", PlainText, nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("command_id", PlainText, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("ordinals", Integer, nullable=False),
    Column("allocation_id", PlainText),
    Column("occurred_at", PlainText, nullable=False),
    Column("recorded_at", PlainText, nullable=False),
    Column("actor", PlainText),
    Column("correlation_id", PlainText),
    Column("causation_id", PlainText),
    Column("command", PlainText),
    Column("data", PlainText, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    UniqueConstraint("stream_id", "version"),
    UniqueConstraint("command_id", "ordinal"),
    CheckConstraint("position >= 1", name="position"),
    CheckConstraint("ordinal >= 0 AND ordinal < ordinals", name="ordinal"),
)
"""The log. Triggers refuse UPDATE, DELETE and TRUNCATE."""

_is_opening = and_(column("type").in_(("Allocated", "Reserved")), column("command").is_not(None))

Index(
    "ix_events_allocation_id_position",
    events.c.allocation_id,
    events.c.position,
    postgresql_where=column("allocation_id").is_not(None),
    sqlite_where=column("allocation_id").is_not(None),
)
Index(
    "uq_events_opening",
    events.c.allocation_id,
    unique=True,
    postgresql_where=_is_opening,
    sqlite_where=_is_opening,
)
Index(
    "ix_events_pool_opened",
    events.c.stream_id,
    postgresql_where=column("type") == "PoolOpened",
    sqlite_where=column("type") == "PoolOpened",
)

ledger_meta = Table(
    "ledger_meta",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("ledger_id", PlainText, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("format", SmallInteger, nullable=False),
    CheckConstraint("one = 1", name="one"),
)
"""One row: the ledger's id, and its epoch, which is raised by hand after a restore from a backup."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("stream_id", PlainText, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("type", PlainText, nullable=False),
    Column("data", PlainText, nullable=False),
)
"""Pools as they were at some version, in chunks (see `log.snapshots`). All of it can be made again from the log."""

generations = Table(
    "generations",
    metadata,
    Column("view", PlainText, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("state", PlainText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", PlainText, nullable=False),
    Column("tables", PlainText, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("moved_at", PlainText),
    Column("rate", BigInteger),
    Column("compared_at", BigInteger),
    Column("stopped_at", BigInteger),
    Column("stopped_type", PlainText),
    Column("error", PlainText),
)
"""The builds of each view: the state, the code that builds it, the position in the log, and the event it failed on."""

Index(
    "uq_generations_live",
    generations.c.view,
    unique=True,
    postgresql_where=column("state") == "live",
    sqlite_where=column("state") == "live",
)

skipped_events = Table(
    "skipped_events",
    metadata,
    Column("view", PlainText, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("type", PlainText, nullable=False),
    Column("error", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("skipped_at", PlainText, nullable=False),
)
"""Events that a generation was told to leave out: why, and who decided it."""

seal_tiles = Table(
    "seal_tiles",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("chain", LargeBinary(32)),
)
"""The Merkle tree over the log, up to 256 hashes a tile. On level 0, ``chain`` is the hash of the last row covered."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", PlainText, nullable=False),
    Column("sealed_at", PlainText, nullable=False),
)
"""Signed checkpoints of the log."""

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("checkpoint", BigInteger, primary_key=True, autoincrement=False),
    Column("key", PlainText, primary_key=True),
    Column("line", PlainText, nullable=False),
    Column("cosigned_at", PlainText, nullable=False),
)
"""Witnesses' signatures of checkpoints."""

seal_keys = Table(
    "seal_keys",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("since", BigInteger, nullable=False),
)
"""Public keys that signed checkpoints, each with the number of the first that it signed."""

queue = Table(
    "queue",
    metadata,
    Column("pool", PlainText, primary_key=True),
    Column("ticket", BigInteger, primary_key=True, autoincrement=False),
    Column("command_id", PlainText, nullable=False),
    Column("owner", PlainText, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("since", PlainText, nullable=False),
    Column("until", PlainText, nullable=False),
    Column("waiter", PlainText, nullable=False),
    UniqueConstraint("command_id", "pool"),
)
"""Commands that wait, a row for each pool that one asks of. A lower ticket is served first."""

waiters = Table(
    "waiters",
    metadata,
    Column("waiter", PlainText, primary_key=True),
    Column("alive_until", Double, nullable=False),
)
"""The open ledgers whose commands wait, and until when each counts as alive, in seconds since 1970."""


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that can have an ON CONFLICT clause, as the connection's database writes it."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def of_stream(  # noqa: PLR0913 - the library's own arguments
    table: Table, stream_id: str, *, gt: int | None, lte: int | None, desc: bool, limit: int | None
) -> Select[Any]:
    """Select a stream's rows of ``events`` or ``snapshots``, ordered by version.

    ``gt`` and ``lte`` bound the version, as in the library's recorders.
    """
    version = table.c.version
    found = select(table).where(table.c.stream_id == stream_id)
    found = found.order_by(version.desc() if desc else version).limit(limit)
    found = found if gt is None else found.where(version > gt)
    return found if lte is None else found.where(version <= lte)
