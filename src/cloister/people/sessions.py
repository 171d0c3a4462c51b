"""Sessions and tokens: how a browser or a program is known again.

Rules:
1. A secret is 32 random bytes; only its SHA-256 is stored, and it is found by that, so nothing is compared byte by byte.
2. A session ends when it is not used for `IDLE` seconds, and `LIFE` seconds after it began whatever happens.
3. Signing in always makes a new session; an earlier one of that browser ends (no fixation). Showing the password or passkey again
   gives the session a new secret.
4. What binds the organisation needs a session whose person has shown the password or passkey in the last `FRESH` seconds.
5. A token has an end, and a part of the rights of who made it; it is never fresh, so it cannot sign.
6. Who has a password that somebody else chose may do nothing but choose another: two know it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from cloister.people.roles import Right, rights_of

IDLE = 8 * 3600
LIFE = 7 * 24 * 3600
FRESH = 5 * 60
TOKEN_MOST = 366 * 24 * 3600
"""Seconds that a token may be good for, at most."""


@dataclass(frozen=True)
class Session:
    """A browser that somebody signed in with.

    Attributes:
        account: whose.
        began: when, seconds since the epoch.
        used: last.
        shown: when the password or passkey was shown last.
        browser: what the browser called itself.
        address: where it was when the session began.
    """

    account: str
    began: int
    used: int
    shown: int
    browser: str = ""
    address: str = ""

    def alive(self, now: int) -> bool:
        """Whether it still counts (rule 2)."""
        return self.began <= now + 60 and now - self.used < IDLE and now - self.began < LIFE

    def fresh(self, now: int) -> bool:
        """Whether its person may bind the organisation without showing the password again (rule 4)."""
        return self.alive(now) and 0 <= now - self.shown < FRESH


@dataclass(frozen=True)
class Person:
    """An account, as far as what it may do is concerned.

    Attributes:
        account: its random name for programs.
        name: its name for people.
        roles: see `roles`.
        enabled: whether it may do anything at all.
        given: whether somebody else chose its password (rule 6).
    """

    account: str
    name: str
    roles: frozenset[str]
    enabled: bool = True
    given: bool = False

    @property
    def rights(self) -> frozenset[Right]:
        """What the person may do now: nothing while disabled, only its own account while the password is another's."""
        if not self.enabled:
            return frozenset()
        return frozenset({"own-account"}) if self.given else rights_of(self.roles)


def new_secret() -> tuple[str, str]:
    """A fresh secret for a cookie or a token (URL-safe text), and what is stored of it."""
    made = secrets.token_urlsafe(32)
    return made, stored(made)


def stored(secret: str) -> str:
    """What is stored of a secret: its SHA-256 in hexadecimal. It has 256 bits of its own, so no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def of_token(maker: Person, scopes: frozenset[str]) -> frozenset[Right]:
    """What a token may do: what it was made for, as far as its maker may do it now (rule 5)."""
    return frozenset(right for right in maker.rights if right in scopes and right != "own-account")
