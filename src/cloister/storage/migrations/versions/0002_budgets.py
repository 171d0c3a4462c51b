"""Privacy budgets: populations, what belongs to them, what was spent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "populations",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_populations")),
    )
    op.create_table(
        "population_members",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("population", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_population_members")),
    )
    op.create_table(
        "budget_totals",
        sa.Column("population", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("loss", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("population", "scope", name=op.f("pk_budget_totals")),
    )
    op.create_table(
        "budget_charges",
        sa.Column("population", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("loss", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("population", "task", "position", "attempt", name=op.f("pk_budget_charges")),
    )


def downgrade() -> None:
    """Removes the tables."""
    op.drop_table("budget_charges")
    op.drop_table("budget_totals")
    op.drop_table("population_members")
    op.drop_table("populations")
