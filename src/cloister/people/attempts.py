"""How often somebody may try to sign in: slow for a guesser, hardly felt by whoever mistypes.

Rules:
1. Failures are counted by the account's name as typed (whether or not there is such an account) and by the address they come from.
2. After `FREE` failures each further one doubles the wait, up to `MOST` seconds; a success clears the name's count, not the
   address's.
3. The wait holds for wrong and right passwords alike, and is told. It is not long enough to lock somebody out for a day's work.
4. So many names and addresses are remembered; the oldest go first, so that nobody fills the memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FREE = 5
MOST = 15 * 60
FORGOTTEN = 24 * 3600
REMEMBERED = 10_000


@dataclass(frozen=True)
class Failures:
    """How many in a row, and when the last was (seconds)."""

    count: int
    at: float

    def wait(self, now: float) -> float:
        """Seconds until the next try is looked at."""
        if self.count < FREE:
            return 0.0
        return max(0.0, self.at + min(MOST, 2.0 ** (self.count - FREE)) - now)


class Attempts:
    """Counts failures by name and by address. Callers hold their own lock."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], Failures] = OrderedDict()

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds until a try with this name from this address is looked at."""
        return max(self._of("name", name, now).wait(now), self._of("address", address, now).wait(now))

    def failed(self, name: str, address: str, now: float) -> None:
        """Counts a failure."""
        for kind, value in (("name", name), ("address", address)):
            key = (kind, value[:256])
            count = self._of(kind, value, now).count
            self._failures[key] = Failures(count + 1, now)
            self._failures.move_to_end(key)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forgets a name's failures."""
        self._failures.pop(("name", name[:256]), None)

    def _of(self, kind: str, value: str, now: float) -> Failures:
        found = self._failures.get((kind, value[:256]))
        return found if found is not None and now - found.at < FORGOTTEN else Failures(0, 0.0)
