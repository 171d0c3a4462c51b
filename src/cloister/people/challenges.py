"""What a passkey is asked to sign: random, for one purpose, once, soon.

Rules (W3C Web Authentication, section 13.4.3):
1. A challenge is made here, and nobody guesses it; one that was not made here is refused.
2. It is good for one purpose and for who asked for it (a session, or a browser where nobody is signed in yet), under one host's
   name, for `LIFE` seconds.
3. It is good once. Of those who have shown something (a session, the start key) it is over as soon as an answer is looked at,
   whether right or not. Of strangers it is over once it has signed somebody in.
4. Strangers' challenges (`Strangers`) are held nowhere: a challenge carries the time and a code under a key of this process, so that
   however many are asked for, nobody's is pushed out and no memory is filled. Only those that signed somebody in are remembered,
   until they would lapse anyway, so many of each account; then that account alone waits.
5. The others (`Challenges`) are held in memory only, so many for each who asks; the oldest go first.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloister.foundation.errors import Refused

LIFE = 5 * 60
EACH = 4
MOST = 4096
EACH_USED = 64

_TIME, _RANDOM = 8, 24

Purpose: TypeAlias = Literal["add", "first", "show-again"]


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
    """Those of people who have shown something, that wait for an answer. Callers hold their own lock."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Challenge] = {}

    def issue(
        self, purpose: Purpose, bound: str, host: str, now: int, *, account: str = "", name: str = ""
    ) -> bytes:
        """A new challenge."""
        kept = self._waiting
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
        found = self._waiting.pop(challenge, None)
        if found is None or found.purpose != purpose or found.bound != bound or now >= found.ends:
            raise _over()
        return found


class Strangers:
    """Those for signing in, which anybody may ask for (rule 4). Callers hold their own lock around `spend`."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._used: dict[str, dict[bytes, int]] = {}

    def issue(self, browser: str, host: str, now: int) -> bytes:
        """A new challenge for whoever has this browser's secret; nothing of it is kept."""
        head = now.to_bytes(_TIME, "big") + secrets.token_bytes(_RANDOM)
        return head + self._code(head, browser, host)

    def check(self, challenge: bytes, browser: str, host: str, now: int) -> None:
        """Returns if this is a challenge of that browser that has not lapsed; raises `Refused` (clause `challenge`) else."""
        head, code = challenge[: _TIME + _RANDOM], challenge[_TIME + _RANDOM :]
        made = int.from_bytes(head[:_TIME], "big")
        good = hmac.compare_digest(self._code(head, browser, host), code)
        if not browser or not good or not made <= now < made + LIFE:
            raise _over()

    def spend(self, challenge: bytes, account: str, now: int) -> None:
        """Ends a challenge that was checked, and signs this account in.

        Raises:
            Refused: it was used already (clause `challenge`), or the account has signed in too often (clause `too-often`).
        """
        for name in list(self._used):
            self._used[name] = {item: ends for item, ends in self._used[name].items() if ends > now}
            if not self._used[name]:
                del self._used[name]
        if any(challenge in used for used in self._used.values()):
            raise _over()
        own = self._used.setdefault(account, {})
        if len(own) >= EACH_USED:
            raise Refused(
                "This account has signed in too often.",
                f"It may {EACH_USED} times in {LIFE // 60} minutes.",
                "Wait some minutes, then try again.",
                clause="too-often",
            )
        own[challenge] = int.from_bytes(challenge[:_TIME], "big") + LIFE

    def _code(self, head: bytes, browser: str, host: str) -> bytes:
        # Each part's digest has one length, so that no two of them are read as one.
        parts = (hashlib.sha256(part.encode("utf-8", "replace")).digest() for part in (browser, host))
        return hmac.new(self._key, head + b"".join(parts), hashlib.sha256).digest()


def _over() -> Refused:
    return Refused(
        "That took too long, or was answered already.",
        "What a passkey signs is good once, for a few minutes, and for the browser that asked.",
        "Try again.",
        clause="challenge",
    )
