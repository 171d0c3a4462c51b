"""What a running node does by itself, again and again (the chores are in `chores`).

Everything may be interrupted at any time and done anew. A chore is due after its interval, or soon after something has
woken it by name; however often it is woken, it rests for a moment in between.

Chores are done in lanes, each a thread: what asks other parties, who may take as long as they like, is never in the lane of
what enforces.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from cloister.foundation.errors import CloisterError

_LOG = logging.getLogger("cloister.node.steward")


class Steward:
    """Threads that do chores. One that fails is logged and tried again; failing often, less often."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def add(
        self, name: str, every: float, work: Callable[[], object], *, rest: float = 0.0, lane: str = ""
    ) -> None:
        """Adds a chore, before the start.

        Args:
            name: for `wake` and the log.
            every: seconds from one go to the next.
            work: may raise.
            rest: the fewest seconds between two goes, however often it is woken.
            lane: chores of one lane wait for each other, those of different lanes do not.
        """
        self._lanes.setdefault(lane, _Lane(lane)).chores.append(_Chore(name, every, work, rest))

    def start(self) -> None:
        """Begins."""
        for lane in self._lanes.values():
            lane.start()

    def wake(self, *names: str) -> None:
        """Something has changed that concerns these chores: do them soon."""
        for lane in self._lanes.values():
            lane.wake(names)

    def close(self) -> None:
        """Ends after the present chores."""
        for lane in self._lanes.values():
            lane.end()
        until = time.monotonic() + 10
        for lane in self._lanes.values():
            lane.join(max(0.0, until - time.monotonic()))


class _Lane:
    def __init__(self, name: str) -> None:
        self.chores: list[_Chore] = []
        self._name = name
        self._woken = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"steward {self._name}".strip(), daemon=True)
        self._thread.start()

    def wake(self, names: tuple[str, ...]) -> None:
        for chore in self.chores:
            if chore.name in names:
                chore.due = min(chore.due, chore.last + chore.rest)
        self._woken.set()

    def end(self) -> None:
        self._closing = True
        self._woken.set()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout=seconds)

    def _run(self) -> None:
        while not self._closing:
            now = time.monotonic()
            for chore in self.chores:
                if self._closing:
                    return
                if chore.due <= now:
                    chore.go()
            nearest = min((chore.due for chore in self.chores), default=now + 1)
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
