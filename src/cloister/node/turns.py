"""Whose turn it is at something that only one can use at a time: fair between those on whose account it is used.

Rules:
1. The next turn goes to the account that had its last one longest ago; within an account to whoever came first. So one
   that asks again and again delays another by one turn at most for each account that waits.
2. At most `waiting` ask on one account at a time: beyond that they are refused at once.
3. Nobody waits longer than it says.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator

WAITING = 8
_REMEMBERED = 1024


class Turns:
    """Gives turns.

    Args:
        waiting: how many may wait on one account.
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._waiting = waiting
        self._changed = threading.Condition()
        self._queues: dict[str, deque[object]] = {}
        self._served: OrderedDict[str, None] = OrderedDict()
        """Accounts in the order of their last turns, the latest last."""
        self._busy = False
        self._closed = False

    @contextlib.contextmanager
    def turn(self, account: str, seconds: float) -> Iterator[bool]:
        """Waits for a turn; gives whether there was one. It ends with the `with`."""
        had = self._wait(account, seconds)
        try:
            yield had
        finally:
            if had:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def close(self) -> None:
        """Gives no more turns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, account: str, seconds: float) -> bool:
        me = object()
        with self._changed:
            queue = self._queues.setdefault(account, deque())
            if len(queue) >= self._waiting:
                return False
            queue.append(me)
            try:
                mine = self._changed.wait_for(
                    lambda: self._closed or (not self._busy and self._next() is me), max(0.0, seconds)
                )
                if not mine or self._closed:
                    return False
                self._busy = True
                self._served.pop(account, None)
                self._served[account] = None
                while len(self._served) > _REMEMBERED:
                    self._served.popitem(last=False)
                return True
            finally:
                queue.remove(me)
                if not queue:
                    del self._queues[account]
                self._changed.notify_all()

    def _next(self) -> object:
        places = {account: place for place, account in enumerate(self._served)}
        account = min(self._queues, key=lambda name: places.get(name, -1))
        return self._queues[account][0]
