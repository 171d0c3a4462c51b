"""How often somebody may use the tools: counted by person and by address, without a clock, a file or a network.

Rules:
1. Each person, and each address, has a leaky bucket (GCRA, ITU-T I.371 annex A); an address's is twice a person's, since people
   share addresses.
2. What is refused counts for nothing, and is told how long to wait.
3. So many people and addresses are remembered; the oldest go first, so that nobody fills the memory.
"""

from __future__ import annotations

from collections import OrderedDict

from cloister.foundation.errors import Refused

REMEMBERED = 10_000


class TooOften(Refused):
    """Somebody asks faster than this server answers; `detail["retry_after"]` says in how many seconds to try again."""

    status = 429


class Paces:
    """Counts by person and by address. Callers hold their own lock.

    Args:
        burst: how many at once.
        per_hour: how many in the long run.
    """

    def __init__(self, burst: int, per_hour: int) -> None:
        self._burst, self._per_hour = burst, per_hour
        self._filled: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, person: str, address: str, now: float) -> None:
        """Counts one use at `now` (seconds that only go forward). Raises `TooOften`, and then counts nothing (rule 2)."""
        kept: dict[tuple[str, str], float] = {}
        for key, share in ((("person", person[:256]), 1), (("address", address[:256]), 2)):
            interval = 3600 / (self._per_hour * share)
            filled = max(self._filled.get(key, now), now) + interval
            wait = filled - now - interval * self._burst * share
            if wait > 0:
                raise TooOften(
                    "That was too many files in a short time.",
                    f"At most {self._per_hour} an hour are looked at for one person.",
                    f"Try again in {max(1, round(wait))} seconds.",
                    clause="too-often",
                    retry_after=max(1, round(wait)),
                )
            kept[key] = filled
        for key, filled in kept.items():
            self._filled[key] = filled
            self._filled.move_to_end(key)
        while len(self._filled) > REMEMBERED:
            self._filled.popitem(last=False)
