"""The range for a count is held against drawn piles of discs, of which every one is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.sizing.counting import (
    _TAIL,
    MAX_COVERAGE,
    _most_hidden,
    count_interval,
    found_share,
    reach_from,
)

SIDE, MARGIN, RADIUS = 500, 100, 18.0


def _pile(rng: np.random.Generator, load: float, spread: float, core: float = 0.0) -> tuple[int, int, float]:
    """A Boolean model of discs, later ones on top: how many have their middle in the picture, how many are found, what is covered.

    Found is one to whose middle no later disc comes nearer than `core`; covered is a share of the picture.
    """
    area = math.pi * RADIUS**2 * math.exp(2 * spread**2)
    count = rng.poisson(load / area * (SIDE + 2 * MARGIN) ** 2)
    places = rng.uniform(-MARGIN, SIDE + MARGIN, (count, 2))
    radii = RADIUS * np.exp(rng.normal(0, spread, count))
    inside = ((places >= 0) & (places < SIDE)).all(axis=1)
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    order = np.arange(count)
    hidden = ((apart < radii[None] + core) & (order[None] > order[:, None])).any(axis=1)
    half = (SIDE + 2 * MARGIN) // 2
    covered = np.zeros((half, half), dtype=bool)
    for (x, y), radius in zip((places + MARGIN) / 2, radii / 2, strict=True):
        top, left = max(0, int(y - radius)), max(0, int(x - radius))
        rows, columns = np.ogrid[top : min(half, int(y + radius) + 2), left : min(half, int(x + radius) + 2)]
        disc = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2
        covered[top : top + len(rows), left : left + columns.shape[1]] |= disc
    covered = covered[MARGIN // 2 : -MARGIN // 2, MARGIN // 2 : -MARGIN // 2]
    return int(inside.sum()), int((inside & ~hidden).sum()), float(covered.mean())


@pytest.mark.parametrize(("load", "spread"), [(0.4, 0.2), (1.5, 0.2), (1.2, 0.5)])
def test_the_range_holds_the_truth_about_as_often_as_it_says(load: float, spread: float) -> None:
    rng = np.random.default_rng(int(10 * load + spread))
    variation = math.sqrt(math.exp(4 * spread**2) - 1)
    held, ratios, trials = 0, [], 100
    for _ in range(trials):
        truth, found, coverage = _pile(rng, load, spread)
        told = count_interval(found, min(coverage, MAX_COVERAGE), area_variation=variation, level=0.9)
        held += told.count_low <= truth <= told.count_high
        ratios.append(told.count / truth)
        assert told.count_low <= told.count <= told.count_high
    # 0.9 with three standard errors of 100 trials below; whole numbers make the range a little wide.
    assert held / trials > 0.81
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)


def test_a_finder_that_needs_a_core_to_be_seen_has_the_reach_of_geometry() -> None:
    # Discs of one size R and a core c: lost if a later middle is within R + c, so reach = (1 + c/R)².
    rng = np.random.default_rng(3)
    core, load = 0.5 * RADIUS, 0.9
    piles = [_pile(rng, load, 0.0, core) for _ in range(40)]
    truth, found = sum(pile[0] for pile in piles), sum(pile[1] for pile in piles)
    coverage = float(np.mean([pile[2] for pile in piles]))
    assert found / truth == pytest.approx(found_share(coverage, 2.25), rel=0.03)
    assert reach_from(found / truth, coverage) == pytest.approx(2.25, rel=0.1)


def test_a_count_without_hiding_and_doubt_is_exact() -> None:
    told = count_interval(37, 0.0)
    assert (told.count_low, told.count, told.count_high, told.hidden_share) == (37, 37, 37, 0.0)
    assert count_interval(37, 0.6, reach=0.0).count_high == 37


def test_the_range_is_the_negative_binomials() -> None:
    from scipy.stats import nbinom

    share = found_share(0.5)
    assert share == pytest.approx(0.5 / math.log(2))
    told = count_interval(100, 0.5)
    low, middle, high = 100 + nbinom.ppf([0.025, 0.5, 0.975], 100.5, share)
    assert (told.count_low, told.count, told.count_high) == (low, middle, high)
    assert told.hidden_share == pytest.approx(1 - share)


def test_doubtful_finds_widen_the_range_as_independent_events_do() -> None:
    from scipy.stats import binom

    told = count_interval(200, 0.0, probabilities=np.full(200, 0.7))
    assert told.count_low == binom.ppf(0.025, 200, 0.7)
    assert told.count == binom.ppf(0.5, 200, 0.7)
    assert told.count_high == binom.ppf(0.975, 200, 0.7)
    mixed = np.random.default_rng(0).uniform(0, 1, 1500)
    mixed[:500] = 1.0
    many = count_interval(1500, 0.3, probabilities=mixed)
    drawn = np.random.default_rng(1)
    true_found = (drawn.uniform(size=(4000, 1500)) < mixed).sum(axis=1)
    share = found_share(0.3)
    total = true_found + drawn.negative_binomial(true_found + 0.5, share)
    assert many.count == pytest.approx(np.median(total), rel=0.005)
    assert many.count_low == pytest.approx(np.quantile(total, 0.025), rel=0.01)
    assert many.count_high == pytest.approx(np.quantile(total, 0.975), rel=0.01)


@given(st.integers(0, 300), st.floats(0, MAX_COVERAGE), st.floats(0, 5), st.floats(0.3, 1.0), st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_more_hiding_means_more_particles_and_never_fewer_than_found(
    found: int, coverage: float, reach: float, recall: float, variation: float
) -> None:
    told = count_interval(found, coverage, reach=reach, recall=recall, area_variation=variation)
    assert found <= told.count_low <= told.count <= told.count_high
    plain = count_interval(found, coverage, reach=reach, recall=recall)
    assert plain.count >= count_interval(found, coverage / 2, reach=reach, recall=recall).count
    wider = count_interval(found, coverage, reach=reach, recall=recall, level=0.99)
    assert wider.count_low <= plain.count_low
    assert plain.count_high <= wider.count_high


@given(st.floats(0.01, 0.9), st.floats(0.01, 10.0))
@settings(max_examples=60, deadline=None)
def test_a_reach_comes_back_from_the_share_it_gives(coverage: float, reach: float) -> None:
    assert reach_from(found_share(coverage, reach), coverage) == pytest.approx(reach, rel=1e-4, abs=1e-6)


def test_values_out_of_range_are_refused() -> None:
    for found, coverage, values in (
        (-1, 0.1, {}),
        (10**9, 0.1, {}),
        (5, 0.99, {}),
        (5, -0.1, {}),
        (5, math.nan, {}),
        (5, 0.1, {"reach": 50.0}),
        (5, 0.1, {"recall": 0.0}),
        (5, 0.1, {"level": 1.0}),
        (5, 0.1, {"area_variation": -1.0}),
        (5, 0.1, {"probabilities": np.ones(4)}),
        (2, 0.1, {"probabilities": np.array([0.5, 1.5])}),
        (2, 0.1, {"probabilities": np.array([0.5, np.nan])}),
    ):
        with pytest.raises(BadInput):
            count_interval(found, coverage, **values)
    for share, coverage in ((0.0, 0.5), (0.5, 0.0), (0.01, 0.05)):
        with pytest.raises(BadInput):
            reach_from(share, coverage)
    assert reach_from(1.0, 0.5) == 0.0


@settings(deadline=None)
@given(st.floats(0.5, 1e5), st.floats(0.005, 1.0, exclude_max=True))
def test_the_bound_of_those_hidden_is_at_or_a_little_above_the_quantile(found: float, share: float) -> None:
    from scipy.stats import nbinom

    exact = int(nbinom.ppf(1.0 - _TAIL, found, share))
    assert exact <= _most_hidden(found, share) <= 1.5 * exact + 5
