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


LONG = 2 * averaging.BLOCK + 3


def test_going_through_vectors_in_blocks_changes_no_bit():
    rng = np.random.default_rng(5)
    first, second, third = (rng.normal(size=LONG).astype(np.float32) for _ in range(3))
    whole = (first.astype(np.float64) - second.astype(np.float64)).astype(np.float32)
    assert averaging.update(first, second).tobytes() == whole.tobytes()
    shares = {"a": 1.0, "b": 3.0, "c": 7.0}
    mean = np.zeros(LONG, np.float64)
    for vector, share in zip((first, second, third), shares.values(), strict=True):
        mean += (share / 11.0) * vector.astype(np.float64)
    found = averaging.mean(dict(zip("cba", (third, second, first), strict=True)), shares)
    assert found.tobytes() == mean.tobytes()
    parts = averaging.Mean({"a": first, "b": second, "c": third}, shares)
    assert parts[7 : averaging.BLOCK + 9].tobytes() == mean[7 : averaging.BLOCK + 9].tobytes()


@pytest.mark.parametrize("length", [0, 1, averaging.BLOCK, averaging.BLOCK + 1, LONG])
def test_a_norm_is_that_of_the_whole_vector_wherever_it_lies(length):
    vector = np.random.default_rng(6).normal(size=length).astype(np.float32)
    shifted = np.frombuffer(b"x" + vector.tobytes(), np.float32, offset=1)
    assert averaging.norm(shifted) == averaging.norm(vector)
    np.testing.assert_allclose(averaging.norm(vector), np.linalg.norm(vector.astype(np.float64)), rtol=1e-12)


@pytest.mark.parametrize("place", [0, averaging.BLOCK, LONG - 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found_in_every_block(place, bad):
    vector = np.zeros(LONG, np.float32)
    vector[place] = bad
    with pytest.raises(BadInput) as error:
        averaging.check(vector, LONG, float("inf"))
    assert "not finite" in error.value.why
