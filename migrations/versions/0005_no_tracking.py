"""Drop the table ``tracking``, which held the positions of readers built on the library's own projections.

Revision 0005, after 0004. Nothing in Holdbook reads or writes it: views keep their positions in ``generations``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Drop the table, with what is in it."""
    op.drop_table("tracking")


def downgrade() -> None:
    """Make the table again, empty."""
    op.create_table(
        "tracking",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tracking"),
    )
