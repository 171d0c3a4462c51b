"""Datasets registered at this node: in which folder each one's registration lies, as JSON; for the owner only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import datasets

MAX_PRIVATE = 256 << 20


class Datasets:
    """The registrations in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, commitment: str, name: str, private: JSON, registered: int) -> None:
        """Keeps a registration by its commitment; `name` is unique at this node."""
        put(
            self._connection,
            datasets,
            {"commitment": commitment},
            {"name": name, "private": canonical(private), "registered": registered},
        )

    def get(self, commitment: str) -> Any:
        """The private JSON, or `None`."""
        value = self._connection.execute(
            select(datasets.c.private).where(datasets.c.commitment == commitment)
        ).scalar_one_or_none()
        return None if value is None else parse(value, max_bytes=MAX_PRIVATE)

    def names(self) -> dict[str, str]:
        """Name → commitment."""
        query = select(datasets.c.name, datasets.c.commitment).order_by(datasets.c.name)
        return {row.name: row.commitment for row in self._connection.execute(query)}

    def remove(self, commitment: str) -> None:
        """Forgets a registration."""
        self._connection.execute(delete(datasets).where(datasets.c.commitment == commitment))
