"""What a passkey is asked to sign: random, for one purpose, once, soon.

Rules (W3C Web Authentication, section 13.4.3):
1. A challenge is 32 random bytes made here; one that was not is refused.
2. It is good for one purpose and for who asked for it (a session, or an address where nobody is signed in yet), under one host's
   name, for `LIFE` seconds.
3. It is good once: looking at an answer to it ends it, whether the answer was right or not.
4. It is held in memory only, and so many for each who asks; the oldest go first, so that nobody fills the memory, and strangers
   do not push out what signed-in people asked for.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloister.foundation.errors import Refused

LIFE = 5 * 60
EACH = 4
MOST = 4096

Purpose: TypeAlias = Literal["add", "first", "sign-in", "show-again"]


@dataclass(frozen=True)
class Challenge:
    """One that was issued.

    Attributes:
        purpose: what it is for.
        bound: who asked for it.
        host: under which the page was seen.
        ends: when it is good no more, seconds since the epoch.
        account: whom the answer is about; empty where the answer tells.
        name: of the account that the answer is to make.
    """

    purpose: Purpose
    bound: str
    host: str
    ends: int
    account: str = ""
    name: str = ""


class Challenges:
    """Those that wait for an answer. Callers hold their own lock."""

    def __init__(self) -> None:
        # Those of strangers apart: see rule 4.
        self._waiting: dict[bool, dict[bytes, Challenge]] = {True: {}, False: {}}

    def issue(
        self, purpose: Purpose, bound: str, host: str, now: int, *, account: str = "", name: str = ""
    ) -> bytes:
        """A new challenge."""
        kept = self._waiting[purpose in {"add", "show-again"}]
        for old in [item for item, known in kept.items() if known.ends <= now]:
            del kept[old]
        same = [item for item, known in kept.items() if known.bound == bound]
        for old in same[: max(0, len(same) - EACH + 1)]:
            del kept[old]
        while len(kept) >= MOST:
            del kept[next(iter(kept))]
        made = secrets.token_bytes(32)
        kept[made] = Challenge(purpose, bound, host, now + LIFE, account, name)
        return made

    def take(self, challenge: bytes, purpose: Purpose, bound: str, now: int) -> Challenge:
        """The challenge, which is then gone. Raises `Refused` (clause `challenge`) for one that is not good for this."""
        kept = self._waiting[purpose in {"add", "show-again"}]
        found = kept.pop(challenge, None)
        if found is None or found.purpose != purpose or found.bound != bound or now >= found.ends:
            raise Refused(
                "That took too long, or was answered already.",
                "What a passkey signs is good once, for a few minutes, and for who asked.",
                "Try again.",
                clause="challenge",
            )
        return found
