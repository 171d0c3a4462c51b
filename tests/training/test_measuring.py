"""How long steps take is measured on random numbers of the right shapes (`training.measuring`)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp

from cloister.training import measuring
from cloister.training.fitting import _batch
from cloister.training.recipe import Column, PointsPreparation, TabularPreparation, TrainingRecipe


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS", 0.05)


TABLE = TrainingRecipe(
    loss="cross-entropy",
    input="x",
    output="y",
    batch=8,
    preparation=TabularPreparation(
        columns=tuple(Column(name=name) for name in "abcd"), label="y", classes=("0", "1")
    ),
)
PICTURES = TrainingRecipe(
    loss="mean-squared-error", input="x", output="y", batch=2, preparation=PointsPreparation(patch=16)
)


@pytest.mark.parametrize("recipe", [TABLE, PICTURES], ids=["table", "pictures"])
def test_random_examples_have_the_shapes_that_the_preparation_makes(recipe):
    shapes = _batch(recipe)
    made = measuring.RandomExamples(shapes, np.random.default_rng(0))
    for name, values in made.batch(np.random.default_rng(0), recipe.batch).items():
        assert (values.shape, values.dtype) == (shapes[name].shape, shapes[name].dtype)
    units = made.unit_batch(np.random.default_rng(0), np.arange(3), 5)
    assert units.share.shape == (5, 1)
    assert all(values.shape[:2] == (5, 1) for values in units.examples.values())
    assert list(made.validation(4)) == []
    several = measuring.RandomExamples(shapes, np.random.default_rng(0), 3).unit_batch(
        np.random.default_rng(0), np.arange(3), 5
    )
    assert all(values.shape[:2] == (5, 3) for values in several.examples.values())
    np.testing.assert_allclose(several.share.sum(1), 1, rtol=1e-6)


def test_steps_of_a_training_are_measured_plain_and_private():
    model = np.frombuffer(mlp(4, (8,), 2), np.uint8)
    figures, arrays = measuring.measure({"recipe": TABLE.model_dump(mode="json")}, {"model": model})
    assert not arrays
    assert set(figures) == {"seconds_per_step", "seconds_per_private_unit", "seconds_to_start", "seconds"}
    assert all(0 < value < 60 for value in figures.values())
    assert figures["seconds_per_step"] < figures["seconds_to_start"] < figures["seconds"]
