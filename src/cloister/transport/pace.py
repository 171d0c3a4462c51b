"""How long to wait for a chunk before asking again, and how many to ask for at once: TCP's answer to both.

A chunk that is lost should be asked for soon; one that is merely slow should not be asked for again and again, which
would make the line slower still. So the waiting time follows what was observed, and doubles when it was too short.

Rules:
1. Smoothed time and variation give the waiting time: SRTT + 4 RTTVAR, between `least` and `most` (RFC 6298, §2).
2. A chunk that was asked for more than once gives no sample: nobody can tell which asking was answered (§3, Karn).
3. When it runs out, the waiting time doubles, once for all that was on its way then, and stays so until a sample is
   taken (§5.5, §5.7).
4. What is on its way halves at the same moment, and grows by one after a whole window of chunks came at first asking
   (RFC 5681, §3.1, in chunks).
"""

from __future__ import annotations

import threading


class Pace:
    """The pace of one party, as its recipient sees it. Times are seconds of a monotonic clock, passed in.

    Args:
        first: waiting time while there is no sample.
        least: the shortest waiting time afterwards.
        most: the longest at all.
        window: the most chunks on their way at once.
    """

    def __init__(self, first: float, least: float, most: float, window: int) -> None:
        self._least, self._most, self._widest = least, most, window
        self._wait = min(first, most)
        self._smoothed: float | None = None
        self._variation = 0.0
        self._width, self._credit = window, 0
        self._slowed = float("-inf")
        self._lock = threading.Lock()

    @property
    def wait(self) -> float:
        """Seconds to wait for a chunk that is asked for now."""
        with self._lock:
            return self._wait

    @property
    def width(self) -> int:
        """How many chunks may be on their way now; at least one."""
        with self._lock:
            return self._width

    def came(self, seconds: float) -> None:
        """A chunk came, at first asking, after so many seconds."""
        with self._lock:
            if self._smoothed is None:
                self._smoothed, self._variation = seconds, seconds / 2
            else:
                self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
                self._smoothed += (seconds - self._smoothed) / 8
            self._wait = min(max(self._smoothed + 4 * self._variation, self._least), self._most)
            self._credit += 1
            if self._credit >= self._width:
                self._width, self._credit = min(self._width + 1, self._widest), 0

    def ran_out(self, asked: float, now: float) -> None:
        """A chunk that was asked for at `asked` has not come by `now`, when the waiting time was over."""
        with self._lock:
            if asked < self._slowed:
                return
            self._slowed = now
            self._wait = min(self._wait * 2, self._most)
            self._width, self._credit = max(1, self._width // 2), 0
