"""Exact samples of the discrete Gaussian: the integer x has probability proportional to exp(-x² / (2 variance)).

Ordinary samplers compute with rounded numbers, and what rounding leaves in the low bits has told secrets (Mironov
2012). Here no rounded number decides anything. A magnitude K·y + u is proposed: y from a table of weights
exp(-(K·y)² / (2 variance)), u uniform below K, a power of two; it is accepted with probability
exp(-u(u + 2·K·y) / (2 variance)), and given a random sign (minus zero is refused): Ducas et al. 2013, algorithms 11
and 12. Both decisions compare a uniform number with a real number. They are first made on 64 bits of the one and an
enclosure of the other; where these leave it open, on as many further bits and digits as it takes (after Ducas and
Nguyen 2012). So the result follows the distribution exactly, given uniform bits, and is the same on every machine.

Rules:
1. Every sample is decided as if on infinitely many bits.
2. Secret, label, variance and size determine the samples; a longer vector begins with the shorter one.

What it does not do: take the same time for every value. Step times must not be observable by others.

Sources: Ducas, Durmus, Lepoint, Lyubashevsky, "Lattice signatures and bimodal Gaussians", CRYPTO 2013; Ducas, Nguyen,
"Faster Gaussian lattice sampling using lazy floating-point arithmetic", ASIACRYPT 2012.
"""

from __future__ import annotations

import decimal
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.privacy.stream import NoiseStream

MAX_VARIANCE: Final = 1 << 60
MAX_SIZE: Final = 1 << 31
BAND: Final = 2.0**-44
"""Around an acceptance probability in double precision; its error is below 2^-48 (see `_accept`)."""

_CHUNK: Final = 1 << 15
_WORD: Final = 64


def discrete_gaussian(stream: NoiseStream, variance: int, size: int) -> NDArray[np.int64]:
    """`size` independent samples with mean 0.

    Args:
        stream: fresh, used for nothing else.
        variance: the parameter, from 1 to 2^60; the variance is at most this, and nearly equal to it from 1 on.
        size: how many.

    Raises:
        BadInput: an argument is out of its range.
    """
    if not 1 <= variance <= MAX_VARIANCE or not 0 <= size <= MAX_SIZE:
        raise BadInput(
            "Noise of an impossible size was asked for.",
            "Its variance lies between 1 and 2^60, and a vector has at most 2^31 numbers.",
            "Choose a coarser lattice.",
        )
    sampler = _Sampler(stream, variance)
    found = np.empty(size, dtype=np.int64)
    filled = 0
    while filled < size:
        accepted = sampler.draw(min(_CHUNK, (size - filled) * 5 // 4 + 16))[: size - filled]
        found[filled : filled + len(accepted)] = accepted
        filled += len(accepted)
    return found


class _Sampler:
    def __init__(self, stream: NoiseStream, variance: int, band: float = BAND) -> None:
        self._stream, self._variance, self._band = stream, variance, band
        # The table then spans between 8 and 16 steps per standard deviation, and about 19 of 20 are accepted.
        self._shift = max(0, (variance.bit_length() - 1) // 2 - 3)
        self._table = _table(variance, self._shift)
        self._place = 0

    def draw(self, count: int) -> NDArray[np.int64]:
        """What is accepted of the next `count` candidates, in order."""
        words = self._stream.words(3 * count).reshape(count, 3)
        first, second, third = (np.ascontiguousarray(words[:, i]) for i in range(3))
        rows = np.searchsorted(self._table.thresholds, first, side="right").astype(np.int64)
        # `right` counts thresholds that are equal as passed; whether they are, further bits say.
        for i in np.flatnonzero(self._table.open(first, rows)):
            rows[i] = self._row(self._place + int(i), int(first[i]))
        negative = (second >> np.uint64(63)).astype(bool)
        low = (second & np.uint64((1 << self._shift) - 1)).astype(np.int64)
        magnitude = (rows << self._shift) + low
        kept = self._accept(rows, low, third) & ~(negative & (magnitude == 0))
        self._place += count
        return np.asarray(np.where(negative, -magnitude, magnitude)[kept], dtype=np.int64)

    def _accept(
        self, rows: NDArray[np.int64], low: NDArray[np.int64], uniform: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        if self._shift == 0:
            return np.ones(len(rows), dtype=bool)
        # `low` < 2^27 and `rows` < 2^9, so the numerator is exact below 2^63; five roundings of 2^-53 each and an
        # exponential good to a few units in the last place keep the error below 2^-48, as the exponent is below 16.
        numerator = low * (low + (rows << (self._shift + 1)))
        probability = np.exp(numerator.astype(np.float64) / (-2.0 * self._variance))
        drawn = uniform.astype(np.float64) * 2.0**-64
        accepted = drawn < probability
        for i in np.flatnonzero(np.abs(drawn - probability) <= self._band):
            accepted[i] = self._below(self._place + int(i), int(uniform[i]), int(numerator[i]))
        return np.asarray(accepted)

    def _row(self, place: int, word: int) -> int:
        """How many partial sums of the table a uniform number that begins with `word` has reached."""
        for bits, value in self._longer(place, 0, word):
            bounds = _partial_sums(self._variance, self._shift, bits)
            passed = sum(1 for _, high in bounds if high <= value)
            if passed < len(bounds) and value + 1 <= bounds[passed][0]:
                return passed
        raise AssertionError("unreachable: the bits never end")

    def _below(self, place: int, word: int, numerator: int) -> bool:
        """Whether a uniform number that begins with `word` is below exp(-numerator / (2 variance))."""
        for bits, value in self._longer(place, 1, word):
            low, high = _exponential(numerator, 2 * self._variance, bits)
            if value + 1 <= low:
                return True
            if value >= high:
                return False
        raise AssertionError("unreachable: the bits never end")

    def _longer(self, place: int, purpose: int, word: int) -> Iterator[tuple[int, int]]:
        """(bits, value): the uniform number lies in [value, value + 1) / 2^bits, for ever more bits."""
        yield _WORD, word
        for words in itertools.count(1):
            bits = _WORD * words
            yield _WORD + bits, word << bits | self._stream.more(place, purpose, words)


@dataclass(frozen=True)
class _Table:
    """Partial sums of the weights, as fractions of 2^64 rounded down."""

    thresholds: NDArray[np.uint64]

    def open(self, words: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where 64 bits don't say whether the last partial sum that was counted has been reached."""
        return np.asarray((rows > 0) & (self.thresholds[np.maximum(rows - 1, 0)] == words))


@lru_cache(maxsize=64)
def _table(variance: int, shift: int) -> _Table:
    bits = 2 * _WORD
    floors = [low >> (bits - _WORD) for low, _ in _partial_sums(variance, shift, bits)]
    # Beyond the first that is all ones, 64 bits leave it open in any case.
    last = floors.index((1 << _WORD) - 1)
    # Rounded down from the lower bound: a word above it may still be below the real sum only if both bounds' floors
    # differ, which 128 bits exclude.
    assert floors[: last + 1] == [
        min(high >> (bits - _WORD), (1 << _WORD) - 1)
        for _, high in _partial_sums(variance, shift, bits)[: last + 1]
    ]
    return _Table(np.array(floors[: last + 1], dtype=np.uint64))


@lru_cache(maxsize=64)
def _partial_sums(variance: int, shift: int, bits: int) -> list[tuple[int, int]]:
    """Bounds of the table's partial sums, as multiples of 2^-bits."""
    digits = _digits(bits)
    with decimal.localcontext(prec=digits):
        weights = [decimal.Decimal(1)]
        # What is left out is below the last weight, since far out each is less than half of the one before.
        while weights[-1] > decimal.Decimal(10) ** -digits:
            weights.append((decimal.Decimal(-((len(weights) << shift) ** 2)) / (2 * variance)).exp())
        total = sum(weights, decimal.Decimal(0))
        sums = list(itertools.accumulate(weights))
        return [_bounds(item / total, bits, digits) for item in sums]


def _exponential(numerator: int, denominator: int, bits: int) -> tuple[int, int]:
    """Bounds of exp(-numerator / denominator), as multiples of 2^-bits."""
    digits = _digits(bits)
    with decimal.localcontext(prec=digits):
        return _bounds((decimal.Decimal(-numerator) / denominator).exp(), bits, digits)


def _digits(bits: int) -> int:
    return bits * 302 // 1000 + 30


def _bounds(value: decimal.Decimal, bits: int, digits: int) -> tuple[int, int]:
    # A few hundred correctly rounded operations, each off by less than 10^(1 - digits).
    error = decimal.Decimal(10) ** (5 - digits)
    scale = 1 << bits
    return math.floor((value - error) * scale), math.ceil((value + error) * scale)


__all__ = ["MAX_SIZE", "MAX_VARIANCE", "discrete_gaussian"]
