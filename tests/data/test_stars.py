from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.stars import (
    ANGLES,
    CHANNELS,
    FINE,
    FOLDED,
    RAYS,
    RAYS_FROM,
    UNIT,
    Stars,
    find_stars,
    joined,
    merged,
    overlaps,
    star_area,
    suppress,
    together,
    unfold,
)
from cloister.foundation.errors import BadInput


def discs(*places: tuple[float, float, float], strength: float = 0.9, grown: float = 0.0) -> Stars:
    x, y, r = (np.array(column, dtype=float) for column in zip(*places, strict=True))
    n = len(x)
    return Stars(
        x,
        y,
        np.full(n, strength) - 0.01 * np.arange(n),
        np.repeat(r[:, None], RAYS, axis=1),
        np.ones(n),
        np.full(n, grown),
        np.zeros(n),
    )


def answer(height: int, width: int, *places: tuple[float, float, float]) -> np.ndarray:
    """What a perfect network would say of discs."""
    made = np.zeros((CHANNELS, height // 4, width // 4), np.float32)
    v, u = np.mgrid[: height // 2, : width // 2] * 2 + 0.5
    heat = np.full((height // 2, width // 2), -8.0)
    cv, cu = np.mgrid[: height // 4, : width // 4] * 4 + 1.5
    for x, y, r in places:
        heat = np.maximum(heat, 4.0 - ((u - x) ** 2 + (v - y) ** 2) / 8.0)
        inside = (cu - x) ** 2 + (cv - y) ** 2 < (r + 3) ** 2
        made[RAYS_FROM : RAYS_FROM + RAYS, inside] = np.log(r / UNIT)
    folded = (
        heat.reshape(height // 4, 2, width // 4, 2).transpose(1, 3, 0, 2).reshape(4, height // 4, width // 4)
    )
    made[:4] = folded
    return made


def test_folded_maps_come_back_in_their_places() -> None:
    maps = np.random.default_rng(0).normal(size=(len(FINE), 12, 20)).astype(np.float32)
    folded = maps.reshape(len(FINE), 6, 2, 10, 2).transpose(0, 2, 4, 1, 3).reshape(FOLDED, 6, 10)
    answers = np.zeros((CHANNELS, 6, 10), np.float32)
    answers[:FOLDED] = folded
    np.testing.assert_array_equal(unfold(answers), maps)


def test_discs_in_an_answer_are_found_where_they_are_and_as_large() -> None:
    places = ((30.2, 25.7, 9.0), (80.0, 60.5, 20.0), (61.5, 24.0, 6.0))
    found = find_stars(answer(96, 128, *places), 0.5)
    assert len(found) == 3
    for x, y, r in places:
        near = int(np.argmin(np.hypot(found.x - x, found.y - y)))
        assert np.hypot(found.x[near] - x, found.y[near] - y) < 0.6
        np.testing.assert_allclose(found.rays[near], r, rtol=1e-4)


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(BadInput, match="outlines"):
        find_stars(np.zeros((CHANNELS - 1, 4, 4), np.float32), 0.5)


def test_extreme_answers_give_finite_outlines() -> None:
    for value in (-1e30, 1e30):
        made = np.full((CHANNELS, 4, 4), value, np.float32)
        made[:4] = 5.0
        found = find_stars(made, 0.5)
        assert len(found)
        assert all(np.isfinite(getattr(found, name)).all() for name in ("x", "y", "rays", "blur", "grown"))


@given(st.floats(3, 40), st.floats(3, 40), st.floats(0, 60))
@settings(max_examples=60, deadline=None)
def test_overlap_of_discs_is_that_of_the_lens_between_circles(a: float, b: float, gap: float) -> None:
    stars = discs((100.0, 100.0, a), (100.0 + gap, 100.0, b))
    measured = overlaps(stars, np.array([0]), np.array([1]), grid=60)[0]
    if gap >= a + b:
        lens = 0.0
    elif gap <= abs(a - b):
        lens = np.pi * min(a, b) ** 2
    else:
        first = np.arccos(np.clip((gap**2 + a**2 - b**2) / (2 * gap * a), -1, 1))
        second = np.arccos(np.clip((gap**2 + b**2 - a**2) / (2 * gap * b), -1, 1))
        lens = a * a * (first - np.sin(2 * first) / 2) + b * b * (second - np.sin(2 * second) / 2)
    true = lens / (np.pi * (a * a + b * b) - lens)
    # 32-sided polygons are 0.6 % smaller than circles; the grid resolves a sixtieth of the diameter.
    assert abs(measured - true) < 0.03


def test_of_two_outlines_of_one_object_the_stronger_stays_and_neighbours_that_overlap_both_stay() -> None:
    twice = discs((50, 50, 20), (52, 51, 19))
    assert suppress(twice).x.tolist() == [50.0]
    grown = discs((50, 50, 20), (76, 50, 20))
    assert len(suppress(grown)) == 2
    small_on_large = discs((50, 50, 30), (60, 50, 8))
    assert len(suppress(small_on_large)) == 2


def test_suppression_does_not_depend_on_what_lies_elsewhere() -> None:
    rng = np.random.default_rng(3)
    many = discs(
        *[(float(x), float(y), float(r)) for x, y, r in rng.uniform((0, 0, 4), (400, 400, 25), (60, 3))]
    )
    apart = many.moved(10_000.0, 0.0)
    both = joined([many, apart])
    kept = suppress(both)
    assert len(kept) == 2 * len(suppress(many))


def test_large_objects_come_from_afar_small_ones_from_close_and_pieces_of_large_ones_go() -> None:
    close = discs((100, 100, 12), (108, 96, 14), (300, 300, 12), (500, 100, 70))
    far = discs((100, 100, 60), (300, 300, 13), (700, 100, 50))
    found = merged(close, far, 80.0)
    seen = sorted(zip(found.x.tolist(), found.rays[:, 0].tolist(), strict=True))
    assert seen == [(100.0, 60.0), (300.0, 12.0), (700.0, 50.0)]
    assert np.all(np.diff(found.strength) <= 0)
    none = joined([])
    assert len(merged(none, far, 80.0)) == 2
    assert len(merged(close, none, 80.0)) == 3


def test_only_those_that_touch_and_say_so_are_an_agglomerate() -> None:
    touching = (
        (50.0, 50.0, 20.0),
        (88.0, 50.0, 20.0),
        (200.0, 50.0, 20.0),
        (238.0, 50.0, 20.0),
        (400.0, 50.0, 9.0),
    )
    assert together(discs(*touching, grown=0.9)).tolist() == [1, 1, 2, 2, 0]
    assert together(discs(*touching, grown=0.1)).tolist() == [0] * 5


def test_no_objects_are_no_objects() -> None:
    none = joined([])
    assert len(none) == len(suppress(none)) == len(together(none)) == 0
    assert none.polygons().shape == (0, RAYS, 2)


def test_area_is_that_of_the_polygon_through_the_ends() -> None:
    rays = np.random.default_rng(1).uniform(5, 20, RAYS)
    corners = np.stack([rays * np.cos(ANGLES), rays * np.sin(ANGLES)], axis=1)
    after = np.roll(corners, -1, axis=0)
    shoelace = 0.5 * abs((corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]).sum())
    assert star_area(rays) == pytest.approx(shoelace)


def test_an_enlarged_object_covers_the_same_ground() -> None:
    star = discs((10.0, 20.0, 5.0))
    larger = star.enlarged(2.0)
    # The centre of pixel 10 of a copy at half size lies between pixels 20 and 21.
    assert (larger.x[0], larger.y[0], larger.rays[0, 0]) == (20.5, 40.5, 10.0)
