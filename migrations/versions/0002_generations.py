"""Several generations of a view side by side: the state of each, the code that builds it, its position, its failure.

Revision 0002, after 0001. Positions of views move from ``tracking`` into ``generations``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

FINGERPRINTS = {
    "current_allocations": "ef657b3bed38edae",
    "allocation_history": "299a7011b8851fa7",
    "pool_usage": "08d554ac7cc985af",
    "metrics": "3a1947c7ef4cda3f",
    "validation_failures": "f8dc612d67d83d1b",
}
"""`View.fingerprint` of each view as the code of revision 0001 built it."""


def upgrade() -> None:
    """Take over the live generations with their positions; remove those whose rebuild was not finished."""
    connection = op.get_bind()
    live = connection.execute(sa.text("SELECT view, generation FROM generations ORDER BY view")).all()
    tracked = connection.execute(sa.text("SELECT name, position FROM tracking")).all()
    positions = {row.name: row.position for row in tracked}
    op.drop_table("generations")
    made = _make_generations()
    _make_skipped_events()
    for view, generation in live:
        table, unfinished = f"gen_{view}_{generation}", f"gen_{view}_{generation + 1}"
        fields = {"view": view, "generation": generation, "state": "live", "version": 1, "tables": table}
        known = {"fingerprint": FINGERPRINTS.get(view, ""), "position": positions.get(table, 0)}
        connection.execute(sa.insert(made).values(**fields, **known))
        if sa.inspect(connection).has_table(unfinished):
            op.drop_table(unfinished)
        for name in (table, unfinished):
            connection.execute(sa.text("DELETE FROM tracking WHERE name = :name"), {"name": name})


def _make_generations() -> sa.Table:
    made = op.create_table(
        "generations",
        sa.Column("view", TEXT, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("tables", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("moved_at", TEXT),
        sa.Column("rate", sa.BigInteger),
        sa.Column("compared_at", sa.BigInteger),
        sa.Column("stopped_at", sa.BigInteger),
        sa.Column("stopped_type", TEXT),
        sa.Column("error", TEXT),
        sa.PrimaryKeyConstraint("view", "generation", name="pk_generations"),
    )
    condition = sa.text("state = 'live'")
    op.create_index(
        "uq_generations_live", "generations", ["view"], unique=True, postgresql_where=condition, sqlite_where=condition
    )
    return made


def _make_skipped_events() -> None:
    op.create_table(
        "skipped_events",
        sa.Column("view", TEXT, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("error", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("skipped_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("view", "generation", "position", name="pk_skipped_events"),
    )


def downgrade() -> None:
    """Keep the live generations that the code of revision 0001 can continue; remove the others."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT * FROM generations ORDER BY view, generation")).mappings().all()
    op.drop_table("skipped_events")
    op.drop_table("generations")
    made = op.create_table(
        "generations",
        sa.Column("view", TEXT, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("view", name="pk_generations"),
    )
    tracking = sa.table("tracking", sa.column("name"), sa.column("position"))
    for one in found:
        is_live = one["state"] == "live"
        if is_live and one["fingerprint"] == FINGERPRINTS.get(one["view"]):
            connection.execute(sa.insert(made).values(view=one["view"], generation=one["generation"]))
            connection.execute(sa.insert(tracking).values(name=one["tables"], position=one["position"]))
            continue
        if is_live:
            op.execute(f"DROP VIEW {one['view']}")
        for table in one["tables"].split():
            op.drop_table(table)
