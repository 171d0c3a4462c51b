from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cloister.data.peaks import _highest, find_peaks
from cloister.foundation.errors import BadInput


def _bumps(
    points: list[tuple[float, float]], sigma: float = 3.0, shape: tuple[int, int] = (80, 100)
) -> np.ndarray:
    v, u = np.mgrid[: shape[0], : shape[1]]
    bumps = [np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)) for x, y in points]
    return np.max(bumps, axis=0).astype(np.float32)


def test_each_bump_is_found_once_where_it_is() -> None:
    points = [(10.0, 12.0), (50.0, 40.0), (99.0, 79.0), (0.0, 70.0)]
    found = find_peaks(_bumps(points), 0.5, 5, border=True)
    assert sorted(map(tuple, found.tolist())) == sorted(points)


def test_a_map_that_rises_towards_the_outside_has_no_peak_there() -> None:
    heat = _bumps([(-1.0, 30.0), (50.0, 80.5), (50.0, 40.0)])
    assert find_peaks(heat, 0.5, 5).tolist() == [[50, 40]]


def test_subpixel_peaks_are_closer_to_the_truth() -> None:
    heat = _bumps([(30.3, 20.4)])
    coarse, fine = find_peaks(heat, 0.5, 5)[0], find_peaks(heat, 0.5, 5, subpixel=True)[0]
    truth = np.array([30.3, 20.4])
    assert np.abs(fine - truth).max() < 0.1 < np.abs(coarse - truth).max()


def test_of_two_near_peaks_the_higher_stays() -> None:
    heat = np.zeros((20, 20), dtype=np.float32)
    heat[5, 5], heat[5, 10] = 0.8, 0.9
    assert find_peaks(heat, 0.5, 5).tolist() == [[10, 5]]
    assert len(find_peaks(heat, 0.5, 4)) == 2


def test_a_plateau_is_one_peak() -> None:
    heat = np.zeros((40, 40), dtype=np.float32)
    heat[10:13, 10:13] = 1.0
    assert len(find_peaks(heat, 0.5, 5)) == 1


def test_values_that_are_not_finite_are_never_peaks() -> None:
    heat = np.full((10, 10), np.nan, dtype=np.float32)
    heat[3, 3] = np.inf
    heat[7, 7] = 0.9
    assert find_peaks(heat, 0.5, 2).tolist() == [[7, 7]]


@given(
    npst.arrays(
        np.float32, st.tuples(st.integers(0, 25), st.integers(0, 25)), elements=st.floats(0, 1, width=32)
    ),
    st.floats(0, 1),
    st.integers(1, 8),
)
@settings(max_examples=80, deadline=None)
def test_peaks_are_above_the_threshold_and_apart(heat: np.ndarray, threshold: float, distance: int) -> None:
    peaks = find_peaks(heat, threshold, distance, border=True)
    for x, y in peaks:
        assert heat[int(y), int(x)] >= threshold
    gaps = np.hypot(*(peaks[:, None] - peaks[None]).transpose(2, 0, 1)) + np.eye(len(peaks)) * 1e9
    assert gaps.size == 0 or gaps.min() > distance
    if heat.size and heat.max() >= threshold:
        assert len(peaks) >= 1


@pytest.mark.parametrize(("shape", "distance"), [((3, 3, 3), 2), ((4, 4), 0)])
def test_a_wrong_map_or_distance_is_refused(shape: tuple[int, ...], distance: int) -> None:
    with pytest.raises(BadInput):
        find_peaks(np.zeros(shape), 0.5, distance)


@settings(deadline=None)
@given(
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(-2, 3).map(float),
    ),
    st.integers(1, 6),
)
def test_what_is_proposed_is_what_a_maximum_filter_proposes(values: np.ndarray, distance: int) -> None:
    from scipy import ndimage

    reach = max(1, int(distance / np.sqrt(2.0)))
    highest = ndimage.maximum_filter(values, size=2 * reach + 1, mode="constant", cval=-np.inf)
    rows, columns = np.nonzero((values == highest) & (values >= 0))
    found = _highest(values, 0.0, reach)
    assert sorted(zip(*found, strict=True)) == sorted(zip(rows, columns, strict=True))
