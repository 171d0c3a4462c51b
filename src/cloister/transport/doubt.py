"""When to ask whether a connection to the relay works, and when to leave it for a new one.

A link that is up proves little: a relay that closes may keep a link that it accepted in that moment, and a session on
it reaches nobody but those who share its fate. So a node asks through the relay, and believes only answers.

Rules:
1. While answers come, it is asked now and then; after a failure, and of new sessions, again and again at once.
2. "Nobody there" is knowledge, and trusted soon; silence may be a busy machine, and is borne longer.
3. Leaving helps against what is broken here. Where it does not help, the cause is elsewhere: each time that new
   sessions fail as well they are left later, up to a limit, so that a relay in trouble is not run over.
"""

from __future__ import annotations

import secrets
from typing import Literal

Answer = Literal["here", "absent", "silent"]
"""What came of asking: an answer, the relay's word that nobody is there, or nothing in time."""

SHORTLY = 0.3
ABSENT = 1.2
SILENT = 8.0
LONGEST = 20.0


class Doubt:
    """The doubts about one connection. Times are seconds on a monotonic clock, passed in.

    Args:
        every: seconds between two questions while all is well.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._due = float("-inf")
        self._since: float | None = None
        self._left = 0

    def due(self, now: float) -> bool:
        """Whether it is time to ask."""
        return now >= self._due

    def anew(self) -> None:
        """The sessions are new: ask at once."""
        self._due, self._since = float("-inf"), None

    def heard(self, answer: Answer, now: float) -> bool:
        """Takes in what came of a question; returns whether to leave the sessions now."""
        if answer == "here":
            self._since, self._left = None, 0
            self._due = now + self._every
            return False
        self._due = now + min(SHORTLY, self._every)
        self._since = now if self._since is None else self._since
        bearable = min(LONGEST, (ABSENT if answer == "absent" else SILENT) * 2**self._left)
        if now - self._since < bearable * _about():
            return False
        self._left = min(self._left + 1, 8)
        self.anew()
        return True


def _about() -> float:
    """A factor near 1: nodes that lost the relay in one moment shall not all come back in one moment."""
    return 0.8 + secrets.randbelow(400) / 1000
