"""Numbers and days as people type them into forms.

Rules:
1. Only ASCII digits, a sign, a point or a comma for the fraction, and an exponent. No words (`nan`, `inf`), no underscores, no digits
   of other scripts; nothing longer than `LONGEST`.
2. Every number has limits, which hold before it goes anywhere.
3. An error names the field and what it takes, and never what was typed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from cloister.foundation.errors import BadInput

LONGEST = 40
"""Letters of a number; of what is longer nothing is read."""
MOST = 1e12
"""The largest number, where a field says nothing else."""
_NUMBER = re.compile(r"[+-]?(\d{1,15}([.,]\d{0,15})?|[.,]\d{1,15})(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)


def number(
    text: str,
    what: str,
    *,
    least: float = -MOST,
    above: float | None = None,
    most: float = MOST,
    below: float | None = None,
    example: str = "0.65",
) -> float:
    """A number; people of many countries write 0,65.

    Args:
        text: as it was typed.
        what: the field, as an error begins.
        least: the smallest that is taken.
        above: what it has to be larger than, in place of `least`.
        most: the largest that is taken.
        below: what it has to be smaller than, in place of `most`.
        example: one that fits, for the error.

    Raises:
        BadInput: it is no number, or beyond the limits.
    """
    value = _read(text, what, _NUMBER, "a number", example)
    if (value <= above if above is not None else value < least) or (
        value >= below if below is not None else value > most
    ):
        low = f"above {above:g}" if above is not None else f"at least {least:g}"
        high = f"below {below:g}" if below is not None else f"at most {most:g}"
        raise _beyond(what, f"It is a number {low} and {high}.", example)
    return value


def whole(text: str, what: str, *, least: int = 0, most: int = 999_999_999, example: str = "10") -> int:
    """A whole number, without a fraction. Raises `BadInput`."""
    value = int(_read(text, what, _WHOLE, "a whole number", example))
    if not least <= value <= most:
        raise _beyond(what, f"It is a whole number from {least} to {most}.", example)
    return value


def day(text: str, what: str) -> date:
    """A day as browsers send it, 2026-11-23. Raises `BadInput`."""
    plain = text.strip()
    try:
        if len(plain) > LONGEST:
            raise ValueError
        return date.fromisoformat(plain)
    except ValueError:
        raise BadInput(f"{what} is no date.", "It is written 2026-11-23.", "Choose it again.") from None


def begins(found: date) -> int:
    """When a day begins (UTC), in seconds since 1970."""
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp())


def _read(text: str, what: str, shape: re.Pattern[str], kind: str, example: str) -> float:
    plain = text.strip()
    if len(plain) > LONGEST or not shape.fullmatch(plain):
        raise BadInput(f"{what} is not {kind}.", "", f"For example {example}")
    return float(plain.replace(",", "."))


def _beyond(what: str, why: str, example: str) -> BadInput:
    return BadInput(f"{what} cannot be used.", why, f"For example {example}")
