"""How long a step of a training takes on this machine: measured on random numbers of the recipe's shapes, never on records.

A worker's method. Its figures go into the costs of plans, which others see; so nothing here may depend on data.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cloister.foundation.errors import CloisterError
from cloister.models.execute import load_model
from cloister.training.examples import Batch, UnitBatch
from cloister.training.fitting import _batch
from cloister.training.local import Trainer
from cloister.training.methods import _model_bytes, parse_recipe
from cloister.training.private import PrivateGradient

SECONDS = 2.0
"""Steps are made for about so long, and at least `LEAST` of them."""
LEAST, MOST = 3, 200
UNITS = 4
"""A private step is measured on so many of the recipe's batches."""


class RandomExamples:
    """Examples of the shapes that a recipe's preparation makes, of random numbers."""

    def __init__(self, shapes: Mapping[str, Any], rng: np.random.Generator, places: int = 1) -> None:
        self._places = places
        self._one = {name: self._drawn(shape, rng) for name, shape in shapes.items()}

    @staticmethod
    def _drawn(shape: Any, rng: np.random.Generator) -> np.ndarray:
        if np.issubdtype(shape.dtype, np.integer):
            return np.zeros(shape.shape, shape.dtype)  # the first class of some
        return np.asarray(rng.random(shape.shape, np.float32))

    @property
    def count(self) -> int:
        """As many as a batch."""
        return len(self._one["input"])

    held_out = 0
    units = 4096

    def batch(self, _rng: np.random.Generator, size: int) -> Batch:
        """The same batch each time."""
        return {name: np.resize(values, (size, *values.shape[1:])) for name, values in self._one.items()}

    def unit_batch(self, rng: np.random.Generator, _drawn: np.ndarray, capacity: int) -> UnitBatch:
        """A batch of as many examples for each unit as it has places."""
        places = self._places
        examples = {
            name: values.reshape(capacity, places, *values.shape[1:])
            for name, values in self.batch(rng, capacity * places).items()
        }
        return UnitBatch(examples, np.full((capacity, places), 1 / places, np.float32))

    def validation(self, _size: int) -> Iterator[Batch]:
        """None are kept apart."""
        return iter(())


def measure(
    arguments: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Seconds of a plain step (one of the recipe's batches) and of each unit in a private one, once compiled.

    Args:
        arguments: `recipe`.
        arrays: `model`, its bytes.

    Returns:
        `seconds_per_step`, and `seconds_per_private_unit` where the model has gradients of single examples;
        `seconds_to_start` of reading the model and compiling; `seconds` of all of it.
    """
    began = time.perf_counter()
    recipe = parse_recipe(arguments.get("recipe"))
    model = load_model(_model_bytes(arrays))
    trainer, rng = Trainer(model, recipe), np.random.default_rng(0)
    data = RandomExamples(_batch(recipe), rng, recipe.places)
    weights = model.flatten()
    read = time.perf_counter() - began

    compiling, step = _timed(lambda: trainer.round(data, weights, steps=1, rng=rng))
    figures = {"seconds_per_step": step}
    private, capacity = PrivateGradient(trainer), max(1, UNITS * recipe.batch)
    try:
        first, step = _timed(
            lambda: private.sum(data, weights, clip=1.0, rate=0.5, capacity=capacity, secret=bytes(32))
        )
    except CloisterError:
        pass  # its batches mix examples, or the like: it cannot be trained with noise
    else:
        figures["seconds_per_private_unit"] = step / capacity
        compiling = max(compiling, first)
    return {**figures, "seconds_to_start": read + compiling, "seconds": time.perf_counter() - began}, {}


def _timed(step: Any) -> tuple[float, float]:
    """Seconds of the first run, which compiles, and the median of some more."""
    start = time.perf_counter()
    step()
    first = time.perf_counter() - start
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(found) < LEAST or (time.perf_counter() < end and len(found) < MOST):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return first, statistics.median(found)
