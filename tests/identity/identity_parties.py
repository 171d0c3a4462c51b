"""Parties for tests: keys are made once per process, they are slow to make by the hundred."""

from __future__ import annotations

from functools import cache

from cloister.identity import cards
from cloister.identity.cards import DAY, Card
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys

NOW = 1_800_000_000


@cache
def keys(label: str) -> SecretKeys:
    """The same keys for the same label throughout the run."""
    return SecretKeys.generate()


def genesis(label: str = "plant", now: int = NOW, **extra: str) -> Envelope:
    return cards.genesis(
        label.title(), ["owner"], keys(label), keys(f"{label}-recovery").public, now, **extra
    )


def known(label: str = "plant", now: int = NOW) -> tuple[Directory, Card]:
    directory = Directory()
    return directory, directory.accept(genesis(label, now), now)


__all__ = ["DAY", "NOW", "genesis", "keys", "known"]
