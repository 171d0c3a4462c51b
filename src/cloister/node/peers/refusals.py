"""What was refused of each party's documents, so that looking at documents in vain costs a node little.

A node offers again what was refused, for the other side may know more by then; and somebody may offer ever new documents whose
signatures do not hold. Each look costs the receiver the checking of up to 64 signatures.

Rules:
1. A document that is malformed, or whose signatures do not hold, is refused unseen, with the same words, for a pause that doubles
   each time, at most `LONGEST` seconds; unless a card has changed since, because then its signatures may hold. What is refused for
   other reasons (no room, nobody trusts the party yet, something else has to come first) is looked at each time.
2. Of each party so many such documents an hour are refused after a look (`PACE`). Over that none of its documents is looked at
   until there is room again: it alone waits. What holds costs nothing of it, nor does what is refused for other reasons: a party
   hands on what third parties signed, and must not be silenced by what this node has no room for.
3. At most `KEPT` refusals are remembered of all parties together; the oldest are forgotten first, and looked at again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    NotTrusted,
    Refused,
    Tampered,
)
from cloister.foundation.quotas import Allowed, Quota, Usage, consider

FIRST, LONGEST = 4.0, 600.0
KEPT = 10_000
PACE = Quota(number=1, size=1, burst=2000, per_hour=14_400)
_PARTIES = 10_000
_PAUSED = (BadInput, NotTrusted, Tampered)
"""Other errors have reasons that pass, or are this node's own trouble, and are not held against anybody."""


@dataclass(frozen=True)
class _Refusal:
    what: str
    why: str
    pause: float
    until: float
    generation: int


class Refusals:
    """Refused documents by sender. Times are seconds of a clock that runs forward.

    Args:
        pace: see rule 2.
        kept: see rule 3.
    """

    def __init__(self, pace: Quota = PACE, kept: int = KEPT) -> None:
        self._pace, self._kept = pace, kept
        self._refused: OrderedDict[tuple[str, str], _Refusal] = OrderedDict()
        self._usage: OrderedDict[str, Usage] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, sender: str, document: str, generation: int, now: float) -> None:
        """Raises `Refused` where a document is not to be looked at (rules 1 and 2).

        Args:
            sender: who offers it.
            document: names its very bytes.
            generation: grows when keys or trust change.
            now: seconds.
        """
        with self._lock:
            known = self._refused.get((sender, document))
            if known is not None and known.generation == generation and now < known.until:
                raise Refused(known.what, known.why, "It is looked at again later.", clause="refused-before")
            decision = consider(
                self._pace,
                self._usage.get(sender, Usage()),
                "",
                0,
                int(now),
                {},
                kind="documents that were refused",
            )
        if isinstance(decision, Refused):
            raise decision

    def refused(self, sender: str, document: str, error: CloisterError, generation: int, now: float) -> None:
        """A document was looked at and refused."""
        if not isinstance(error, _PAUSED):
            return
        with self._lock:
            usage = self._usage.pop(sender, Usage())
            decision = consider(self._pace, usage, "", 0, int(now), {})
            # Of what was looked at together some may go over the pace: the bucket is full then, and stays so.
            filled = decision.usage.filled if isinstance(decision, Allowed) else usage.filled
            self._usage[sender] = Usage(filled=filled)
            if len(self._usage) > _PARTIES:
                self._usage.popitem(last=False)
            known = self._refused.pop((sender, document), None)
            pause = FIRST if known is None else min(2 * known.pause, LONGEST)
            self._refused[sender, document] = _Refusal(
                error.what[:300], error.why[:300], pause, now + pause, generation
            )
            if len(self._refused) > self._kept:
                self._refused.popitem(last=False)

    def taken(self, sender: str, document: str) -> None:
        """A document was looked at and holds."""
        with self._lock:
            self._refused.pop((sender, document), None)
