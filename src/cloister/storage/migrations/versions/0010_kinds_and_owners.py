"""What kind each line of what people did is, and whose each kept sample is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SIGNING_IN = (
    "signed in with the password",
    "signed in with a passkey",
    "tried a wrong password for an account",
    "used a passkey that may have been copied, for an account",
)
_OWN = (
    "changed the password",
    "removed the password",
    "added a passkey",
    "removed a passkey",
    "made a token",
    "revoked a token",
    "deleted a sample",
    "deleted samples",
)


def upgrade() -> None:
    """Adds the columns; what is there already is told apart by its words, and by the name of who kept it."""
    op.add_column("trail", sa.Column("kind", sa.Text(), nullable=False, server_default="binds"))
    op.create_index(op.f("ix_trail_kind_account_id"), "trail", ["kind", "account", "id"])
    trail = sa.table("trail", sa.column("kind", sa.Text()), sa.column("what", sa.Text()))
    for kind, words in (("sign-in", _SIGNING_IN), ("own", _OWN)):
        op.execute(sa.update(trail).where(trail.c.what.in_(words)).values(kind=kind))
    op.add_column("samples", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    samples = sa.table("samples", sa.column("owner", sa.Text()), sa.column("who", sa.Text()))
    accounts = sa.table("accounts", sa.column("id", sa.Text()), sa.column("name", sa.Text()))
    whose = sa.select("account:" + accounts.c.id).where(accounts.c.name == samples.c.who).scalar_subquery()
    op.execute(sa.update(samples).values(owner=sa.func.coalesce(whose, "")))


def downgrade() -> None:
    """Removes the columns."""
    op.drop_index(op.f("ix_trail_kind_account_id"), "trail")
    op.drop_column("trail", "kind")
    op.drop_column("samples", "owner")
