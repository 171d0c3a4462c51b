"""Between vectors of floats and vectors of integers that can be summed exactly, in a ring, with integer noise.

A float vector is multiplied by 2^exponent, which changes no digit, and rounded to the nearest integers. One lattice
unit is thus 2^-exponent. Rounding moves each coordinate by at most a half, so two neighbouring vectors, each rounded,
lie at most √dimension lattice units further apart than before (`docs/proofs/lattice.md`).

Rules:
1. The step is so fine that rounding adds less than 1 % to the sensitivity: √dimension ≤ 2^exponent · clip / 100.
2. Coordinates are clamped to a public bound after rounding; clamping moves no two vectors apart.
3. A sum in the ring is right but for a chance below 2^-40 over all the noise of a run, whatever the data. The chance is
   counted in delta, although reduction in a ring, being done to noisy sums, tells nothing about anybody.
4. Nothing that is not finite is encoded.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

ROUNDING_SHARE: Final = 0.01
WRAP_PROBABILITY: Final = 2.0**-40
MAX_EXPONENT: Final = 200
MAX_BOUND: Final = 1 << 52
MAX_RING_BITS: Final = 63


def finest_needed(dimension: int, clip: float) -> int:
    """The smallest exponent at which rounding adds at most 1 % to a sensitivity of `clip` (rule 1)."""
    if not 1 <= dimension <= 1 << 40 or not 1e-100 < clip < 1e100:
        raise BadInput(
            "There is no lattice for these numbers.", "Dimension or clipping norm is out of range.", ""
        )
    return math.ceil(math.log2(math.sqrt(dimension) / (ROUNDING_SHARE * clip)))


def encode(vector: NDArray[Any], exponent: int, bound: int) -> NDArray[np.int64]:
    """The nearest lattice point, half to even, each coordinate clamped to ±`bound` lattice units.

    Args:
        vector: floats of any shape; single and double precision give the same for the same numbers.
        exponent: the lattice's step is 2^-exponent.
        bound: at most 2^52, so that every integer is a float.

    Raises:
        BadInput: a coordinate is not finite, or an argument is out of range.
    """
    _check(exponent, bound)
    # No digit changes: a power of two only moves the exponent, and what overflows is clamped.
    with np.errstate(over="ignore"):
        scaled = np.ldexp(np.asarray(vector, dtype=np.float64), exponent)
    if np.isnan(scaled).any() or np.isinf(np.asarray(vector)).any():
        raise BadInput(
            "A vector with numbers that are not finite cannot be summed.",
            "One such number would spoil the sum and its guarantee.",
            "Replace what is not finite in each unit's part before adding the parts.",
        )
    return np.clip(np.rint(scaled), -bound, bound).astype(np.int64)


def lies_on(vector: NDArray[Any], exponent: int) -> bool:
    """Whether every coordinate is a whole number of steps, so that encoding rounds nothing."""
    with np.errstate(over="ignore"):
        scaled = np.ldexp(np.asarray(vector, dtype=np.float64), exponent)
    return bool((scaled == np.rint(scaled)).all())


def decode(lattice_point: NDArray[np.int64], exponent: int) -> NDArray[np.float64]:
    """The lattice point as floats. Raises `BadInput` for an exponent out of range."""
    _check(exponent, 0)
    return np.ldexp(np.asarray(lattice_point, dtype=np.float64), -exponent)


def to_ring(values: NDArray[np.int64], bits: int) -> NDArray[np.uint64]:
    """Integers modulo 2^bits, from 0."""
    return values.astype(np.uint64) & np.uint64((1 << _ring(bits)) - 1)


def from_ring(values: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """The integer nearest to 0 of each residue modulo 2^bits; the inverse of `to_ring` from -2^(bits-1) on."""
    space = np.uint64(64 - _ring(bits))
    return (values.astype(np.uint64) << space).view(np.int64) >> np.int64(space)


def tail(variance: int, numbers: int, probability: float) -> int:
    """What none of `numbers` noise values exceeds in magnitude, but for this chance.

    A sum of independent discrete Gaussians is subgaussian with the sum of their parameters (Canonne, Kamath, Steinke
    2020, Lemma 22 ff.): P[|x| ≥ t] ≤ 2 exp(-t² / (2 variance)).
    """
    return math.ceil(math.sqrt(2 * variance * math.log(2 * numbers / probability)) * (1 + 1e-9)) + 1


def ring_bits(nodes: int, bound: int, variance: int, numbers: int) -> int:
    """Bits of the smallest ring in which the sum of all nodes' noisy vectors is right but for 2^-40 (rule 3).

    Args:
        nodes: how many vectors are summed.
        bound: of each coordinate before the noise.
        variance: of the noise in the whole sum, all nodes present.
        numbers: coordinates times steps of the run.

    Raises:
        BadInput: 63 bits do not suffice.
    """
    largest = nodes * bound + tail(variance, numbers, WRAP_PROBABILITY)
    return _ring((2 * largest + 1).bit_length())


def _ring(bits: int) -> int:
    if not 2 <= bits <= MAX_RING_BITS:
        raise BadInput(
            "The sum does not fit into a ring that Cloister computes in.",
            f"It would need {bits} bits; there are at most {MAX_RING_BITS}.",
            "Use a smaller bound, a smaller batch or less noise.",
        )
    return bits


def _check(exponent: int, bound: int) -> None:
    if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or not 0 <= bound <= MAX_BOUND:
        raise BadInput(
            "The lattice cannot be used.",
            "Its step or its bound is out of range.",
            "Choose a clipping norm nearer to 1.",
        )
