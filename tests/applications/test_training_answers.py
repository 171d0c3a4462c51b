from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cloister.applications.crystals.factories import PRESETS, SEED_LIKE
from cloister.applications.crystals.mixture import KINDS, any_factory
from cloister.applications.crystals.synthesis import synthesise
from cloister.applications.crystals.training_answers import IGNORED, ONE, UNSEEN, sample
from cloister.data.stars import (
    ANGLES,
    CHANNELS,
    FOLDED,
    RAYS,
    RAYS_FROM,
    UNIT,
    find_stars,
    star_area,
    suppress,
)


def small(**changes: object) -> object:
    return replace(SEED_LIKE, width=320, height=256, **changes)  # type: ignore[arg-type]


def perfect(made: object) -> np.ndarray:
    """The answer of a network that has learnt a sample by heart."""
    height, width = made.owner.shape  # type: ignore[attr-defined]
    answers = np.full((CHANNELS, height, width), -9.0, np.float32)
    share = np.clip(made.fine.astype(np.float32) / ONE, 0.0005, 0.9995)  # type: ignore[attr-defined]
    logits = np.log(share / (1 - share))
    folded = logits.reshape(-1, height, 2, width, 2).transpose(0, 2, 4, 1, 3).reshape(FOLDED, height, width)
    answers[:FOLDED] = folded
    rays = np.concatenate([made.rays, np.full((1, RAYS), UNIT)])  # type: ignore[attr-defined]
    answers[RAYS_FROM : RAYS_FROM + RAYS] = np.log(rays[made.owner] / UNIT).transpose(2, 0, 1)  # type: ignore[attr-defined]
    return answers


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_answers_as_asked_finds_every_crystal_with_its_size(seed: int) -> None:
    picture = synthesise(small(crystals=(60, 60), crowding=(0.8, 0.9)), seed)  # type: ignore[arg-type]
    found = suppress(find_stars(perfect(sample(picture)), 0.5))
    seen = [c for c in picture.crystals if c.hidden <= UNSEEN]
    assert abs(len(found) - len(seen)) <= 1
    errors = []
    for crystal in seen:
        near = int(np.argmin(np.hypot(found.x - crystal.x, found.y - crystal.y)))
        assert np.hypot(found.x[near] - crystal.x, found.y[near] - crystal.y) < 1.0
        errors.append(2 * np.sqrt(star_area(found.rays[near]) / np.pi) / crystal.diameter - 1)
    # Cells at a border between two crystals mix them a little; the median crystal is untouched.
    assert abs(np.median(errors)) < 0.002


def test_rays_end_on_the_outline_and_enclose_its_area() -> None:
    picture = synthesise(small(), 4)  # type: ignore[arg-type]
    made = sample(picture)
    for crystal, rays in zip(picture.crystals, made.rays, strict=True):
        assert star_area(rays) == pytest.approx(np.pi * crystal.diameter**2 / 4, rel=1e-4)
        corners = np.array(crystal.outline)
        ends = np.stack([crystal.x + rays * np.cos(ANGLES), crystal.y + rays * np.sin(ANGLES)], axis=1)
        following = np.roll(corners, -1, axis=0)
        side = following - corners
        along = ((ends[:, None] - corners) * side).sum(-1) / (side**2).sum(-1)
        foot = corners + np.clip(along, 0, 1)[..., None] * side
        off = np.sqrt(((ends[:, None] - foot) ** 2).sum(-1)).min(axis=1)
        assert off.max() < 0.06 * crystal.diameter


def test_of_a_crystal_that_cannot_be_seen_nothing_is_asked() -> None:
    picture = synthesise(small(), 6)  # type: ignore[arg-type]
    hidden = replace(picture, crystals=tuple(replace(c, hidden=0.95) for c in picture.crystals))
    made = sample(hidden)
    assert (made.fine[0] == IGNORED).any()
    assert made.fine[0][made.fine[0] != IGNORED].max() < ONE // 2


def test_bubbles_and_litter_are_asked_for_in_maps_of_their_own() -> None:
    picture = synthesise(small(crystals=(1, 1), bubbles=(30, 30), dust=(90, 90)), 7)  # type: ignore[arg-type]
    made = sample(picture)
    assert (made.fine[2] == ONE).mean() > 0.03
    assert (made.fine[3] == ONE).any()
    assert made.fine[0].max() <= ONE


def test_factories_of_the_mixture_are_all_different_and_none_is_a_preset() -> None:
    made = [any_factory(np.random.default_rng(seed), 160, 160) for seed in range(300)]
    assert {f.name for f in made} == {f"any, {kind}" for kind in KINDS}
    assert len({f.diameter for f in made}) == len(made)
    assert {next(iter(f.lights)) for f in made} == {"bright", "polarised", "reflected"}
    assert not any(replace(f, name=p.name) == p for f in made[:20] for p in PRESETS.values())
    assert any_factory(np.random.default_rng(5), 160, 160) == any_factory(np.random.default_rng(5), 160, 160)
    for factory in made[:12]:
        assert synthesise(factory, 0).image.shape == (160, 160, 3)
