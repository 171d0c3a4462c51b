"""Losses: right against direct formulas, stable where those are not, weighted per pixel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.models.losses import LOSSES, loss_named
from cloister.models.star_loss import NAME

RNG = np.random.default_rng(0)


def test_cross_entropy_is_minus_the_log_of_the_softmax_at_the_class() -> None:
    x, t = RNG.normal(size=(5, 3)), RNG.integers(0, 3, 5)
    direct = -np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))[np.arange(5), t]
    np.testing.assert_allclose(loss_named("cross-entropy")(x, t), direct, rtol=1e-5)
    np.testing.assert_allclose(loss_named("cross-entropy")(x, np.eye(3)[t]), direct, rtol=1e-5)


def test_cross_entropy_per_pixel_takes_weights() -> None:
    x, t = RNG.normal(size=(2, 3, 4, 4)), RNG.integers(0, 3, (2, 4, 4))
    weights = np.zeros((2, 4, 4))
    weights[:, 0, 0] = 2.0
    direct = -np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))[np.arange(2), t[:, 0, 0], 0, 0]
    np.testing.assert_allclose(loss_named("cross-entropy-per-pixel")(x, t, weights), direct, rtol=1e-5)


def test_binary_cross_entropy_neither_overflows_nor_loses_its_gradient() -> None:
    loss = loss_named("binary-cross-entropy")
    x, t = jnp.asarray([[1e4], [-1e4], [0.0]]), jnp.asarray([[0.0], [1.0], [1.0]])
    np.testing.assert_allclose(loss(x, t), [1e4, 1e4, np.log(2)], rtol=1e-6)
    gradient = jax.grad(lambda x: loss(x, t).sum())(x)
    np.testing.assert_allclose(gradient, [[1.0], [-1.0], [-0.5]], atol=1e-6)


def test_mean_squared_error_is_the_mean_per_example() -> None:
    x, t = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4))
    np.testing.assert_allclose(loss_named("mean-squared-error")(x, t), ((x - t) ** 2).mean((1, 2)), rtol=1e-5)


def test_dice_is_zero_for_a_certain_right_answer_and_near_one_for_a_wrong_one() -> None:
    t = (RNG.random((2, 1, 16, 16)) > 0.5).astype(np.float32)
    loss = loss_named("dice")
    assert float(loss((t - 0.5) * 200, t).max()) < 1e-3
    assert float(loss((0.5 - t) * 200, t).min()) > 0.95


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {NAME}))
def test_an_example_without_weight_counts_as_zero_and_gradients_stay_finite(name: str) -> None:
    x = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)
    t = RNG.integers(0, 2, (2, 4, 4) if "cross" in name and "binary" not in name else (2, 3, 4, 4)).astype(
        np.float32
    )
    weights = np.ones(t.shape, np.float32)
    weights[0] = 0
    value = loss_named(name)(x, t, weights)
    gradient = jax.grad(lambda x: loss_named(name)(x, t, weights).sum())(jnp.asarray(x))
    assert np.isfinite(value).all()
    assert float(value[0]) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient[0]).any()


def test_unknown_names_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput):
        loss_named("hinge")
    with pytest.raises(BadInput):
        loss_named("mean-squared-error")(np.zeros((2, 3)), np.zeros((2, 4)))
