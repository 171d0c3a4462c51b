from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloister.applications.crystals.factories import (
    COAST,
    FEDERATION,
    NORTH,
    PRESETS,
    PUBLIC,
    SEED_LIKE,
    preset,
)
from cloister.applications.crystals.polyhedra import HABITS, make_crystal
from cloister.applications.crystals.synthesis import synthesise, write_dataset
from cloister.foundation.errors import BadInput, NotFound


def _area(outline: np.ndarray) -> float:
    after = np.roll(outline, -1, axis=0)
    return abs(float((outline[:, 0] * after[:, 1] - after[:, 0] * outline[:, 1]).sum())) / 2


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    first, again, other = synthesise(PUBLIC, (3, 1)), synthesise(PUBLIC, (3, 1)), synthesise(PUBLIC, (3, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.crystals == again.crystals
    assert first.crystals != other.crystals


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_factory_draws_pictures_with_crystals_whose_centres_lie_inside(name: str) -> None:
    factory = preset(name)
    for seed in range(3):
        picture = synthesise(factory, seed)
        assert picture.image.shape == (factory.height, factory.width, 3)
        assert picture.image.std() > 1
        assert len(picture.crystals) > 3 or name == "foam"
        for crystal in picture.crystals:
            assert -0.5 <= crystal.x < factory.width - 0.5
            assert -0.5 <= crystal.y < factory.height - 0.5


@given(st.sampled_from(HABITS), st.floats(6, 120), st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_a_crystal_has_the_wanted_size_a_centred_outline_and_is_convex(
    habit: str, diameter: float, seed: int
) -> None:
    body = make_crystal(np.random.default_rng(seed), habit, diameter)  # type: ignore[arg-type]
    assert np.isclose(_area(body.outline), np.pi * diameter**2 / 4, rtol=1e-6)
    sides = np.roll(body.outline, -1, axis=0) - body.outline
    turns = sides[:, 0] * np.roll(sides, -1, axis=0)[:, 1] - sides[:, 1] * np.roll(sides, -1, axis=0)[:, 0]
    assert np.all(turns > -1e-9) or np.all(turns < 1e-9)
    inside = np.all(body.normals[:, :2] @ np.zeros(2) <= body.offsets + 0.5 * diameter)
    assert inside


@pytest.mark.parametrize("habit", ["fragment", "needle"])
def test_whatever_breaks_off_something_is_left(habit: str) -> None:
    """Two breaks may face each other; seeds in the hundreds left nothing between them once."""
    for seed in range(600):
        rng = np.random.default_rng(seed)
        body = make_crystal(rng, habit, 20.0, irregular=float(rng.uniform(0.02, 0.26)))  # type: ignore[arg-type]
        assert np.abs(body.outline).max() < 120
        assert len(body.outline) >= 3


def test_a_drawn_crystal_covers_its_true_outline() -> None:
    calm = replace(
        SEED_LIKE,
        crystals=(12, 12),
        bubbles=(0, 0),
        dust=(0, 0),
        fibres=(0, 0),
        scratches=(0, 0),
        rim=0,
        noise=(0, 0),
        mottle=(0, 0),
        vignette=(0, 0),
        slope=(0, 0),
        crowding=(1.5, 1.5),
        depth_blur=(0.5, 0.5),
        jpeg=(0, 0),
        contrast=(1, 1),
    )
    picture = synthesise(calm, 4)
    grey = picture.image.mean(axis=2)
    changed = np.abs(grey - np.median(grey)) > 6
    mask = picture.mask()
    assert changed[mask].mean() > 0.6
    interior = np.zeros_like(mask)
    interior[30:-30, 30:-30] = True
    from scipy import ndimage

    far = ~ndimage.binary_dilation(mask, iterations=6) & interior
    assert changed[far].mean() < 0.01


def test_the_border_flag_says_what_the_outline_says() -> None:
    picture = synthesise(NORTH, 9)
    width, height = NORTH.width, NORTH.height
    flags = {c.cut for c in picture.crystals}
    assert flags == {True, False}
    for crystal in picture.crystals:
        outline = np.array(crystal.outline)
        beyond = (
            outline.min() < -0.5 or outline[:, 0].max() > width - 0.5 or outline[:, 1].max() > height - 0.5
        )
        assert crystal.cut == beyond


def test_the_factories_differ_from_each_other_and_from_the_public_mixture() -> None:
    def seen(factory: object) -> tuple[float, float, float]:
        pictures = [synthesise(factory, s) for s in range(3)]  # type: ignore[arg-type]
        sizes = [c.diameter for p in pictures for c in p.crystals]
        return (
            float(np.median(sizes)),
            float(np.mean([p.image.mean() for p in pictures])),
            float(np.mean([len(p.crystals) for p in pictures])),
        )

    north, river, valley = (seen(factory) for factory in FEDERATION)
    assert north[0] < river[0] < valley[0]
    assert river[1] < min(north[1], valley[1]) / 1.5
    assert north[2] > 1.5 * valley[2]
    assert all(factory != PUBLIC for factory in (*FEDERATION, COAST, SEED_LIKE))


def test_a_dataset_has_a_label_for_each_picture(tmp_path: Path) -> None:
    small = replace(PUBLIC, width=160, height=128)
    write_dataset(tmp_path, small, 3, seed=7)
    pictures = sorted((tmp_path / "images").glob("*.png"))
    assert len(pictures) == 3
    for index, path in enumerate(pictures):
        labels = json.loads((tmp_path / "labels" / f"{path.stem}.json").read_text("utf-8"))
        assert set(labels) == {"centres", "diameters", "outlines", "bubbles"}
        assert len(labels["centres"]) == len(labels["diameters"])
        with Image.open(path) as image:
            assert image.size == (160, 128)
        assert labels == synthesise(small, (7, index)).labels()


def test_an_impossible_size_and_an_unknown_factory_are_refused() -> None:
    with pytest.raises(BadInput):
        synthesise(replace(PUBLIC, width=8), 0)
    with pytest.raises(NotFound):
        preset("atlantis")
