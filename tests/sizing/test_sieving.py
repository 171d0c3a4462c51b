from __future__ import annotations

import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.sizing.sieving import from_sieves, mean_aperture, on_probability_paper

APERTURES = np.array([1000.0, 850.0, 710.0, 600.0, 500.0, 425.0, 355.0, 250.0])


def _sieved(mean: float, deviation: float) -> tuple[np.ndarray, float]:
    """What would lie on each sieve, and in the pan, of sugar whose mass is normally distributed over aperture."""
    from scipy.stats import norm

    passing = norm.cdf(APERTURES, mean, deviation)
    above = np.concatenate([[1.0], passing[:-1]])
    return (above - passing) * 100.0, float(passing[-1]) * 100.0


def test_on_probability_paper_normal_sugar_has_its_mean_and_deviation() -> None:
    retained, pan = _sieved(600.0, 150.0)
    found = on_probability_paper(APERTURES, retained, pan)
    assert found.aperture == pytest.approx(600.0)
    assert found.variation == pytest.approx(25.0)


def test_reading_the_curve_of_normal_sugar_comes_close() -> None:
    retained, pan = _sieved(600.0, 150.0)
    found = from_sieves(APERTURES, retained, pan)
    assert found.aperture == pytest.approx(600.0, rel=0.01)
    # 16 % and 84 % lie 0.9945 deviations out; straight lines between sieves so far apart widen what is read.
    assert 25.0 * 0.9945 < found.variation < 25.0 * 1.08


def test_a_sieve_analysis_by_hand() -> None:
    # Passing 600, 400, 200: 90, 60, 10 %.
    found = from_sieves(np.array([200.0, 400.0, 600.0]), np.array([50.0, 30.0, 10.0]), pan=10.0)
    assert found.aperture == pytest.approx(360.0)
    assert found.d16 == pytest.approx(200 + 200 * 6 / 50)
    assert found.d84 == pytest.approx(400 + 200 * 24 / 30)
    assert found.variation == pytest.approx((560 - 224) / 720 * 100)


def test_the_order_of_sieves_does_not_matter() -> None:
    retained, pan = _sieved(550.0, 120.0)
    shuffled = np.random.default_rng(0).permutation(len(APERTURES))
    assert from_sieves(APERTURES, retained, pan) == from_sieves(APERTURES[shuffled], retained[shuffled], pan)


def test_pictures_give_what_ideal_sieves_would() -> None:
    # Crystals of one shape that pass the aperture of their width: the assumption itself, so the two must agree.
    rng = np.random.default_rng(4)
    widths = np.exp(rng.normal(np.log(450.0), 0.3, 60_000))
    lengths = widths * 1.4
    mass = widths**2 * lengths
    edges = np.arange(100.0, 3000.0, 10.0)
    retained = np.histogram(widths, bins=[*edges, np.inf], weights=mass)[0]
    picked = np.arange(0, len(edges), 3)
    coarse = np.add.reduceat(retained, picked)
    ideal = from_sieves(edges[picked], coarse, float(mass[widths < edges[0]].sum()))
    seen = mean_aperture(widths, lengths)
    assert seen.aperture == pytest.approx(ideal.aperture, rel=0.005)
    assert seen.variation == pytest.approx(ideal.variation, rel=0.01)


def test_mass_is_counted_by_length_too_and_by_weights() -> None:
    widths = np.array([100.0, 200.0, 300.0])
    cubes = mean_aperture(widths)
    needles = mean_aperture(widths, np.array([9000.0, 200.0, 300.0]))
    assert needles.aperture < cubes.aperture
    weighted = mean_aperture(widths, weights=np.array([1000.0, 1.0, 1.0]))
    assert weighted.aperture < cubes.aperture


def test_a_curve_that_does_not_span_16_to_84_per_cent_is_not_extrapolated() -> None:
    with pytest.raises(BadInput, match="span"):
        from_sieves(np.array([200.0, 400.0]), np.array([40.0, 40.0]), pan=20.0)
    with pytest.raises(BadInput, match="line"):
        on_probability_paper(np.array([200.0, 400.0]), np.array([0.0, 100.0]))


@pytest.mark.parametrize(
    ("apertures", "retained", "pan"),
    [
        ([200.0], [1.0], 0.0),
        ([200.0, 200.0], [1.0, 1.0], 0.0),
        ([200.0, 400.0], [1.0, -1.0], 0.0),
        ([200.0, 400.0], [0.0, 0.0], 0.0),
        ([200.0, 0.0], [1.0, 1.0], 0.0),
        ([200.0, 400.0], [1.0, np.nan], 0.0),
        ([200.0, 400.0], [1.0, 1.0], -1.0),
        ([200.0, 400.0], [1.0], 0.0),
    ],
)
def test_what_is_no_sieve_analysis_is_refused(
    apertures: list[float], retained: list[float], pan: float
) -> None:
    with pytest.raises(BadInput):
        from_sieves(np.array(apertures), np.array(retained), pan)
    with pytest.raises(BadInput):
        mean_aperture(np.array([1.0, 2.0]), np.array([1.0]))
