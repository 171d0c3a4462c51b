"""The journal's memory: database and large bodies together, and the collection of bodies that nobody needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import select

from cloister.foundation.errors import BadInput
from cloister.storage.blobs import Blobs, Keep, Kept
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Event, Events
from cloister.storage.messages import Messages
from cloister.storage.outbox import Outbox
from cloister.storage.secrets import KEY_BYTES, Secrets, erase
from cloister.storage.tables import messages, outbox, task_parts, tasks
from cloister.storage.tasks import TaskRow, Tasks


class Records:
    """The repositories that the journal uses, in one transaction (`tx`, for others who write along)."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.tasks = Tasks(tx)
        self.messages = Messages(tx)
        self.outbox = Outbox(tx)
        self.events = Events(tx)

    def erase_secrets(self, task: str, label: str | None = None) -> None:
        """Erases a task's secrets: those under a label, or all."""
        erase(self.tx, task, label)


class Durable:
    """A node's database with its blobs and its storage key (32 bytes)."""

    def __init__(self, database: Database, blobs: Blobs, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise BadInput(
                "The storage key has the wrong length.", "It must be 32 bytes.", "Check the key file."
            )
        self.database = database
        self.blobs = blobs
        self._key = key

    @classmethod
    def open(
        cls, folder: Path, key: bytes, *, url: str | None = None, database: Database | None = None
    ) -> Durable:
        """Opens a node's folder; the database is in it, at `url` (PostgreSQL), or open already. Errors: `Database.open`."""
        found = database or Database.open(folder if url is None else url)
        return cls(found, Blobs(folder / "blobs"), key)

    @classmethod
    def memory(cls) -> Durable:
        """Nothing on disk; for tests and simulations."""
        return cls(Database.memory(), Blobs(None), bytes(KEY_BYTES))

    @contextlib.contextmanager
    def transaction(self, *, forced: bool = True) -> Iterator[Records]:
        """One writing transaction; see `Database.transaction`."""
        with self.database.transaction(forced=forced) as tx:
            yield Records(tx)

    @contextlib.contextmanager
    def read(self) -> Iterator[Records]:
        """A view that writes nothing."""
        with self.database.read() as tx:
            yield Records(tx)

    def keeping(self) -> contextlib.AbstractContextManager[Keep]:
        """See `Blobs.keeping`."""
        return self.blobs.keeping()

    def load(self, kept: Kept) -> bytes:
        """The bytes of a kept body."""
        return self.blobs.load(kept)

    def part(self, task: str, name: str) -> bytes | None:
        """A piece of a task's state that stays while steps go by, or `None`."""
        with self.read() as records:
            kept = records.tasks.parts(task).get(name)
        return None if kept is None else self.load(kept)

    def secret(self, task: str, attempt: int, label: str, size: int) -> bytes:
        """A task's secret; on disk before it is returned."""
        with self.database.transaction() as tx:
            return Secrets(tx, self._key).obtain(task, attempt, label, size)

    def keep_secret(self, tx: Transaction, task: str, attempt: int, label: str, value: bytes) -> None:
        """Seals a secret under a new label, in the caller's transaction."""
        Secrets(tx, self._key).put(task, attempt, label, value)

    def events(self, last: int = 0, *, task: str | None = None, limit: int = 1000) -> list[Event]:
        """The feed after event number `last`."""
        with self.read() as records:
            return records.events.since(last, task=task, limit=limit)

    def task(self, task: str) -> TaskRow | None:
        """The task, or `None`."""
        with self.read() as records:
            return records.tasks.get(task)

    def collect(self, names: Iterable[str] | None = None) -> int:
        """Removes large bodies that no row names: of `names`, or (at the start) of all. Outside transactions."""
        wanted = set(self.blobs.names() if names is None else names)
        if not wanted:
            return 0
        if self.database.folder is None and self.database.engine.dialect.name == "sqlite":
            with self.database.transaction() as tx:
                return self.blobs.collect(wanted, lambda name: _referenced(tx, name))
        return self.blobs.collect(wanted, self._referenced_now)

    def close(self) -> None:
        """Closes the database."""
        self.database.close()

    def _referenced_now(self, name: str) -> bool:
        with self.database.read() as tx:
            return _referenced(tx, name)


def _referenced(tx: Transaction, name: str) -> bool:
    places = (
        select(tasks.c.id).where(tasks.c.state_digest == name),
        select(task_parts.c.task).where(task_parts.c.digest == name),
        select(messages.c.task).where(messages.c.digest == name, messages.c.held),
        select(outbox.c.task).where(outbox.c.body_digest == name),
    )
    return any(tx.connection.execute(place.limit(1)).first() is not None for place in places)
