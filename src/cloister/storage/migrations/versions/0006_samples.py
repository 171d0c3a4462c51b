"""Results of tools that people asked to keep, and their files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "samples",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger()),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_samples")),
    )
    op.create_index(op.f("ix_samples_at_id"), "samples", ["at", "id"])
    op.create_index(op.f("ix_samples_tool_label_at"), "samples", ["tool", "label", "at"])
    op.create_table(
        "sample_files",
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sample", "name", name=op.f("pk_sample_files")),
        sa.ForeignKeyConstraint(
            ["sample"], ["samples.id"], name=op.f("fk_sample_files_sample_samples"), ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Removes the tables."""
    op.drop_table("sample_files")
    op.drop_table("samples")
