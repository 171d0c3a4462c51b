"""Reductions over axes: sums, means, norms, extremes and where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.graph import Array, Node
from cloister.models.operators.arrays import axes_of, axis_of, is_float, module, numbers
from cloister.models.operators.registry import operator


def _reduction(name: str, function: Callable[[Any, Array, tuple[int, ...], bool], Array]) -> None:
    """Registers a function of (numpy or jax.numpy, x, axes, keepdims). Axes came as an attribute before opset 13 or 18."""

    @operator(name)
    def handler(node: Node, x: Array, axes: Array | None = None) -> Array:
        wanted = numbers(node, axes, "axes") if axes is not None else list(node.attributes.get("axes", ()))
        if not wanted and node.attributes.get("noop_with_empty_axes", 0):
            wanted = []
        elif not wanted:
            wanted = list(range(x.ndim))
        keep = bool(node.attributes.get("keepdims", 1))
        with np.errstate(all="ignore"):
            result = function(module(x), x, axes_of(node, wanted, x.ndim), keep)
        return result if result.dtype == x.dtype else result.astype(x.dtype)


def _log_sum(xp: Any, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    return xp.log(xp.sum(x, axes, keepdims=keep))


def _log_sum_exp(_xp: Any, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    return jax.nn.logsumexp(jnp.asarray(x), axes, keepdims=keep) if axes else x


def _extreme(xp: Any, x: Array, axes: tuple[int, ...], keep: bool, *, largest: bool) -> Array:
    if x.dtype == bool:
        return (xp.any if largest else xp.all)(x, axes, keepdims=keep)
    if is_float(x):
        start = -np.inf if largest else np.inf
    else:
        start = np.iinfo(x.dtype).min if largest else np.iinfo(x.dtype).max
    return (xp.max if largest else xp.min)(x, axes, keepdims=keep, initial=start)


_reduction("ReduceSum", lambda xp, x, axes, keep: xp.sum(x, axes, keepdims=keep))
_reduction("ReduceMean", lambda xp, x, axes, keep: xp.mean(x, axes, keepdims=keep))
_reduction("ReduceProd", lambda xp, x, axes, keep: xp.prod(x, axes, keepdims=keep))
_reduction("ReduceSumSquare", lambda xp, x, axes, keep: xp.sum(x * x, axes, keepdims=keep))
_reduction("ReduceL1", lambda xp, x, axes, keep: xp.sum(xp.abs(x), axes, keepdims=keep))
_reduction("ReduceL2", lambda xp, x, axes, keep: xp.sqrt(xp.sum(x * x, axes, keepdims=keep)))
_reduction("ReduceLogSum", _log_sum)
_reduction("ReduceLogSumExp", _log_sum_exp)
_reduction("ReduceMax", lambda xp, x, axes, keep: _extreme(xp, x, axes, keep, largest=True))
_reduction("ReduceMin", lambda xp, x, axes, keep: _extreme(xp, x, axes, keep, largest=False))


def _argument(name: str) -> None:
    largest = name == "ArgMax"

    @operator(name)
    def handler(node: Node, x: Array) -> Array:
        xp = module(x)
        axis = axis_of(node, node.attributes.get("axis", 0), x.ndim)
        pick = xp.argmax if largest else xp.argmin
        if node.attributes.get("select_last_index", 0):
            place = x.shape[axis] - 1 - pick(xp.flip(x, axis), axis)
        else:
            place = pick(x, axis)
        place = place.astype(np.int64 if xp is np else jax.dtypes.canonicalize_dtype(np.int64))
        return xp.expand_dims(place, axis) if node.attributes.get("keepdims", 1) else place


_argument("ArgMax")
_argument("ArgMin")
