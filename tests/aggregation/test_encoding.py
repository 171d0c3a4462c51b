"""Encodings: no sum wraps, what is decoded is exact, what does not fit is refused where it is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.aggregation import Encoding, floats, integers
from cloister.aggregation.ring import mask_of
from cloister.foundation.errors import BadInput, Tampered


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 128), st.integers(1, 1 << 50), st.data())
def test_sums_of_integers_never_wrap_and_the_ring_is_the_smallest(n, bound, data):
    """Rule 1."""
    try:
        encoding = integers(3, n, bound)
    except BadInput:
        assert (2 * n * bound).bit_length() > 60
        return
    assert 2 ** (encoding.bits - 1) <= 2 * n * bound < 2**encoding.bits
    vectors = data.draw(
        st.lists(st.lists(st.integers(-bound, bound), min_size=3, max_size=3), min_size=1, max_size=min(n, 6))
    )
    extremes = [[bound, -bound, bound]] * n
    for given_ in (vectors, extremes):
        steps = [encoding.quantise(np.array(vector, np.int64)) for vector in given_]
        total = sum(encoding.embed(step) for step in steps)
        found = encoding.decode(encoding.centre(total, len(given_)))
        assert found.tolist() == [sum(column) for column in zip(*given_, strict=True)]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 128),
    st.floats(1e-200, 1e200),
    st.integers(9, 53),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_floats_are_rounded_to_a_lattice_and_decoded_exactly(n, bound, bits, parts):
    encoding = floats(4, n, bound, bits=bits)
    assert encoding.bits <= bits
    vector = np.array(parts) * bound
    steps = encoding.quantise(vector)
    for value, step in zip(vector.tolist(), steps.tolist(), strict=True):
        assert abs(Fraction(value) - step * Fraction(2) ** encoding.exponent) <= Fraction(2) ** (
            encoding.exponent - 1
        )
    total = np.zeros(4, encoding.embed(steps).dtype)
    for _ in range(n):
        total += encoding.embed(steps)
    decoded = encoding.decode(encoding.centre(total, n))
    assert [Fraction(value) for value in decoded.tolist()] == [
        n * step * Fraction(2) ** encoding.exponent for step in steps.tolist()
    ]
    # As fine as the ring allows: one step finer would not fit.
    assert 2 * n * (2 * encoding.bound - 1) >= 2**bits - 1 - 2 * n


def test_a_float_costs_no_more_on_the_wire_than_a_float32():
    for n in (3, 10, 30, 128):
        assert floats(10, n, 3.7).bits <= 32


@pytest.mark.parametrize("wrong", [1.0001, -1.0001, np.nan, np.inf, -np.inf, 1e300])
def test_a_float_over_the_bound_or_not_finite_is_refused(wrong):
    """Rule 2."""
    encoding = floats(3, 3, 1.0)
    encoding.quantise(np.array([1.0, -1.0, 0.0]))
    with pytest.raises(BadInput) as caught:
        encoding.quantise(np.array([0.0, wrong, 0.0]))
    assert "1.0001" not in str(caught.value)


def test_integers_over_the_bound_or_of_another_kind_are_refused():
    """Rule 2."""
    encoding = integers(2, 3, 100)
    for wrong in (
        np.array([0, 101]),
        np.array([-101, 0]),
        np.array([0, 2**40]),
        np.array([0, np.iinfo(np.int64).min]),
        np.array([0.0, 1.0]),
        np.array([0, 2**63], np.uint64),
        np.array([True, False]),
        np.array([1, 2, 3]),
        np.array([[1, 2]]),
    ):
        with pytest.raises(BadInput):
            encoding.quantise(wrong)
    with pytest.raises(BadInput):
        floats(2, 3, 1.0).quantise(np.array([1, 0]))


def test_a_sum_that_bounded_inputs_cannot_have_is_refused():
    """Rule 3."""
    encoding = integers(1, 3, 5)
    assert encoding.centre(np.array([15], np.uint32), 3)[0] == 15
    assert encoding.centre(np.array([mask_of(5) + 1 - 10], np.uint32), 2)[0] == -10
    with pytest.raises(Tampered):
        encoding.centre(np.array([15], np.uint32), 2)
    with pytest.raises(Tampered):
        encoding.centre(np.array([16], np.uint32), 3)


@pytest.mark.parametrize("bound", [0.0, -1.0, np.nan, np.inf, 1e-300])
def test_impossible_bounds_are_refused(bound):
    with pytest.raises(BadInput):
        floats(3, 3, float(bound))


def test_an_encoding_that_could_wrap_cannot_be_made():
    """Rule 1, for what comes from others."""
    good = integers(3, 3, 100).model_dump()
    for changes in ({"bits": 9}, {"bits": 11}, {"bound": 1000}, {"participants": 30}, {"exponent": 1}):
        with pytest.raises(ValidationError):
            Encoding(**{**good, **changes})
    for wrong in ((0, 3, 1), (3, 0, 1), (3, 3, 0), (3, 200, 1), (3, 3, 1 << 61)):
        with pytest.raises(BadInput):
            integers(*wrong)
