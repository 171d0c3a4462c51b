"""Targets of outlines: turned with the picture, asked only where known, scaled as tools scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.scaling import known_size, resized
from cloister.data.star_targets import IGNORED, ONE, StarTargets, fold, star_targets
from cloister.data.stars import CHANNELS, FOLDED, RAYS, RAYS_FROM, UNIT, find_stars, star_area, unfold

SHAPE = np.array([[-9.0, -5.0], [8.0, -7.0], [10.0, 6.0], [-6.0, 8.0]])


def made(centres: np.ndarray, size: tuple[int, int] = (96, 96)) -> StarTargets:
    area = 0.5 * abs(
        np.dot(SHAPE[:, 0], np.roll(SHAPE[:, 1], -1)) - np.dot(SHAPE[:, 1], np.roll(SHAPE[:, 0], -1))
    )
    diameters = np.full(len(centres), 2 * np.sqrt(area / np.pi))
    return star_targets(size, centres, diameters, [SHAPE + c for c in centres], bubbles=[])


def answered(asked: StarTargets) -> np.ndarray:
    """The answer of a network that has learnt it by heart."""
    target, _ = asked.encoded((1, 1, 1, 1), 0.0)
    share = np.clip(target[:FOLDED], 0.0005, 0.9995)
    target[:FOLDED] = np.log(share / (1 - share))
    return target


@given(st.integers(0, 100), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_mirrored_and_turned_targets_are_those_of_the_mirrored_and_turned_picture(
    seed: int, mirrored: bool, transposed: bool
) -> None:
    centres = np.random.default_rng(seed).uniform(14, 80, (1, 2))
    asked, x, y = made(centres), centres[0, 0], centres[0, 1]
    corners = SHAPE + centres[0]
    if mirrored:
        asked, x = asked.mirrored(), 95 - x
        corners = corners * (-1, 1) + (95, 0)
    if transposed:
        asked, x, y, corners = asked.transposed(), y, x, corners[:, ::-1]
    found = find_stars(answered(asked), 0.5)
    assert len(found) == 1
    assert np.hypot(found.x[0] - x, found.y[0] - y) < 0.7
    wanted = star_targets(
        (96, 96), np.array([[x, y]]), np.array([2 * np.sqrt(star_area(asked.rays[0]) / np.pi)]), [corners]
    )
    np.testing.assert_allclose(asked.rays, wanted.rays, rtol=1e-4)
    # Cells on the outline itself may fall to either side by rounding.
    assert (asked.owner != wanted.owner).mean() < 0.002


def test_a_fold_is_undone_by_reading() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 12, 20)).astype(np.float32)
    answers = np.zeros((CHANNELS, 6, 10), np.float32)
    answers[:FOLDED] = fold(maps)
    np.testing.assert_array_equal(unfold(answers), maps)


def test_what_nobody_knows_is_not_asked() -> None:
    centres = np.array([[20.0, 20.0], [60.0, 60.0]])
    asked = star_targets((96, 96), centres, np.array([16.0, 16.0]), [None, SHAPE + centres[1]])
    assert (asked.fine[2:] == IGNORED).all()
    assert (asked.fine[1] == ONE).any()
    target, weights = asked.encoded((10, 1, 1, 0.3), 3.0)
    assert not weights[8:FOLDED].any()
    disc, drawn = asked.owner == 0, asked.owner == 1
    assert not weights[FOLDED][disc].any()
    assert weights[FOLDED][drawn].all()
    assert weights[FOLDED + 1][disc].all()
    assert not weights[FOLDED + 2 :].any()
    rays = UNIT * np.exp(target[RAYS_FROM : RAYS_FROM + RAYS][:, disc])
    np.testing.assert_allclose(star_area(rays.T), np.pi * 64, rtol=1e-4)
    # At the centre the map weighs most, and its cell.
    assert weights[:4].max() == pytest.approx(40, rel=0.1)
    assert weights[FOLDED + 1].max() == pytest.approx(1.1, rel=0.1)


def test_pictures_are_brought_to_the_known_size_where_they_are_far_from_it() -> None:
    assert known_size(np.full(9, 52.0), 26.0) == 0.5
    assert known_size(np.full(9, 30.0), 26.0) == 1.0
    assert known_size(np.full(9, 3.0), 26.0) == 1.5
    assert known_size(np.full(4, 52.0), 26.0) == 1.0
    picture = np.zeros((40, 60, 3), np.uint8)
    assert resized(picture, 1.0) is picture
    assert resized(picture, 0.5).shape == (20, 30, 3)
