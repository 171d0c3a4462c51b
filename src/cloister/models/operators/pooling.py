"""Windows and whole-image summaries: MaxPool, AveragePool, LpPool and their global forms."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import is_float
from cloister.models.operators.convolution import paddings, spatial_numbers
from cloister.models.operators.registry import operator


def _windows(
    node: Node, x: Array
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[tuple[int, int]], list[int]]:
    """Kernel, strides, dilations, pads, and how many more elements `ceil_mode` needs at each far end."""
    dimensions = int(x.ndim) - 2
    if not 1 <= dimensions <= 3:
        raise refuse(node.label, "Only one to three spatial dimensions are supported.")
    kernel = spatial_numbers(node, "kernel_shape", dimensions, 1)
    strides = spatial_numbers(node, "strides", dimensions, 1)
    dilations = spatial_numbers(node, "dilations", dimensions, 1)
    pads = paddings(node, x.shape[2:], kernel, strides, dilations)
    more = [0] * dimensions
    if (
        node.attributes.get("ceil_mode", 0)
        and attribute_text(node.attributes.get("auto_pad", "NOTSET")) == "NOTSET"
    ):
        for i in range(dimensions):
            span = (kernel[i] - 1) * dilations[i] + 1
            room = x.shape[2 + i] + sum(pads[i]) - span
            outputs = -(-room // strides[i]) + 1
            # A window that would start in the far padding is dropped (as ONNX and PyTorch do).
            if (outputs - 1) * strides[i] >= x.shape[2 + i] + pads[i][0]:
                outputs -= 1
            more[i] = max(0, (outputs - 1) * strides[i] + span - x.shape[2 + i] - sum(pads[i]))
    return kernel, strides, dilations, pads, more


def _reduce(
    x: Array,
    start: object,
    combine: object,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: list[tuple[int, int]],
) -> Array:
    return lax.reduce_window(
        x,
        start,
        combine,
        (1, 1, *kernel),
        (1, 1, *strides),
        [(0, 0), (0, 0), *pads],
        window_dilation=(1, 1, *dilations),
    )


def _lowest(x: Array) -> Array:
    return np.asarray(-np.inf if is_float(x) else np.iinfo(x.dtype).min, x.dtype)


@operator("MaxPool")
def max_pool(node: Node, x: Array) -> Array | tuple[Array, Array]:
    """The maximum of each window, and where it was found if asked."""
    kernel, strides, dilations, pads, more = _windows(node, x)
    grown = [(low, high + extra) for (low, high), extra in zip(pads, more, strict=True)]
    if len(node.outputs) > 1 and node.outputs[1]:
        return _max_with_places(node, x, kernel, strides, dilations, grown)
    if (
        kernel == strides
        and not any(map(sum, grown))
        and all(s % k == 0 for s, k in zip(x.shape[2:], kernel, strict=True))
    ):
        # Windows that tile the image: a reshape, whose gradient is far cheaper than that of a sliding window.
        tiles = [part for size, k in zip(x.shape[2:], kernel, strict=True) for part in (size // k, k)]
        return x.reshape(*x.shape[:2], *tiles).max(tuple(range(3, 3 + 2 * len(kernel), 2)))
    return _reduce(x, _lowest(x), lax.max, kernel, strides, dilations, grown)


def _max_with_places(
    node: Node,
    x: Array,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: list[tuple[int, int]],
) -> tuple[Array, Array]:
    shape = x.shape
    order = (
        [0, 1, *reversed(range(2, len(shape)))]
        if node.attributes.get("storage_order", 0)
        else list(range(len(shape)))
    )
    # Traced rather than known: a table of all places would be as large as the value itself.
    flat = jnp.arange(math.prod(shape), dtype=jnp.int32).reshape([shape[i] for i in order])
    places = flat.transpose(tuple(int(axis) for axis in np.argsort(order)))

    def better(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        first = (left[0] > right[0]) | ((left[0] == right[0]) & (left[1] <= right[1]))
        return jnp.where(first, left[0], right[0]), jnp.where(first, left[1], right[1])

    values, found = lax.reduce_window(
        (x, places),
        (_lowest(x), np.asarray(np.iinfo(np.int32).max, np.int32)),
        better,
        (1, 1, *kernel),
        (1, 1, *strides),
        [(0, 0), (0, 0), *pads],
        window_dilation=(1, 1, *dilations),
    )
    return values, found.astype(jax.dtypes.canonicalize_dtype(np.int64))


def _sum_windows(
    x: Array,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: list[tuple[int, int]],
) -> Array:
    return _reduce(x, np.asarray(0, x.dtype), lax.add, kernel, strides, dilations, pads)


@operator("AveragePool")
def average_pool(node: Node, x: Array) -> Array:
    """The mean of each window; padding counts only if asked, and what `ceil_mode` adds never does."""
    kernel, strides, dilations, pads, more = _windows(node, x)
    grown = [(low, high + extra) for (low, high), extra in zip(pads, more, strict=True)]
    total = _sum_windows(x, kernel, strides, dilations, grown)
    for i, (low, high) in enumerate(pads):
        # Windows are boxes, so the number of elements in one is a product over axes.
        count = (x.shape[2 + i] + sum(grown[i]) - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        taps = np.arange(count)[:, None] * strides[i] + np.arange(kernel[i]) * dilations[i] - low
        within = (
            (-low, x.shape[2 + i] + high)
            if node.attributes.get("count_include_pad", 0)
            else (0, x.shape[2 + i])
        )
        inside = ((taps >= within[0]) & (taps < within[1])).sum(1).reshape((-1,) + (1,) * (len(pads) - 1 - i))
        total = total / jnp.asarray(inside, x.dtype)
    return total


@operator("LpPool")
def lp_pool(node: Node, x: Array) -> Array:
    """The p-norm of each window."""
    kernel, strides, dilations, pads, more = _windows(node, x)
    p = node.attributes.get("p", 2)
    grown = [(low, high + extra) for (low, high), extra in zip(pads, more, strict=True)]
    return _sum_windows(jnp.abs(x) ** p, kernel, strides, dilations, grown) ** (1.0 / p)


@operator("GlobalAveragePool")
def global_average_pool(_node: Node, x: Array) -> Array:
    """The mean over all spatial dimensions."""
    return jnp.mean(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(_node: Node, x: Array) -> Array:
    """The maximum over all spatial dimensions."""
    return jnp.max(x, tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalLpPool")
def global_lp_pool(node: Node, x: Array) -> Array:
    """The p-norm over all spatial dimensions."""
    p = node.attributes.get("p", 2)
    return jnp.sum(jnp.abs(x) ** p, tuple(range(2, x.ndim)), keepdims=True) ** (1.0 / p)
