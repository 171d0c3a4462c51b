from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from cloister.applications.crystals.card import card_markdown, model_card
from cloister.applications.crystals.evaluate import Scores, evaluate
from cloister.applications.crystals.factories import FOAM, SEED_LIKE, Factory
from cloister.applications.crystals.measures import distribution, measure
from cloister.applications.crystals.pipeline import crystals_parameters, shipped_model
from cloister.applications.crystals.predict import Runner, centres, maps, runner
from cloister.applications.crystals.synthesis import synthesise
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput

FRESH = 5_000_000
"""Seeds that no training and no choice of a threshold has used."""


@pytest.fixture(scope="module")
def run() -> Runner:
    return runner(shipped_model())


def _pictures(factory: Factory, count: int) -> list[tuple[np.ndarray, list[list[float]], list[float]]]:
    made = [synthesise(factory, (FRESH, index)) for index in range(count)]
    return [(m.image, m.labels()["centres"], m.labels()["diameters"]) for m in made]


def test_the_shipped_model_counts_fresh_seed_like_pictures(run: Runner) -> None:
    scores = evaluate(run, _pictures(SEED_LIKE, 8))
    assert scores.count_accuracy >= 0.85
    assert scores.f1 >= 0.85


def test_the_median_diameter_of_fresh_seed_like_pictures_is_right_within_five_per_cent(run: Runner) -> None:
    for index in range(3):
        picture = synthesise(SEED_LIKE, (FRESH, index))
        found = distribution(measure(*maps(run, picture.image)))["number"]["d50"]
        true = float(np.median([c.diameter for c in picture.crystals if not c.cut]))
        assert abs(found / true - 1) < 0.05


def test_bubbles_give_few_crystals(run: Runner) -> None:
    foam = replace(FOAM, lights={"bright": 1.0}, crystals=(1, 1), bubbles=(40, 60))
    pictures = [synthesise(foam, (FRESH, index)) for index in range(4)]
    found = sum(len(centres(run, picture.image)) for picture in pictures)
    true = sum(len(picture.crystals) for picture in pictures)
    bubbles = sum(len(picture.bubbles) for picture in pictures)
    assert bubbles > 150
    assert found - true <= 0.1 * bubbles


def test_an_empty_picture_gives_no_crystal(run: Runner) -> None:
    assert len(centres(run, np.full((200, 300), 180, dtype=np.uint8))) == 0


def test_the_same_picture_gives_the_same_centres(run: Runner) -> None:
    image = synthesise(SEED_LIKE, FRESH).image
    np.testing.assert_array_equal(centres(run, image), centres(run, image))


def test_sizes_that_are_no_multiple_of_sixteen_are_answered_in_full(run: Runner) -> None:
    picture = synthesise(replace(SEED_LIKE, width=333, height=217), FRESH)
    found = centres(run, picture.image)
    assert len(found) > 0
    assert found[:, 0].max() < 333
    assert found[:, 1].max() < 217


def test_evaluating_nothing_is_refused(run: Runner) -> None:
    with pytest.raises(BadInput):
        evaluate(run, [])


def test_the_card_names_the_model_and_every_preset_it_was_scored_on() -> None:
    scores = {"seed-like": Scores(3, 30, 29, 0.95, 0.9, 0.97, 0.94, 0.955)}
    card = model_card(b"model", {"seed": 1}, scores)
    text = card_markdown(card)
    assert card["model"]["digest"] in text
    assert "| seed-like | 3 | 30 | 29 | 0.950 |" in text
    assert all(limit in text for limit in card["limits"])


def test_the_shipped_card_is_about_the_shipped_weights() -> None:
    weights = resources.files("cloister.applications.crystals").joinpath("weights")
    card = json.loads(weights.joinpath("crystals.json").read_text("utf-8"))
    model = shipped_model()
    assert card["model"]["digest"] == digest(model)
    assert len(model) < 1_500_000
    assert card["parameters"] == crystals_parameters()
    assert weights.joinpath("crystals.md").read_text("utf-8") == card_markdown(card)
    assert card["scores"]["seed-like"]["count_accuracy"] >= 0.9
