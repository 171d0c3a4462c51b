"""Outlines as polygons: seen from inside, against formulas and an independent search along the ray."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.polygons import enclosed, gauge, reach, shares, surrounds

ANGLES = 2 * np.pi * np.arange(24) / 24
SQUARE = np.array([[-2.0, -1.0], [2.0, -1.0], [2.0, 1.0], [-2.0, 1.0]])
BAY = np.array([[-3.0, -3], [3, -3], [3, 3], [1, 3], [1, 1], [-1, 1], [-1, 3], [-3, 3]])


def walked(outline: np.ndarray, angle: float) -> float:
    """How far one can go before leaving: by small steps, each asked whether it is inside."""
    steps = np.arange(0.0, 20.0, 0.05)
    inside = [surrounds(outline, r * np.cos(angle), r * np.sin(angle)) for r in steps]
    return float(steps[int(np.argmin(inside))])


@st.composite
def stars(draw: st.DrawFn) -> np.ndarray:
    """A polygon with bays around the origin, either way round."""
    count = draw(st.integers(3, 12))
    radii = np.array(draw(st.lists(st.floats(1.0, 12.0), min_size=count, max_size=count)))
    angles = 2 * np.pi * (np.arange(count) + draw(st.floats(0, 1))) / count
    made = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return made[::-1] if draw(st.booleans()) else made


@given(stars())
@settings(max_examples=12, deadline=None)
def test_a_ray_ends_where_one_that_walks_it_leaves_the_outline(outline: np.ndarray) -> None:
    # A triangle of three corners may leave the origin out by rounding at most; then there is nothing to compare.
    if not surrounds(outline, 0.0, 0.0):
        return
    found = reach(outline, ANGLES[::5])
    np.testing.assert_allclose(found, [walked(outline, a) for a in ANGLES[::5]], atol=0.06)


@given(stars(), st.floats(0.1, 3.0))
@settings(max_examples=40, deadline=None)
def test_the_gauge_is_the_distance_over_the_reach(outline: np.ndarray, distance: float) -> None:
    out = gauge(outline, distance * np.cos(ANGLES), distance * np.sin(ANGLES))
    np.testing.assert_allclose(out, distance / reach(outline, ANGLES), rtol=1e-9)


def test_of_an_outline_with_a_bay_the_nearest_side_counts() -> None:
    assert reach(BAY, np.array([np.pi / 2]))[0] == pytest.approx(1.0)
    assert reach(BAY, np.array([0.0]))[0] == pytest.approx(3.0)
    assert reach(SQUARE, np.array([np.arctan2(1, 2)]))[0] == pytest.approx(np.sqrt(5))


def test_areas_and_insides() -> None:
    assert enclosed(SQUARE) == pytest.approx(8)
    assert enclosed(BAY[::-1] + 1000) == pytest.approx(32)
    assert surrounds(BAY, 0, 0)
    assert not surrounds(BAY, 0, 2)
    assert surrounds(BAY, 2, 2)


def test_shares_of_pixels_sum_to_the_area_at_any_place_and_scale() -> None:
    rng = np.random.default_rng(4)
    for scale in (1.0, 0.5):
        for _ in range(20):
            angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
            outline = rng.uniform(20, 44, 2) + rng.uniform(6, 16) * np.stack(
                [np.cos(angles), np.sin(angles)], 1
            )
            ((_, _, share),) = shares([outline], round(64 * scale), round(64 * scale), scale=scale)
            assert share.min() >= 0.0
            assert share.max() <= 1.0
            # Slanted sides and corners: a pixel's share is off by a tenth at most, and errors of both signs cancel.
            assert share.sum() / scale**2 == pytest.approx(enclosed(outline), rel=0.03)


def test_pixels_half_within_count_half_and_outside_of_the_picture_nothing() -> None:
    ((rows, columns, share),) = shares([SQUARE + 10.0], 20, 20)
    drawn = np.zeros((20, 20))
    drawn[rows, columns] = share
    np.testing.assert_allclose(drawn[9:12, 8:13], np.outer([0.5, 1, 0.5], [0.5, 1, 1, 1, 0.5]), atol=0.26)
    ((_, _, nothing),) = shares([SQUARE - 100.0], 20, 20)
    assert nothing.size == 0


def test_a_bay_is_not_covered() -> None:
    ((rows, columns, share),) = shares([BAY * 4 + 20], 40, 40)
    drawn = np.zeros((40, 40))
    drawn[rows, columns] = share
    assert drawn[30, 20] == 0.0
    assert drawn[30, 12] == 1.0
    assert drawn.sum() == pytest.approx(enclosed(BAY * 4), rel=0.02)
