"""Optimisers as two pure functions: `start(params)` and `update(gradient, state, params)`.

Stochastic gradient descent with momentum (Polyak 1964, in the form of Sutskever et al. 2013); Adam (Kingma and Ba 2015,
Algorithm 1); AdamW (Loshchilov and Hutter 2019, Algorithm 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from cloister.training.recipe import OptimiserRecipe

Tree = Mapping[str, Any]
Start = Callable[[Tree], Any]
Update = Callable[[Tree, Any, Tree], tuple[Tree, Any]]


def learning_rate(recipe: OptimiserRecipe, step: Any, steps: Any) -> Any:
    """The step size at `step` (from 0) of `steps`."""
    rate = jnp.asarray(recipe.learning_rate, jnp.float32)
    if recipe.warmup:
        rate = rate * jnp.minimum(1.0, (step + 1) / recipe.warmup)
    if recipe.schedule == "cosine":
        rate = rate * 0.5 * (1 + jnp.cos(jnp.pi * step / steps))
    return rate.astype(jnp.float32)


def optimiser(recipe: OptimiserRecipe) -> tuple[Start, Callable[[Tree, Any, Tree, Any], tuple[Tree, Any]]]:
    """`start(params) -> state` and `update(gradient, state, params, rate) -> (params, state)`."""
    mapped = jax.tree_util.tree_map
    decay = recipe.weight_decay

    def start(params: Tree) -> Any:
        zeros = mapped(jnp.zeros_like, dict(params))
        if recipe.name == "sgd":
            return (zeros,)
        return zeros, mapped(jnp.zeros_like, dict(params)), jnp.zeros((), jnp.int32)

    def sgd(gradient: Tree, state: Any, params: Tree, rate: Any) -> tuple[Tree, Any]:
        (velocity,) = state
        velocity = mapped(
            lambda v, g, p: recipe.momentum * v + g + decay * p, velocity, dict(gradient), dict(params)
        )
        return mapped(lambda p, v: p - rate * v, dict(params), velocity), (velocity,)

    def adam(gradient: Tree, state: Any, params: Tree, rate: Any) -> tuple[Tree, Any]:
        first, second, count = state
        apart = recipe.name == "adamw"
        if decay and not apart:
            gradient = mapped(lambda g, p: g + decay * p, dict(gradient), dict(params))
        b1, b2 = recipe.first_moment, recipe.second_moment
        count = count + 1
        first = mapped(lambda m, g: b1 * m + (1 - b1) * g, first, dict(gradient))
        second = mapped(lambda v, g: b2 * v + (1 - b2) * g * g, second, dict(gradient))
        power = count.astype(jnp.float32)
        bias1, bias2 = 1 - b1**power, 1 - b2**power

        def moved(p: Any, m: Any, v: Any) -> Any:
            step = (m / bias1) / (jnp.sqrt(v / bias2) + recipe.epsilon)
            return p - rate * (step + (decay * p if apart else 0.0))

        return mapped(moved, dict(params), first, second), (first, second, count)

    return start, sgd if recipe.name == "sgd" else adam
