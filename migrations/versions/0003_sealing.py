"""Tables for sealing: the Merkle tree over the log, signed checkpoints, cosignatures, and the keys.

Revision 0003, after 0002. The log itself is not touched.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, empty: `holdbook seal` fills them."""
    op.create_table(
        "seal_tiles",
        sa.Column("level", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.Column("chain", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("level", "number", name="pk_seal_tiles"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("sealed_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_checkpoints"),
    )
    op.create_table(
        "cosignatures",
        sa.Column("checkpoint", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("line", TEXT, nullable=False),
        sa.Column("cosigned_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("checkpoint", "key", name="pk_cosignatures"),
    )
    op.create_table(
        "seal_keys",
        sa.Column("key", TEXT, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_seal_keys"),
    )


def downgrade() -> None:
    """Remove the tables. Checkpoints cannot be made again as they were: export them before."""
    for table in ("seal_keys", "cosignatures", "checkpoints", "seal_tiles"):
        op.drop_table(table)
