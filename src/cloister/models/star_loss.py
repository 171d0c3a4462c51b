"""The loss of a network that outlines objects as star-convex polygons (`data.stars` lays out its answer, `data.star_targets` the target).

Four parts are added, each a mean of its own: cross-entropy of the fine maps over their pixels; the rays' logarithms, and the
logarithm of the area that they enclose, over the cells that an object owns; likewise what is told of the object. Rays and area are asked
apart, because of many objects the size is known and the shape is not: the area's slope lengthens or shortens the rays that there are.

Errors of logarithms are relative errors: a pixel weighs more for a small object. The distance is Huber's (R. Girshick,
"Fast R-CNN", ICCV 2015, equation 3, with its corner at beta), so that single bad cells do not rule.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cloister.data.star_targets import WEIGHTED
from cloister.data.stars import CHANNELS, FINE, FOLDED, RAYS, RAYS_FROM, UNIT
from cloister.foundation.errors import BadInput
from cloister.models.graph import Array

NAME = "star-convex-outlines"
RAY_SHARE, AREA_SHARE, BLUR_SHARE, TOLD_SHARE = 4.0, 0.5, 0.3, 1.0
RAY_BETA, BLUR_BETA = 0.05, 0.2
SHORTEST, LONGEST = -3.0, 4.0
"""Logarithms of rays over `UNIT` between which areas are compared: a first wild answer then has a slope that can be followed."""
SHARPEST = 0.25
"""Added to blurs, pixels, before logarithms are taken."""


def star_convex_outlines(prediction: Array, target: Array, weights: Array | None = None) -> Array:
    """Of one example, so that a batch's loss is the mean of its examples' and each can be clipped by itself; (B).

    Args:
        prediction: [B, CHANNELS, h, w], as the network answers.
        target: the same shape, as `StarTargets.encoded` gives it.
        weights: [B, WEIGHTED, h, w], likewise; what is not asked has 0.
    """
    shape = (prediction.shape[0], WEIGHTED, *prediction.shape[2:])
    if (
        prediction.ndim != 4
        or prediction.shape[1] != CHANNELS
        or target.shape != prediction.shape
        or weights is None
        or weights.shape != shape
    ):
        raise BadInput(
            f"The loss {NAME} cannot compare these values.",
            f"The prediction has shape {tuple(prediction.shape)}, the target {tuple(target.shape)}; both need {CHANNELS} channels on"
            " a grid, with weights.",
            "Use the preparation `outlines`, and a model whose output is one of outlines.",
        )
    cells = prediction.shape[2] * prediction.shape[3]
    maps, wanted = prediction[:, :FOLDED], target[:, :FOLDED]
    each = jax.nn.softplus(maps) - maps * wanted
    # Each map is a mean over its pixels, of which a cell has four.
    fine = (each * weights[:, :FOLDED]).sum((1, 2, 3)) / (cells * FOLDED // len(FINE))

    of_rays, of_area, of_facts = weights[:, FOLDED], weights[:, FOLDED + 1], weights[:, FOLDED + 2 :]
    total = of_area.sum((1, 2)) + 1.0
    told, asked = prediction[:, RAYS_FROM : RAYS_FROM + RAYS], target[:, RAYS_FROM : RAYS_FROM + RAYS]
    rays = (_huber(told - asked, RAY_BETA).mean(1) * of_rays).sum((1, 2))
    ratio = jnp.log(_area(jnp.clip(told, SHORTEST, LONGEST))) - jnp.log(_area(asked))
    area = (jnp.abs(ratio) * of_area).sum((1, 2))

    facts, known = prediction[:, RAYS_FROM + RAYS :], target[:, RAYS_FROM + RAYS :]
    blur = _huber(facts[:, 0] - jnp.log2(known[:, 0] + SHARPEST), BLUR_BETA) * of_facts[:, 0]
    said = (jax.nn.softplus(facts[:, 1:]) - facts[:, 1:] * known[:, 1:]) * of_facts[:, 1:]
    facts_off = BLUR_SHARE * blur.sum((1, 2)) + TOLD_SHARE * said.sum((1, 2, 3))
    return fine + (RAY_SHARE * rays + AREA_SHARE * area + facts_off) / total


def _huber(difference: Array, beta: float) -> Array:
    size = jnp.abs(difference)
    return jnp.where(size < beta, 0.5 * jnp.square(difference) / beta, size - 0.5 * beta)


def _area(logarithms: Array) -> Array:
    """In proportion to the polygon's area; of [B, RAYS, h, w] the (B, h, w). At least that of rays of one pixel."""
    lengths = UNIT * jnp.exp(logarithms)
    return (lengths * jnp.roll(lengths, -1, 1)).sum(1)
