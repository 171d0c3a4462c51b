"""Losses by name. Each is the mean over the batch of one number per example, so that a batch is the mean of its examples.

| name | prediction | target |
|---|---|---|
| cross-entropy | logits (B, K) | whole numbers (B) or probabilities (B, K) |
| cross-entropy-per-pixel | logits (B, K, *space) | whole numbers (B, *space) or probabilities (B, K, *space) |
| binary-cross-entropy, binary-cross-entropy-per-pixel | logits, any shape (B, ...) | 0 to 1, same shape |
| mean-squared-error, mean-squared-error-per-pixel | numbers, any shape (B, ...) | same shape |
| dice, dice-per-pixel | logits (B, C, *space) | 0 to 1, same shape |
| star-convex-outlines | see `star_loss` | |

The forms per pixel take weights (broadcast to the target) and divide by the weights' sum in each example.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cloister.foundation.errors import BadInput
from cloister.models.graph import Array
from cloister.models.star_loss import NAME, star_convex_outlines

Loss = Callable[..., Array]


def _expect(fits: bool, name: str, prediction: Array, target: Array) -> None:
    if not fits:
        raise BadInput(
            f"The loss {name} cannot compare these values.",
            f"The prediction has shape {tuple(prediction.shape)}, the target {tuple(target.shape)}.",
            "Choose another loss, or another output of the model.",
        )


def _per_example(values: Array, weights: Array | None) -> Array:
    """The (weighted) mean of each example's values: (B, ...) → (B)."""
    flat = values.reshape(values.shape[0], -1)
    if weights is None:
        return flat.mean(1)
    spread = jnp.broadcast_to(weights, values.shape).reshape(flat.shape).astype(flat.dtype)
    # An example whose weights are all zero counts as zero rather than as 0 / 0.
    return (flat * spread).sum(1) / jnp.maximum(spread.sum(1), jnp.finfo(flat.dtype).tiny)


def cross_entropy(prediction: Array, target: Array, weights: Array | None = None) -> Array:
    """Minus the log-likelihood of the true class; (B)."""
    logs = jax.nn.log_softmax(prediction, axis=1)
    if target.ndim == prediction.ndim:
        _expect(target.shape == prediction.shape, "cross-entropy", prediction, target)
        chosen = (logs * target).sum(1)
    else:
        _expect(
            target.shape == (prediction.shape[0], *prediction.shape[2:]), "cross-entropy", prediction, target
        )
        chosen = jnp.take_along_axis(logs, jnp.expand_dims(target.astype(jnp.int32), 1), axis=1).squeeze(1)
    return _per_example(-chosen, weights)


def binary_cross_entropy(prediction: Array, target: Array, weights: Array | None = None) -> Array:
    """Of logits: log(1 + e^x) - x t, which neither overflows nor cancels; (B)."""
    _expect(prediction.shape == target.shape, "binary-cross-entropy", prediction, target)
    return _per_example(jax.nn.softplus(prediction) - prediction * target, weights)


def mean_squared_error(prediction: Array, target: Array, weights: Array | None = None) -> Array:
    """(x - t)²; (B)."""
    _expect(prediction.shape == target.shape, "mean-squared-error", prediction, target)
    return _per_example(jnp.square(prediction - target), weights)


def dice(prediction: Array, target: Array, weights: Array | None = None) -> Array:
    """One minus the soft Dice overlap of sigmoid(logits) with the target, mean over channels (Milletari et al. 2016); (B)."""
    _expect(prediction.shape == target.shape and prediction.ndim >= 2, "dice", prediction, target)
    shape = (*prediction.shape[:2], -1)
    spread = None if weights is None else jnp.broadcast_to(weights, prediction.shape).reshape(shape)
    p, t = jax.nn.sigmoid(prediction).reshape(shape), target.reshape(shape).astype(prediction.dtype)
    weight = jnp.ones_like(p) if spread is None else spread
    overlap = 2 * (weight * p * t).sum(2) + 1
    whole = (weight * p * p).sum(2) + (weight * t * t).sum(2) + 1
    return (1 - overlap / whole).mean(1)


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "cross-entropy-per-pixel": cross_entropy,
    "binary-cross-entropy": binary_cross_entropy,
    "binary-cross-entropy-per-pixel": binary_cross_entropy,
    "mean-squared-error": mean_squared_error,
    "mean-squared-error-per-pixel": mean_squared_error,
    "dice": dice,
    "dice-per-pixel": dice,
    NAME: star_convex_outlines,
}


def loss_named(name: str) -> Loss:
    """The per-example loss of that name: (prediction, target, weights=None) → (B). Raises `BadInput` if there is none."""
    if name not in LOSSES:
        raise BadInput(
            f"There is no loss {name[:60]!a}.",
            f"Known are {', '.join(sorted(LOSSES))}.",
            "Choose one of them.",
        )
    return LOSSES[name]
