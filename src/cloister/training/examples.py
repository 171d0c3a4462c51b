"""What a preparation makes of a dataset: examples to draw batches from, and a part kept apart for validation.

For private training the examples belong to *units of privacy*: a picture, a row, or all rows of one customer. Units are
drawn, not examples; what a unit gives depends on that unit alone, and never on which others there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Batch = dict[str, np.ndarray]
"""`input` (B, ...), `target` (B, ...) and, where pixels count differently, `weights` (B, ...)."""

ROWS_PER_UNIT = 32
"""A unit with more rows gives this many of them to a step, drawn at random: a public constant, so that no unit's part
depends on how many rows another has."""


@dataclass(frozen=True)
class UnitBatch:
    """Examples of drawn units, in a block of fixed size.

    Attributes:
        examples: arrays (capacity, K, ...): K places for each unit's examples; a place that is not used holds a copy.
        share: float32 (capacity, K): how much each example counts in its unit's loss. Sums to 1 for a drawn unit with
            examples; all zero for a place that is not used.
    """

    examples: Batch
    share: np.ndarray


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

    @property
    def units(self) -> int:
        """Units of privacy that a private step may draw (an owner's own figure); none of their examples is kept apart."""
        ...

    def unit_batch(self, rng: np.random.Generator, drawn: np.ndarray, capacity: int) -> UnitBatch:
        """The examples of the units with these numbers, at most `capacity` of them, augmented if the preparation does that."""
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
        groups: the rows of each unit of privacy, as places in `train`; each row by itself if None.
        kept_groups: the same of the units kept apart, as places in `kept`.
    """

    train: Batch
    kept: Batch
    groups: Sequence[np.ndarray] | None = None
    kept_groups: Sequence[np.ndarray] | None = None

    @property
    def count(self) -> int:
        """Rows to train on."""
        return len(self.train["input"])

    @property
    def held_out(self) -> int:
        """Rows kept apart."""
        return len(self.kept["input"])

    @property
    def units(self) -> int:
        """Rows, or groups of rows that belong together."""
        return self.count if self.groups is None else len(self.groups)

    def unit_batch(self, rng: np.random.Generator, drawn: np.ndarray, capacity: int) -> UnitBatch:
        """The rows of the drawn units; of a unit with more than `ROWS_PER_UNIT` as many, at random."""
        groups = self.groups
        if groups is None:
            rows, share = np.zeros((capacity, 1), np.intp), np.zeros((capacity, 1), np.float32)
            rows[: len(drawn), 0], share[: len(drawn)] = drawn, 1
            return UnitBatch(self._rows(rows), share)
        # As wide as the widest unit may be, so that neither time nor rounding depends on the largest there is.
        width = ROWS_PER_UNIT
        rows, share = np.zeros((capacity, width), np.intp), np.zeros((capacity, width), np.float32)
        for place, number in enumerate(drawn):
            own = groups[int(number)]
            if len(own) > ROWS_PER_UNIT:
                own = rng.choice(own, ROWS_PER_UNIT, replace=False)
            rows[place] = own[0]
            rows[place, : len(own)] = own
            share[place, : len(own)] = 1 / len(own)
        return UnitBatch(self._rows(rows), share)

    def _rows(self, rows: np.ndarray) -> Batch:
        if self.count == 0:
            return {
                name: np.zeros((*rows.shape, *values.shape[1:]), values.dtype)
                for name, values in self.train.items()
            }
        return {name: values[rows] for name, values in self.train.items()}

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Rows drawn without repetition, or with, where there are fewer than `size`."""
        rows = rng.choice(self.count, size, replace=self.count < size)
        return {name: values[rows] for name, values in self.train.items()}

    def validation(self, size: int) -> Iterator[Batch]:
        """The rows kept apart, in order."""
        for start in range(0, self.held_out, size):
            yield {name: values[start : start + size] for name, values in self.kept.items()}
