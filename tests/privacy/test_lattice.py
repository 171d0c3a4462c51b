"""Encoding, rounding, rings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cloister.foundation.errors import BadInput
from cloister.privacy import lattice

VECTORS = arrays.arrays(np.float64, 17, elements=st.floats(-50, 50, allow_nan=False))


@settings(max_examples=60, deadline=None)
@given(VECTORS, VECTORS, st.integers(-3, 30))
def test_rounding_moves_two_vectors_apart_by_at_most_the_root_of_the_dimension(
    first: np.ndarray, second: np.ndarray, exponent: int
) -> None:
    """The module's second paragraph: the bound that `Mechanism.sensitivity` adds."""
    apart = np.linalg.norm(first - second) * 2.0**exponent
    points = [lattice.encode(vector, exponent, 1 << 50).astype(float) for vector in (first, second)]
    assert np.linalg.norm(points[0] - points[1]) <= apart + math.sqrt(17) + 1e-6 * apart


@settings(max_examples=60, deadline=None)
@given(VECTORS, VECTORS, st.integers(0, 40))
def test_clamping_moves_no_two_vectors_apart(first: np.ndarray, second: np.ndarray, bound: int) -> None:
    """Rule 2."""
    free = [lattice.encode(vector, 3, 1 << 40).astype(float) for vector in (first, second)]
    clamped = [lattice.encode(vector, 3, bound).astype(float) for vector in (first, second)]
    assert max(np.abs(point).max() for point in clamped) <= bound
    assert np.linalg.norm(clamped[0] - clamped[1]) <= np.linalg.norm(free[0] - free[1])


def test_a_vector_comes_back_within_half_a_step() -> None:
    vector = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    back = lattice.decode(lattice.encode(vector, 12, 1 << 30), 12)
    assert np.abs(back - vector).max() <= 2.0**-13
    assert (
        lattice.encode(vector, 12, 1 << 30) == lattice.encode(vector.astype(np.float64), 12, 1 << 30)
    ).all()


@pytest.mark.parametrize("dimension", [1, 10, 94_000, 10**7])
@pytest.mark.parametrize("clip", [1e-3, 0.37, 1.0, 250.0])
def test_the_step_is_so_fine_that_rounding_adds_at_most_a_hundredth(dimension: int, clip: float) -> None:
    """Rule 1, and no finer than needed."""
    exponent = lattice.finest_needed(dimension, clip)
    assert math.sqrt(dimension) <= 0.01 * math.ldexp(clip, exponent) * (1 + 1e-12)
    assert math.sqrt(dimension) > 0.01 * math.ldexp(clip, exponent - 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 63), st.data())
def test_a_ring_gives_back_the_integer_nearest_to_zero(bits: int, data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    values = np.array(data.draw(st.lists(st.integers(-half, half - 1), min_size=1)), dtype=np.int64)
    residues = lattice.to_ring(values, bits)
    assert residues.max() < 1 << bits
    assert (lattice.from_ring(residues, bits) == values).all()


def test_sums_in_the_ring_are_the_sums() -> None:
    generator = np.random.default_rng(2)
    values = generator.integers(-(1 << 20), 1 << 20, (10, 500))
    residues = np.zeros(500, dtype=np.uint64)
    for row in values:
        residues = (residues + lattice.to_ring(row, 26)) & np.uint64((1 << 26) - 1)
    assert (lattice.from_ring(residues, 26) == values.sum(axis=0)).all()


def test_a_sum_wraps_with_a_chance_below_two_to_the_minus_forty() -> None:
    """Rule 3: the smallest ring that holds bound and noise tail; the tail's bound is checked against the exact one."""
    for variance in (18, 10**4, 10**10):
        for numbers in (1, 10**6, 10**9):
            reach = lattice.tail(variance, numbers, lattice.WRAP_PROBABILITY)
            # Beyond the tail bound of a continuous Gaussian too, which a discrete one stays below.
            assert numbers * math.erfc(reach / math.sqrt(2 * variance)) < 2.0**-40
            assert reach < 13 * math.sqrt(variance) + 3
            bits = lattice.ring_bits(5, 10**6, variance, numbers)
            assert 2 ** (bits - 1) > 5 * 10**6 + reach >= 2 ** (bits - 2)


def test_a_discrete_gaussians_tail_is_below_the_bound() -> None:
    """Rule 3 at a size where the exact tail can be summed."""
    for variance in (1, 18, 400):
        weights = {x: math.exp(-x * x / (2 * variance)) for x in range(-400, 401)}
        total = math.fsum(weights.values())
        for probability in (1e-3, 2.0**-40):
            reach = lattice.tail(variance, 1, probability)
            assert math.fsum(w for x, w in weights.items() if abs(x) >= reach) / total < probability


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_is_encoded(bad: float) -> None:
    """Rule 4."""
    with pytest.raises(BadInput):
        lattice.encode(np.array([1.0, bad]), 3, 100)


def test_what_is_too_large_is_clamped_also_beyond_floating_point() -> None:
    assert lattice.encode(np.array([1e300, -1e300]), 200, 99).tolist() == [99, -99]


def test_lattices_and_rings_out_of_range_are_refused() -> None:
    for exponent, bound in ((201, 1), (-201, 1), (0, -1), (0, 1 << 53)):
        with pytest.raises(BadInput):
            lattice.encode(np.zeros(1), exponent, bound)
    for bits in (1, 64, -3):
        with pytest.raises(BadInput):
            lattice.to_ring(np.zeros(1, dtype=np.int64), bits)
    with pytest.raises(BadInput):
        lattice.ring_bits(1000, 1 << 52, 1 << 60, 10**9) and lattice.ring_bits(1 << 20, 1 << 52, 18, 1)
