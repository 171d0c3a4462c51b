"""The node's feed of events, for those who follow it: they wait for the database to change instead of asking it."""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import Connection, event

from cloister.journal.durable import Durable

_IDLE_SECONDS = 2.0
_AFTER_COMMIT = 0.3
_LOOKING = 0.05
LONGEST_WAIT = 30.0
WAITING_MOST = 16
"""Readers that wait at a time; who comes when so many do gets what there is at once. Each holds a thread."""


class Feed:
    """Hands out events to waiting readers.

    A commit rings before it is visible, so readers look several times in the moment after it, and hardly ever else.
    """

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._rung = 0.0
        self._closed = False
        self._bell = threading.Condition()
        self._waiting = threading.BoundedSemaphore(WAITING_MOST)
        event.listen(durable.database.engine, "commit", self._ring)

    def _ring(self, connection: Connection) -> None:
        if connection.get_execution_options().get("cloister_read"):
            return
        with self._bell:
            self._rung = time.monotonic()
            self._bell.notify_all()

    def close(self) -> None:
        """Lets all readers go."""
        with self._bell:
            self._closed = True
            self._bell.notify_all()

    def after(self, since: int, wait: float) -> list[dict[str, Any]]:
        """What happened after event `since`; waits up to `wait` seconds (at most 30) for something."""
        if wait > 0 and not self._waiting.acquire(blocking=False):
            return self._after(since, 0.0)
        try:
            return self._after(since, wait)
        finally:
            if wait > 0:
                self._waiting.release()

    def _after(self, since: int, wait: float) -> list[dict[str, Any]]:
        end = time.monotonic() + min(wait, LONGEST_WAIT)
        while True:
            found = self._durable.events(since)
            left = end - time.monotonic()
            if found or left <= 0 or self._closed:
                return [
                    {"id": item.id, "task": item.task, "at": item.at, "kind": item.kind, "facts": item.facts}
                    for item in found
                ]
            with self._bell:
                recent = time.monotonic() - self._rung < _AFTER_COMMIT
                self._bell.wait(min(left, _LOOKING if recent else _IDLE_SECONDS))
