"""What an agreement's sentences are made of, and the few turns of phrase that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from cloister.agreements.places import Places
from cloister.agreements.terms import Terms
from cloister.foundation.clock import parse_rfc3339

Weight: TypeAlias = Literal["plain", "care"]


@dataclass(frozen=True)
class Sentence:
    """One sentence of a text that people read before they agree to something.

    Attributes:
        text: what it says.
        clause: the machine's name of the clause that it stands for, as in refusals.
        pointer: where that clause stands in the machine's form (JSON Pointer, RFC 6901); `None` for what holds without
            being written.
        weight: `care` where it says that something is not protected, or less than usual.
        also: further places that it speaks of.
    """

    text: str
    clause: str
    pointer: str | None = None
    weight: Weight = "plain"
    also: tuple[str, ...] = ()

    @property
    def pointers(self) -> tuple[str, ...]:
        """Every place in the machine's form that it speaks of."""
        return (*((self.pointer,) if self.pointer is not None else ()), *self.also)


@dataclass(frozen=True)
class Section:
    """Sentences under a heading."""

    title: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Reader:
    """What sentences are made from: the terms, where their clauses stand, the reader's own names for fingerprints."""

    terms: Terms
    places: Places
    names: Mapping[str, str]

    def name(self, party: str) -> str:
        """A party as printed in the agreement, with the reader's own name for it where that is another."""
        printed, own = self.terms.name_of(party), self.names.get(party)
        return printed if own in (None, printed) else f"{printed} (you call it {own})"

    def list(self, parties: tuple[str, ...]) -> str:
        """Several parties."""
        return join([self.name(party) for party in parties])


def join(items: list[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "nobody"


def short(digest: str) -> str:
    """The beginning of a digest: 64 bits, long enough that nobody finds another document with the same beginning."""
    return digest.removeprefix("sha256:")[:16] + "…"


def times(count: int) -> str:
    """How often at most."""
    return "once only" if count == 1 else f"at most {count} times"


def days(count: int | None) -> str:
    """A number of days."""
    return "1 day" if count == 1 else f"{count} days"


def size(number: int) -> str:
    """A number of bytes in a unit that fits."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if number >= 1 << power:
            return f"{number / (1 << power):.4g} {unit}"
    return f"{number} bytes"


def instant(text: str) -> str:
    """A time of the written form as people read it everywhere: with seconds only where there are some."""
    moment = datetime.fromtimestamp(parse_rfc3339(text), UTC)
    return f"{moment:%-d %b %Y %H:%M}{f':{moment:%S}' if moment.second else ''} UTC"
