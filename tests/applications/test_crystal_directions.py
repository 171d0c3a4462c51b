"""Directions in which plants differ: from made-up plants alone, at right angles, and few numbers to train."""

from __future__ import annotations

import numpy as np

from cloister.applications.crystals.directions import PICTURES, RANK, WIDE, directions, made_up_plant
from cloister.applications.crystals.factories import COAST, FEDERATION
from cloister.applications.crystals.outlines_recipe import outlines_recipe, steered_outlines_recipe
from cloister.applications.crystals.shipped import shipped_outliner
from cloister.models.directions import steer
from cloister.models.execute import load_model
from cloister.training.local import Trainer


def test_a_made_up_plant_is_always_the_same_and_lies_within_the_stated_ranges() -> None:
    assert made_up_plant(3) == made_up_plant(3) != made_up_plant(4)
    for number in range(20):
        plant = made_up_plant(number)
        assert plant not in (*FEDERATION, COAST)
        for name, (low, high) in WIDE.items():
            first, last = getattr(plant, name)
            assert low * (1 - 1e-9) <= first <= last <= high * (1 + 1e-9), name
        assert abs(sum(plant.habits.values()) - 1) < 1e-9
        assert abs(sum(plant.lights.values()) - 1) < 1e-9


def test_directions_are_orthonormal_and_only_their_coefficients_are_trained() -> None:
    assert PICTURES > 1
    model = shipped_outliner()
    found = directions(Trainer(load_model(model), outlines_recipe(patch=64)), count=2, pictures=1)
    flat = np.concatenate([values.reshape(2, -1) for values in found.values()], axis=1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(2), atol=1e-9)
    trainer = Trainer(load_model(steer(model, found, RANK)), steered_outlines_recipe())
    assert [trainer.model.parameters[name] for name in trainer.trained] == [(1, 2)]
