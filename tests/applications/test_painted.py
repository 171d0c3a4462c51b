"""Painted pictures: what they say is where they say it, and they come out the same each time."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def painted() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("painted")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("name", ["bright", "foam", "polarised", "reflected"])
def test_a_painted_picture_is_the_same_each_time(painted: Any, name: str) -> None:
    scene = replace(painted.SCENES[name], crystals=(4, 6), groups=(0, 1), bubbles=(1, 3))
    one, other = (painted.paint(scene, (1, 2), 160, 128) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert one.crystals == other.crystals
    assert one.bubbles == other.bubbles


def test_a_painted_crystal_has_the_diameter_of_its_outline_and_its_centre_lies_in_the_picture(
    painted: Any,
) -> None:
    picture = painted.paint(replace(painted.SCENES["crowded"], crystals=(40, 50)), (3,), 200, 160)
    assert len(picture.crystals) > 10
    for one in picture.crystals:
        x, y = np.array(one.outline).T
        shoelace = 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
        assert one.diameter == pytest.approx(2 * np.sqrt(shoelace / np.pi))
        assert -0.5 <= one.x < 199.5
        assert -0.5 <= one.y < 159.5
        assert 0 <= one.hidden <= 1


def test_crystals_are_painted_where_truth_says(painted: Any) -> None:
    scene = replace(
        painted.SCENES["polarised"],
        crystals=(6, 6),
        groups=(0, 0),
        bubbles=(0, 0),
        litter=(0, 0),
        overlap=0.0,
    )
    picture = painted.paint(scene, (4,), 300, 240)
    grey = picture.image.mean(axis=2)
    inside = picture.mask()
    assert inside.any()
    # The field of crossed polarisers is dark, so brightness tells where paint was laid.
    assert np.median(grey[inside]) > 1.5 * np.median(grey[~inside])
