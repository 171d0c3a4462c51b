"""What the coordinator does with the owners' average update: the server's optimiser.

The update, turned round, is taken for a gradient. It is a function of what all parties of the training see anyway, so no
claim changes with it.

Rules:
1. `average` with a learning rate of 1 is FedAvg: the weights move by the average update and by nothing else.
2. Weights stay finite, or the task ends.
3. Everything is in float64, and the moments are kept as float32: a resumed coordinator gets the same bytes.

Source: Reddi et al. 2021, "Adaptive Federated Optimization" (ICLR), Algorithm 2; FedAvgM: Hsu, Qi, Brown 2019. Adam's
moments are corrected for their start at zero (Kingma and Ba 2015, Algorithm 1), which Algorithm 2 leaves out; momentum is
in Polyak's form.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.protections.federated import averaging
from cloister.protections.federated.framing import Vector
from cloister.training.recipe import ServerRecipe

MOMENTS = {"average": 0, "momentum": 1, "adam": 2}
"""Vectors as long as the weights that each optimiser keeps between rounds."""


def rate(recipe: ServerRecipe, number: int, rounds: int) -> float:
    """The step size of round `number` (from 1) of `rounds`."""
    result = recipe.learning_rate
    if recipe.warmup:
        result *= min(1.0, number / recipe.warmup)
    if recipe.schedule == "cosine":
        result *= 0.5 * (1 + math.cos(math.pi * (number - 1) / rounds))
    return result


def start(recipe: ServerRecipe, length: int) -> Vector:
    """The moments before the first round, one after the other; (length * moments)."""
    return np.zeros(length * MOMENTS[recipe.name], np.float32)


def advance(
    recipe: ServerRecipe,
    number: int,
    rounds: int,
    weights: Vector,
    update: NDArray[np.float64] | averaging.Combined,
    moments: Vector,
) -> tuple[Vector, Vector]:
    """The next round's weights and moments.

    Args:
        recipe: the optimiser.
        number: the round that ends, from 1.
        rounds: of the task.
        weights: the round's, (n,).
        update: the owners' average update, (n,); a rule computes each part of it when it is needed.
        moments: from `start` or the round before.

    Raises:
        BadInput: a number left the range of float32.
    """
    length, step_size = len(weights), rate(recipe, number, rounds)
    moved, kept = np.empty(length, np.float32), np.empty(len(moments), np.float32)
    with np.errstate(over="ignore"):
        for part in averaging.blocks(length):
            # Moment number i of this block lies i lengths further on.
            places = [
                slice(part.start + shift, min(part.stop, length) + shift)
                for shift in range(0, len(moments), length)
            ]
            step, new = _step(
                recipe, number, update[part], [moments[place].astype(np.float64) for place in places]
            )
            for place, moment in zip(places, new, strict=True):
                kept[place] = moment
            moved[part] = weights[part].astype(np.float64) + step_size * step
            if not (
                np.isfinite(moved[part]).all() and all(np.isfinite(kept[place]).all() for place in places)
            ):
                raise BadInput(
                    "An update cannot be averaged.", "The average is not finite.", "Lower the learning rate."
                )
    return moved, kept


def _step(
    recipe: ServerRecipe, number: int, update: NDArray[np.float64], moments: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Where to go, and the new moments."""
    if recipe.name == "average":
        return update, []
    if recipe.name == "momentum":
        first = recipe.first_moment * moments[0] + update
        return first, [first]
    b1, b2 = recipe.first_moment, recipe.second_moment
    first = b1 * moments[0] + (1 - b1) * update
    second = b2 * moments[1] + (1 - b2) * update * update
    return (first / (1 - b1**number)) / (np.sqrt(second / (1 - b2**number)) + recipe.epsilon), [first, second]
