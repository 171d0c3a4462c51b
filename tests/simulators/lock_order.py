"""Watches in which order locks are taken, to find waiting in a circle before it happens.

Two threads wait for each other for ever when one takes a lock A and then B, and the other B and then A, in the same moment.
That moment hardly ever comes in a test. The orders come always: so what is noted is which lock was taken while which other was
held, and a circle among these is a fault, whether or not anybody was caught in it. A lock is known by the line that made it,
so that what was seen of one object counts for all of its class.

```
with watched():  # fails at its end
    ...  # what makes locks, and takes them
```

The method is that of Linux's lockdep (kernel documentation, locking/lockdep-design). Not seen: whoever holds a lock while it
waits for a thread, an event or a process.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloister

_OURS = str(Path(cloister.__file__).parent)
_MADE = threading.Lock, threading.RLock


class Order:
    """What was seen. A lock's name is where it is made: file and line."""

    def __init__(self) -> None:
        self.after: dict[str, set[str]] = defaultdict(set)
        self.where: dict[tuple[str, str], str] = {}
        self._mine = threading.local()

    def _held(self) -> list[str]:
        if not hasattr(self._mine, "held"):
            self._mine.held = []
        return self._mine.held

    def taken(self, name: str, *, waits: bool) -> None:
        held = self._held()
        if waits:
            for other in {*held} - {name}:
                if name not in self.after[other]:
                    self.where[other, name] = _caller()
                    self.after[other].add(name)
        held.append(name)

    def left(self, name: str) -> None:
        held = self._held()
        if name in held:  # a plain lock may be left by another thread
            del held[len(held) - 1 - held[::-1].index(name)]

    def circles(self) -> list[str]:
        """Each pair of locks that can be taken in both orders, by whatever way round, with where one is taken after the other."""
        found = []
        for first in sorted(self.after):
            for second in sorted(self.after[first]):
                if way := self._way(second, first):
                    steps = zip((first, *way), way, strict=False)
                    found.append("; ".join(f"{b} after {a} at {self.where[a, b]}" for a, b in steps))
        return found

    def _way(self, start: str, end: str) -> list[str]:
        ways, seen = [[start]], {start}
        while ways:
            way = ways.pop(0)
            if way[-1] == end:
                return way
            for following in sorted(self.after.get(way[-1], ())):
                if following not in seen:
                    seen.add(following)
                    ways.append([*way, following])
        return []


class _Lock:
    """A lock that tells the order; also what `threading.Condition` needs of one."""

    def __init__(self, made: Any, name: str, order: Order) -> None:
        self._made, self._name, self._order = made, name, order

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = bool(self._made.acquire(blocking, timeout))
        if got:
            self._order.taken(self._name, waits=blocking)
        return got

    def release(self) -> None:
        self._made.release()
        self._order.left(self._name)

    def locked(self) -> bool:
        return bool(self._made.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _RLock(_Lock):
    def _is_owned(self) -> bool:
        return bool(self._made._is_owned())

    def _release_save(self) -> Any:
        self._order.left(self._name)
        return self._made._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._made._acquire_restore(state)
        self._order.taken(self._name, waits=True)


def _site() -> str:
    """The line of Cloister's own code that makes a lock; empty if another's does."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == threading.__file__ and frame.f_back is not None:
        frame = frame.f_back  # a condition makes its lock by itself
    file = frame.f_code.co_filename
    return f"{Path(file).relative_to(_OURS)}:{frame.f_lineno}" if file.startswith(_OURS) else ""


def _caller() -> str:
    frame: Any = sys._getframe(2)
    found = []
    while frame is not None and len(found) < 5:
        file = frame.f_code.co_filename
        if file.startswith(_OURS):
            found.append(f"{Path(file).relative_to(_OURS)}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)


SEEN = Order()
"""By all tests of this process together: one test may take two locks in one order, another in the other."""


@contextlib.contextmanager
def watched(order: Order = SEEN) -> Iterator[Order]:
    """Watches the locks that Cloister makes meanwhile, for as long as they live.

    Raises:
        AssertionError: two locks were taken both ways round, here or before.
    """
    before = threading.Lock, threading.RLock

    def lock() -> Any:
        name = _site()
        return _Lock(_MADE[0](), name, order) if name else _MADE[0]()

    def rlock() -> Any:
        name = _site()
        return _RLock(_MADE[1](), name, order) if name else _MADE[1]()

    threading.Lock, threading.RLock = lock, rlock  # type: ignore[assignment,misc]
    try:
        yield order
    finally:
        threading.Lock, threading.RLock = before  # type: ignore[misc]
    circles = order.circles()
    assert not circles, "locks are taken both ways round:\n" + "\n".join(circles)
