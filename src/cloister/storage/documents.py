"""Signed documents (encoded envelopes) by the digest of their payload, found again by type and by named values.

The types are the callers': party cards, agreements and acts on them, plans, admissions, certificates. Index values
are public identifiers (`party`, `agreement`, `task`, …).
"""

from __future__ import annotations

from sqlalchemy import and_, delete, insert, select

from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import document_index, documents


class Documents:
    """The documents in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, digest: str, kind: str, envelope: bytes, stored: int, **index: str) -> None:
        """Keeps an envelope (a newer one of the same payload, for example with more signatures, replaces it)."""
        put(
            self._connection,
            documents,
            {"digest": digest},
            {"type": kind, "envelope": envelope, "stored": stored},
        )
        for name, value in index.items():
            entry = document_index.c
            there = self._connection.execute(
                select(entry.digest).where(entry.digest == digest, entry.name == name, entry.value == value)
            ).first()
            if there is None:
                self._connection.execute(insert(document_index).values(digest=digest, name=name, value=value))

    def get(self, digest: str) -> bytes | None:
        """The envelope, or `None`."""
        return self._connection.execute(
            select(documents.c.envelope).where(documents.c.digest == digest)
        ).scalar_one_or_none()

    def remove(self, digest: str) -> None:
        """Forgets a document; nothing happens if there is none."""
        self._connection.execute(delete(document_index).where(document_index.c.digest == digest))
        self._connection.execute(delete(documents).where(documents.c.digest == digest))

    def find(self, kind: str, **index: str) -> list[tuple[str, bytes]]:
        """Digest and envelope of every document of a type with all of these index values, oldest first."""
        query = select(documents.c.digest, documents.c.envelope).where(documents.c.type == kind)
        for name, value in index.items():
            entry = document_index.alias()
            query = query.join(
                entry,
                and_(entry.c.digest == documents.c.digest, entry.c.name == name, entry.c.value == value),
            )
        query = query.order_by(documents.c.stored, documents.c.digest)
        return [(row.digest, row.envelope) for row in self._connection.execute(query)]
