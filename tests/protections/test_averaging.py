"""The arithmetic of federated averaging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloister.foundation.errors import BadInput
from cloister.protections.federated import averaging

ELEMENTS = st.floats(-1e3, 1e3, width=32)


def vectors(count: int, length: int = 5):
    return st.lists(hnp.arrays(np.float32, length, elements=ELEMENTS), min_size=count, max_size=count)


@given(vectors(4), st.lists(st.integers(1, 1000), min_size=3, max_size=3))
@settings(max_examples=60)
def test_the_average_is_the_weighted_mean_over_those_who_answered(arrays, weights):
    _, *updates = arrays
    names = ["a", "b", "c"]
    shares = dict(zip(names, map(float, weights), strict=True)) | {"absent": 1e9}
    result = averaging.mean(dict(zip(names, updates, strict=True)), shares)
    expected = np.average(np.array(updates, np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


@given(vectors(3))
@settings(max_examples=40)
def test_the_order_in_which_answers_came_changes_no_bit(arrays):
    _, first, second = arrays
    shares = {"a": 1.0, "b": 1.0}
    left = averaging.mean({"a": first, "b": second}, shares)
    right = averaging.mean({"b": second, "a": first}, shares)
    assert left.tobytes() == right.tobytes()


def test_equal_updates_average_to_that_update():
    step = np.full(4, 0.5, np.float32)
    np.testing.assert_allclose(averaging.mean({"a": step, "b": step}, {"a": 1.0, "b": 7.0}), step, rtol=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_never_enters_a_sum(bad):
    with pytest.raises(BadInput):
        averaging.check(np.array([1, bad, 0], np.float32), 3, 1e6)


def test_a_vector_over_the_norm_limit_or_of_another_length_never_enters_a_sum():
    averaging.check(np.array([3, 4], np.float32), 2, 5.0)
    with pytest.raises(BadInput):
        averaging.check(np.array([3, 4.001], np.float32), 2, 5.0)
    with pytest.raises(BadInput):
        averaging.check(np.zeros(3, np.float32), 2, 5.0)
    with pytest.raises(BadInput):
        averaging.check(np.full(2, 3e38, np.float32), 2, 1e30)


def test_nothing_and_unknown_parties_cannot_be_averaged():
    with pytest.raises(BadInput):
        averaging.mean({}, {"a": 1.0})
    with pytest.raises(BadInput):
        averaging.mean({"b": np.zeros(2, np.float32)}, {"a": 1.0})
