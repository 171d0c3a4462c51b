"""Drafts of agreements, wishes that wait for a second person, and who signed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("template", sa.Text()),
        sa.Column("answers", sa.LargeBinary()),
        sa.Column("account", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
    )
    op.create_table(
        "wishes",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_wishes")),
    )
    op.create_table(
        "signings",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_account", sa.Text()),
        sa.Column("first_name", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_signings_subject"), "signings", ["subject"])


def downgrade() -> None:
    """Removes the tables."""
    for table in ("signings", "wishes", "drafts"):
        op.drop_table(table)
