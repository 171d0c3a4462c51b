"""Outlines moved to edges: squares get their corners back, neighbours keep what is theirs, and nothing is moved without an edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.edges import WINDOW, moved_to_edges
from cloister.data.polygons import enclosed, reach, shares
from cloister.data.stars import ANGLES, RAYS, Stars, joined

SIDE = 160


def body(*outlines):
    """Logits of a map that sees these outlines sharply, at half the resolution."""
    covered = np.zeros((SIDE // 2, SIDE // 2), np.float32)
    for rows, columns, share in shares(outlines, *covered.shape, scale=0.5):
        np.maximum(covered[rows, columns], share, out=covered[rows, columns])
    return 20.0 * (covered - 0.5)


def discs(*places):
    """Objects that are known as circles: x, y and radius of each."""
    x, y, radius = (np.array(values, float) for values in zip(*places, strict=True))
    each = np.ones(len(x))
    return Stars(x, y, each, np.repeat(radius[:, None], RAYS, axis=1), each, each, each)


def square(x, y, half, turn=0.0):
    angles = turn + np.pi / 4 + np.pi / 2 * np.arange(4)
    return np.stack([x + half * 2**0.5 * np.cos(angles), y + half * 2**0.5 * np.sin(angles)], axis=1)


@given(st.floats(8, 30), st.floats(0, 1.5), st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=30, deadline=None)
def test_a_square_that_is_known_as_a_circle_gets_its_corners(half, turn, across, down):
    x, y = 80 + across, 80 + down
    outline = square(x, y, half, turn)
    (made,) = moved_to_edges(discs((x, y, half * 2 / np.pi**0.5)), body(outline)).rays
    wanted = reach(outline - (x, y), ANGLES)
    # Half a pixel of the picture: a quarter of one of the map's; a ray that meets a corner exactly may miss its tip.
    assert np.sort(np.abs(made - wanted))[: RAYS - 4].max() < 0.6
    assert np.abs(made - wanted).max() < 2.0


def test_the_area_is_that_of_the_body_also_where_the_circle_was_a_fifth_too_small_or_large():
    outline = square(80, 80, 15, 0.3)
    for factor in (0.8, 1.2):
        made = moved_to_edges(discs((80, 80, 17 * factor)), body(outline))
        assert enclosed(made.polygons()[0]) == pytest.approx(enclosed(outline), rel=0.04)


def test_an_edge_at_a_lower_probability_lies_farther_out_and_a_half_is_what_is_meant_without_one():
    outline = square(80, 80, 15)
    given_, seen = discs((80, 80, 17)), np.clip(0.5 * body(outline), -3, 3)
    areas = [enclosed(moved_to_edges(given_, seen, edge).polygons()[0]) for edge in (0.7, 0.5, 0.3)]
    assert areas == sorted(areas)
    assert areas[0] < areas[2]
    np.testing.assert_array_equal(moved_to_edges(given_, seen).rays, moved_to_edges(given_, seen, 0.5).rays)


def test_nothing_is_moved_where_no_body_ends():
    everywhere, nowhere = (
        np.full((SIDE // 2,) * 2, 9.0, np.float32),
        np.full((SIDE // 2,) * 2, -9.0, np.float32),
    )
    given_ = discs((40, 40, 12), (2, 158, 30))
    for seen in (everywhere, nowhere):
        np.testing.assert_array_equal(moved_to_edges(given_, seen).rays, given_.rays)


def test_of_two_that_touch_neither_takes_the_others_ground():
    one, other = square(60, 80, 14), square(88, 80, 14)
    given_ = discs((60, 80, 15.5), (88, 80, 15.5))
    made = moved_to_edges(given_, body(one, other))
    # Towards each other there is no edge: what the polygons say stays.
    assert made.rays[0, 0] == pytest.approx(15.5, rel=0.16)
    assert made.rays[1, RAYS // 2] == pytest.approx(15.5, rel=0.16)
    for outline, polygon in zip((one, other), made.polygons(), strict=True):
        assert enclosed(polygon) == pytest.approx(enclosed(outline), rel=0.1)


def test_a_ray_that_only_finds_something_elses_edge_is_held_by_its_neighbours():
    outline = square(80, 80, 20)
    seen = body(outline)
    # A crack in the body, one pixel wide, crosses a single ray at three quarters of its length.
    seen[40, 47:49] = -9.0
    made = moved_to_edges(discs((80, 80, 22)), seen)
    assert made.rays[0, 0] > 0.8 * 20
    assert enclosed(made.polygons()[0]) == pytest.approx(enclosed(outline), rel=0.06)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_rays_stay_finite_and_within_the_window_whatever_the_map_says(seed):
    rng = np.random.default_rng(seed)
    places = [(*rng.uniform(-5, SIDE + 5, 2), rng.uniform(0.5, 60)) for _ in range(rng.integers(1, 30))]
    given_ = discs(*places)
    made = moved_to_edges(given_, rng.normal(0, 6, (SIDE // 2,) * 2).astype(np.float32))
    assert np.isfinite(made.rays).all()
    assert (made.rays >= given_.rays * WINDOW[0] - 1e-6).all()
    assert (made.rays <= given_.rays * WINDOW[1] + 1e-6).all()


def test_no_object_gives_no_object():
    assert len(moved_to_edges(joined([]), np.zeros((8, 8), np.float32))) == 0
