"""Signed checkpoints of logs, and the witnesses' cosignature lines on them (C2SP tlog-checkpoint, tlog-cosignature)."""

from __future__ import annotations

from sqlalchemy import select

from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import checkpoints, cosignatures


class Checkpoints:
    """Checkpoints by log in one transaction. `note` is the signed note as bytes."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, log: str, size: int, note: bytes, at: int) -> None:
        """Keeps a log's checkpoint of that size."""
        put(self._connection, checkpoints, {"log": log, "size": size}, {"note": note, "at": at})

    def latest(self, log: str) -> tuple[int, bytes] | None:
        """Size and note of the largest checkpoint, or `None`."""
        query = (
            select(checkpoints.c.size, checkpoints.c.note)
            .where(checkpoints.c.log == log)
            .order_by(checkpoints.c.size.desc())
            .limit(1)
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else (row.size, row.note)

    def get(self, log: str, size: int) -> bytes | None:
        """The note of that size, or `None`."""
        return self._connection.execute(
            select(checkpoints.c.note).where(checkpoints.c.log == log, checkpoints.c.size == size)
        ).scalar_one_or_none()

    def all(self, log: str) -> list[tuple[int, bytes]]:
        """Size and note of every checkpoint of a log, smallest first."""
        query = (
            select(checkpoints.c.size, checkpoints.c.note)
            .where(checkpoints.c.log == log)
            .order_by(checkpoints.c.size)
        )
        return [(row.size, row.note) for row in self._connection.execute(query)]

    def cosign(self, log: str, size: int, witness: str, line: bytes) -> None:
        """Keeps a witness's cosignature line."""
        put(self._connection, cosignatures, {"log": log, "size": size, "witness": witness}, {"line": line})

    def cosignatures(self, log: str, size: int) -> dict[str, bytes]:
        """Witness → line, for the checkpoint of that size."""
        query = (
            select(cosignatures.c.witness, cosignatures.c.line)
            .where(cosignatures.c.log == log, cosignatures.c.size == size)
            .order_by(cosignatures.c.witness)
        )
        return {row.witness: row.line for row in self._connection.execute(query)}
