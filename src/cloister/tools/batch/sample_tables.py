"""The tables in which samples are kept, and how older ones are brought to their present form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    inspect,
    select,
    update,
)

from cloister.foundation.errors import Refused
from cloister.tools.batch import object_rows

VERSION: Final = 2
"""Of the tables; raised with every change of them, together with a step in `_STEPS`."""

metadata = MetaData()
samples = Table(
    "samples",
    metadata,
    Column("key", Text, primary_key=True),
    Column("file", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("taken", BigInteger, nullable=False, index=True),
    Column("computed", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("tool", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("tool_digest", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("um_per_px", Float),
    Column("label", Text, nullable=False, index=True),
    Column("error", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("count", Integer),
    Column("count_low", Float),
    Column("count_high", Float),
    Column("agglomerates", Integer),
    Column("measured", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("d10", Float),
    Column("d50", Float),
    Column("d90", Float),
    Column("mean", Float),
    Column("deviation", Float),
    Column("figures", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("sent", Boolean, nullable=False),
    Column("calibration", Text),
    Column("models", Text),
    Column("certificate", Text),
    Column("software", Text),
    Index("ix_samples_file", "file"),
)
samples_version = Table("samples_version", metadata, Column("version", Integer, nullable=False))
objects = object_rows.define(metadata)

_SINCE_SECOND = ("calibration", "models", "certificate", "software")
_LOCK: Final = 0x636C6F69
"""Of PostgreSQL: two watches that are started at once do not both make the tables."""


def _first(connection: Connection) -> None:
    metadata.create_all(connection, [samples, samples_version])


def _second(connection: Connection) -> None:
    """What a result was computed by, in full; and what was sent before there were rows of objects is sent again, with them."""
    there = {column["name"] for column in inspect(connection).get_columns("samples")}
    for name in _SINCE_SECOND:
        if name not in there:
            connection.exec_driver_sql(f"ALTER TABLE samples ADD COLUMN {name} TEXT")
    connection.execute(update(samples).where(samples.c.files.like('%"objects/%')).values(sent=False))


_STEPS: Final[tuple[Callable[[Connection], None], ...]] = (_first, _second)
"""What brings the tables from version `place` to `place + 1`."""


def bring_up_to_date(connection: Connection, *, with_objects: bool) -> None:
    """Makes the tables, or brings them to the present version.

    Args:
        connection: within a transaction.
        with_objects: also the table of objects.

    Raises:
        Refused: another program's tables are there (clause `samples-database`), or a newer Cloister's (`schema-newer`).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    _samples_up_to_date(connection)
    if with_objects:
        object_rows.make(connection, objects)


def _samples_up_to_date(connection: Connection) -> None:
    there = set(inspect(connection).get_table_names())
    if "samples" in there and "samples_version" not in there:
        raise Refused(
            "This database has a table `samples` of something else.",
            "It may be a server's own database, or another program's.",
            "Give the samples a database (or a PostgreSQL schema) of their own.",
            clause="samples-database",
        )
    present = 0
    if "samples_version" in there:
        present = int(connection.execute(select(func.max(samples_version.c.version))).scalar_one() or 0)
    if present > VERSION:
        raise Refused(
            "This database of samples was written by a newer version of Cloister.",
            "It has a form that this version does not know.",
            "Install that version again, or name another database.",
            clause="schema-newer",
        )
    if present == VERSION:
        return
    for step in _STEPS[present:]:
        step(connection)
    connection.execute(delete(samples_version))
    connection.execute(samples_version.insert(), {"version": VERSION})
