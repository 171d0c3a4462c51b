"""What a preparation makes of a dataset: examples to draw batches from, and a part kept apart for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Batch = dict[str, np.ndarray]
"""`input` (B, ...), `target` (B, ...) and, where pixels count differently, `weights` (B, ...)."""


class Examples(Protocol):
    """Prepared records of one owner."""

    @property
    def count(self) -> int:
        """Records to train on (an owner's own figure)."""
        ...

    @property
    def held_out(self) -> int:
        """Records kept apart."""
        ...

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """A random batch, augmented if the preparation does that."""
        ...

    def validation(self, size: int) -> Iterator[Batch]:
        """The records kept apart, in batches of at most `size`, always the same."""
        ...


@dataclass(frozen=True)
class ArrayExamples:
    """Examples that are rows of arrays.

    Attributes:
        train: arrays with one row per record.
        kept: the same for validation.
    """

    train: Batch
    kept: Batch

    @property
    def count(self) -> int:
        """Rows to train on."""
        return len(self.train["input"])

    @property
    def held_out(self) -> int:
        """Rows kept apart."""
        return len(self.kept["input"])

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Rows drawn without repetition, or with, where there are fewer than `size`."""
        rows = rng.choice(self.count, size, replace=self.count < size)
        return {name: values[rows] for name, values in self.train.items()}

    def validation(self, size: int) -> Iterator[Batch]:
        """The rows kept apart, in order."""
        for start in range(0, self.held_out, size):
            yield {name: values[start : start + size] for name, values in self.kept.items()}


def kept_apart(index: int, share: float) -> bool:
    """Whether record `index` belongs to validation: by a hash of its index, so it is the same in every round and run."""
    number = int.from_bytes(hashlib.sha256(f"cloister/validation/1:{index}".encode()).digest()[:8], "big")
    return number < share * 2**64


def split(count: int, share: float) -> tuple[list[int], list[int]]:
    """Indices to train on and indices kept apart; where there are two records or more, neither is empty (for a share > 0)."""
    kept = [index for index in range(count) if kept_apart(index, share)]
    if share > 0 and count > 1 and not kept:
        kept = [count - 1]
    if len(kept) == count and count:
        kept = kept[1:]
    chosen = set(kept)
    return [index for index in range(count) if index not in chosen], kept
