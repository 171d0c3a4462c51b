"""Messages that were accepted, so that none is accepted twice, and the counters of both directions.

A message's body is held until the step that reads it has been committed; its digest stays, so that a repeated
message is told from a forged one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select, update

from cloister.storage._rows import equal, inserting, put
from cloister.storage.blobs import Kept
from cloister.storage.database import Transaction
from cloister.storage.tables import messages, sequences

_OF_TASK = equal(messages.c.task)
_AT = _OF_TASK & equal(messages.c.position) & messages.c.held
_ACCEPTED = select(messages.c.kind, messages.c.digest).where(
    _OF_TASK, equal(messages.c.sender), equal(messages.c.sequence)
)
_INBOX = select(messages).where(_AT).order_by(messages.c.sender, messages.c.sequence)
_ANSWERED = select(messages.c.sender, messages.c.kind).where(_AT)
_POSITIONS = select(messages.c.position).where(_OF_TASK, equal(messages.c.sender))
_FILES = select(messages.c.digest).where(_OF_TASK, messages.c.held, messages.c.body_inline.is_(None))
_LET_GO = update(messages).where(_OF_TASK, messages.c.held).values(body_inline=None, held=False)
_COUNTERS = select(sequences).where(equal(sequences.c.task))


@dataclass(frozen=True)
class AcceptedMessage:
    """A message that was accepted into the inbox of the step at `position`."""

    sender: str
    sequence: int
    kind: str
    position: int
    body: Kept = field(repr=False)


@dataclass(frozen=True)
class Counters:
    """With one other party of a task: the last sequence sent to it, taken from it, and whether it has left."""

    sent: int = 0
    taken: int = 0
    gone: bool = False


class Messages:
    """The accepted messages in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def accepted_digest(self, task: str, sender: str, sequence: int) -> tuple[str, str] | None:
        """Kind and digest of what was accepted under that sequence, or `None`."""
        row = self._connection.execute(
            _ACCEPTED, {"_task": task, "_sender": sender, "_sequence": sequence}
        ).one_or_none()
        return None if row is None else (row.kind, row.digest)

    def accept(self, task: str, message: AcceptedMessage, at: int, *, hold: bool = True) -> None:
        """Takes a message in; `hold` keeps its body for the step."""
        self._connection.execute(
            inserting(messages),
            {
                "task": task,
                "sender": message.sender,
                "sequence": message.sequence,
                "kind": message.kind,
                "position": message.position,
                "digest": message.body.digest,
                "body_size": message.body.size,
                "body_inline": message.body.inline if hold else None,
                "held": hold,
                "at": at,
            },
        )

    def inbox(self, task: str, position: int) -> list[AcceptedMessage]:
        """What was accepted for the step at `position`, by sender, then sequence."""
        found = self._connection.execute(_INBOX, {"_task": task, "_position": position})
        return [_message(row) for row in found]

    def answered(self, task: str, position: int) -> list[tuple[str, str]]:
        """Sender and kind of what was accepted for the step at `position`."""
        found = self._connection.execute(_ANSWERED, {"_task": task, "_position": position})
        return [(row.sender, row.kind) for row in found]

    def positions(self, task: str, sender: str) -> set[int]:
        """The positions of all steps that a sender's messages were accepted for, or came too late for."""
        return set(self._connection.execute(_POSITIONS, {"_task": task, "_sender": sender}).scalars())

    def let_go(self, task: str) -> list[str]:
        """Drops all held bodies of a task; returns the digests of those that were files."""
        names = list(self._connection.execute(_FILES, {"_task": task}).scalars())
        self._connection.execute(_LET_GO, {"_task": task})
        return names

    def counters(self, task: str) -> dict[str, Counters]:
        """The counters with every party of a task that has any."""
        return {
            row.party: Counters(row.sent, row.taken, bool(row.gone))
            for row in self._connection.execute(_COUNTERS, {"_task": task})
        }

    def set_counters(self, task: str, party: str, counters: Counters) -> None:
        """Writes the counters with one party."""
        put(
            self._connection,
            sequences,
            {"task": task, "party": party},
            {"sent": counters.sent, "taken": counters.taken, "gone": counters.gone},
        )


def _message(row: Row[Any]) -> AcceptedMessage:
    return AcceptedMessage(
        row.sender, row.sequence, row.kind, row.position, Kept(row.digest, row.body_size, row.body_inline)
    )
