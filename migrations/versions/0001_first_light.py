"""The first schema: the log, the ledger's id, snapshots, positions of readers, and the live generation of each view.

Revision 0001, the first.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from uuid_utils import uuid7

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
POSITION = sa.BigInteger().with_variant(sa.Integer, "sqlite")

SQLITE_TRIGGERS = (
    """CREATE TRIGGER events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: UPDATE is refused'); END""",
    """CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: DELETE is refused'); END""",
    # REPLACE fires a trigger on DELETE only with recursive_triggers, which not every program sets.
    """CREATE TRIGGER events_no_replace BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE stream_id = NEW.stream_id AND version = NEW.version)
    OR EXISTS (SELECT 1 FROM events WHERE command_id = NEW.command_id AND ordinal = NEW.ordinal)
    OR NEW.command IS NOT NULL AND NEW.type IN ('Allocated', 'Reserved') AND EXISTS (
        SELECT 1 FROM events WHERE allocation_id = NEW.allocation_id
        AND type IN ('Allocated', 'Reserved') AND command IS NOT NULL)
    BEGIN SELECT RAISE(ABORT, 'the place of an event, its command id or its allocation id is taken'); END""",
    """CREATE TRIGGER events_at_the_end BEFORE INSERT ON events
    WHEN NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM events)
    BEGIN SELECT RAISE(ABORT, 'events are appended at the end of the log'); END""",
)
POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION holdbook_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'events are immutable: % is refused', TG_OP; END $$""",
    """CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION holdbook_refuse_change()""",
)


def upgrade() -> None:
    """Make the tables, the triggers that keep the log immutable, and an id for the ledger."""
    _make_log()
    op.create_table(
        "ledger_meta",
        sa.Column("one", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("ledger_id", TEXT, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("format", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_ledger_meta"),
        sa.CheckConstraint("one = 1", name=op.f("ck_ledger_meta_one")),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream_id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "version", name="pk_snapshots"),
    )
    op.create_table(
        "tracking",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tracking"),
    )
    op.create_table(
        "generations",
        sa.Column("view", TEXT, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("view", name="pk_generations"),
    )
    insert = sa.text("INSERT INTO ledger_meta (one, ledger_id, epoch, format) VALUES (1, :ledger_id, 1, 1)")
    op.get_bind().execute(insert, {"ledger_id": str(uuid7())})


def _make_log() -> None:
    op.create_table(
        "events",
        sa.Column("position", POSITION, autoincrement=False, nullable=False),
        sa.Column("stream_id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("schema_version", sa.SmallInteger, nullable=False),
        sa.Column("command_id", TEXT, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("ordinals", sa.Integer, nullable=False),
        sa.Column("allocation_id", TEXT),
        sa.Column("occurred_at", TEXT, nullable=False),
        sa.Column("recorded_at", TEXT, nullable=False),
        sa.Column("actor", TEXT),
        sa.Column("correlation_id", TEXT),
        sa.Column("causation_id", TEXT),
        sa.Column("command", TEXT),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.UniqueConstraint("stream_id", "version", name="uq_events_stream_id_version"),
        sa.UniqueConstraint("command_id", "ordinal", name="uq_events_command_id_ordinal"),
        sa.CheckConstraint("position >= 1", name=op.f("ck_events_position")),
        sa.CheckConstraint("ordinal >= 0 AND ordinal < ordinals", name=op.f("ck_events_ordinal")),
    )
    _index("ix_events_allocation_id_position", ["allocation_id", "position"], "allocation_id IS NOT NULL")
    opening = "type IN ('Allocated', 'Reserved') AND command IS NOT NULL"
    _index("uq_events_opening", ["allocation_id"], opening, unique=True)
    _index("ix_events_pool_opened", ["stream_id"], "type = 'PoolOpened'")
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def _index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "events", columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def downgrade() -> None:
    """Remove everything, the log included, and the views with their tables."""
    connection = op.get_bind()
    tables = sa.inspect(connection).get_table_names()
    for view in connection.execute(sa.text("SELECT view FROM generations ORDER BY view")).scalars().all():
        op.execute(f"DROP VIEW {view}")
        for table in tables:
            if re.fullmatch(rf"gen_{view}_\d+", table):
                op.drop_table(table)
    for table in ("generations", "tracking", "snapshots", "ledger_meta", "events"):
        op.drop_table(table)
    if connection.dialect.name == "postgresql":
        op.execute("DROP FUNCTION holdbook_refuse_change()")
