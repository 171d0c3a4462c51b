from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cloister.foundation.errors import BadInput
from cloister.sizing.descriptors import (
    COLUMNS,
    LENGTHS,
    RATIOS,
    describe,
    extents,
    form_factor,
    from_rays,
    stack,
)


def _one(corners: list[tuple[float, float]]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in describe(stack([np.array(corners)])).items()}


def _reference(points: np.ndarray) -> dict[str, float]:
    """The same by other means: Qhull, every pair, and Feret diameters at 10 000 directions."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    angles = np.linspace(0.0, np.pi, 10_000, endpoint=False)
    widths = np.ptp(points @ np.stack([np.cos(angles), np.sin(angles)]), axis=0)
    signed = points[:, 0] @ np.roll(points[:, 1], -1) - points[:, 1] @ np.roll(points[:, 0], -1)
    largest = int(np.argmax(widths))
    return {
        "area": abs(signed) / 2.0,
        "perimeter": float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).sum()),
        "feret": float(np.linalg.norm(points[:, None] - points[None], axis=2).max()),
        "feret_min": float(widths.min()),
        "feret_90": float(widths[(largest + 5_000) % 10_000]),
        "hull_area": hull.volume,
        "hull_perimeter": hull.area,
    }


def test_a_rectangle_has_the_values_of_the_textbook() -> None:
    found = _one([(10, 20), (14, 20), (14, 23), (10, 23)])
    assert found["area"] == pytest.approx(12.0)
    assert (found["x"], found["y"]) == (pytest.approx(12.0), pytest.approx(21.5))
    assert found["diameter"] == pytest.approx(np.sqrt(48.0 / np.pi))
    assert found["feret"] == pytest.approx(5.0)
    assert found["feret_min"] == pytest.approx(3.0)
    assert found["feret_90"] == pytest.approx(2 * 12.0 / 5.0)
    assert found["perimeter"] == pytest.approx(14.0)
    assert found["aspect_ratio"] == pytest.approx(0.6)
    assert found["circularity"] == pytest.approx(np.sqrt(4 * np.pi * 12.0) / 14.0)
    assert found["convexity"] == found["solidity"] == pytest.approx(1.0)


def test_a_notch_lowers_convexity_and_solidity() -> None:
    found = _one([(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)])
    assert found["area"] == pytest.approx(10.0)
    assert found["solidity"] == pytest.approx(10.0 / 16.0)
    assert found["convexity"] == pytest.approx(16.0 / (12.0 + 2 * np.sqrt(13.0)))


def test_form_factor_is_the_square_of_circularity() -> None:
    columns = describe(stack([np.array([(0, 0), (1, 0), (1, 1), (0, 1)])]))
    assert form_factor(columns) == pytest.approx(np.pi / 4.0)
    assert columns["circularity"] == pytest.approx(np.sqrt(np.pi) / 2.0)


@pytest.mark.parametrize("corners", [32, 64, 360])
def test_a_discs_polygon_is_too_small_by_as_much_as_the_docstring_says(corners: int) -> None:
    columns = describe(from_rays(np.array([[100.0, 50.0]]), np.full((1, corners), 20.0)))
    turn = 2 * np.pi / corners
    assert columns["area"] == pytest.approx(400 * np.pi * np.sin(turn) / turn)
    assert columns["perimeter"] == pytest.approx(40 * np.pi * np.sin(turn / 2) / (turn / 2))
    assert columns["feret"] == pytest.approx(40.0)
    assert columns["feret_min"] == pytest.approx(40.0 * np.cos(turn / 2))
    assert columns["circularity"] == pytest.approx(1.0, abs=0.002)


def test_an_ellipse_has_its_axes() -> None:
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    turn = 0.7
    flat = np.stack([30 * np.cos(angles), 12 * np.sin(angles)], axis=1)
    turned = flat @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    columns = describe(turned[None] + 500.0)
    assert columns["feret"] == pytest.approx(60.0, rel=1e-4)
    assert columns["feret_min"] == pytest.approx(24.0, rel=1e-4)
    assert columns["feret_90"] == pytest.approx(24.0, rel=1e-4)
    assert columns["diameter"] == pytest.approx(2 * np.sqrt(30 * 12), rel=1e-4)
    wide, high = extents(turned[None])
    assert wide == pytest.approx(2 * np.hypot(30 * np.cos(turn), 12 * np.sin(turn)), rel=1e-4)
    assert high == pytest.approx(2 * np.hypot(30 * np.sin(turn), 12 * np.cos(turn)), rel=1e-4)


@pytest.mark.parametrize("corners", [3, 4, 7, 32, 65])
def test_random_outlines_agree_with_a_second_implementation(corners: int) -> None:
    rng = np.random.default_rng(corners)
    polygons = from_rays(rng.uniform(0, 3000, (15, 2)), rng.uniform(5, 30, (15, corners)))
    columns = describe(polygons)
    for number, points in enumerate(polygons):
        wanted = _reference(points)
        for name in ("area", "perimeter", "feret"):
            assert columns[name][number] == pytest.approx(wanted[name], rel=1e-9)
        # The reference samples directions, so it may only be larger, and hardly.
        assert columns["feret_min"][number] <= wanted["feret_min"] * (1 + 1e-12)
        assert columns["feret_min"][number] == pytest.approx(wanted["feret_min"], rel=1e-3)
        assert columns["feret_90"][number] == pytest.approx(wanted["feret_90"], rel=1e-3)
        assert columns["solidity"][number] == pytest.approx(wanted["area"] / wanted["hull_area"], rel=1e-9)
        wanted_convexity = wanted["hull_perimeter"] / wanted["perimeter"]
        assert columns["convexity"][number] == pytest.approx(wanted_convexity, rel=1e-9)


_rays = npst.arrays(np.float64, (5, 12), elements=st.floats(0.5, 100.0))


@given(_rays)
@settings(max_examples=30, deadline=None)
def test_every_outline_keeps_the_order_of_its_sizes(radii: np.ndarray) -> None:
    columns = describe(from_rays(np.zeros((5, 2)), radii))
    tolerance = 1 + 1e-9
    assert (columns["feret_min"] <= columns["feret_90"] * tolerance).all()
    assert (columns["feret_90"] <= columns["feret"] * tolerance).all()
    assert (columns["diameter"] <= columns["feret"] * tolerance).all()
    assert (2 * columns["feret"] <= columns["perimeter"] * tolerance).all()
    for name in RATIOS:
        assert ((columns[name] > 0) & (columns[name] <= 1)).all(), name


@given(_rays, st.floats(0, 2 * np.pi), st.floats(0.1, 10.0), st.floats(-1e4, 1e4))
@settings(max_examples=30, deadline=None)
def test_turning_moving_and_scaling_change_only_what_they_should(
    radii: np.ndarray, turn: float, scale: float, shift: float
) -> None:
    polygons = from_rays(np.zeros((5, 2)), radii)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    before, after = describe(polygons), describe(polygons @ spin * scale + shift)
    np.testing.assert_allclose(after["area"], before["area"] * scale**2, rtol=1e-6)
    for name in LENGTHS:
        # Nearly equal largest diameters may swap by rounding, and with them the one at right angles.
        if name != "feret_90":
            np.testing.assert_allclose(after[name], before[name] * scale, rtol=1e-6)
    for name in RATIOS:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6)


def test_of_equally_large_diameters_the_one_with_the_narrowest_across_counts() -> None:
    # Two diagonals of 10; across the one lies 10, across the other 8.
    assert _one([(-5, 0), (0, -5), (5, 0), (0, 5)])["feret_90"] == pytest.approx(10.0)
    kite = [(-5, 0), (3, -4), (5, 0), (-3, 4)]
    assert _one(kite)["feret"] == pytest.approx(10.0)
    assert _one(kite)["feret_90"] == pytest.approx(8.0)


def test_a_calibration_scales_lengths_and_areas_and_leaves_places() -> None:
    polygons = stack([np.array([(0, 0), (8, 0), (8, 6), (0, 6)])])
    pixels, micrometres = describe(polygons), describe(polygons, micrometres_per_pixel=0.5)
    assert micrometres["area"] == pytest.approx(pixels["area"] / 4)
    assert micrometres["feret"] == pytest.approx(pixels["feret"] / 2)
    assert micrometres["x"] == pytest.approx(pixels["x"])
    assert micrometres["solidity"] == pytest.approx(pixels["solidity"])


def test_outlines_without_area_are_lines_and_points_and_not_errors() -> None:
    columns = describe(stack([np.array([(1, 1), (5, 4)]), np.array([(7.0, 7.0)])]))
    assert columns["area"].tolist() == [0.0, 0.0]
    assert columns["feret"] == pytest.approx([5.0, 0.0])
    assert columns["feret_min"] == pytest.approx([0.0, 0.0])
    assert columns["aspect_ratio"][0] == pytest.approx(0.0)
    assert np.isnan([columns[name][1] for name in RATIOS]).all()
    assert (columns["x"][1], columns["y"][1]) == (7.0, 7.0)


def test_no_outlines_give_empty_columns() -> None:
    columns = describe(np.zeros((0, 32, 2)))
    assert set(columns) == set(COLUMNS)
    assert all(values.shape == (0,) for values in columns.values())
    assert stack([]).shape == (0, 3, 2)


def test_many_outlines_are_the_same_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    polygons = from_rays(rng.uniform(0, 100, (700, 2)), rng.uniform(5, 30, (700, 50)))
    together = describe(polygons)
    for number in (0, 1, 349, 699):
        alone = describe(polygons[number : number + 1])
        for name in COLUMNS:
            assert alone[name][0] == pytest.approx(together[name][number], rel=1e-12), name


def test_five_thousand_outlines_take_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(0)
    polygons = from_rays(rng.uniform(0, 2000, (5000, 2)), 10 + rng.uniform(0, 1, (5000, 32)))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        describe(polygons)
        seconds.append(time.process_time() - start)
    # About 0.2 s where this was written; a loop over outlines takes several seconds.
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "polygons",
    [
        np.zeros((4, 2)),
        np.zeros((1, 2, 2)),
        np.zeros((1, 5, 3)),
        np.full((1, 4, 2), np.nan),
        np.zeros((1, 5000, 2)),
    ],
)
def test_what_is_no_outline_is_refused(polygons: np.ndarray) -> None:
    with pytest.raises(BadInput):
        describe(polygons)


def test_rays_scales_and_corners_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput):
        from_rays(np.zeros((2, 2)), np.ones((3, 8)))
    with pytest.raises(BadInput):
        from_rays(np.zeros((1, 2)), np.full((1, 8), -1.0))
    with pytest.raises(BadInput):
        stack([np.zeros((3, 3))])
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(BadInput):
            describe(np.zeros((1, 3, 2)), micrometres_per_pixel=scale)
