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
    """Those of one node, in one transaction. Each is kept for a day."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def find(self, caller: str, key: str, now: int) -> Answer | None:
        """What was begun with a key by a caller, within the last day."""
        row = self._connection.execute(
            select(answers).where(answers.c.caller == caller, answers.c.key == key, answers.c.at > now - DAY)
        ).first()
        return None if row is None else Answer(row.digest, row.status, row.content)

    def begin(self, caller: str, key: str, digest: str, now: int) -> bool:
        """Writes down that a request is begun. `False` if the caller has too many keys of the last day."""
        self._connection.execute(delete(answers).where(answers.c.at <= now - DAY))
        count = select(func.count()).select_from(answers).where(answers.c.caller == caller)
        if self._connection.execute(count).scalar_one() >= EACH_MOST:
            return False
        self._connection.execute(
            inserting(answers), {"caller": caller, "key": key, "digest": digest, "at": now}
        )
        return True

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
