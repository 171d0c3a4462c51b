"""One difference between two versions of an agreement, and the ways in which differences are found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from cloister.agreements.places import Places
from cloister.agreements.plain import Reader
from cloister.agreements.terms import Terms

Kind: TypeAlias = Literal["added", "removed", "changed"]
Effect: TypeAlias = Literal["more", "less", "other"]
T = TypeVar("T")

MEANING: Mapping[Effect, str] = {"more": "weaker protection", "less": "stronger protection", "other": ""}


@dataclass(frozen=True)
class Difference:
    """One thing that has changed.

    Attributes:
        field: of the terms, for example `budgets` or `release.quorum`.
        kind: whether something came, went or changed.
        text: what, in a sentence.
        effect: whether more is permitted afterwards, or less (`differences`, rule 2).
        whom: whose protection it is, for people; empty where it is nobody's in particular.
    """

    field: str
    kind: Kind
    text: str
    effect: Effect
    whom: str = ""

    @property
    def meaning(self) -> str:
        """For example `weaker protection for North`; empty where nothing can be said."""
        told = MEANING[self.effect]
        return f"{told} for {self.whom}" if told and self.whom else told


@dataclass(frozen=True)
class Pair:
    """Both versions, and how to name parties in either."""

    old: Terms
    new: Terms
    before: Reader
    after: Reader

    @classmethod
    def of(cls, old: Terms, new: Terms, names: Mapping[str, str]) -> Pair:
        """The two versions as one reader sees them."""
        return cls(old, new, Reader(old, Places(old), names), Reader(new, Places(new), names))

    def name(self, party: str) -> str:
        """A party's name, from whichever version has it."""
        known = self.new.name_of(party)
        return self.before.name(party) if known.endswith("…") else self.after.name(party)


def opposite(effect: Effect) -> Effect:
    """What the change back would mean."""
    return {"more": "less", "less": "more"}.get(effect, "other")  # type: ignore[return-value]


def keyed(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, T]:
    """Items by what makes them the same thing in both versions."""
    return {key(item): item for item in items}


def came_and_went(
    old: Iterable[str], new: Iterable[str], said: Callable[[str, Kind], Difference]
) -> Iterator[Difference]:
    """A difference for each item that one version has and the other has not, in the versions' order."""
    before, after = list(dict.fromkeys(old)), list(dict.fromkeys(new))
    yield from (said(item, "removed") for item in before if item not in after)
    yield from (said(item, "added") for item in after if item not in before)


def grew(old: float | None, new: float | None, rising: Effect) -> Effect:
    """What a changed number means, where a larger one has the effect `rising`; `None` is larger than any."""
    if old == new:
        return "other"
    larger = new is None or (old is not None and new > old)
    return rising if larger else opposite(rising)


def widened(old: Iterable[str], new: Iterable[str]) -> Effect:
    """What a changed list of permitted things means."""
    before, after = set(old), set(new)
    if before < after:
        return "more"
    return "less" if after < before else "other"
