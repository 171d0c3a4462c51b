"""What happened, for this node's own people: an append-only feed that pages and commands follow by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from cloister.foundation.canonical import canonical, parse
from cloister.storage._rows import inserting
from cloister.storage.database import Transaction
from cloister.storage.tables import events


@dataclass(frozen=True)
class Event:
    """One event; `id` only grows."""

    id: int
    task: str
    at: int
    kind: str
    facts: Any


class Events:
    """The feed in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, task: str, at: int, kind: str, facts: Mapping[str, Any]) -> None:
        """Appends an event (`task` may be empty)."""
        self._connection.execute(
            inserting(events), {"task": task, "at": at, "kind": kind, "facts": canonical(dict(facts))}
        )

    def since(self, last: int = 0, *, task: str | None = None, limit: int = 1000) -> list[Event]:
        """Up to `limit` events after number `last`, oldest first; of one task if given."""
        query = select(events).where(events.c.id > last).order_by(events.c.id).limit(limit)
        if task is not None:
            query = query.where(events.c.task == task)
        return self._events(query)

    def latest(self, kinds: Iterable[str], limit: int = 100) -> list[Event]:
        """The newest events of these kinds, newest first."""
        query = select(events).where(events.c.kind.in_(list(kinds))).order_by(events.c.id.desc()).limit(limit)
        return self._events(query)

    def of_kind(self, task: str, kind: str) -> list[Event]:
        """A task's events of one kind, oldest first."""
        return self._events(
            select(events).where(events.c.task == task, events.c.kind == kind).order_by(events.c.id)
        )

    def _events(self, query: Select[Any]) -> list[Event]:
        return [
            Event(row.id, row.task, row.at, row.kind, parse(row.facts))
            for row in self._connection.execute(query)
        ]
