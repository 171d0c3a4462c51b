"""Normalisations: batch (inference only), instance, group, layer, root-mean-square, Lp, local response, mean-variance."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node
from cloister.models.operators.arrays import axis_of, is_float
from cloister.models.operators.registry import operator


@operator("BatchNormalization")
def batch(node: Node, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
    """Scales by fixed statistics per channel (Ioffe and Szegedy 2015, inference)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    factor = scale * lax.rsqrt(
        variance + np.float32(node.attributes.get("epsilon", 1e-5)).astype(variance.dtype)
    )
    return (x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)).astype(x.dtype)


def _standardise(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    mean = jnp.mean(x, axes, keepdims=True)
    centred = x - mean
    inverse = lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + jnp.asarray(epsilon, x.dtype))
    return centred * inverse, mean, inverse


@operator("InstanceNormalization")
def instance(node: Node, x: Array, scale: Array, bias: Array) -> Array:
    """Each channel of each example by its own mean and variance (Ulyanov et al. 2016)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y, _, _ = _standardise(x, tuple(range(2, x.ndim)), node.attributes.get("epsilon", 1e-5))
    return y * scale.reshape(shape) + bias.reshape(shape)


@operator("GroupNormalization")
def group(node: Node, x: Array, scale: Array, bias: Array) -> Array:
    """Groups of channels of each example by their own mean and variance (Wu and He 2018)."""
    groups = node.attributes["num_groups"]
    if groups < 1 or x.ndim < 2 or x.shape[1] % groups:
        raise refuse(node.label, "Its channels do not divide into its groups.")
    if node.version < 21:
        # Until opset 21 scale and bias were per group.
        scale, bias = (jnp.repeat(value, x.shape[1] // groups) for value in (scale, bias))
    wide = x.astype(jnp.float32) if node.version >= 21 and node.attributes.get("stash_type", 1) == 1 else x
    y, _, _ = _standardise(wide.reshape(x.shape[0], groups, -1), (2,), node.attributes.get("epsilon", 1e-5))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return y.reshape(x.shape).astype(x.dtype) * scale.reshape(shape) + bias.reshape(shape)


def _wide(node: Node, x: Array) -> Array:
    """Statistics are taken in float32 (stash_type 1), or in float64 where that is what came in."""
    return (
        x
        if not is_float(x) or x.dtype == jnp.float64 or node.attributes.get("stash_type", 1) != 1
        else x.astype(jnp.float32)
    )


@operator("LayerNormalization")
def layer(node: Node, x: Array, scale: Array, bias: Array | None = None) -> tuple[Array, Array, Array]:
    """The trailing dimensions of each example by their own mean and variance (Ba et al. 2016)."""
    axes = tuple(range(axis_of(node, node.attributes.get("axis", -1), x.ndim), x.ndim))
    y, mean, inverse = _standardise(_wide(node, x), axes, node.attributes.get("epsilon", 1e-5))
    y = y.astype(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization")
def root_mean_square(node: Node, x: Array, scale: Array) -> Array:
    """The trailing dimensions by their root mean square (Zhang and Sennrich 2019)."""
    axes = tuple(range(axis_of(node, node.attributes.get("axis", -1), x.ndim), x.ndim))
    wide = _wide(node, x)
    square = jnp.mean(wide * wide, axes, keepdims=True) + jnp.asarray(
        node.attributes.get("epsilon", 1e-5), wide.dtype
    )
    return (wide * lax.rsqrt(square)).astype(x.dtype) * scale


@operator("LpNormalization")
def lp(node: Node, x: Array) -> Array:
    """Divides by the 1-norm or 2-norm along an axis; zero stays zero."""
    axis = axis_of(node, node.attributes.get("axis", -1), x.ndim)
    if node.attributes.get("p", 2) == 1:
        norm = jnp.sum(jnp.abs(x), axis, keepdims=True)
        return jnp.where(
            norm == 0, jnp.zeros((), x.dtype), x / jnp.where(norm == 0, jnp.ones((), x.dtype), norm)
        )
    square = jnp.sum(x * x, axis, keepdims=True)
    return jnp.where(
        square == 0,
        jnp.zeros((), x.dtype),
        x * lax.rsqrt(jnp.where(square == 0, jnp.ones((), x.dtype), square)),
    )


@operator("LRN")
def local_response(node: Node, x: Array) -> Array:
    """Divides by the energy of neighbouring channels (Krizhevsky et al. 2012)."""
    size = node.attributes["size"]
    if not 1 <= size <= 4096:
        raise refuse(node.label, "Its size is out of range.")
    alpha, beta, bias = (
        node.attributes.get(name, default)
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    window = (1, size) + (1,) * (x.ndim - 2)
    pads = [(0, 0), ((size - 1) // 2, size // 2)] + [(0, 0)] * (x.ndim - 2)
    energy = lax.reduce_window(x * x, np.asarray(0, x.dtype), lax.add, window, (1,) * x.ndim, pads)
    return x / (bias + alpha / size * energy) ** beta


@operator("MeanVarianceNormalization")
def mean_variance(node: Node, x: Array) -> Array:
    """Subtracts the mean and divides by the standard deviation over given axes."""
    axes = tuple(axis_of(node, axis, x.ndim) for axis in node.attributes.get("axes", (0, 2, 3)))
    mean = jnp.mean(x, axes, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(x * x, axes, keepdims=True) - mean * mean)
    return (x - mean) / (deviation + jnp.asarray(1e-9, x.dtype))
