from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.odd_crystals import any_style, show_odd_crystals
from cloister.applications.crystals.optics import Light, Optics, Part
from cloister.applications.crystals.polyhedra import HABITS, make_crystal
from cloister.applications.crystals.synthesis import Micrograph, synthesise
from cloister.data.polygons import covered

ODD = replace(
    SEED_LIKE,
    odd_crystals=1.0,
    bubbles=(0, 0),
    dust=(0, 0),
    fibres=(0, 0),
    scratches=(0, 0),
    rim=0.0,
    noise=(0, 0),
    mottle=(0, 0),
    jpeg=(0, 0),
)
LIGHTS: tuple[Light, ...] = ("bright", "polarised", "reflected")


def _inside(picture: Micrograph) -> np.ndarray:
    inside = np.zeros(picture.image.shape[:2], bool)
    outlines = [np.array(c.outline) for c in picture.crystals]
    for rows, columns, within in covered([*outlines, *picture.beyond], *inside.shape):
        inside[rows, columns] |= within
    return inside


@given(st.integers(0, 10**6), st.sampled_from(LIGHTS), st.sampled_from(HABITS))
@settings(max_examples=40, deadline=None)
def test_what_is_drawn_at_random_can_be_seen_and_stays_near_the_outline(
    seed: int, light: Light, habit: str
) -> None:
    rng = np.random.default_rng(seed)
    optics = Optics(light, 1.0, 1.0, 0.4, 0.0, 0.0, 0.8, 1.0)
    body = make_crystal(rng, habit, 30.0)  # type: ignore[arg-type]
    shown = show_odd_crystals(rng, [Part(body, 40.0, 40.0)], 0.0, optics, any_style(rng, optics))
    effect = np.abs(shown.log_transmission) if shown.glow is None else shown.glow.max(axis=2)
    assert effect.max() > 0.05
    rows, columns = np.nonzero(effect > 0.05)
    low, high = body.outline.min(axis=0) + 40.0 - 8.0, body.outline.max(axis=0) + 40.0 + 8.0
    assert low[0] <= columns.min() + shown.left
    assert columns.max() + shown.left <= high[0]
    assert low[1] <= rows.min() + shown.top
    assert rows.max() + shown.top <= high[1]


@pytest.mark.parametrize("seed", range(3))
def test_truth_is_that_of_the_same_crystals_drawn_by_optics(seed: int) -> None:
    """Only how crystals look differs between pictures of many styles: a picture's crystals lie where its outlines are."""
    picture = synthesise(ODD, seed)
    inside = _inside(picture)
    grey = picture.image.mean(axis=2)
    # Whatever the style: an edge of what is drawn is an edge of the truth, so grey values vary more within than far outside.
    assert inside.any()
    assert grey[inside].std() > 2.0 * grey[~inside].std() or abs(
        grey[inside].mean() - grey[~inside].mean()
    ) > 2.0 * (grey[~inside].std())


def test_two_pictures_have_two_styles_and_one_picture_one() -> None:
    optics = Optics("bright", 1.0, 1.0, 0.4, 0.0, 0.0, 0.8, 1.0)
    rng = np.random.default_rng(4)
    assert any_style(rng, optics) != any_style(rng, optics)
    same = replace(any_style(rng, optics), unlike=0.0, texture=0.0, lopsided=0.0, shade=0.0)
    body = make_crystal(np.random.default_rng(1), "cube", 30.0)
    first = show_odd_crystals(rng, [Part(body, 40.0, 40.0)], 0.0, optics, same)
    second = show_odd_crystals(rng, [Part(body, 40.0, 40.0)], 0.0, optics, same)
    np.testing.assert_array_equal(first.log_transmission, second.log_transmission)


def test_heaps_of_dust_are_litter_and_no_crystals() -> None:
    bare = replace(ODD, crystals=(0.5, 0.5), odd_crystals=0.0)
    without, heaped = synthesise(bare, 5), synthesise(replace(bare, clumps=(20, 20)), 5)
    assert heaped.litter.sum() > without.litter.sum() + 200
    assert len(heaped.crystals) <= 2
