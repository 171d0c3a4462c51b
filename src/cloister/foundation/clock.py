"""Time as a value that is passed in. Trust logic never reads a clock.

All times are whole seconds since 1970-01-01 UTC (`int`); documents carry them as RFC 3339 text with `Z`.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol

from cloister.foundation.errors import BadInput, Refused


class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> int:
        """Seconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Seconds since the epoch, UTC."""
        return int(time.time())


class FixedClock:
    """A clock for tests: stands still until moved."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self.time = now

    def now(self) -> int:
        """The time that was set."""
        return self.time

    def advance(self, seconds: int) -> None:
        """Moves the clock on (or back, with a negative number)."""
        self.time += seconds


class FloorClock:
    """A clock that refuses to run behind `floor`, for example the time of the last signed checkpoint.

    `tolerance` seconds of drift are let pass: machines' clocks differ by a little without anyone cheating.
    """

    def __init__(self, inner: Clock, floor: int = 0, tolerance: int = 120) -> None:
        self.inner = inner
        self.floor = floor
        self.tolerance = tolerance

    def raise_floor(self, seconds: int) -> None:
        """Time is known to have reached `seconds`."""
        self.floor = max(self.floor, seconds)

    def now(self) -> int:
        """The time; raises `Refused` when the clock runs behind what was already witnessed."""
        seconds = self.inner.now()
        if seconds + self.tolerance < self.floor:
            raise Refused(
                "This machine's clock is behind the last checkpoint.",
                f"It says {rfc3339(seconds)}; the log was already signed at {rfc3339(self.floor)}.",
                "Set the clock (for example with NTP) and try again.",
                clause="clock-behind-checkpoint",
            )
        return max(seconds, self.floor)


def rfc3339(seconds: int) -> str:
    """`2026-11-22T14:00:00Z`."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> int:
    """Seconds since the epoch from `2026-11-22T14:00:00Z`. Raises `BadInput` for any other form."""
    try:
        return int(dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        raise BadInput(
            "A time is malformed.",
            "Expected the form 2026-11-22T14:00:00Z.",
            "Write times in UTC, to the second.",
        ) from None
