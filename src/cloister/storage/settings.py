"""Small things a node remembers by name, as JSON: its time floor, witness states, the directory of parties."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import settings

MAX_VALUE = 32 << 20


class Settings:
    """The settings in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def get(self, key: str, default: Any = None) -> Any:
        """The JSON value, or `default`."""
        value = self._connection.execute(
            select(settings.c.value).where(settings.c.key == key)
        ).scalar_one_or_none()
        return default if value is None else parse(value, max_bytes=MAX_VALUE)

    def put(self, key: str, value: JSON) -> None:
        """Sets a value."""
        put(self._connection, settings, {"key": key}, {"value": canonical(value)})

    def remove(self, key: str) -> None:
        """Forgets a value; nothing happens if there is none."""
        self._connection.execute(delete(settings).where(settings.c.key == key))

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with `prefix`."""
        names = self._connection.execute(select(settings.c.key).order_by(settings.c.key)).scalars()
        return [name for name in names if name.startswith(prefix)]
