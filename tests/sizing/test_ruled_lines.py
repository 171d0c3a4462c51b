from __future__ import annotations

import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.sizing.ruled_lines import find_lines


def _scale(
    period: float,
    degrees: float,
    *,
    width: float = 2.0,
    noise: float = 8.0,
    stretch: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """A drawn object micrometer: dark lines on light glass, every fifth and tenth one longer."""
    height, across = 270, 360
    v, u = np.mgrid[:height, :across].astype(float)
    turn = np.radians(degrees)
    along = (u - across / 2) * np.cos(turn) + (v - height / 2) * np.sin(turn) + 3.3
    aside = np.abs(-(u - across / 2) * np.sin(turn) + (v - height / 2) * np.cos(turn))
    along = along + stretch * along**2 / across
    number = np.round(along / period)
    length = np.where(number % 10 == 0, 120, np.where(number % 5 == 0, 90, 60))
    ink = np.clip(width / 2 + 0.5 - np.abs(along - number * period), 0, 1) * (aside < length)
    return 200 - 150 * ink + np.random.default_rng(seed).normal(0, noise, (height, across))


@pytest.mark.parametrize(("period", "degrees"), [(23.37, 12.0), (11.2, -35.0), (20.123, 88.0), (6.5, 0.0)])
def test_the_period_is_found_to_a_thousandth_however_lines_are_turned(period: float, degrees: float) -> None:
    found = find_lines(_scale(period, degrees))
    assert found.period == pytest.approx(period, rel=1e-3)
    assert found.angle == pytest.approx(degrees, abs=0.5)
    assert abs(found.period - period) < 5 * found.uncertainty + 1e-3 * period


@pytest.mark.parametrize("width", [1.0, 8.0])
def test_the_width_of_lines_does_not_matter(width: float) -> None:
    assert find_lines(_scale(20.0, 5.0, width=width)).period == pytest.approx(20.0, rel=1e-3)


def test_noise_and_colour_are_borne_and_told_as_uncertainty() -> None:
    clear, noisy = find_lines(_scale(15.0, 20.0, noise=2.0)), find_lines(_scale(15.0, 20.0, noise=60.0))
    assert noisy.period == pytest.approx(15.0, rel=5e-3)
    assert noisy.uncertainty > clear.uncertainty
    coloured = np.stack([_scale(15.0, 20.0), np.full((270, 360), 90.0), _scale(15.0, 20.0, seed=1)], axis=2)
    assert find_lines(coloured).period == pytest.approx(15.0, rel=1e-3)


def test_distortion_is_told_as_uncertainty_and_refused_when_large() -> None:
    straight, bent = find_lines(_scale(15.0, 0.0)), find_lines(_scale(15.0, 0.0, stretch=0.01))
    assert bent.uncertainty > 3 * straight.uncertainty
    with pytest.raises(BadInput):
        find_lines(_scale(15.0, 0.0, stretch=0.2))


def test_pictures_without_lines_are_refused() -> None:
    rng = np.random.default_rng(0)
    few = _scale(150.0, 0.0, noise=1.0)
    for picture in (
        rng.normal(0, 1, (200, 300)),
        np.zeros((100, 100)),
        np.zeros((10, 100)),
        np.full((99, 99), np.nan),
        few,
    ):
        with pytest.raises(BadInput, match="micrometer"):
            find_lines(picture)
