"""The words that people meet on the page, each in a sentence or two: shown there, and in the glossary of the documentation.

Both are made from `words.json`, so that they say the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_name("words.json")


@dataclass(frozen=True)
class Word:
    """A word.

    Attributes:
        word: in the code and the documentation.
        shown: on the page; empty for what nobody meets there.
        meaning: in plain text.
        link: a page of the documentation that says more.
    """

    word: str
    meaning: str
    shown: str = ""
    link: str = ""

    @property
    def anchor(self) -> str:
        """Where it stands on the page of words: what follows `/words#`."""
        return re.sub(r"[^a-z]+", "-", self.word.lower()).strip("-")


@lru_cache(maxsize=1)
def all_words() -> tuple[Word, ...]:
    """Every word, in the order of the glossary."""
    return tuple(Word(**entry) for entry in json.loads(_FILE.read_text("utf-8")))


def shown_words() -> list[Word]:
    """Those that people meet on the page, by the alphabet."""
    return sorted((word for word in all_words() if word.shown), key=lambda word: word.shown.lower())


def glossary() -> str:
    """The table of the documentation's glossary, as Markdown."""
    lines = ["| Word | On the page | Meaning |", "|---|---|---|"]
    for word in all_words():
        shown = "" if word.shown == word.word else word.shown
        more = f" [More]({word.link})" if word.link else ""
        lines.append(f"| {word.word} | {shown} | {word.meaning}{more} |")
    return "\n".join(lines) + "\n"
