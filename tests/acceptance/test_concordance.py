"""Lin's coefficient: by its other definition, by simulation, and at its limits."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))
from published import MINI, WRIGHT

from cloister.acceptance.concordance import concordance
from cloister.foundation.errors import BadInput


@given(pairs=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=3, max_size=40))
def test_it_is_one_minus_the_mean_squared_distance_over_that_of_unrelated_counts(pairs):
    x, y = np.array(pairs, dtype=float).T
    found = concordance(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert found is None
        return
    expected = 1 - ((x - y) ** 2).mean() / ((x[:, None] - y[None, :]) ** 2).mean()
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert -1 - 1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1 + 1e-9


def test_the_peak_flow_meters():
    # A correlation of 0.94 (Bland and Altman 1986), and the bias is small beside the spread of the people.
    found = concordance(WRIGHT[:, 0], MINI[:, 0])
    assert found.value == pytest.approx(0.943, abs=1e-3)
    assert found.low < 0.9 < found.value < found.high


def test_equal_counts_concord_wholly_and_a_shift_lowers_it():
    x = np.arange(10.0)
    assert concordance(x, x).value == pytest.approx(1)
    assert concordance(x, x + 3).value == pytest.approx(2 * x.var() / (2 * x.var() + 9))
    assert concordance(x, -x + 9).value == pytest.approx(-1)


def test_its_interval_holds_the_true_value_in_95_of_100_studies():
    random = np.random.default_rng(1)
    # Variances 1 and 1.44, correlation 0.9, shift 0.2.
    true = 2 * 0.9 * 1.2 / (1 + 1.44 + 0.04)
    hits = 0
    for _ in range(600):
        a, b = random.normal(size=(2, 60))
        found = concordance(a, 1.2 * (0.9 * a + math.sqrt(1 - 0.81) * b) + 0.2)
        hits += found.low <= true <= found.high
    assert 0.925 < hits / 600 < 0.97


def test_what_cannot_be_paired_is_refused():
    for x, y in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, math.nan], [1, 2, 3])):
        with pytest.raises(BadInput):
            concordance(x, y)
