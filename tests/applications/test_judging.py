from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cloister.applications.crystals.factories import PRESETS
from cloister.applications.crystals.judging import Judgement, judge, match
from cloister.applications.crystals.mixture import any_factory
from cloister.applications.crystals.outlines_card import card_markdown, goals_missed, outlines_card
from cloister.applications.crystals.synthesis import Micrograph, synthesise
from cloister.applications.crystals.training_answers import sample
from cloister.applications.crystals.trials import HEIGHT, TRIALS, WIDTH, pictures
from cloister.data.stars import RAYS, Stars
from cloister.foundation.errors import BadInput


@pytest.fixture(scope="module")
def picture() -> Micrograph:
    factory = replace(TRIALS["agglomerated"].factory, width=400, height=320, crystals=(60, 60))
    return synthesise(factory, 5)


def truth(picture: Micrograph) -> Stars:
    """What a perfect finder would say."""
    crystals = picture.crystals
    ones = np.ones(len(crystals))
    x, y = (np.array([getattr(c, axis) for c in crystals]) for axis in ("x", "y"))
    return Stars(x, y, ones, sample(picture).rays.astype(float), ones, 0 * ones, 0 * ones)


def test_who_says_the_truth_has_no_error(picture: Micrograph) -> None:
    found = judge([(picture, truth(picture))])
    assert (found.count_accuracy, found.f1, found.agglomerated) == (1.0, 1.0, 1.0)
    assert found.mimics == (0.0 if picture.bubbles else None)
    assert found.bias == pytest.approx(0.0, abs=1e-4)
    assert found.number_d50 == pytest.approx(0.0, abs=0.01)
    assert found.volume_d50 == pytest.approx(0.0, abs=0.01)


def test_misses_and_inventions_do_not_cancel_over_pictures(picture: Micrograph) -> None:
    perfect = truth(picture)
    fewer = perfect.pick(np.arange(len(perfect) - 6))
    far = perfect.pick(np.arange(6)).moved(10_000.0, 0.0)
    more = Stars(
        *(np.concatenate([getattr(perfect, n), getattr(far, n)]) for n in perfect.__dataclass_fields__)
    )
    found = judge([(picture, fewer), (picture, more)])
    assert found.true == found.found
    assert found.count_accuracy == pytest.approx(1 - 6 / len(perfect))
    assert found.precision == found.recall == pytest.approx(1 - 3 / len(perfect))


def test_sizes_that_are_a_twentieth_too_large_are_told(picture: Micrograph) -> None:
    perfect = truth(picture)
    found = judge([(picture, replace(perfect, rays=1.05 * perfect.rays))])
    assert found.bias == pytest.approx(0.05, abs=1e-3)
    assert found.f1 == 1.0


def test_one_crystal_found_twice_matches_once(picture: Micrograph) -> None:
    perfect = truth(picture)
    twice = perfect.pick(np.zeros(2, dtype=np.intp))
    assert len(match(twice, picture)[0]) == 1


def test_no_pictures_cannot_be_judged_and_no_crystals_can(picture: Micrograph) -> None:
    with pytest.raises(BadInput):
        judge([])
    none = Stars(*(np.zeros((0, RAYS)) if n == "rays" else np.zeros(0) for n in Stars.__dataclass_fields__))
    found = judge([(picture, none)])
    assert (found.count_accuracy, found.recall, found.number_d50, found.bias) == (0.0, 0.0, None, None)


def test_trials_are_the_same_each_time_and_none_is_a_factory_of_the_training() -> None:
    for name, trial in TRIALS.items():
        small = replace(trial, factory=replace(trial.factory, width=128, height=96))
        one, again = next(pictures(small, 1)), next(pictures(small, 1))
        np.testing.assert_array_equal(one.image, again.image)
        assert (trial.factory.width, trial.factory.height) == (WIDTH, HEIGHT)
        drawn = any_factory(np.random.default_rng(0), 128, 96)
        assert drawn.name != name
        assert name == "foam" or name in PRESETS or trial.factory.name == name


def test_a_card_names_the_goals_that_were_missed() -> None:
    good = Judgement(5, 100, 100, 0.99, 0.97, 0.99, 0.99, 0.99, 0.01, -0.01, None, 0.0, 0.0)
    assert goals_missed(TRIALS["seed-like"], good) == []
    poor = replace(good, count_accuracy=0.97, volume_d50=-0.05, number_d50=None)
    assert goals_missed(TRIALS["seed-like"], poor) == ["count", "number_d50", "volume_d50"]
    card = outlines_card(b"model", {"steps": 3}, {"seed-like": poor})
    assert json.loads(json.dumps(card))["judgements"]["seed-like"]["goals_missed"]
    assert "| seed-like | 5 | 100 | 100 | 0.970 |" in card_markdown(card)


def test_outlines_are_compared_as_areas(picture: Micrograph) -> None:
    perfect = truth(picture)

    def shared(rays: np.ndarray) -> float:
        found = judge([(picture, replace(perfect, rays=rays))]).outlines
        assert found is not None
        return found

    # Rays cut corners, so not quite 1.
    assert shared(perfect.rays) > 0.97
    assert shared(0.9 * perfect.rays) == pytest.approx(0.81, abs=0.02)
    circles = np.repeat(np.sqrt((perfect.rays**2).mean(axis=1))[:, None], RAYS, axis=1)
    assert shared(circles) < 0.93
