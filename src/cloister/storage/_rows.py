"""What the repositories share: statements that are made once, and writing a row whether or not it is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Table,
    Update,
    and_,
    bindparam,
    insert,
    update,
)


def put(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Updates the row with `key`, or inserts it. Safe because there is one writer at a time."""
    if values:
        # A name with `_` in front can be no column's, which an update would take for one to be set.
        asked = {f"_{name}": value for name, value in key.items()}
        if connection.execute(_update(table, tuple(key), tuple(values)), {**asked, **values}).rowcount:
            return
    connection.execute(inserting(table), {**key, **values})


# Made once: building a statement takes longer than running it.


@lru_cache(maxsize=256)
def _update(table: Table, key: tuple[str, ...], values: tuple[str, ...]) -> Update:
    where = and_(*(equal(table.c[name]) for name in key))
    return update(table).where(where).values({name: bindparam(name) for name in values})


@lru_cache(maxsize=64)
def inserting(table: Table) -> Insert:
    """An insert of all columns that are given when it runs."""
    return insert(table)


def equal(column: Column[Any]) -> ColumnElement[bool]:
    """That the column is what is given under its name, with `_` in front, when the statement runs."""
    return column == bindparam(f"_{column.name}")
