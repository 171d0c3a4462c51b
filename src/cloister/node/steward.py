"""What a running node does by itself, again and again (the chores are in `chores`).

Everything may be interrupted at any time and done anew. A chore is due after its interval, or soon after something has
woken it by name; however often it is woken, it rests for a moment in between.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from cloister.foundation.errors import CloisterError

_LOG = logging.getLogger("cloister.node.steward")


class Steward:
    """A thread that does chores. One that fails is logged and tried again; failing often, less often."""

    def __init__(self) -> None:
        self._chores: list[_Chore] = []
        self._woken = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, name: str, every: float, work: Callable[[], object], *, rest: float = 0.0) -> None:
        """Adds a chore.

        Args:
            name: for `wake` and the log.
            every: seconds from one go to the next.
            work: may raise.
            rest: the fewest seconds between two goes, however often it is woken.
        """
        self._chores.append(_Chore(name, every, work, rest))

    def start(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=self._run, name="steward", daemon=True)
        self._thread.start()

    def wake(self, *names: str) -> None:
        """Something has changed that concerns these chores: do them soon."""
        for chore in self._chores:
            if chore.name in names:
                chore.due = min(chore.due, chore.last + chore.rest)
        self._woken.set()

    def close(self) -> None:
        """Ends after the present chore."""
        self._closing = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._closing:
            now = time.monotonic()
            for chore in self._chores:
                if self._closing:
                    return
                if chore.due <= now:
                    chore.go()
            nearest = min((chore.due for chore in self._chores), default=now + 1)
            self._woken.wait(max(0.02, min(1.0, nearest - time.monotonic())))
            self._woken.clear()


class _Chore:
    def __init__(self, name: str, every: float, work: Callable[[], object], rest: float) -> None:
        self.name = name
        self.every = every
        self.work = work
        self.rest = rest
        self.due = self.last = 0.0
        self.failures = 0

    def go(self) -> None:
        self.last = time.monotonic()
        self.due = self.last + self.every * min(8, 2**self.failures)
        try:
            self.work()
            self.failures = 0
        except CloisterError as error:
            self.failures = min(self.failures + 1, 5)
            _LOG.info("%s: %s %s", self.name, error.what, error.why)
        except Exception as error:
            # A chore must never end the thread; what went wrong is told by its class only (texts may hold data).
            self.failures = min(self.failures + 1, 5)
            _LOG.error("%s failed: %s", self.name, type(error).__name__)
