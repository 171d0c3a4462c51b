"""Names that people give: to accounts, tokens, passkeys."""

from __future__ import annotations

from cloister.foundation.errors import BadInput
from cloister.foundation.text import readable

MOST = 80


def clean(name: str) -> str:
    """A name with single spaces and nothing that acts instead of being read. Raises `BadInput` for none, or a long one."""
    plain = " ".join(readable(name[:1000]).split())
    if not 1 <= len(plain) <= MOST:
        raise BadInput("A name is missing or too long.", f"It has 1 to {MOST} characters.", "Choose another.")
    return plain


def folded(name: str) -> str:
    """A name as it was typed, so that it is found in capitals or not; empty for none. Never raises."""
    return " ".join(readable(name[:1000]).split())[:MOST].casefold()
