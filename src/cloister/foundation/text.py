"""Text from elsewhere, made fit to be seen: what would act on a terminal or a page instead of being read is replaced.

Rules:
1. Controls (C0, DEL, C1, so every escape sequence), invisible marks, marks that turn the direction of writing (Unicode's Trojan
   Source, CVE-2021-42574), line and paragraph separators, and halves of surrogate pairs are replaced.
2. Lines stay lines: a line feed is kept. Nothing that can be seen is changed.
3. Applying it twice is applying it once.
4. Where a line is a record (`one_line`, for logs), a line feed is written by its escape: what others sent makes no line of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

REPLACEMENT = "\ufffd"


def readable(text: str) -> str:
    """The text with `REPLACEMENT` in place of each character that acts; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\xa0" else _seen(letter) for letter in text)


def one_line(text: str) -> str:
    """The text as `readable` has it, in one line."""
    return readable(text).replace("\n", "\\n")


def acts(text: str) -> bool:
    """Whether a single line has a character that acts instead of being read; a line feed is one."""
    return not all(letter.isprintable() or letter == "\xa0" for letter in text)


def _seen(letter: str) -> str:
    # Other spaces (thin, ideographic) are not printable by Python's word, yet only space.
    return " " if letter.isspace() and letter not in _BREAKS else REPLACEMENT


_BREAKS = "\t\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def several(number: object, word: str) -> str:
    """A number of things in words: one of them, or several."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def party_name(party: str, names: Mapping[str, str]) -> str:
    """What an organisation is called; the start of its fingerprint where nobody here knows it.

    Args:
        party: its fingerprint.
        names: by fingerprint, of those that are known.
    """
    return names.get(party) or f"{party[:8]}…"
