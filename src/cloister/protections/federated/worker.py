"""What federated training asks of the sandboxed JAX worker, in one place.

Methods of `training.methods`: `initial` (the trainable weights in a model file), `train` (local steps from given
weights), `private-sum` (clipped gradients of a sample), `export` (the model file with given weights). Weights are one flat
float32 vector in the model's own order of its trainable constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cloister.foundation.canonical import JSON
from cloister.foundation.errors import BadInput
from cloister.journal.program import DataPort, Local
from cloister.protections.federated.framing import Vector
from cloister.training.arguments import of_dataset

ENGINE = "jax"
TRAIN_SECONDS = 3600.0
MODEL_SECONDS = 300.0


def initial_weights(local: Local, model: str, parameters: int) -> Vector:
    """The weights in the agreed model file, shape (parameters,). Raises `BadInput` if it has another number."""
    _, arrays = local.engine(ENGINE).call(
        "initial", {}, {"model": _bytes(local.content(model))}, MODEL_SECONDS
    )
    return _vector(arrays, parameters)


Ranges = tuple[tuple[int, int], ...]
"""Which numbers of the flat vector a recipe trains: from, to before; in order, apart."""


def initial_trained(
    local: Local, model: str, recipe: Mapping[str, JSON], parameters: int, trained: int
) -> tuple[Vector, Ranges]:
    """The weights in the agreed model file, (parameters,), and which of them the recipe trains.

    Raises:
        BadInput: it has another number of either than the plan says.
    """
    figures, arrays = local.engine(ENGINE).call(
        "initial", {"recipe": dict(recipe)}, {"model": _bytes(local.content(model))}, MODEL_SECONDS
    )
    ranges = tuple((int(start), int(stop)) for start, stop in figures["trained"])
    if sum(stop - start for start, stop in ranges) != trained:
        raise BadInput(
            "The recipe trains another number of weights than the plan says.",
            f"The plan says {trained}.",
            "Plan the task again with this model.",
        )
    return _vector(arrays, parameters), ranges


def private_sum(
    local: Local,
    model: str,
    recipe: Mapping[str, JSON],
    data: DataPort,
    weights: Vector,
    *,
    clip: float,
    rate: float,
    capacity: int,
    units: int,
    trained: int,
    seed: bytes,
) -> tuple[Vector, dict[str, Any]]:
    """The sum of a sample's clipped gradients, (trained,), and figures for this node's own people.

    Raises:
        Refused: the dataset has more units than the plan's bound (clause `units-bound`).
    """
    figures, arrays = local.engine(ENGINE).call(
        "private-sum",
        {
            "recipe": dict(recipe),
            **of_dataset(data),
            "clip": clip,
            "rate": rate,
            "capacity": capacity,
            "units": units,
            "seed": seed.hex(),
        },
        {"model": _bytes(local.content(model)), "weights": weights},
        TRAIN_SECONDS,
    )
    total = np.asarray(arrays["sum"], dtype=np.float32).ravel()
    if total.shape != (trained,):
        raise BadInput(
            "The recipe trains another number of weights than the plan says.",
            f"It trains {total.shape[0]}; the plan says {trained}.",
            "Plan the task again with this model.",
        )
    return total, dict(figures)


def train(
    local: Local,
    model: str,
    recipe: Mapping[str, JSON],
    data: DataPort,
    weights: Vector,
    *,
    number: int,
    steps: int,
    seed: bytes,
) -> tuple[Vector, dict[str, Any]]:
    """The weights after local steps, and figures for this node's own people.

    FedProx's mu is the recipe's `proximal`; the worker pulls towards `weights`, the round's.
    """
    arguments: dict[str, JSON] = {
        "recipe": dict(recipe),
        **of_dataset(data),
        "round": number,
        "steps": steps,
    }
    if recipe.get("seed", "system") == "system":
        # From the journal, so that a step that runs again after a crash samples the same records.
        arguments["seed"] = seed.hex()
    figures, arrays = local.engine(ENGINE).call(
        "train",
        arguments,
        {"model": _bytes(local.content(model)), "weights": weights},
        TRAIN_SECONDS,
    )
    return _vector(arrays, weights.shape[0]), dict(figures)


def export(local: Local, model: str, weights: Vector) -> bytes:
    """The model file with `weights` in place of its own."""
    _, arrays = local.engine(ENGINE).call(
        "export", {}, {"model": _bytes(local.content(model)), "weights": weights}, MODEL_SECONDS
    )
    return np.asarray(arrays["model"], dtype=np.uint8).tobytes()


def _bytes(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(content, dtype=np.uint8)


def _vector(arrays: Mapping[str, Any], parameters: int) -> Vector:
    weights = np.asarray(arrays["weights"], dtype=np.float32).ravel()
    if weights.shape != (parameters,):
        raise BadInput(
            "The model has another number of trainable weights than the plan says.",
            f"It has {weights.shape[0]}; the plan says {parameters}.",
            "Plan the task again with this model.",
        )
    return weights
