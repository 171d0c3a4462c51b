from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloister.applications.crystals.factories import PUBLIC
from cloister.applications.crystals.network import MULTIPLE
from cloister.applications.crystals.pipeline import shipped_model
from cloister.applications.crystals.predict import runner
from cloister.applications.crystals.recipe import MANY_ROUNDS, crystals_recipe
from cloister.applications.crystals.synthesis import write_dataset
from cloister.applications.crystals.targets import targets
from cloister.training.recipe import PointsPreparation, TrainingRecipe


def test_the_recipe_is_a_document_that_survives_the_wire() -> None:
    recipe = crystals_recipe(steps=3)
    assert TrainingRecipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert isinstance(recipe.preparation, PointsPreparation)
    assert recipe.preparation.patch % MULTIPLE == 0


def test_over_many_rounds_the_coordinators_optimiser_does_what_the_owners_do_over_few() -> None:
    few, many = crystals_recipe(rounds=MANY_ROUNDS - 1), crystals_recipe(rounds=MANY_ROUNDS)
    assert (few.optimiser.name, few.server.name) == ("adam", "average")
    assert (many.optimiser.name, many.server.name) == ("sgd", "adam")
    assert many.steps < few.steps
    assert crystals_recipe(rounds=MANY_ROUNDS, steps=7).steps == 7


def test_the_preparation_draws_the_targets_that_the_checkpoint_was_trained_on() -> None:
    from cloister.training.points import draw

    preparation = crystals_recipe().preparation
    assert isinstance(preparation, PointsPreparation)
    centres = np.array([[20.0, 30.5], [60.0, 40.0], [90.0, 12.0]], dtype=np.float32)
    diameters = np.array([12.0, 30.0, 70.0], dtype=np.float32)
    drawn, weights = draw(preparation, (96, 112), centres, diameters)
    wanted = targets(centres.tolist(), diameters.tolist(), 96, 112)
    np.testing.assert_allclose(drawn, wanted, atol=2e-3)
    assert weights[0].max() == pytest.approx(50.0, rel=1e-3)
    assert weights[1].max() == 1.0


def test_a_round_on_a_few_pictures_moves_the_weights_and_leaves_a_model_that_runs(tmp_path: Path) -> None:
    from cloister.models.execute import load_model
    from cloister.models.export import export
    from cloister.training.local import Trainer
    from cloister.training.preparation import prepare

    write_dataset(tmp_path, replace(PUBLIC, width=160, height=128, crystals=(60, 90)), 3, seed=11)
    recipe = crystals_recipe(steps=12, batch=2, patch=96)
    model = load_model(shipped_model())
    weights, figures = Trainer(model, recipe).round(
        prepare(recipe, tmp_path), model.flatten(), rng=np.random.default_rng(1)
    )
    assert figures["update_norm"] > 0
    assert np.isfinite(weights).all()
    assert runner(export(model, weights))(np.zeros((1, 1, 32, 32), dtype=np.float32)).shape == (1, 2, 32, 32)
