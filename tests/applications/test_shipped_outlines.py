"""The model that comes with Cloister: what it finds in fresh drawn pictures, and that its card is about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest

from cloister.applications.crystals.factories import FOAM, SEED_LIKE
from cloister.applications.crystals.judging import judge
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.shipped import crystals_outlines, shipped_outliner
from cloister.applications.crystals.synthesis import synthesise
from cloister.data.stars import Stars
from cloister.foundation.digests import digest

FRESH = 5_000_000
"""Seeds that no training and no choice of a threshold has used."""

Look = Callable[[np.ndarray[Any, Any]], Stars]


@pytest.fixture(scope="module")
def look() -> Look:
    return outliner(shipped_outliner())


def test_fresh_seed_like_crystals_are_counted_found_and_sized(look: Look) -> None:
    pictures = [synthesise(SEED_LIKE, (FRESH, index)) for index in range(8)]
    found = judge((picture, look(picture.image)) for picture in pictures)
    assert found.count_accuracy >= 0.95
    assert found.f1 >= 0.95
    assert found.number_d50 is not None
    assert abs(found.number_d50) < 0.05


def test_bubbles_give_few_crystals(look: Look) -> None:
    foam = replace(FOAM, lights={"bright": 1.0}, crystals=(1, 1), bubbles=(40, 60))
    pictures = [synthesise(foam, (FRESH, index)) for index in range(4)]
    assert sum(len(picture.bubbles) for picture in pictures) > 150
    found = judge((picture, look(picture.image)) for picture in pictures)
    assert found.mimics is not None
    assert found.mimics <= 0.05


def test_an_empty_picture_gives_no_crystal(look: Look) -> None:
    assert len(look(np.full((200, 300), 180, dtype=np.uint8))) == 0


def test_the_same_picture_gives_the_same_crystals(look: Look) -> None:
    image = synthesise(SEED_LIKE, FRESH).image
    one, other = look(image), look(image)
    np.testing.assert_array_equal(one.rays, other.rays)


def test_the_shipped_card_is_about_the_shipped_weights() -> None:
    weights = resources.files("cloister.applications.crystals").joinpath("weights")
    card = json.loads(weights.joinpath("outlines.json").read_text("utf-8"))
    assert card["model"] == {"digest": digest(shipped_outliner()), "bytes": len(shipped_outliner())}
    assert card["parameters"] == crystals_outlines()
    assert digest(shipped_outliner()) in weights.joinpath("outlines.md").read_text("utf-8")
