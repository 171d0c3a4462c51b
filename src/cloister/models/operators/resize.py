"""Resize and Upsample: every axis on its own, as a product with a small matrix of weights known before running.

Coordinates, rounding, cubic weights, antialiasing and the treatment of the border follow the text of ONNX's Resize (opset
19); nearest neighbours by whole factors are a repetition, whose gradient is a sum.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import axes_of, is_float
from cloister.models.operators.registry import operator

MAX_LENGTH = 1 << 20
"""Elements along a resized axis: its coordinates are worked out before running."""


def _text(node: Node, name: str, default: str) -> str:
    return attribute_text(node.attributes.get(name, default))


def _source(node: Node, lengths: tuple[int, int], scale: float, region: tuple[float, float]) -> np.ndarray:
    """Where each output sample lies in the input, in input pixels."""
    length, outputs = lengths
    x = np.arange(outputs, dtype=np.float64)
    mode = _text(node, "coordinate_transformation_mode", "half_pixel")
    if node.operator == "Upsample" or (node.version < 11):
        mode = "asymmetric"
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * (length - 1) / (outputs - 1) if outputs > 1 else np.zeros(outputs)
    if mode == "pytorch_half_pixel" and outputs <= 1:
        return np.zeros(outputs)
    if mode == "tf_half_pixel_for_nn":
        return (x + 0.5) / scale
    if mode == "half_pixel_symmetric":
        # The output may cover less than scale times the input: keep it centred.
        offset = length / 2 * (1 - outputs / (scale * length))
        return offset + (x + 0.5) / scale - 0.5
    if mode == "tf_crop_and_resize":
        start, end = region
        if outputs > 1:
            return start * (length - 1) + x * (end - start) * (length - 1) / (outputs - 1)
        return np.full(outputs, 0.5 * (start + end) * (length - 1))
    return (x + 0.5) / scale - 0.5


def _nearest(node: Node, source: np.ndarray) -> np.ndarray:
    mode = _text(node, "nearest_mode", "round_prefer_floor")
    if node.operator == "Upsample" or node.version < 11:
        mode = "floor"
    if mode == "floor":
        place = np.floor(source)
    elif mode == "ceil":
        place = np.ceil(source)
    else:
        place = np.ceil(source - 0.5) if mode == "round_prefer_floor" else np.floor(source + 0.5)
    return np.asarray(place)


def _kernel(node: Node, distance: np.ndarray) -> np.ndarray:
    """Weight by distance: triangular, or Keys' cubic convolution (1981)."""
    d = np.abs(distance)
    if _text(node, "mode", "nearest") == "linear":
        return np.asarray(np.maximum(0.0, 1.0 - d))
    a = node.attributes.get("cubic_coeff_a", -0.75)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.asarray(np.where(d <= 1, near, np.where(d < 2, far, 0.0)))


def _weights(node: Node, lengths: tuple[int, int], scale: float, source: np.ndarray) -> np.ndarray:
    """The (outputs, inputs) matrix of one axis."""
    length, outputs = lengths
    matrix = np.zeros((outputs, length))
    if _text(node, "mode", "nearest") == "nearest":
        matrix[np.arange(outputs), np.clip(_nearest(node, source), 0, length - 1).astype(np.int64)] = 1.0
        return matrix
    stretch = min(scale, 1.0) if node.attributes.get("antialias", 0) else 1.0
    reach = math.ceil((1 if _text(node, "mode", "nearest") == "linear" else 2) / stretch)
    base = np.floor(source).astype(np.int64)
    total = np.zeros(outputs)
    exclude = node.attributes.get("exclude_outside", 0)
    for offset in range(1 - reach, reach + 1):
        place = base + offset
        weight = _kernel(node, (place - source) * stretch)
        if exclude:
            weight = np.where((place < 0) | (place >= length), 0.0, weight)
        total += weight
        np.add.at(matrix, (np.arange(outputs), np.clip(place, 0, length - 1)), weight)
    return matrix / np.where(total == 0, 1.0, total)[:, None]


def _axis(node: Node, x: Array, axis: int, outputs: int, scale: float, region: tuple[float, float]) -> Array:
    length = x.shape[axis]
    source = _source(node, (length, outputs), scale, region)
    if _text(node, "mode", "nearest") == "nearest":
        index = np.clip(_nearest(node, source), 0, length - 1).astype(np.int64)
        factor = outputs // length if outputs % length == 0 else 0
        if factor and np.array_equal(index, np.repeat(np.arange(length), factor)):
            y = jnp.repeat(x, factor, axis)
        else:
            y = jnp.take(x, index, axis)
    else:
        if length * outputs > 1 << 24:
            raise refuse(node.label, "An axis is too long to be interpolated.")
        matrix = _weights(node, (length, outputs), scale, source).astype(
            np.float64 if x.dtype == np.float64 else np.float32
        )
        moved = jnp.moveaxis(x, axis, -1)
        y = jnp.moveaxis(
            jnp.matmul(moved, jnp.asarray(matrix.T), precision=jax.lax.Precision.HIGHEST), -1, axis
        )
    if _text(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        outside = (source < 0) | (source > length - 1)
        shape = [1] * x.ndim
        shape[axis] = outputs
        y = jnp.where(
            outside.reshape(shape), np.asarray(node.attributes.get("extrapolation_value", 0.0), y.dtype), y
        )
    return y


def _targets(
    node: Node, x: Array, axes: tuple[int, ...], scales: Any, sizes: Any
) -> tuple[list[int], list[float]]:
    """Output length and scale of each resized axis."""
    lengths = [x.shape[axis] for axis in axes]
    if sizes is not None and sizes.size:
        wanted = [int(value) for value in sizes.reshape(-1)]
        if len(wanted) != len(axes):
            raise refuse(node.label, "Its sizes do not fit its axes.")
        policy = _text(node, "keep_aspect_ratio_policy", "stretch")
        if policy == "stretch":
            return wanted, [out / length for out, length in zip(wanted, lengths, strict=True)]
        ratios = [out / length for out, length in zip(wanted, lengths, strict=True)]
        factor = min(ratios) if policy == "not_larger" else max(ratios)
        return [math.floor(length * factor + 0.5) for length in lengths], [factor] * len(axes)
    if scales is None or scales.size != len(axes):
        raise refuse(node.label, "Its scales do not fit its axes.")
    factors = [float(value) for value in scales.reshape(-1)]
    if not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise refuse(node.label, "A scale is not a positive number.")
    outputs = [math.floor(length * factor) for length, factor in zip(lengths, factors, strict=True)]
    if _text(node, "coordinate_transformation_mode", "half_pixel") == "align_corners" and any(
        outputs[i] != lengths[i] * factors[i] for i in range(len(axes))
    ):
        raise refuse(
            node.label, "Its scales give no whole lengths; with align_corners, runtimes disagree about that."
        )
    return outputs, factors


@operator("Resize")
def resize(node: Node, x: Array, *more: Array | None) -> Array:
    """Resamples to other lengths of axes: nearest, linear or cubic."""
    region, scales, sizes = (None, more[0], None) if node.version < 11 else (*more, None, None, None)[:3]
    axes = axes_of(node, node.attributes.get("axes", range(x.ndim)), x.ndim)
    outputs, factors = _targets(node, x, axes, scales, sizes)
    if any(value < 1 for value in outputs) or 0 in x.shape:
        raise refuse(node.label, "It would leave nothing.")
    if max(outputs, default=1) > MAX_LENGTH:
        raise refuse(node.label, f"An axis would become longer than {MAX_LENGTH}.")
    count = len(axes)
    crop = [0.0] * count + [1.0] * count
    if _text(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        if region is None or region.size != 2 * count:
            raise refuse(node.label, "It needs a region of interest.")
        crop = [float(value) for value in region.reshape(-1)]
    dtype = x.dtype
    y = jnp.asarray(x)
    if _text(node, "mode", "nearest") != "nearest" and y.dtype != np.float64:
        y = y.astype(jnp.float32)
    cropping = _text(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    for i, axis in enumerate(axes):
        if outputs[i] != x.shape[axis] or factors[i] != 1.0 or cropping:
            y = _axis(node, y, axis, outputs[i], factors[i], (crop[i], crop[i + count]))
    if not is_float(x):
        y = jnp.round(y) if is_float(y) else y
    return y.astype(dtype)


@operator("Upsample")
def upsample(node: Node, x: Array, scales: Array) -> Array:
    """Resize of opset 9: asymmetric coordinates."""
    return resize(
        Node(node.name, "Upsample", 11, node.inputs, node.outputs, node.attributes), x, None, scales, None
    )
