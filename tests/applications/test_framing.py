"""Fields of view and letters: what lies beyond or beneath them belongs to no count."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.mixture import any_factory
from cloister.applications.crystals.synthesis import synthesise
from cloister.applications.crystals.training_answers import enlarged, sample

SMALL = replace(SEED_LIKE, width=320, height=320, crystals=(60.0, 60.0), jpeg=(0, 0))


@pytest.mark.parametrize("light", ["bright", "polarised", "reflected"])
@pytest.mark.parametrize("seed", range(3))
def test_what_lies_beyond_the_field_of_view_is_dark_and_not_counted(light, seed):
    plain = replace(SMALL, lights={light: 1.0})
    whole, seen = synthesise(plain, seed), synthesise(replace(plain, round_field=1.0), seed)
    assert 0 < len(seen.crystals) <= len(whole.crystals)
    kept = {(c.x, c.y) for c in seen.crystals}
    lost = [c for c in whole.crystals if (c.x, c.y) not in kept]
    assert kept <= {(c.x, c.y) for c in whole.crystals}
    places = [(round(c.y), round(c.x)) for c in lost]
    before = np.array([whole.image[place].mean() for place in places])
    after = np.array([seen.image[place].mean() for place in places])
    assert (after <= 0.8 * before + 12).all()


@pytest.mark.parametrize("seed", range(4))
def test_letters_are_litter_and_hide_what_is_under_them(seed):
    seen = synthesise(replace(SMALL, lettering=1.0), seed)
    whole = synthesise(SMALL, seed)
    changed = (seen.image != whole.image).any(axis=2)
    assert changed.sum() > 50
    # Letters have soft edges, of which the mask has the dark half.
    assert seen.litter[changed].mean() > 0.7
    assert not any(
        seen.litter[round(c.y), round(c.x)] and changed[round(c.y), round(c.x)] for c in seen.crystals
    )


def test_the_same_seed_draws_the_same_soiled_picture_and_dirt_leaves_the_crystals_truth_alone():
    factory = any_factory(np.random.default_rng(3), 320, 320, soiled=True, odd=True)
    one, same = synthesise(factory, 5), synthesise(factory, 5)
    assert np.array_equal(one.image, same.image)
    assert one.crystals == same.crystals


@pytest.mark.parametrize("kind", ["soot", "curls"])
def test_soot_and_curled_threads_can_be_seen_and_are_litter(kind):
    bare = replace(
        SMALL, crystals=(0.001, 0.001), bubbles=(0, 0), dust=(0, 0), fibres=(0, 0), scratches=(0, 0), rim=0.0
    )
    for light in ("bright", "polarised"):
        seen = synthesise(replace(bare, lights={light: 1.0}, **{kind: (6, 6)}), 2)
        assert seen.litter.sum() > 60
        inside, outside = seen.image[seen.litter].mean(), seen.image[~seen.litter].mean()
        assert inside < outside if light == "bright" else inside > outside


def test_bubbles_in_rafts_touch():
    rafts = synthesise(replace(SMALL, bubbles=(40, 40), rafts=(1.0, 1.0)), 3).bubbles
    gaps = [np.hypot(a[0] - b[0], a[1] - b[1]) / (a[2] + b[2]) for a, b in pairwise(rafts)]
    assert np.median(gaps) < 1.16


def test_an_enlarged_picture_keeps_its_truth_in_place():
    seen = synthesise(replace(SMALL, width=256, height=256, noise=(0.001, 0.001), round_field=0.0), 9)
    made = enlarged(seen, 1.25, 320)
    assert made.image.shape == (320, 320, 3)
    assert len(made.crystals) == len(seen.crystals)
    for one, same in zip(made.crystals, seen.crystals, strict=True):
        assert one.x == pytest.approx((same.x + 0.5) * 1.25 - 0.5)
        assert one.diameter == pytest.approx(1.25 * same.diameter)
        assert np.array(one.outline).mean(axis=0)[0] == pytest.approx(
            (np.array(same.outline).mean(axis=0)[0] + 0.5) * 1.25 - 0.5
        )
    asked = sample(made)
    assert asked.picture.shape == (320, 320)
    assert len(asked.rays) == len(made.crystals)


def test_enlarged_and_cut_what_falls_outside_is_no_longer_counted():
    seen = synthesise(SMALL, 9)
    made = enlarged(seen, 1.5, 320)
    assert 0 < len(made.crystals) < len(seen.crystals)
    assert all(max(c.x, c.y) < 319.5 for c in made.crystals)
    assert len(made.beyond) == len(seen.beyond) + len(seen.crystals) - len(made.crystals)
