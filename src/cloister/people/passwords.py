"""Passwords: which are good enough, how they are kept, how long a guess takes.

Rules:
1. Kept is argon2id (RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4 lanes), with a salt of its own.
2. A password has 10 to 256 characters (counted after NFKC; NIST SP 800-63B, 5.1.1.2), is not the account's name, and is none
   of those that are tried first. No other rule: forced signs make passwords worse.
3. Checking takes as long for an account that does not exist, or has no password, as for one that has.
"""

from __future__ import annotations

import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cloister.foundation.errors import BadInput

LEAST, MOST = 10, 256
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_COMMON = frozenset(
    {
        "1234567890",
        "12345678910",
        "123456789012",
        "qwertyuiop",
        "qwertzuiop",
        "passwordpassword",
        "password123",
        "password1234",
        "administrator",
        "letmeinletmein",
        "iloveyouiloveyou",
        "cloistercloister",
        "changemechangeme",
        "0987654321",
        "abcdefghij",
        "aaaaaaaaaa",
        "1111111111",
        "0000000000",
    }
)
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 << 10, parallelism=4)
# Of a random text that was thrown away; made with the parameters of `_HASHER`, so that comparing with it takes as long (rule 3).
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$jD3nqSe/33EbeLNkhiqGkQ$yy5smDxiRmuFlS7t/U/lU6xcsmLnWbmISAi86dzFJ0A"


def check(password: str, name: str) -> None:
    """Raises `BadInput` if a password is not good enough for the account called `name`."""
    plain = _normal(password[: 4 * MOST])
    if not LEAST <= len(plain) <= MOST or len(password) > 4 * MOST:
        raise BadInput(
            "The password has the wrong length.",
            f"It needs {LEAST} to {MOST} characters.",
            "Take a few words that nobody would put together.",
        )
    folded = plain.casefold()
    own = _normal(name).casefold().strip()
    if folded in _COMMON or len(set(folded)) < 4 or own in (folded, folded[::-1]):
        raise BadInput(
            "The password is among the first that somebody would try.",
            "",
            "Take a few words that nobody would put together.",
        )


def kept(password: str) -> str:
    """What is stored in place of a password."""
    return _HASHER.hash(_normal(password))


def matches(password: str, stored: str | None) -> bool:
    """Whether a password is the one stored; always false without one, and no faster (rule 3)."""
    try:
        found = _HASHER.verify(_NOBODY if stored is None else stored, _normal(password[: 4 * MOST]))
    except (VerificationError, InvalidHashError):
        return False
    return found and stored is not None


def drawn() -> str:
    """A first password for somebody else: drawn and not chosen, so that nobody hands over one of the own; easy to read out. 79 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _normal(password: str) -> str:
    # Halves of surrogate pairs come from JSON escapes, and are no text.
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode())
