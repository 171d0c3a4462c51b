"""Parts of a task's state that stay while steps go by, so that large ones are not written again by each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "task_parts",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("inline", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.id"], name=op.f("fk_task_parts_task_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task", "name", name=op.f("pk_task_parts")),
    )


def downgrade() -> None:
    """Removes the table."""
    op.drop_table("task_parts")
