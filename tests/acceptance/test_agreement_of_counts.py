"""Bias, limits of agreement and their intervals: published examples, tables of factors, and simulation."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))
from published import GERBER, MINI, TRIGLYCERIDE, WRIGHT

from cloister.acceptance.agreement import (
    QUANTILE,
    Within,
    agreement,
    farthest_limit,
    growth,
    tolerance_factor,
)
from cloister.foundation.errors import BadInput


def test_the_peak_flow_example_of_1986():
    found = agreement(WRIGHT[:, 0] - MINI[:, 0])
    assert found.pictures == 17
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.deviation == pytest.approx(38.8, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    # The paper takes 2 standard deviations for 1.96: limits -79.7 and 75.5.
    assert found.bias.value - 2 * found.deviation == pytest.approx(-79.7, abs=0.1)
    assert found.lower.value == pytest.approx(-2.118 - 1.96 * 38.765, abs=0.01)
    # Its approximate intervals are -114.3 to -45.1 and 40.9 to 110.1; exact ones reach farther out, and less far in.
    assert found.lower.low < -108
    assert found.lower.high > -62
    assert found.upper.high == pytest.approx(found.bias.value * 2 - found.lower.low)


def test_limits_for_single_readings_from_means_of_two_as_in_1986():
    from cloister.acceptance.repeatability import repeatability

    # The paper computes the repeats' deviation about zero: 21.6 and 28.2 between readings, 37.7 for single differences.
    within = [
        Within(variance=float(((meter[:, 0] - meter[:, 1]) ** 2).mean() / 2), freedom=17, counts=2)
        for meter in (WRIGHT, MINI)
    ]
    found = agreement(WRIGHT.mean(axis=1) - MINI.mean(axis=1), within)
    assert [math.sqrt(2 * item.variance) for item in within] == pytest.approx([21.6, 28.2], abs=0.06)
    assert found.deviation == pytest.approx(37.7, abs=0.05)
    assert repeatability(WRIGHT).within.variance == pytest.approx(within[0].variance)
    assert repeatability(WRIGHT).within.freedom == 17
    assert repeatability(WRIGHT).deviation.value == pytest.approx(15.3, abs=0.05)  # 1999, table 4


def test_bounds_of_a_quantile_are_those_of_the_tables_of_tolerance_factors():
    # One-sided factors for 95 % and 99 % of the population with confidence 95 % (Natrella 1963, table A-7; ISO 16269-6).
    for n, of_95, of_99 in ((10, 2.911, 3.981), (20, 2.396, 3.295), (30, 2.220, 3.064)):
        assert tolerance_factor(n, 1.6448536, 0.95) == pytest.approx(of_95, abs=2e-3)
        assert tolerance_factor(n, 2.3263479, 0.95) == pytest.approx(of_99, abs=2e-3)


def test_exact_intervals_come_near_bland_and_altmans_approximation_with_many_pictures():
    n = 900
    d = np.random.default_rng(2).normal(3, 10, n)
    found = agreement(d)
    error = found.deviation * math.sqrt(1 / n + QUANTILE**2 / (2 * (n - 1)))
    assert found.upper.high == pytest.approx(found.upper.value + QUANTILE * error, rel=5e-3)
    assert found.lower.low == pytest.approx(found.lower.value - QUANTILE * error, rel=5e-3)


def test_intervals_of_limits_hold_the_true_limits_in_95_of_100_studies():
    random = np.random.default_rng(5)
    hits = {"exact": 0, "single": 0}
    studies = 300
    for _ in range(studies):
        exact = agreement(random.normal(0, 1, 20)).upper
        hits["exact"] += exact.low <= QUANTILE <= exact.high
        truth = random.normal(0, 5, 20)
        one = truth[:, None] + random.normal(0, 0.8, (20, 2))
        other = truth[:, None] + random.normal(0, 0.6, (20, 2))
        within = [Within(float(side.var(axis=1, ddof=1).mean()), 20, 2) for side in (one, other)]
        single = agreement(one.mean(axis=1) - other.mean(axis=1), within).upper
        hits["single"] += single.low <= QUANTILE * 1.0 <= single.high  # 0.8² + 0.6² = 1
    for name, count in hits.items():
        # Zou's interval keeps somewhat more than it promises.
        assert 0.92 < count / studies < 0.99, name


def test_the_milk_example_of_1999_has_the_published_line():
    found = growth((TRIGLYCERIDE + GERBER) / 2, TRIGLYCERIDE - GERBER)
    assert found.intercept == pytest.approx(0.079, abs=5e-4)
    assert found.slope == pytest.approx(-0.0283, abs=5e-5)
    assert found.residual == pytest.approx(0.08033, abs=5e-6)
    assert found.bias_changes
    assert not found.spread_changes
    lower, bias, upper = found.limits(3.0)
    assert upper - bias == bias - lower == pytest.approx(1.96 * 0.08033, abs=1e-4)


def test_a_growing_spread_is_found_and_its_limits_are_lines():
    random = np.random.default_rng(4)
    a = np.linspace(10, 200, 400)
    d = random.normal(0, 0.05 * a)
    found = growth(a, d)
    assert found.spread_changes
    assert not found.bias_changes
    for mean in (40, 180):
        lower, _bias, upper = found.limits(mean)
        assert (upper - lower) / 2 == pytest.approx(1.96 * 0.05 * mean, rel=0.15)
    # With logarithms the spread is level.
    ratio = growth(np.log(a), np.log(a * (1 + random.normal(0, 0.05, 400))) - np.log(a))
    assert ratio.spread_p > 0.01


def test_no_growth_is_found_in_one_of_twenty_studies_where_there_is_none():
    random = np.random.default_rng(8)
    found = [growth(random.uniform(10, 100, 30), random.normal(0, 3, 30)) for _ in range(200)]
    assert 0.02 < np.mean([item.bias_changes for item in found]) < 0.10
    assert 0.02 < np.mean([item.spread_changes for item in found]) < 0.10


def test_the_farthest_limit_lies_in_its_interval_and_is_the_same_again():
    random = np.random.default_rng(9)
    a = random.uniform(10, 100, 40)
    d = random.normal(0, 0.1 * a)
    found = farthest_limit(a, d)
    assert found.value == growth(a, d).farthest
    assert found.low < found.value < found.high
    assert found == farthest_limit(a, d)
    assert farthest_limit([5, 5, 5], [1, 2, 3]) is None


def test_equal_counts_have_no_spread_and_no_growth():
    found = agreement([2.0, 2.0, 2.0])
    assert (found.lower.low, found.bias.value, found.upper.high) == (2.0, 2.0, 2.0)
    grown = growth([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert not grown.grows
    assert growth([1.0, 1.0, 1.0], [0.0, 1.0, 2.0]) is None
    shifted = growth([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert shifted.bias_changes
    assert shifted.residual == 0


@settings(max_examples=30, deadline=None)
@given(
    d=st.lists(st.integers(-500, 500), min_size=3, max_size=40),
    shift=st.integers(-100, 100),
    scale=st.integers(1, 10),
)
def test_limits_move_and_stretch_with_the_differences_and_turn_with_the_methods(d, shift, scale):
    d = np.array(d, dtype=float)
    found, moved, turned = agreement(d), agreement(scale * d + shift), agreement(-d)
    for one, other in ((found.bias, moved.bias), (found.lower, moved.lower), (found.upper, moved.upper)):
        assert [other.low, other.value, other.high] == pytest.approx(
            [scale * value + shift for value in (one.low, one.value, one.high)], abs=1e-6
        )
    assert turned.lower.low == pytest.approx(-found.upper.high, abs=1e-6)
    assert found.lower.low <= found.lower.value <= found.bias.value <= found.upper.value <= found.upper.high


@pytest.mark.parametrize("bad", [[1.0, 2.0], [1.0, math.nan, 3.0], [[1.0, 2.0, 3.0]], []])
def test_what_cannot_be_computed_is_refused(bad):
    with pytest.raises(BadInput):
        agreement(bad)
    with pytest.raises(BadInput):
        growth(bad, bad)
