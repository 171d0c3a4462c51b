"""Small things that all handlers share: numpy or JAX, axes, known values, size guards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import Array, Limits, Node

CONSTANT_ELEMENTS = Limits().constant_elements


def module(*arrays: Array) -> Any:
    """`numpy` if every array is known before running, else `jax.numpy`."""
    return (
        np
        if all(isinstance(array, (np.ndarray, np.generic)) for array in arrays if array is not None)
        else jnp
    )


def axis_of(node: Node, axis: int, rank: int) -> int:
    """A non-negative axis; refuses one outside the rank."""
    if not -rank <= axis < max(rank, 1):
        raise refuse(node.label, f"Axis {axis} does not exist: the value has {rank} dimensions.")
    return axis % rank if rank else 0


def axes_of(node: Node, axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Non-negative axes, each at most once."""
    result = tuple(axis_of(node, int(axis), rank) for axis in axes)
    if len(set(result)) != len(result):
        raise refuse(node.label, "An axis is named twice.")
    return result


def numbers(node: Node, value: Array | None, what: str) -> list[int]:
    """The whole numbers of an input that must be known before running (a shape, axes, starts, ...)."""
    if not isinstance(value, np.ndarray):
        raise refuse(
            node.label, f"Its {what} is not known before running.", "Make it a constant of the model."
        )
    if value.size > 4096 or value.dtype.kind not in "iu":
        raise refuse(node.label, f"Its {what} is not a short list of whole numbers.")
    return [int(item) for item in value.reshape(-1)]


def guard(node: Node, shape: Sequence[int], *arrays: Array | None) -> None:
    """Refuses a value of `shape` that would be computed before running and is larger than shapes and masks ever are.

    Values computed on data are guarded in `execute`, where shapes are known before anything is allocated.
    """
    if any(size < 0 for size in shape):
        raise refuse(node.label, "A dimension would be negative.")
    if module(*arrays) is np and math.prod(shape) > CONSTANT_ELEMENTS:
        raise refuse(
            node.label,
            f"It makes a constant of {math.prod(shape)} elements; the limit is {CONSTANT_ELEMENTS}.",
        )


def broadcast(node: Node, *arrays: Array) -> tuple[int, ...]:
    """The common shape of arrays by ONNX's (numpy's) broadcasting; guarded."""
    try:
        shape = np.broadcast_shapes(*(np.shape(array) for array in arrays))
    except ValueError:
        raise refuse(node.label, "The shapes of its inputs do not fit together.") from None
    guard(node, shape, *arrays)
    return tuple(int(size) for size in shape)


def is_float(array: Array) -> bool:
    """Whether the array holds floating-point numbers (bfloat16 too)."""
    return bool(jnp.issubdtype(array.dtype, jnp.floating))
