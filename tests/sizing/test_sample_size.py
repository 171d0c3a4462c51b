from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import WEIGHTINGS, Distribution
from cloister.sizing.sample_size import (
    MAX_SPREAD,
    error_of_percentile,
    particles_for_mean,
    particles_for_median,
    particles_for_percentile,
)


def test_the_standards_own_number_comes_out() -> None:
    # ISO 13322-1:2004, scope: with a standard deviation of 1,6, over 6 000 particles for a repeatable volume-mean diameter.
    assert particles_for_mean(1.6, power=3, weight=0) == 6092
    # and at least ten times as many for percentiles.
    assert 10 * particles_for_mean(1.6, power=3, weight=0) == pytest.approx(61_000, rel=0.01)


@pytest.mark.parametrize("weighting", ["number", "area", "volume"])
def test_a_fitted_median_keeps_its_error_as_often_as_wanted(weighting: str) -> None:
    spread, error, r = 0.35, 0.05, WEIGHTINGS[weighting]
    needed = particles_for_median(math.exp(spread), weighting=weighting, error=error)
    rng = np.random.default_rng(r)
    logs = rng.normal(0.0, spread, (1000, needed))
    fitted = logs.mean(axis=1) + r * logs.var(axis=1, ddof=1)
    kept = (np.abs(fitted - r * spread**2) <= error).mean()
    assert kept == pytest.approx(0.95, abs=0.025)


def test_a_fitted_mean_keeps_its_error_as_often_as_wanted() -> None:
    spread, error = 0.3, 0.05
    needed = particles_for_mean(math.exp(spread), power=1, weight=3, error=error)
    logs = np.random.default_rng(9).normal(0.0, spread, (1000, needed))
    fitted = logs.mean(axis=1) + 3.5 * logs.var(axis=1, ddof=1)
    assert (np.abs(fitted - 3.5 * spread**2) <= error).mean() == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize(
    ("weighting", "percent"),
    [("number", 50.0), ("number", 90.0), ("volume", 50.0), ("volume", 10.0), ("volume", 90.0)],
)
def test_a_percentile_read_from_the_curve_keeps_its_error_as_often_as_wanted(
    weighting: str, percent: float
) -> None:
    from scipy.special import ndtri

    spread, error, r = 0.3, 0.06, WEIGHTINGS[weighting]
    needed = particles_for_percentile(math.exp(spread), percent, weighting=weighting, error=error)
    truth = r * spread**2 + spread * float(ndtri(percent / 100))
    rng = np.random.default_rng(int(percent) + r)
    logs = [
        math.log(
            Distribution.of(np.exp(rng.normal(0.0, spread, needed)), weighting=weighting).percentile(percent)
        )
        for _ in range(500)
    ]
    assert (np.abs(np.array(logs) - truth) <= error).mean() == pytest.approx(0.95, abs=0.035)


def test_reading_the_curve_takes_more_particles_than_fitting() -> None:
    for weighting in ("number", "volume"):
        assert particles_for_percentile(1.5, weighting=weighting) > particles_for_median(
            1.5, weighting=weighting
        )


@given(st.floats(1.05, 2.0), st.floats(1.0, 99.0), st.floats(0.01, 0.3), st.floats(0.5, 0.99))
@settings(max_examples=100, deadline=None)
def test_the_error_of_that_many_particles_is_the_wanted_one(
    spread: float, percent: float, error: float, confidence: float
) -> None:
    needed = particles_for_percentile(spread, percent, error=error, confidence=confidence)
    assert error_of_percentile(spread, needed, percent, confidence=confidence) <= error * (1 + 1e-9)
    assert particles_for_percentile(spread, percent, error=error / 2, confidence=confidence) >= needed


def test_equal_particles_need_one() -> None:
    assert (
        particles_for_median(1.0)
        == particles_for_percentile(1.0)
        == particles_for_mean(1.0, power=1, weight=0)
        == 1
    )


def test_values_out_of_range_are_refused() -> None:
    for spread in (0.9, MAX_SPREAD + 1, math.nan):
        with pytest.raises(BadInput):
            particles_for_median(spread)
    for values in (
        {"error": 0.0},
        {"error": 1.5},
        {"confidence": 1.0},
        {"confidence": 0.0},
        {"percent": 0.5},
    ):
        with pytest.raises(BadInput):
            particles_for_percentile(1.5, **values)
    with pytest.raises(BadInput):
        particles_for_mean(1.5, power=0, weight=0)
    with pytest.raises(BadInput):
        error_of_percentile(1.5, 0)
    with pytest.raises(BadInput, match="more particles"):
        particles_for_percentile(10.0, 99.0, error=0.001)
