"""Answers to requests that came with a key, so that a request that is sent again does not act again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from cloister.storage._rows import inserting
from cloister.storage.database import Transaction
from cloister.storage.tables import answers

DAY = 24 * 3600
EACH_MOST = 1000


@dataclass(frozen=True)
class Answer:
    """A request that was begun, and its answer once there is one.

    Attributes:
        digest: of the request.
        status: of the answer; `None` while it is not known whether it was done.
        content: of the answer; `None` where that was too large to keep.
    """

    digest: str
    status: int | None = None
    content: bytes | None = None


class Answers:
    """Those of one node, in one transaction. Each is kept for a day, of a caller the newest `EACH_MOST`."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def find(self, caller: str, key: str, now: int) -> Answer | None:
        """What was begun with a key by a caller, within the last day."""
        row = self._connection.execute(
            select(answers).where(answers.c.caller == caller, answers.c.key == key, answers.c.at > now - DAY)
        ).first()
        return None if row is None else Answer(row.digest, row.status, row.content)

    def begin(self, caller: str, key: str, digest: str, now: int) -> None:
        """Writes down that a request is begun; a caller's oldest keys go when there are more than `EACH_MOST`."""
        self._connection.execute(delete(answers).where(answers.c.at <= now - DAY))
        had = answers.c.caller == caller
        count = self._connection.execute(select(func.count()).select_from(answers).where(had)).scalar_one()
        if count >= EACH_MOST:
            oldest = select(answers.c.key).where(had).order_by(answers.c.at).limit(count - EACH_MOST + 1)
            keys = [row.key for row in self._connection.execute(oldest)]
            self._connection.execute(delete(answers).where(had, answers.c.key.in_(keys)))
        self._connection.execute(
            inserting(answers), {"caller": caller, "key": key, "digest": digest, "at": now}
        )

    def keep(self, caller: str, key: str, status: int, content: bytes | None) -> None:
        """Keeps the answer."""
        self._connection.execute(
            update(answers)
            .where(answers.c.caller == caller, answers.c.key == key)
            .values(status=status, content=content)
        )

    def forget(self, caller: str, key: str) -> None:
        """Nothing was done: the key may be used again."""
        self._connection.execute(delete(answers).where(answers.c.caller == caller, answers.c.key == key))
