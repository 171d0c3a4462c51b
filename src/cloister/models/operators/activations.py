"""Activations (ONNX operators Relu … Mish), numerically stable, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.errors import refuse
from cloister.models.graph import Array, Node, attribute_text
from cloister.models.operators.arrays import axis_of, module
from cloister.models.operators.registry import operator


@operator("Relu")
def relu(_node: Node, x: Array) -> Array:
    """max(x, 0)."""
    return jnp.maximum(x, jnp.zeros((), x.dtype))


@operator("LeakyRelu")
def leaky_relu(node: Node, x: Array) -> Array:
    """X where positive, alpha x elsewhere."""
    return jnp.where(x >= 0, x, x * jnp.asarray(node.attributes.get("alpha", 0.01), x.dtype))


@operator("PRelu")
def prelu(_node: Node, x: Array, slope: Array) -> Array:
    """LeakyRelu with a learned slope, broadcast to x."""
    return jnp.where(x >= 0, x, x * slope)


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, x: Array) -> Array:
    """X where above alpha, 0 elsewhere."""
    return jnp.where(x > node.attributes.get("alpha", 1.0), x, jnp.zeros((), x.dtype))


@operator("Elu")
def elu(node: Node, x: Array) -> Array:
    """X where positive, alpha (e^x - 1) elsewhere."""
    return _elu(x, node.attributes.get("alpha", 1.0))


@operator("Celu")
def celu(node: Node, x: Array) -> Array:
    """max(0, x) + min(0, alpha (e^(x/alpha) - 1))."""
    return jax.nn.celu(x, jnp.asarray(node.attributes.get("alpha", 1.0), x.dtype))


@operator("Selu")
def selu(node: Node, x: Array) -> Array:
    """Self-normalising ELU (Klambauer et al. 2017)."""
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = jnp.asarray(node.attributes.get("gamma", 1.05070102214813232421875), x.dtype)
    return gamma * _elu(x, alpha)


def _elu(x: Array, alpha: float) -> Array:
    # The unused branch of `where` must stay finite, or its gradient is NaN.
    safe = jnp.minimum(x, jnp.zeros((), x.dtype))
    return jnp.where(x > 0, x, jnp.asarray(alpha, x.dtype) * jnp.expm1(safe))


@operator("Gelu")
def gelu(node: Node, x: Array) -> Array:
    """Gaussian error linear unit, exact or by tanh."""
    return jax.nn.gelu(x, approximate=attribute_text(node.attributes.get("approximate", "none")) == "tanh")


@operator("Sigmoid")
def sigmoid(_node: Node, x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return jax.nn.sigmoid(x)


@operator("HardSigmoid")
def hard_sigmoid(node: Node, x: Array) -> Array:
    """max(0, min(1, alpha x + beta))."""
    alpha = jnp.asarray(node.attributes.get("alpha", 0.2), x.dtype)
    return jnp.clip(alpha * x + jnp.asarray(node.attributes.get("beta", 0.5), x.dtype), 0, 1)


@operator("HardSwish")
def hard_swish(_node: Node, x: Array) -> Array:
    """X max(0, min(1, x/6 + 1/2))."""
    return x * jnp.clip(x / jnp.asarray(6, x.dtype) + jnp.asarray(0.5, x.dtype), 0, 1)


@operator("Swish")
def swish(node: Node, x: Array) -> Array:
    """X sigmoid(alpha x)."""
    return x * jax.nn.sigmoid(jnp.asarray(node.attributes.get("alpha", 1.0), x.dtype) * x)


@operator("Mish")
def mish(_node: Node, x: Array) -> Array:
    """X tanh(softplus(x))."""
    return x * jnp.tanh(jax.nn.softplus(x))


@operator("Softplus")
def softplus(_node: Node, x: Array) -> Array:
    """log(1 + e^x)."""
    return jax.nn.softplus(x)


@operator("Softsign")
def softsign(_node: Node, x: Array) -> Array:
    """X / (1 + |x|)."""
    return x / (1 + jnp.abs(x))


@operator("Tanh")
def tanh(_node: Node, x: Array) -> Array:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


@operator("Shrink")
def shrink(node: Node, x: Array) -> Array:
    """Pulls values towards zero by `bias` outside [-lambd, lambd], and to zero inside."""
    bias = jnp.asarray(node.attributes.get("bias", 0.0)).astype(x.dtype)
    threshold = node.attributes.get("lambd", 0.5)
    return jnp.where(x < -threshold, x + bias, jnp.where(x > threshold, x - bias, jnp.zeros((), x.dtype)))


def _over_axis(node: Node, x: Array, function: Callable[..., Array], default: int) -> Array:
    """Applies a function of the last axis. Before opset 13 the axis flattens everything behind it into one."""
    axis = axis_of(node, node.attributes.get("axis", -1 if node.version >= 13 else default), x.ndim)
    if node.version >= 13:
        return function(x, axis)
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    columns = int(np.prod(x.shape[axis:], dtype=np.int64))
    return function(x.reshape(rows, columns), 1).reshape(x.shape)


@operator("Softmax")
def softmax(node: Node, x: Array) -> Array:
    """e^x normalised along an axis."""
    return _over_axis(node, x, jax.nn.softmax, 1)


@operator("LogSoftmax")
def log_softmax(node: Node, x: Array) -> Array:
    """Logarithm of Softmax."""
    return _over_axis(node, x, jax.nn.log_softmax, 1)


@operator("Hardmax")
def hardmax(node: Node, x: Array) -> Array:
    """One at the first maximum along an axis, zero elsewhere."""

    def one_hot(values: Array, axis: int) -> Array:
        return jax.nn.one_hot(jnp.argmax(values, axis), values.shape[axis], axis=axis, dtype=values.dtype)

    return _over_axis(node, x, one_hot, 1)


@operator("Clip")
def clip(node: Node, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    """Limits values to [low, high]; where low exceeds high, high wins."""
    xp = module(x, low, high)
    if node.version < 11:
        low = xp.asarray(node.attributes["min"], x.dtype) if "min" in node.attributes else None
        high = xp.asarray(node.attributes["max"], x.dtype) if "max" in node.attributes else None
    if low is not None:
        x = xp.maximum(x, low.reshape(()))
    if high is not None:
        x = xp.minimum(x, high.reshape(()))
    return x


@operator("Dropout")
def dropout(
    node: Node, x: Array, _ratio: Array | None = None, training: Array | None = None
) -> tuple[Array, Array]:
    """Passes values through: a model is run as it will be used. Training mode is refused."""
    if training is not None and bool(np.any(training)):
        raise refuse(node.label, "It is a dropout in training mode.", "Export the model for inference.")
    return x, jnp.ones(x.shape, bool)
