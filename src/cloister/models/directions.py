"""Directions written into the graph: every weight W becomes W + Σ cₖ Dₖ, of which only the coefficients c are trained.

Noise of differential privacy adds up over all trained numbers. Where one knows beforehand, from public data, in which
directions weights have to move when circumstances change, it is enough to train how far to go in each: a few
numbers that move all weights. The directions come from public data only, so they cost no privacy. Zhou, Wu, Banerjee 2021, "Bypassing
the ambient dimension"; Yu et al. 2021, "Do not let privacy overbill utility".

As with adapters, nothing else needs to know: the file is the computation's model, a recipe with `trainable = ["direction.coefficients"]`
trains nothing else, and the release is a model that any runtime runs.

Rules:
1. The same bytes and arguments give the same bytes.
2. Until it is trained, the steered model computes what the model did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import helper

from cloister.foundation.errors import BadInput
from cloister.models.graph import Limits
from cloister.models.parse import DEFAULT_LIMITS, parse
from cloister.models.rewriting import Rewriting

PREFIX = "direction."
COEFFICIENTS = f"{PREFIX}coefficients"
MAX_DIRECTIONS = 1024


def steer(
    data: bytes,
    directions: Mapping[str, np.ndarray],
    rank: int,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """The model with a coefficient, zero at first, for each direction.

    Args:
        data: an ONNX model.
        directions: name of a weight → (K, *shape of the weight), the same K for all. Directions of length 1 over all
            weights together, at right angles to each other, give coefficients' gradients that are no longer than the weights'.
        rank: what of a weight's directions is kept: the best approximation of all K by matrices (outputs by everything
            else) with `rank` rows in common. The file grows by that, not by K times its size.
        limits: what the model may ask of this machine.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: directions do not fit the weights, or the model is steered already.
    """
    graph = parse(data, limits)
    counts = {len(values) for values in directions.values()}
    if len(counts) != 1 or not 1 <= min(counts) <= MAX_DIRECTIONS:
        raise _unfit("There are no directions, too many, or not the same number for each weight.")
    if rank < 1:
        raise _unfit("Of each weight's directions nothing would be kept: the rank is below 1.")
    if any(name.startswith(PREFIX) for name in graph.constants):
        raise _unfit("It has directions already.")
    rewriting = Rewriting(data)
    nodes: list[Any] = []
    rewriting.constant(COEFFICIENTS, np.zeros((1, counts.pop()), np.float32))
    for weight, values in directions.items():
        known = weight in rewriting.initial and weight in graph.trainable
        shape = graph.constants[weight].shape if known else None
        if shape is None or values.shape[1:] != shape or not np.isfinite(values).all():
            raise _unfit(f"There is no weight {weight[:60]!a} of that shape, or a number is not finite.")
        nodes += _moved(weight, np.asarray(values, np.float64), rank, rewriting.constant)
        rewriting.use(f"{PREFIX}{weight}.sum", instead_of=weight)
    return rewriting.finish(nodes, limits)


def _moved(
    weight: str, values: np.ndarray, rank: int, constant: Callable[[str, np.ndarray], str]
) -> list[Any]:
    """Nodes that add the directions to a weight."""
    count, shape = len(values), values.shape[1:]
    nodes: list[Any] = []

    def node(kind: str, inputs: list[str], part: str) -> str:
        output = f"{PREFIX}{weight}.{part}"
        nodes.append(helper.make_node(kind, inputs, [output], name=output))
        return output

    def named(part: str, array: np.ndarray) -> str:
        return constant(f"{PREFIX}{weight}.{part}", array)

    rows = shape[0]
    flat = values.reshape(count, rows, -1)
    if min(rows, flat.shape[2]) <= rank:
        whole = named("whole", flat.reshape(count, -1).astype(np.float32))
        step = node("MatMul", [COEFFICIENTS, whole], "step")
    else:
        # Eckart and Young 1936: of all that have `rank` rows in common, the nearest to the directions, one under the other.
        shared = np.linalg.svd(flat.reshape(count * rows, -1), full_matrices=False)[2][:rank]
        left = named("left", (flat @ shared.T).reshape(count, -1).astype(np.float32))
        factor = node("MatMul", [COEFFICIENTS, left], "factor")
        sides = named("sides", np.asarray([rows, rank], np.int64))
        shaped = node("Reshape", [factor, sides], "shaped")
        step = node("MatMul", [shaped, named("right", shared.astype(np.float32))], "step")
    full = node("Reshape", [step, named("shape", np.asarray(shape, np.int64))], "full")
    node("Add", [weight, full], "sum")
    return nodes


def _unfit(why: str) -> BadInput:
    return BadInput(
        "The directions do not fit the model.", why, "Take directions of the model's own weights."
    )
