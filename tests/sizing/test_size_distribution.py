from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import (
    PREFERRED,
    WEIGHTINGS,
    Distribution,
    histogram,
    logarithmic_classes,
    mean_diameter,
    preferred_classes,
    summary,
)

SPREAD = 0.4
"""Standard deviation of ln(size) of the log-normal samples."""


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return np.exp(np.random.default_rng(1).normal(np.log(50.0), SPREAD, 400_000))


_sizes = npst.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.01, 1e4))


@pytest.mark.parametrize("weighting", list(WEIGHTINGS))
def test_percentiles_of_a_log_normal_sample_are_those_of_theory(sample: np.ndarray, weighting: str) -> None:
    # Hatch and Choate (1929): weighting by x^r moves ln of the median by r·s² and leaves the spread.
    found = Distribution.of(sample, weighting=weighting)
    median = 50.0 * np.exp(WEIGHTINGS[weighting] * SPREAD**2)
    factor = np.exp(1.2815515655446004 * SPREAD)
    assert found.percentile(50.0) == pytest.approx(median, rel=0.01)
    assert found.percentile(10.0) == pytest.approx(median / factor, rel=0.01)
    assert found.percentile(90.0) == pytest.approx(median * factor, rel=0.02)
    assert found.span == pytest.approx(factor - 1 / factor, rel=0.02)
    assert found.geometric_standard_deviation == pytest.approx(np.exp(SPREAD), rel=0.02)


@pytest.mark.parametrize(("p", "q"), [(1, 0), (3, 2), (4, 3), (3, 0), (2, 2), (3, 3)])
def test_mean_diameters_of_a_log_normal_sample_are_those_of_theory(
    sample: np.ndarray, p: int, q: int
) -> None:
    # D[p,q] = median · exp((p + q)·s²/2), ISO 9276-5.
    assert mean_diameter(sample, p, q) == pytest.approx(50.0 * np.exp((p + q) * SPREAD**2 / 2), rel=0.01)


def test_mean_diameters_of_three_particles_by_hand() -> None:
    sizes = np.array([1.0, 2.0, 3.0])
    assert mean_diameter(sizes, 1, 0) == pytest.approx(2.0)
    assert mean_diameter(sizes, 3, 2) == pytest.approx(36 / 14)
    assert mean_diameter(sizes, 4, 3) == pytest.approx(98 / 36)
    assert mean_diameter(sizes, 0, 0) == pytest.approx(6 ** (1 / 3))
    assert mean_diameter(sizes, 1, 0, np.array([2.0, 0.0, 1.0])) == pytest.approx(5 / 3)


def test_one_large_particle_is_nothing_by_number_and_half_by_volume() -> None:
    sizes = np.array([1.0] * 1000 + [10.0])
    by_number, by_volume = Distribution.of(sizes), Distribution.of(sizes, weighting="volume")
    assert by_number.cumulative(5.0) == pytest.approx(1000 / 1001)
    assert by_volume.cumulative(5.0) == pytest.approx(0.5)
    assert by_number.percentile(90.0) == 1.0


def test_a_weight_counts_like_so_many_particles() -> None:
    sizes = np.array([3.0, 5.0, 8.0])
    twice = Distribution.of(np.repeat(sizes, 2), weighting="area")
    weighted = Distribution.of(sizes, weighting="area", weights=np.full(3, 2.0))
    for size in (2.0, 3.0, 6.0, 8.0):
        assert twice.cumulative(size) == pytest.approx(weighted.cumulative(size))
    assert mean_diameter(np.repeat(sizes, [1, 3, 2]), 4, 3) == pytest.approx(
        mean_diameter(sizes, 4, 3, np.array([1.0, 3.0, 2.0]))
    )


def test_amounts_replace_powers_of_the_size() -> None:
    sizes = np.array([1.0, 2.0, 4.0])
    given_volumes = Distribution.of(sizes, amounts=sizes**3)
    assert np.allclose(given_volumes.shares, Distribution.of(sizes, weighting="volume").shares)


@given(_sizes, st.sampled_from(list(WEIGHTINGS)), st.floats(0.01, 100.0))
@settings(max_examples=100, deadline=None)
def test_percentiles_ascend_stay_within_the_sizes_and_scale_with_them(
    sizes: np.ndarray, weighting: str, factor: float
) -> None:
    found = Distribution.of(sizes, weighting=weighting)
    values = found.percentile(np.linspace(0, 100, 21))
    assert (np.diff(values) >= 0).all()
    assert sizes.min() <= values[0]
    assert values[-1] <= sizes.max()
    scaled = Distribution.of(sizes * factor, weighting=weighting).percentile(np.linspace(0, 100, 21))
    np.testing.assert_allclose(scaled, values * factor, rtol=1e-9)


@given(_sizes)
@settings(max_examples=100, deadline=None)
def test_means_of_higher_powers_are_larger(sizes: np.ndarray) -> None:
    means = [mean_diameter(sizes, p, q) for p, q in ((1, 0), (2, 1), (3, 2), (4, 3), (4, 4))]
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(means))
    assert sizes.min() * (1 - 1e-9) <= means[0]
    assert means[-1] <= sizes.max() * (1 + 1e-9)


@given(_sizes, st.sampled_from(["R5", "R10", "R20"]))
@settings(max_examples=100, deadline=None)
def test_classes_enclose_all_sizes_and_shares_add_up(sizes: np.ndarray, series: str) -> None:
    edges = preferred_classes(sizes.min(), sizes.max(), series)
    assert edges[0] <= sizes.min() < edges[1]
    assert edges[-2] <= sizes.max() < edges[-1]
    found = histogram(Distribution.of(sizes, weighting="volume"), edges)
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.below == pytest.approx(0.0)
    assert found.above == pytest.approx(0.0, abs=1e-12)
    assert (found.density * np.diff(edges)).sum() == pytest.approx(1.0)
    assert (found.density_log * np.diff(np.log(edges))).sum() == pytest.approx(1.0)


def test_classes_have_the_standards_rounded_numbers() -> None:
    assert preferred_classes(10, 100).tolist() == [10, 12.5, 16, 20, 25, 31.5, 40, 50, 63, 80, 100, 125]
    assert preferred_classes(0.5, 0.5).tolist() == [0.5, 0.63]
    # Rounded to about one per cent of the exact geometric series (ISO 3, table 1).
    for name, numbers in PREFERRED.items():
        exact = 10 ** (np.arange(len(numbers)) / int(name[1:]))
        np.testing.assert_allclose(numbers, exact, rtol=0.0135)


def test_logarithmic_classes_have_equal_ratios() -> None:
    edges = logarithmic_classes(3.0, 470.0, per_decade=7)
    np.testing.assert_allclose(np.diff(np.log10(edges)), 1 / 7)
    assert edges[0] <= 3.0 < edges[1]
    assert edges[-2] <= 470.0 < edges[-1]


def test_sizes_outside_the_classes_are_told() -> None:
    found = histogram(Distribution.of(np.array([1.0, 3.0, 5.0, 7.0])), np.array([2.0, 4.0, 6.0]))
    assert (found.below, found.above) == (pytest.approx(0.25), pytest.approx(0.25))
    assert found.shares.tolist() == pytest.approx([0.25, 0.25])


def test_the_densitys_peak_is_the_mode_of_theory(sample: np.ndarray) -> None:
    edges = logarithmic_classes(10, 300, per_decade=40)
    found = histogram(Distribution.of(sample), edges)
    middles = np.sqrt(edges[1:] * edges[:-1])
    assert middles[np.argmax(found.density)] == pytest.approx(50 * np.exp(-(SPREAD**2)), rel=0.08)
    assert middles[np.argmax(found.density_log)] == pytest.approx(50.0, rel=0.08)


def test_a_summary_of_nothing_says_nothing() -> None:
    empty = summary(np.zeros(0))
    assert empty["measured"] == 0
    assert empty["volume"] == {"d10": None, "d50": None, "d90": None, "span": None}
    assert set(empty["mean"].values()) == {None}
    cut = summary(np.array([5.0]), np.array([0.0]))
    assert cut["measured"] == 0


def test_a_summary_holds_what_its_parts_say(sample: np.ndarray) -> None:
    told = summary(sample[:1000])
    assert told["measured"] == 1000
    by_volume = Distribution.of(sample[:1000], weighting="volume")
    assert told["volume"]["d90"] == by_volume.percentile(90.0)
    assert told["mean"]["D[4,3]"] == mean_diameter(sample[:1000], 4, 3)


@pytest.mark.parametrize("sizes", [[], [0.0], [-1.0], [np.nan], [[1.0]]])
def test_what_has_no_distribution_is_refused(sizes: list[float]) -> None:
    with pytest.raises(BadInput):
        Distribution.of(np.array(sizes))


def test_weights_classes_and_powers_out_of_range_are_refused() -> None:
    for weights in ([-1.0, 1.0], [1.0], [np.nan, 1.0], [0.0, 0.0]):
        with pytest.raises(BadInput):
            Distribution.of(np.array([1.0, 2.0]), weights=np.array(weights))
    with pytest.raises(BadInput):
        mean_diameter(np.array([1.0]), 11, 0)
    for edges in ([1.0], [2.0, 1.0], [0.0, 1.0], [1.0, 1.0]):
        with pytest.raises(BadInput):
            histogram(Distribution.of(np.array([1.0])), np.array(edges))
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1e-200, 1e200), (np.nan, 1.0)):
        with pytest.raises(BadInput):
            preferred_classes(low, high)
        with pytest.raises(BadInput):
            logarithmic_classes(low, high)
