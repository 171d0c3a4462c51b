"""What takes long (tools at work) has threads of its own, so that pages stay quick meanwhile.

Rules:
1. It never runs in the threads in which everything else is answered.
2. So many wait or run at a time, in all and for each caller. Who comes beyond that is told at once to come again: nobody waits for a
   place to wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import FastAPI

from cloister.foundation.errors import Unreachable
from cloister.node.toolroom.paces import TooOften
from cloister.web.shared import shared

MOST, EACH = 32, 8
_AGAIN = 15
_THREADS: RunVar[CapacityLimiter] = RunVar("cloister-slow-threads")
T = TypeVar("T")


class Slow:
    """The places of one application; its doors share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    async def run(self, whose: str, what: Callable[[], T]) -> T:
        """What `what` gives, from a thread of its own.

        Args:
            whose: tells callers apart.
            what: takes long.

        Raises:
            TooOften: this caller has as many places as one may have (clause `too-often`).
            Unreachable: all places are taken (clause `busy`).
        """
        with self._place(whose):
            # Each door has a loop of its own, and a limiter belongs to a loop; how many there are in all, the places say.
            limiter = _THREADS.get(None)
            if limiter is None:
                limiter = CapacityLimiter(MOST)
                _THREADS.set(limiter)
            return await to_thread.run_sync(what, limiter=limiter)

    @contextmanager
    def _place(self, whose: str) -> Iterator[None]:
        with self._lock:
            if self._busy[whose] >= EACH:
                raise TooOften(
                    "You have as many files at work as one person may have.",
                    f"At most {EACH} wait at a time.",
                    "Wait until one is done.",
                    clause="too-often",
                    retry_after=_AGAIN,
                )
            if self._busy.total() >= MOST:
                raise Unreachable(
                    "The tools are busy.",
                    "As many files wait as this server holds at a time.",
                    "Try again in a minute.",
                    clause="busy",
                    retry_after=_AGAIN,
                )
            self._busy[whose] += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[whose] -= 1
                if not self._busy[whose]:
                    del self._busy[whose]


def slow_of(app: FastAPI) -> Slow:
    """The places of an application."""
    return shared(app, Slow)
