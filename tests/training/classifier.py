"""A small classifier of four numbers and the recipe that trains it: what several tests of training begin with."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp

from cloister.models.execute import load_model
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe

TABLE = TabularPreparation(columns=(Column(name="a"),), label="y")
MODEL = load_model(mlp(4, (8,), 3, activation="Tanh"))


def recipe(**changes) -> TrainingRecipe:
    """The recipe, with changes."""
    values = {
        "loss": "cross-entropy",
        "input": "x",
        "output": "y",
        "preparation": TABLE,
        "metric": "accuracy",
        "batch": 16,
        "steps": 60,
    }
    return TrainingRecipe(**{**values, **changes})
