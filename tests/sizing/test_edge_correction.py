"""The correction is held against a plane of particles whose sizes are known, seen through a frame."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import Distribution
from cloister.sizing.frame import (
    counted_by_centre,
    cut_by_edge,
    effective_number,
    guarded,
    miles_lantuejoul,
    seen_whole,
    standing_for,
    touches_edge,
)

FRAME = (640.0, 480.0)
MEDIAN, SPREAD = 60.0, 0.35


class Plane:
    """Ellipses of log-normal length and random direction, seen through a frame; many pictures at once."""

    def __init__(self, seed: int, aspect: float) -> None:
        rng = np.random.default_rng(seed)
        count, margin = 400_000, 400.0
        self.lengths = np.exp(rng.normal(np.log(MEDIAN), SPREAD, count))
        self.lengths = self.lengths[self.lengths < 400.0]
        count = len(self.lengths)
        turn = rng.uniform(0, np.pi, count)
        half, narrow = self.lengths / 2, self.lengths * aspect / 2
        self.widths = 2 * np.hypot(half * np.cos(turn), narrow * np.sin(turn))
        self.heights = 2 * np.hypot(half * np.sin(turn), narrow * np.cos(turn))
        self.x = rng.uniform(-margin, FRAME[0] + margin, count)
        self.y = rng.uniform(-margin, FRAME[1] + margin, count)
        left, right = self.x - self.widths / 2, self.x + self.widths / 2
        top, bottom = self.y - self.heights / 2, self.y + self.heights / 2
        self.seen = (right > 0) & (left < FRAME[0]) & (bottom > 0) & (top < FRAME[1])
        self.whole = (left >= 0) & (right <= FRAME[0]) & (top >= 0) & (bottom <= FRAME[1])


@pytest.mark.parametrize("aspect", [1.0, 0.35])
@pytest.mark.parametrize("weighting", ["number", "volume"])
def test_weighted_percentiles_are_those_of_the_plane_and_unweighted_ones_are_too_small(
    aspect: float, weighting: str
) -> None:
    plane = Plane(5, aspect)
    truth = Distribution.of(plane.lengths, weighting=weighting)
    seen = plane.seen
    weights = miles_lantuejoul(plane.widths[seen], plane.heights[seen], ~plane.whole[seen], FRAME)
    corrected = Distribution.of(plane.lengths[seen], weighting=weighting, weights=weights)
    plain = Distribution.of(plane.lengths[plane.whole], weighting=weighting)
    for percent in (10.0, 50.0, 90.0):
        wanted = truth.percentile(percent)
        assert corrected.percentile(percent) == pytest.approx(
            wanted, rel=0.01 if weighting == "number" else 0.025
        )
        assert plain.percentile(percent) < wanted
    bias = 1 - plain.percentile(90.0) / truth.percentile(90.0)
    assert bias > (0.02 if weighting == "number" else 0.035)


def test_weights_add_up_to_the_particles_with_their_centre_in_the_frame() -> None:
    plane = Plane(6, 0.5)
    weights = miles_lantuejoul(plane.widths, plane.heights, ~plane.whole, FRAME)
    inside = counted_by_centre(plane.x, plane.y, (0.0, 0.0, *FRAME))
    assert weights.sum() == pytest.approx(inside.sum(), rel=0.03)
    assert plane.whole.sum() < 0.9 * inside.sum()
    assert plane.seen.sum() > 1.1 * inside.sum()


def test_a_guarded_frame_needs_no_weights() -> None:
    plane = Plane(7, 0.6)
    small = plane.lengths < 150.0
    box = guarded((640, 480), 150.0)
    counted = counted_by_centre(plane.x - 0.5, plane.y - 0.5, box) & small
    assert plane.whole[counted].all()
    truth = Distribution.of(plane.lengths[small]).percentile(90.0)
    assert Distribution.of(plane.lengths[counted]).percentile(90.0) == pytest.approx(truth, rel=0.03)


def test_a_crystal_cut_by_the_border_counts_nothing_and_a_whole_one_more_than_one() -> None:
    weights = miles_lantuejoul(
        np.array([50.0, 80.0]), np.array([20.0, 40.0]), np.array([False, True]), (100.0, 100.0)
    )
    assert weights.tolist() == [pytest.approx(100 * 100 / (50 * 80)), 0.0]


def test_a_particle_as_large_as_the_picture_is_refused_unless_it_is_cut() -> None:
    large, small = np.array([100.0]), np.array([10.0])
    with pytest.raises(BadInput, match="as wide or as high"):
        miles_lantuejoul(large, small, np.array([False]), (100.0, 80.0))
    assert miles_lantuejoul(large, small, np.array([True]), (100.0, 80.0)).tolist() == [0.0]


@given(st.floats(0, 500), st.floats(0, 500), st.floats(1, 500), st.floats(1, 500))
@settings(max_examples=100, deadline=None)
def test_the_probability_of_being_whole_is_one_and_falls_with_size(
    width: float, height: float, across: float, down: float
) -> None:
    frame = (across, down)
    share = seen_whole(np.array([width]), np.array([height]), frame)[0]
    assert 0.0 <= share <= 1.0
    assert seen_whole(np.array([width + 1]), np.array([height]), frame)[0] <= share


@given(st.lists(st.tuples(st.floats(-0.5, 99.49), st.floats(-0.5, 79.49)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_frames_side_by_side_count_every_particle_once(centres: list[tuple[float, float]]) -> None:
    points = np.array(centres).reshape(-1, 2)
    cuts_x, cuts_y = [-0.5, 30.0, 64.2, 99.5], [-0.5, 41.0, 79.5]
    times = sum(
        counted_by_centre(points[:, 0], points[:, 1], (left, top, right, bottom)).astype(int)
        for left, right in pairwise(cuts_x)
        for top, bottom in pairwise(cuts_y)
    )
    assert (np.asarray(times) == 1).all()


def test_outlines_at_the_edge_are_told_from_those_inside() -> None:
    square = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], dtype=float)
    places = np.array([(0.0, 20.0), (0.6, 20.0), (20.0, 88.9), (20.0, 89.0), (84.0, 50.0)])
    polygons = square[None] + places[:, None]
    assert touches_edge(polygons, (95, 100)).tolist() == [True, False, False, True, True]
    assert touches_edge(polygons, (95, 100), margin=3.0).tolist() == [True, True, True, True, True]


def test_equal_weights_are_as_many_particles_and_one_heavy_one_is_few() -> None:
    assert effective_number(np.ones(50)) == pytest.approx(50.0)
    assert effective_number(np.array([100.0, *[1.0] * 10])) < 1.3
    assert effective_number(np.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("widths", "heights", "frame"),
    [
        ([1.0], [1.0, 2.0], (9.0, 9.0)),
        ([-1.0], [1.0], (9.0, 9.0)),
        ([np.nan], [1.0], (9.0, 9.0)),
        ([1.0], [1.0], (0.0, 9.0)),
    ],
)
def test_what_are_no_lengths_is_refused(
    widths: list[float], heights: list[float], frame: tuple[float, float]
) -> None:
    with pytest.raises(BadInput):
        miles_lantuejoul(np.array(widths), np.array(heights), np.zeros(len(widths), bool), frame)


def test_marks_and_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput):
        miles_lantuejoul(np.ones(2), np.ones(2), np.zeros(3, bool), (9.0, 9.0))
    with pytest.raises(BadInput):
        guarded((100, 60), 60.0)


def test_what_reaches_beyond_the_picture_is_cut_and_what_ends_on_its_edge_is_not():
    square = np.array([[-0.5, -0.5], [9.5, -0.5], [9.5, 7.5], [-0.5, 7.5]])
    left, down = np.array([-0.01, 0.0]), np.array([0.0, 0.01])
    moved = np.stack([square, square + left, square + down, square * 0.5])
    assert cut_by_edge(moved, (10, 8)).tolist() == [False, True, True, False]
    assert cut_by_edge(np.zeros((0, 4, 2)), (10, 8)).tolist() == []


def test_where_one_is_as_large_as_the_picture_each_stands_for_itself():
    widths, heights = np.array([4.0, 10.0, 3.0]), np.array([4.0, 2.0, 3.0])
    cut, frame = np.array([False, False, True]), (10.0, 8.0)
    assert standing_for(widths, heights, cut, frame).tolist() == [1.0, 1.0, 0.0]
    usual = widths[::2], heights[::2], cut[::2], frame
    np.testing.assert_array_equal(standing_for(*usual), miles_lantuejoul(*usual))
