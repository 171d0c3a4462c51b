"""What people corrected in kept samples, entry by entry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "corrections",
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["sample"], ["samples.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sample", "position"),
    )


def downgrade() -> None:
    """Removes the table."""
    op.drop_table("corrections")
