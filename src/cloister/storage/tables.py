"""The tables, for SQLite and PostgreSQL alike. `migrations/` brings an older database to this shape.

Large bodies are not in here: a row names them by digest (`*_digest`) and holds them itself (`*_inline`) only when
they are small (see `blobs`). Times are whole seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Serial = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only for a column of type INTEGER."""

documents = Table(
    "documents",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("type", Text, nullable=False, index=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("stored", BigInteger, nullable=False),
)

document_index = Table(
    "document_index",
    metadata,
    Column("digest", Text, ForeignKey("documents.digest", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("digest", "name", "value"),
    Index("ix_document_index_name_value", "name", "value"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seat", Text, nullable=False),
    Column("seats", LargeBinary, nullable=False),
    Column("program", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("deadline", Float, nullable=False),
    Column("state_digest", Text, nullable=False),
    Column("state_size", BigInteger, nullable=False),
    Column("state_inline", LargeBinary),
    Column("failure", LargeBinary),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
)

task_parts = Table(
    "task_parts",
    metadata,
    Column("task", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("inline", LargeBinary),
    PrimaryKeyConstraint("task", "name"),
)

steps = Table(
    "steps",
    metadata,
    Column("task", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("task", "position"),
)

messages = Table(
    "messages",
    metadata,
    Column("task", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("sender", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body_size", BigInteger, nullable=False),
    Column("body_inline", LargeBinary),
    Column("held", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("task", "sender", "sequence"),
    Index("ix_messages_task_position", "task", "position"),
)

sequences = Table(
    "sequences",
    metadata,
    Column("task", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("party", Text, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("taken", Integer, nullable=False),
    Column("gone", Boolean, nullable=False),
    PrimaryKeyConstraint("task", "party"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("task", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body_digest", Text, nullable=False),
    Column("body_size", BigInteger, nullable=False),
    Column("body_inline", LargeBinary),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("task", "recipient", "sequence"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("task", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("task", "attempt", "label"),
)

populations = Table(
    "populations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

population_members = Table(
    "population_members",
    metadata,
    Column("key", Text, primary_key=True),
    Column("population", Text, nullable=False),
)

budget_totals = Table(
    "budget_totals",
    metadata,
    Column("population", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("loss", LargeBinary, nullable=False),
    PrimaryKeyConstraint("population", "scope"),
)

budget_charges = Table(
    "budget_charges",
    metadata,
    Column("population", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("loss", LargeBinary, nullable=False),
    Column("leaves", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("population", "task", "position", "attempt"),
)

ledger_rows = Table(
    "ledger_rows",
    metadata,
    Column("log", Text, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("salt", LargeBinary),
    Column("document", Text),
    Column("kind", Text, nullable=False),
    PrimaryKeyConstraint("log", "index"),
    Index("ix_ledger_rows_document", "document"),
)

tree_nodes = Table(
    "tree_nodes",
    metadata,
    Column("log", Text, nullable=False),
    Column("level", Integer, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("log", "level", "index"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("log", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("log", "size"),
)

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("log", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("witness", Text, nullable=False),
    Column("line", LargeBinary, nullable=False),
    PrimaryKeyConstraint("log", "size", "witness"),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("commitment", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("private", LargeBinary, nullable=False),
    Column("registered", BigInteger, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("task", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("certificate", Text),
    Column("facts", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("task", Text, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("roles", LargeBinary, nullable=False),
    Column("password", Text),
    Column("enabled", Boolean, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("given", Boolean, nullable=False, server_default=false()),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("began", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("shown", BigInteger, nullable=False),
    Column("browser", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("scopes", LargeBinary, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    Column("used", BigInteger),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("used", BigInteger),
)

trail = Table(
    "trail",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("account", Text, index=True),
    Column("name", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="binds"),
    Index("ix_trail_kind_account_id", "kind", "account", "id"),
    sqlite_autoincrement=True,
)

samples = Table(
    "samples",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tool", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("count", BigInteger),
    Column("facts", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("owner", Text, nullable=False, server_default=""),
    Index("ix_samples_at_id", "at", "id"),
    Index("ix_samples_tool_label_at", "tool", "label", "at"),
)

sample_files = Table(
    "sample_files",
    metadata,
    Column("sample", Text, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("sample", "name"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("sample", Text, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    PrimaryKeyConstraint("sample", "position"),
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("template", Text),
    Column("answers", LargeBinary),
    Column("account", Text),
    Column("name", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

wishes = Table(
    "wishes",
    metadata,
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
)

signings = Table(
    "signings",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("account", Text),
    Column("name", Text, nullable=False),
    Column("first_account", Text),
    Column("first_name", Text),
    sqlite_autoincrement=True,
)

answers = Table(
    "answers",
    metadata,
    Column("caller", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("status", Integer),
    Column("content", LargeBinary),
    PrimaryKeyConstraint("caller", "key"),
)
