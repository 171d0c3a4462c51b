"""What the repositories share: write a row whether or not it is there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, and_, insert, update


def put(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Updates the row with `key`, or inserts it. Safe because there is one writer at a time."""
    where = and_(*(table.c[name] == value for name, value in key.items()))
    if values:
        done = connection.execute(update(table).where(where).values(**values)).rowcount
        if done:
            return
    connection.execute(insert(table).values(**key, **values))
