"""Messages that were committed with a step and have not been acknowledged yet. How often one was tried is not kept:
after a restart every one is due at once, and a retry costs no write.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import delete, select

from cloister.storage._rows import equal, inserting
from cloister.storage.blobs import Kept
from cloister.storage.database import Transaction
from cloister.storage.tables import outbox

_LANE = equal(outbox.c.task) & equal(outbox.c.recipient)
_WAITING = select(outbox).where(_LANE).order_by(outbox.c.sequence)
_REMOVE = delete(outbox).where(_LANE, equal(outbox.c.sequence))


@dataclass(frozen=True)
class Outgoing:
    """One message on its way: the sender's phase, its kind and sequence to `recipient` within `task`."""

    task: str
    recipient: str
    sequence: int
    phase: str
    kind: str
    body: Kept = field(repr=False)
    created: int = 0


class Outbox:
    """The outbox in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, message: Outgoing) -> None:
        """Adds a message; its sequence must be new for task and recipient."""
        self._connection.execute(
            inserting(outbox),
            {
                "task": message.task,
                "recipient": message.recipient,
                "sequence": message.sequence,
                "phase": message.phase,
                "kind": message.kind,
                "body_digest": message.body.digest,
                "body_size": message.body.size,
                "body_inline": message.body.inline,
                "created": message.created,
            },
        )

    def waiting(self, task: str, recipient: str) -> list[Outgoing]:
        """What waits for one recipient, in order."""
        return [
            Outgoing(
                row.task,
                row.recipient,
                row.sequence,
                row.phase,
                row.kind,
                Kept(row.body_digest, row.body_size, row.body_inline),
                row.created,
            )
            for row in self._connection.execute(_WAITING, {"_task": task, "_recipient": recipient})
        ]

    def lanes(self) -> list[tuple[str, str]]:
        """Every pair of task and recipient for which something waits."""
        query = (
            select(outbox.c.task, outbox.c.recipient).distinct().order_by(outbox.c.task, outbox.c.recipient)
        )
        return [(row.task, row.recipient) for row in self._connection.execute(query)]

    def remove(self, message: Outgoing) -> list[str]:
        """Removes an acknowledged message; returns its body's digest if that was a file."""
        self._connection.execute(
            _REMOVE, {"_task": message.task, "_recipient": message.recipient, "_sequence": message.sequence}
        )
        return [] if message.body.inline is not None else [message.body.digest]

    def drop(self, task: str) -> list[str]:
        """Removes all that waits for a task; returns the digests of bodies that were files."""
        files = self._connection.execute(
            select(outbox.c.body_digest).where(outbox.c.task == task, outbox.c.body_inline.is_(None))
        ).scalars()
        names = list(files)
        self._connection.execute(delete(outbox).where(outbox.c.task == task))
        return names
