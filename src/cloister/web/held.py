"""What comes in and is held in memory until it is answered: one budget for every body, of files and of JSON alike.

Rules:
1. What counts is what has come, not what was said to come: whoever says much and sends nothing holds nothing.
2. One caller holds at most `EACH_MOST`, all together at most `HELD_MOST`. Whoever comes when it is full is told to come again.
3. The first `SMALL` bytes of a body do not count, so that people sign in while others send large files; how many of these there are
   at a time, the number of connections says (`gate`).
4. A request's bytes are given back when it is answered or given up. One that stands still is given up (`guard`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from cloister.foundation.errors import Unreachable
from cloister.web.shared import shared

HELD_MOST = 640 << 20
EACH_MOST = 256 << 20
SMALL = 64 << 10
_AGAIN = 30


class Held:
    """Counts the bytes of the bodies of one application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def share(self, whose: str) -> Iterator[Callable[[int], None]]:
        """Gives what to call with the size of each piece of one body; it raises `Unreachable` (clause `busy`) where rule 2 says so.

        Args:
            whose: tells callers apart.
        """
        had = counted = 0

        def take(size: int) -> None:
            nonlocal had, counted
            had += size
            more = max(0, had - SMALL) - counted
            if more <= 0:
                return
            with self._lock:
                if self._held.total() + more > HELD_MOST or self._held[whose] + more > EACH_MOST:
                    raise _busy()
                self._held[whose] += more
                counted += more

        try:
            yield take
        finally:
            if counted:
                with self._lock:
                    self._held[whose] -= counted
                    if not self._held[whose]:
                        del self._held[whose]

    def total(self) -> int:
        """Bytes that are held now."""
        with self._lock:
            return self._held.total()


def held_of(app: FastAPI) -> Held:
    """The one budget of an application."""
    return shared(app, Held)


def _busy() -> Unreachable:
    return Unreachable(
        "The server is busy with other files.",
        "As many bytes came as it holds at a time.",
        "Try again in a minute.",
        clause="busy",
        retry_after=_AGAIN,
    )
