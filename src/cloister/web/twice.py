"""Secrets that somebody chooses on the page are typed twice: nobody can read what was typed, or be told it later."""

from __future__ import annotations

import hmac

from cloister.foundation.errors import BadInput


def require_same(first: str, again: str, what: str) -> None:
    """Returns if both were typed alike. Raises `BadInput` in words about `what`: passwords, passphrases."""
    if not hmac.compare_digest(first.encode("utf-8", "replace"), again.encode("utf-8", "replace")):
        raise BadInput(
            f"The two {what} are not the same.",
            "You cannot see what you type, so it is typed twice.",
            "Type it again in both fields.",
        )
