"""What was answered already: the same call again gets the same answer and does not run its handler again.

The cache saves work and stops plain replays. It is bounded and in memory, so it is not what makes an effect happen
once: a handler whose effect matters keeps its own record in the journal, in the transaction of that effect.

Rules:
1. A call is known by its sender and idempotency key; the same key with another method or body is refused.
2. While a call runs, its latest repetition waits for the one result in place of those before: their callers have
   stopped waiting. How many calls of one sender run at the same time is bounded.
3. Only successful answers are kept, until the call's deadline (with drift) has passed; a failed call may be repeated.
4. Each sender has its own bounds, so that one cannot push out another's answers; the oldest go first.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cloister.foundation.errors import Conflict
from cloister.transport.envelope import Content

Answer: TypeAlias = tuple[Content, bytes]
Waiter: TypeAlias = Callable[[Answer | None], None]
"""Takes the answer, or nothing: another waits in its place, and whoever still waits for this one comes again."""


class Busy(Exception):
    """Too many calls of one sender run at the same time; it is told to come again. Never leaves the transport."""


@dataclass
class _Entry:
    fingerprint: str
    expires: int
    waiter: Waiter | None = None
    answer: Answer | None = None


class Answers:
    """The answers of one node to its callers.

    Args:
        calls: how many are remembered for each sender.
        octets: how many bytes of answers are kept for each sender.
        running: how many calls of each sender may be unanswered at the same time.
    """

    def __init__(self, calls: int = 4096, octets: int = 64 << 20, running: int = 64) -> None:
        self._calls, self._octets, self._running = calls, octets, running
        self._unanswered: Counter[str] = Counter()
        self._entries: dict[str, OrderedDict[str, _Entry]] = {}
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def admit(
        self,
        sender: str,
        key: str,
        fingerprint: str,
        *,
        expires: int,
        now: int,
        waiter: Waiter,
        again: Waiter | None = None,
    ) -> bool:
        """Whether the caller must run this call; otherwise `waiter` gets the result, at once if there is one.

        Args:
            sender: the party that signed the call.
            key: its idempotency key.
            fingerprint: of method and body.
            expires: seconds since the epoch until which the call may be repeated.
            now: seconds since the epoch.
            waiter: takes the answer.
            again: takes it in place of `waiter` if it was given before.

        Raises:
            Conflict: the key was used for another call.
            Busy: too many calls of the sender run already.
        """
        with self._lock:
            entries = self._entries.setdefault(sender, OrderedDict())
            self._prune(sender, now)
            entry = entries.get(key)
            if entry is None:
                if self._unanswered[sender] >= self._running:
                    raise Busy
                self._unanswered[sender] += 1
                entries[key] = _Entry(fingerprint, expires, waiter)
                return True
            if entry.fingerprint != fingerprint:
                raise Conflict(
                    "A call reuses the key of another call.",
                    "The same idempotency key was used with another method or body.",
                    "Use a fresh key for each call.",
                    clause="idempotency-key",
                )
            entry.expires = max(entry.expires, expires)
            if entry.answer is None:
                answer, (entry.waiter, told) = None, (waiter, entry.waiter)
            else:
                answer, told = entry.answer, again or waiter
        if told is not None:
            told(answer)
        return False

    def finish(self, sender: str, key: str, answer: Answer, *, keep: bool) -> None:
        """Gives the answer to the one that waits for it, and remembers it if `keep`."""
        with self._lock:
            entries = self._entries.get(sender, OrderedDict())
            entry = entries.get(key)
            if entry is None or entry.answer is not None:
                return
            self._ran(sender)
            waiter, entry.waiter = entry.waiter, None
            if keep:
                entry.answer = answer
                entries.move_to_end(key)
                self._held[sender] = self._held.get(sender, 0) + len(answer[1])
            else:
                del entries[key]
            self._shrink(sender)
        if waiter is not None:
            waiter(answer)

    def abandon(self, sender: str, key: str) -> None:
        """A call that was admitted does not run after all; nobody is told, and it may come again."""
        with self._lock:
            entry = self._entries.get(sender, OrderedDict()).get(key)
            if entry is not None and entry.answer is None:
                self._ran(sender)
                del self._entries[sender][key]

    def _ran(self, sender: str) -> None:
        self._unanswered[sender] -= 1
        if not self._unanswered[sender]:
            del self._unanswered[sender]

    def forget(self, sender: str, key: str) -> None:
        """Lets the call run again, for example because its large answer is no longer held."""
        with self._lock:
            entry = self._entries.get(sender, OrderedDict()).get(key)
            if entry is not None and entry.answer is not None:
                self._remove(sender, key)

    def _prune(self, sender: str, now: int) -> None:
        entries = self._entries[sender]
        for key in [key for key, entry in entries.items() if entry.answer and entry.expires < now]:
            self._remove(sender, key)

    def _shrink(self, sender: str) -> None:
        entries = self._entries[sender]
        finished = (key for key, entry in list(entries.items()) if entry.answer is not None)
        while len(entries) > self._calls or self._held.get(sender, 0) > self._octets:
            oldest = next(finished, None)
            if oldest is None:
                return
            self._remove(sender, oldest)

    def _remove(self, sender: str, key: str) -> None:
        entry = self._entries[sender].pop(key)
        if entry.answer is not None:
            self._held[sender] = self._held.get(sender, 0) - len(entry.answer[1])
