"""Tables for waiting: the queue of commands, and until when the ledgers that they wait in count as alive.

Revision 0004, after 0003. The log itself is not touched.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, empty."""
    op.create_table(
        "queue",
        sa.Column("pool", TEXT, nullable=False),
        sa.Column("ticket", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("command_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("since", TEXT, nullable=False),
        sa.Column("until", TEXT, nullable=False),
        sa.Column("waiter", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pool", "ticket", name="pk_queue"),
        sa.UniqueConstraint("command_id", "pool", name="uq_queue_command_id_pool"),
    )
    op.create_table(
        "waiters",
        sa.Column("waiter", TEXT, nullable=False),
        sa.Column("alive_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("waiter", name="pk_waiters"),
    )


def downgrade() -> None:
    """Remove the tables. Programs whose commands wait get an error: stop them before."""
    for table in ("waiters", "queue"):
        op.drop_table(table)
